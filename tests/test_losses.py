"""Every loss of fastopt.losses against its oracle and torch, over a grid of options, shapes and dtypes."""

import itertools
import math

import loss_oracles
import numpy as np
import pytest

import fastopt as fo

LOSSES = [name for name in fo.losses.__all__ if name != "Loss"]
REDUCTIONS = ("mean", "sum", "none")


def test_every_loss_has_an_oracle():
    for name in LOSSES:
        assert hasattr(loss_oracles, name), f"tests/loss_oracles.py lacks {name}"


def cross_entropy_cases():
    shapes = [
        (5,),
        (0, 3),
        (1, 1),
        (1, 4),
        (7, 3),
        (33, 16),
        (20, 50),
        (9, 2000),
        (2500, 3),
        (4, 5, 3),
        (4, 5, 3, 2),
        (0, 5, 3),
    ]
    for shape, weighted, smoothing, soft in itertools.product(shapes, (False, True), (0.0, 0.1, 1.0), (False, True)):
        rng = np.random.default_rng(0)
        axis = min(1, len(shape) - 1)
        classes = shape[axis]
        z = 3 * rng.standard_normal(shape)
        if soft:
            y = rng.random(shape)
        else:
            y = rng.integers(0, classes, shape[:axis] + shape[axis + 1 :])
            if y.size > 3:
                y.flat[1] = -100
        options = {"weight": rng.random(classes) if weighted else None, "label_smoothing": smoothing}
        yield pytest.param(
            "CrossEntropyLoss", options, z, y, id=f"CE-{shape}-{weighted=}-{smoothing}-{soft=}".replace(" ", "")
        )


def mse_cases():
    for shape in [(), (0,), (1,), (7,), (1000,), (5000,), (3, 4, 5)]:
        rng = np.random.default_rng(0)
        yield pytest.param("MSELoss", {}, rng.standard_normal(shape), rng.standard_normal(shape), id=f"MSE-{shape}")


CASES = [*mse_cases(), *cross_entropy_cases()]


def close(actual, expected, dtype, terms):
    """Rounding of the `terms` numbers that are added up, and of a handful of results of their size."""
    expected = np.asarray(expected, float)
    eps = float(np.finfo(dtype).eps)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=eps * scale * (8 + math.log2(terms + 1)))


def cast(options, z, y, dtype):
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    return options, np.asarray(z, dtype), y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "z", "y"), CASES)
def test_loss_follows_its_oracle(name, options, z, y, reduction, dtype):
    options, z, y = cast(options, z, y, dtype)
    oracle = getattr(loss_oracles, name)(**options, reduction=reduction)
    loss = getattr(fo, name)(**options, reduction=reduction)
    with np.errstate(invalid="ignore"):
        value, gradient = oracle(z, y), oracle.grad(z, y)
    close(loss(z, y), value, dtype, z.size)
    out = np.full_like(z, 7)
    ours, slope = loss.value_and_grad(z, y, out=out)
    assert slope is out
    close(ours, value, dtype, z.size)
    close(slope, gradient, dtype, z.size)
    np.testing.assert_array_equal(loss.value_and_grad(z, y)[1], slope)
    assert isinstance(ours, np.ndarray if reduction == "none" else float)
    if reduction == "none":
        assert ours.dtype == dtype


@pytest.mark.peers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "z", "y"), CASES)
def test_loss_agrees_with_torch(name, options, z, y, reduction, dtype):
    torch = pytest.importorskip("torch")
    options, z, y = cast(options, z, y, dtype)
    theirs = dict(options)
    if theirs.get("weight") is not None:
        theirs["weight"] = torch.tensor(theirs["weight"].astype(dtype))
    input = torch.tensor(z, requires_grad=True)
    expected = getattr(torch.nn, name)(**theirs, reduction=reduction)(input, torch.tensor(y))
    expected.sum().backward()
    value, gradient = getattr(fo, name)(**options, reduction=reduction).value_and_grad(z, y)
    expected = expected.detach().numpy()
    if dtype == np.float64:
        # Both round the sum of exponentials next to 1, so a value near 0 is right to eps only.
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=2 * np.finfo(float).eps)
        np.testing.assert_allclose(gradient, np.nan_to_num(input.grad.numpy()), rtol=1e-12, atol=1e-14)
    else:
        close(value, expected, dtype, z.size)
        close(gradient, input.grad.numpy(), dtype, z.size)


@pytest.mark.parametrize(("name", "options", "z", "y"), [case for case in CASES if case.values[2].size < 400])
def test_gradient_is_that_of_the_value(name, options, z, y):
    """Fourth-order differences: their error is h**4 of the fifth derivative, plus eps of the value over h."""
    z = np.array(z, float)
    loss = getattr(fo, name)(**options, reduction="sum")
    _, gradient = loss.value_and_grad(z, y)
    h = 1e-3
    for i in np.ndindex(z.shape):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = z.copy()
            moved[i] += shift * h
            values.append(loss(moved, y))
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        assert abs(slope - gradient[i]) < 1e-10 + 4e-16 * abs(values[0]) / h


def test_the_worked_numbers_of_a_course():
    z, y = np.array([[1.0, 2], [1, 3], [1, 3]]), np.array([0, 1, 1])
    none = fo.CrossEntropyLoss(reduction="none")
    assert none(z, y).round(4).tolist() == [1.3133, 0.1269, 0.1269]
    assert round(fo.CrossEntropyLoss()(z, y), 4) == 0.5224
    weighted = fo.CrossEntropyLoss(weight=[1, 2], reduction="none")
    assert weighted(z, y).round(4).tolist() == [1.3133, 0.2539, 0.2539]
    assert round(fo.CrossEntropyLoss(weight=[1, 2], reduction="sum")(z, y), 4) == 1.8210
    assert round(fo.CrossEntropyLoss(weight=[1, 2])(z, y), 4) == 0.3642
    assert fo.MSELoss()(np.ones(4), np.full(4, 3.0)) == 4
    assert fo.MSELoss()(np.ones((2, 2)), np.array([[0, 1], [2, 3]])) == 1.5


def test_large_logits_stay_finite():
    for dtype in (np.float32, np.float64):
        z = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
        value, gradient = fo.CrossEntropyLoss(reduction="none").value_and_grad(z, np.array([0, 0]))
        np.testing.assert_array_equal(value, [0, 2e4])
        np.testing.assert_array_equal(gradient, [[0, 0, 0], [-1, 1, 0]])
        z = np.array([[0, -np.inf, 0]], dtype)
        value, gradient = fo.CrossEntropyLoss().value_and_grad(z, np.array([0]))
        assert value == pytest.approx(math.log(2))
        np.testing.assert_array_equal(gradient, [[-0.5, 0, 0.5]])


def test_a_nan_logit_is_not_hidden():
    for width in (3, 40):
        z = np.zeros((2, width))
        z[1, 2] = np.nan
        value, gradient = fo.CrossEntropyLoss(reduction="none").value_and_grad(z, np.array([0, 0]))
        assert np.isfinite(value[0])
        assert np.isnan(value[1])
        assert np.isfinite(gradient[0]).all()
        assert np.isnan(gradient[1]).all()


def test_all_targets_ignored_gives_nan_and_no_gradient():
    loss = fo.CrossEntropyLoss(ignore_index=1)
    value, gradient = loss.value_and_grad(np.ones((3, 2)), np.ones(3, int))
    assert math.isnan(value)
    assert (gradient == 0).all()
    assert fo.CrossEntropyLoss(ignore_index=1, reduction="sum")(np.ones((3, 2)), np.ones(3, int)) == 0


def test_an_ignored_class_still_takes_part_in_the_softmax():
    z = np.zeros((2, 4))
    assert fo.CrossEntropyLoss(ignore_index=0)(z, np.array([0, 1])) == pytest.approx(math.log(4))


def test_targets_of_every_integer_dtype_are_read():
    z = np.random.default_rng(0).standard_normal((5, 3))
    expected = fo.CrossEntropyLoss()(z, np.array([0, 1, 2, 1, 0]))
    for code in "bBhHiIlLqQ":
        assert fo.CrossEntropyLoss()(z, np.array([0, 1, 2, 1, 0], code)) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_for_any_threads_and_any_memory(name, dtype):
    rng = np.random.default_rng(0)
    rows = 210_001  # so many that helper threads always take part
    z = rng.standard_normal((rows, 10)).astype(dtype)
    y = rng.integers(0, 10, rows) if name == "CrossEntropyLoss" else rng.standard_normal(z.shape).astype(dtype)
    loss = getattr(fo, name)()
    before = fo.get_num_threads()
    try:
        fo.set_num_threads(1)
        value, gradient = loss.value_and_grad(z, y)
        for threads in (2, 3, 7):
            fo.set_num_threads(threads)
            again, slope = loss.value_and_grad(z, y)
            assert again == value
            np.testing.assert_array_equal(slope, gradient)
    finally:
        fo.set_num_threads(before)
    raw = np.zeros(z.nbytes + 1, np.uint8)[1:].view(dtype).reshape(z.shape)
    raw[...] = z
    for other in (raw, np.asfortranarray(z), np.repeat(z, 2, axis=0)[::2]):
        again, slope = loss.value_and_grad(other, y)
        assert again == value
        np.testing.assert_array_equal(slope, gradient)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fo.MSELoss(reduction="avg"), ValueError, "Invalid reduction: 'avg'"),
        (lambda: fo.MSELoss()(np.ones((3, 1)), np.ones(3)), ValueError, r"target has shape \(3,\), the input \(3, 1\)"),
        (lambda: fo.MSELoss()(np.ones(3, int), np.ones(3)), TypeError, "input has dtype int64"),
        (lambda: fo.MSELoss()(np.ones(3), np.ones(3, complex)), TypeError, "target has dtype complex128"),
        (lambda: fo.CrossEntropyLoss(label_smoothing=1.1), ValueError, "label_smoothing must be between 0.0 and 1.0"),
        (lambda: fo.CrossEntropyLoss(weight=[[1.0]]), ValueError, "weight must be a vector"),
        (lambda: fo.CrossEntropyLoss(ignore_index=1.0), TypeError, "ignore_index must be an int"),
        (
            lambda: fo.CrossEntropyLoss(weight=[1, 2])(np.ones((2, 3)), np.ones(2, int)),
            ValueError,
            "either for all 3 classes or no classes but has shape",
        ),
        (
            lambda: fo.CrossEntropyLoss()(np.ones((2, 3)), np.ones(3, int)),
            ValueError,
            r"target has shape \(3,\); for an input of shape \(2, 3\), class indices have shape \(2,\)",
        ),
        (
            lambda: fo.CrossEntropyLoss()(np.ones((2, 3)), np.ones(2)),
            ValueError,
            r"probabilities have shape \(2, 3\)",
        ),
        (lambda: fo.CrossEntropyLoss()(np.ones((2, 3)), np.ones(2, bool)), TypeError, "target has dtype bool"),
        (lambda: fo.CrossEntropyLoss()(np.ones((2, 3)), np.array([0, 4])), IndexError, "Target 4 is out of bounds."),
        (lambda: fo.CrossEntropyLoss()(np.ones((2, 3)), np.array([-1, 0])), IndexError, "Target -1 is out of bounds."),
        (lambda: fo.CrossEntropyLoss()(np.ones((2, 0)), np.ones(2, int)), ValueError, "no classes"),
        (lambda: fo.CrossEntropyLoss()(np.array(1.0), np.array(0)), ValueError, "no dimension for the classes"),
        (
            lambda: fo.CrossEntropyLoss(ignore_index=0)(np.ones((2, 3)), np.ones((2, 3))),
            ValueError,
            "ignore_index is not supported for floating point target",
        ),
    ],
)
def test_bad_arguments_are_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (lambda z: np.ones((2, 2)), ValueError),
        (lambda z: np.ones((2, 3), np.float32), TypeError),
        (lambda z: np.ones((3, 2)).T, ValueError),
        (lambda z: z, ValueError),
        (lambda z: [1.0], TypeError),
    ],
)
def test_a_bad_out_is_refused(out, error):
    z = np.ones((2, 3))
    with pytest.raises(error, match="out"):
        fo.CrossEntropyLoss().value_and_grad(z, np.zeros(2, int), out=out(z))
    assert (z == 1).all()


def test_a_bad_target_leaves_out_alone():
    out = np.full((2, 3), 5.0)
    with pytest.raises(IndexError):
        fo.CrossEntropyLoss().value_and_grad(np.ones((2, 3)), np.array([0, 3]), out=out)
    assert (out == 5).all()


# Faults that once were.


@pytest.mark.parametrize("ignored", [2**53 + 1, np.iinfo(np.intp).max, -(2**62) - 1])
def test_an_ignored_index_no_double_can_hold_is_ignored(ignored):
    loss = fo.CrossEntropyLoss(ignore_index=ignored)
    value, gradient = loss.value_and_grad(np.zeros((2, 3)), np.array([ignored, 0]))
    assert value == pytest.approx(math.log(3))
    assert (gradient[0] == 0).all()
    with pytest.raises(ValueError, match="ignore_index must fit"):
        fo.CrossEntropyLoss(ignore_index=2**70)


def test_a_weight_assigned_later_is_read_as_it_is():
    loss = fo.CrossEntropyLoss(weight=np.ones(3))
    for weight in (np.ones(3, np.float32), np.array([1.0, 9, 1, 9, 1, 9])[::2]):
        loss.weight = weight
        assert loss(np.zeros((2, 3)), np.array([0, 2])) == pytest.approx(math.log(3))
    loss.reduction = "bogus"
    with pytest.raises(ValueError, match="Invalid reduction: 'bogus'"):
        loss(np.zeros((2, 3)), np.array([0, 2]))
    with pytest.raises(ValueError, match="finite numbers >= 0"):
        fo.CrossEntropyLoss(weight=[1, -1])


def test_a_huge_unsigned_target_is_out_of_bounds():
    with pytest.raises(IndexError, match="Target 18446744073709551516 is out of bounds"):
        fo.CrossEntropyLoss()(np.zeros((2, 3)), np.array([2**64 - 100, 0], np.uint64))


def test_out_must_not_share_memory_with_a_strided_input():
    buffer = np.arange(12.0)
    with pytest.raises(ValueError, match="out shares memory"):
        fo.MSELoss().value_and_grad(buffer[::2], np.zeros(6), out=buffer[:6])
    np.testing.assert_array_equal(buffer, np.arange(12.0))


def test_label_smoothing_boundaries_from_both_sides():
    fo.CrossEntropyLoss(label_smoothing=1.0)
    with pytest.raises(ValueError, match=r"label_smoothing in \[0, 1\]"):
        fo.CrossEntropyLoss(label_smoothing=np.nextafter(1.0, 2))
