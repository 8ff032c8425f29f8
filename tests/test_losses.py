"""Every loss of fastopt.losses against its oracle, torch and scikit-learn, on the cases of loss_cases."""

import math
import warnings
from itertools import product

import loss_oracles
import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from loss_cases import CASES, FAMILIES, LIMITS, WORKED
from numpy.testing import assert_allclose, assert_array_equal
from test_loss_oracles import (
    GLM,
    IN_TORCH,
    SKLEARN,
    batched,
    differentiable,
    many,
    oracle,
    sample_axis,
    torch_value_and_gradients,
    wrongs,
)

import fastopt as fo

LOSSES = [name for name in fo.losses.__all__ if name != "Loss"]
DTYPES = [np.float32, np.float64]
HERE = [case for case in CASES if case.name in LOSSES]
CURVED = [case for case in HERE if hasattr(getattr(fo, case.name), "hessian_diag")]


def made(case, reduction, dtype):
    """The loss of a case, with the case's parameters if it has some."""
    options = dict(case.options)
    if len(FAMILIES[case.name].reductions) > 1:
        options["reduction"] = reduction
    parameters = case.inputs[FAMILIES[case.name].calls :]
    if parameters:
        options["dtype"] = dtype
    loss = getattr(fo, case.name)(**options)
    for ours, given in zip(loss.parameters().values() if parameters else (), parameters, strict=True):
        ours[...] = given
    return loss


def cast(case, dtype):
    """The case in another precision, its inputs as the oracle takes them."""
    inputs = tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in case.inputs)
    return case._replace(inputs=inputs)


def called(case):
    return case.inputs[: FAMILIES[case.name].calls]


def close(actual, expected, case, dtype):
    """Rounding of a dozen results, of the exponent of an exponential, and of the numbers that are added up.

    Sums and differences are rounded in proportion to their terms, which the inputs bound, and so are the exponents:
    the exponential is off by as many eps as these are large.
    """
    floats = [np.asarray(x, float) for x in (*case.inputs, *case.options.values()) if np.asarray(x).dtype.kind == "f"]
    size = max([1.0, *(np.abs(x[np.isfinite(x)]).max(initial=0) for x in floats)])
    terms = max(x.size for x in case.inputs)
    unit = float(np.finfo(dtype).eps) * (12 + math.log2(terms + 1))
    expected = np.asarray(expected, float)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    assert_allclose(actual, expected, rtol=unit * min(size, 64), atol=unit * max(size, largest))


def quietly(call, *arguments, **keywords):
    """Without the warning of a broadcast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a target size", UserWarning)
        return call(*arguments, **keywords)


def test_every_loss_has_an_oracle_and_cases():
    for name in LOSSES:
        assert hasattr(loss_oracles, name), f"tests/loss_oracles.py lacks {name}"
        assert name in FAMILIES, f"tests/loss_cases.py lacks {name}"


def check_against_oracle(case, reduction, dtype):
    case = cast(case, dtype)
    loss, reference = made(case, reduction, dtype), oracle(case, reduction)
    value = np.asarray(reference(*case.inputs))
    factor = np.random.default_rng(1).standard_normal(value.shape)
    ours, gradient = quietly(loss.value_and_grad, *called(case), grad_output=factor.astype(dtype))
    assert isinstance(ours, np.ndarray if reduction == "none" else float)
    assert np.shape(ours) == value.shape
    close(ours, value, case, dtype)
    if reduction == "none":
        assert ours.dtype == dtype
    expected = many(reference.grad(*case.inputs, grad_output=factor.astype(dtype)))
    outs = tuple(np.full(case.inputs[i].shape, 7, dtype) for i in differentiable(case))
    again, slopes = quietly(loss.value_and_grad, *called(case), out=outs if len(outs) > 1 else outs[0])
    assert_array_equal(again, ours)
    assert_array_equal(quietly(loss, *called(case)), ours)
    for i, slope, written, out, theirs in zip(
        differentiable(case), many(gradient), many(slopes), outs, expected, strict=True
    ):
        assert slope.shape == case.inputs[i].shape
        assert slope.dtype == dtype
        assert np.shares_memory(written, out) or not out.size
        close(slope, theirs, case, dtype)
    for out, theirs in zip(outs, many(reference.grad(*case.inputs)), strict=True):
        close(out, theirs, case, dtype)


@pytest.mark.parametrize("case", HERE)
def test_loss_follows_its_oracle(case):
    for reduction, dtype in product(FAMILIES[case.name].reductions, DTYPES):
        check_against_oracle(case, reduction, dtype)


def check_weights(case, reduction, dtype):
    case = cast(case, dtype)
    axis = sample_axis(case, 0)
    weight = np.random.default_rng(2).integers(0, 4, case.inputs[0].shape[axis]) / 2
    absent = np.array(case.inputs[0])
    if case.name != "NTXentLoss":  # whose samples are in each other's losses
        absent[(slice(None),) * axis + (weight == 0,)] = np.nan
    case = case._replace(inputs=(absent, *case.inputs[1:]))
    reference = oracle(case, reduction)
    if case.name == "BCELoss":
        with pytest.raises(ValueError, match="nan") if np.isnan(absent).any() else warnings.catch_warnings():
            made(case, reduction, dtype)(*called(case), sample_weight=weight)
        return
    ours, gradient = made(case, reduction, dtype).value_and_grad(*called(case), sample_weight=weight)
    close(ours, reference(*case.inputs, sample_weight=weight), case, dtype)
    for slope, theirs in zip(many(gradient), many(reference.grad(*case.inputs, sample_weight=weight)), strict=True):
        close(slope, theirs, case, dtype)


@pytest.mark.parametrize("case", [case for case in HERE if batched(case)])
def test_samples_weigh_as_in_the_oracle(case):
    """Those of weight 0 are nan."""
    for reduction, dtype in product(FAMILIES[case.name].reductions, DTYPES):
        check_weights(case, reduction, dtype)


def check_hessian(case, reduction, dtype):
    case = cast(case, dtype)
    loss = made(case, reduction, dtype)
    if not case.options.get("log_input", True):
        with pytest.raises(NotImplementedError, match="log_input=True"):
            loss.hessian_diag(*case.inputs)
        return
    weight = np.random.default_rng(2).random(case.inputs[0].shape[:1]) if batched(case) else None
    if case.name != "CrossEntropyLoss" and case.inputs[0].shape != case.inputs[1].shape:
        return
    ours = quietly(loss.hessian_diag, *case.inputs, sample_weight=weight)
    close(ours, oracle(case, reduction).hessian_diag(*case.inputs, sample_weight=weight), case, dtype)


@pytest.mark.parametrize("case", CURVED)
def test_hessian_follows_its_oracle(case):
    for reduction, dtype in product(FAMILIES[case.name].reductions, DTYPES):
        check_hessian(case, reduction, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in LIMITS if case.name in LOSSES])
def test_limits_follow_the_oracle(case, dtype):
    with np.errstate(over="ignore", under="ignore"):
        case = cast(case, dtype)
    reference = oracle(case, "none")
    value, gradient = made(case, "none", dtype).value_and_grad(*called(case))
    with np.errstate(all="ignore"):
        expected = [np.asarray(x).astype(dtype) for x in (reference(*case.inputs), *many(reference.grad(*case.inputs)))]
    for ours, theirs in zip((value, *many(gradient)), expected, strict=True):
        assert not np.isnan(ours).any()
        assert_allclose(ours, theirs, rtol=64 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).smallest_normal)


def check_against_torch(torch, case, reduction, dtype):
    case, reference = cast(case, dtype), oracle(case, reduction)
    exceptions = wrongs(case, reference(*case.inputs))
    if any(row.mended is None for row in exceptions):
        return
    options = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in case.options.items()}
    expected, gradients, factor = torch_value_and_gradients(torch, case._replace(options=options), reduction)
    for row in exceptions:
        expected, gradients = row.mended(expected, gradients, reference, case.inputs, factor)
    ours, slopes = quietly(made(case, reduction, dtype).value_and_grad, *called(case), grad_output=factor)
    close(ours, expected, case, dtype)
    for slope, theirs in zip(many(slopes), gradients, strict=True):
        close(slope, theirs, case, dtype)


@pytest.mark.peers
@pytest.mark.parametrize("case", [case for case in HERE if case.name in IN_TORCH])
def test_loss_agrees_with_torch(case):
    torch = pytest.importorskip("torch")
    for reduction, dtype in product(FAMILIES[case.name].reductions, DTYPES):
        check_against_torch(torch, case, reduction, dtype)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GLM)
def test_loss_agrees_with_scikit_learn(case, dtype):
    case = cast(case, dtype)
    theirs, scale = SKLEARN[case.name](**case.options)
    z, y = case.inputs
    weight = np.random.default_rng(3).random(len(z)).astype(dtype)
    loss = made(case, "none", dtype)
    value, gradient = loss.value_and_grad(z, y, sample_weight=weight)
    expected, slopes = theirs.loss_gradient(y, z, weight)
    close(value, scale * expected, case, dtype)
    close(gradient, scale * slopes, case, dtype)
    if hasattr(loss, "hessian_diag") and case.name != "HuberLoss":  # scikit-learn's is made up, for its trees
        close(
            loss.hessian_diag(z, y, sample_weight=weight), scale * theirs.gradient_hessian(y, z, weight)[1], case, dtype
        )


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_slope_of_the_value(name):
    """Fourth-order differences: their error is h**4 of the fifth derivative, plus eps of the value over h."""
    family = FAMILIES[name]
    case = CASES[0]._replace(name=name, options=family.options, inputs=family.draw(np.random.default_rng(4), 20))
    loss = made(case, "sum", np.float64)
    parameters = list(loss.parameters().values()) if len(case.inputs) > family.calls else []
    arrays = [*called(case), *parameters]  # the very arrays, to be moved
    _, gradients = loss.value_and_grad(*called(case))
    h = 1e-4
    for i, gradient in zip(differentiable(case), many(gradients), strict=True):
        for at in np.ndindex(arrays[i].shape):
            there, values = arrays[i][at], []
            for shift in (-2, -1, 1, 2):
                arrays[i][at] = there + shift * h
                values.append(loss(*called(case)))
            arrays[i][at] = there
            slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
            size = max(1.0, np.abs(gradient).max())
            assert abs(slope - gradient[at]) < 1e-8 * size + 4e-16 * abs(values[0]) / h


@pytest.mark.parametrize(("name", "options", "inputs", "expected", "digits"), WORKED)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_worked_numbers_of_a_course(name, options, inputs, expected, digits, dtype):
    arrays = [np.array(x) for x in inputs]
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]
    value = getattr(fo, name)(**options)(*arrays)
    assert_array_equal(np.round(np.asarray(value, float), digits), expected)


# Memory and threads.


FEWER = {"NTXentLoss": 10_000}  # elements; its work grows with their square


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_for_any_threads(name, dtype):
    family = FAMILIES[name]
    inputs = family.draw(np.random.default_rng(5), FEWER.get(name, 700_000))
    case = CASES[0]._replace(name=name, options=family.options, inputs=inputs)
    case = cast(case, dtype)
    loss = made(case, "mean", dtype)
    before = fo.get_num_threads()
    try:
        fo.set_num_threads(1)
        value, gradient = loss.value_and_grad(*called(case))
        for threads in (2, 3, 7):
            fo.set_num_threads(threads)
            again, slope = loss.value_and_grad(*called(case))
            assert again == value
            for ours, first in zip(many(slope), many(gradient), strict=True):
                assert_array_equal(ours, first)
    finally:
        fo.set_num_threads(before)


def lies(x):
    """The same numbers, elsewhere and otherwise in memory."""
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    yield raw
    yield np.asfortranarray(x)
    yield x.astype(x.dtype.newbyteorder())
    if x.ndim:
        yield np.repeat(x, 2, axis=0)[::2]
        yield np.repeat(x, 2, axis=-1)[..., ::2]
        yield x[::-1].copy()[::-1]
        padded = np.full((*x.shape[:-1], x.shape[-1] + 3), 7, x.dtype)
        padded[..., 1:-2] = x
        yield padded[..., 1:-2]
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_for_any_memory(name, dtype):
    family = FAMILIES[name]
    cases = [case for case in HERE if case.name == name and 0 < case.inputs[0].size <= 400][-3:]
    cases.append(
        CASES[0]._replace(name=name, options=family.options, inputs=family.draw(np.random.default_rng(6), 300))
    )
    for case in cases:
        case = cast(case, dtype)
        loss = made(case, "mean", dtype)
        value, gradient = quietly(loss.value_and_grad, *called(case))
        for i, x in enumerate(called(case)):
            for other in lies(np.asarray(x)):
                inputs = [*called(case)]
                inputs[i] = other
                before = other.copy()
                again, slope = quietly(loss.value_and_grad, *inputs)
                assert_array_equal(other, before)
                assert_array_equal(again, value)
                for ours, first in zip(many(slope), many(gradient), strict=True):
                    assert_array_equal(ours, first)


def test_classes_on_axis_1_are_read_and_written_in_place():
    rng = np.random.default_rng(7)
    for shape in ((3, 40, 5), (2, 1500, 3), (1, 7, 2000), (40, 2, 3, 1)):
        z, y = rng.standard_normal(shape), rng.integers(0, shape[1], shape[:1] + shape[2:])
        value, gradient = fo.CrossEntropyLoss().value_and_grad(z, y)
        rows = np.ascontiguousarray(np.moveaxis(z, 1, -1)).reshape(-1, shape[1])
        again, slopes = fo.CrossEntropyLoss().value_and_grad(rows, y.ravel())
        assert value == again
        assert_array_equal(np.moveaxis(gradient, 1, -1).reshape(-1, shape[1]), slopes)
    rows = rng.standard_normal((700, 12))[::-1, 1:-1]
    columns = np.asfortranarray(rows)
    y = rng.integers(0, 10, 700)
    for loss in (fo.CrossEntropyLoss(), fo.FocalLoss(), fo.MultiMarginLoss(), fo.NLLLoss()):
        expected = loss.value_and_grad(rows.copy(), y)
        for z in (rows, columns):
            value, gradient = loss.value_and_grad(z, y)
            assert value == expected[0]
            assert_array_equal(gradient, expected[1])


def test_targets_of_every_integer_dtype_are_read():
    z = np.random.default_rng(0).standard_normal((5, 3))
    for loss in (fo.CrossEntropyLoss(), fo.NLLLoss(), fo.FocalLoss(), fo.MultiMarginLoss()):
        expected = loss(z, np.array([0, 1, 2, 1, 0]))
        for code in "bBhHiIlLqQ":
            assert loss(z, np.array([0, 1, 2, 1, 0], code)) == expected


# What does not fit.

Z, Y = np.ones((2, 3)), np.zeros(2, int)
FAULTS = [  # a call, its error, its words
    (lambda: fo.MSELoss(reduction="avg"), ValueError, "Invalid reduction: 'avg'"),
    (
        lambda: fo.MSELoss()(np.ones((3, 2)), np.ones(3)),
        ValueError,
        r"target has shape \(3,\), the input \(3, 2\): these",
    ),
    (
        lambda: fo.MSELoss()(np.ones((3, 1)), np.ones(3)),
        UserWarning,
        r"target size \(\(3,\)\) that is different to the",
    ),
    (lambda: fo.MSELoss()(np.ones(3, int), np.ones(3)), TypeError, "input has dtype int64"),
    (lambda: fo.MSELoss()(np.ones(3, np.float16), np.ones(3)), TypeError, "input has dtype float16"),
    (lambda: fo.MSELoss()(np.ones(3), np.ones(3, complex)), TypeError, "target has dtype complex128"),
    (lambda: fo.PinballLoss()(np.ones((3, 1)), np.ones(3)), ValueError, r"target has shape \(3,\), the input \(3, 1\)"),
    (
        lambda: fo.KLDivLoss(reduction="batchmean")(np.ones(3), np.ones(2)),
        ValueError,
        r"shape \(2,\), the input \(3,\)",
    ),
    (lambda: fo.MSELoss(reduction="batchmean"), ValueError, "Invalid reduction: 'batchmean'"),
    (lambda: fo.SmoothL1Loss(beta=-1), ValueError, "Invalid beta: -1"),
    (lambda: fo.HuberLoss(delta=0), ValueError, "Invalid delta: 0"),
    (lambda: fo.PinballLoss(quantile=1.0), ValueError, "Invalid quantile: 1.0"),
    (lambda: fo.CauchyLoss(scale=0), ValueError, "Invalid scale: 0"),
    (lambda: fo.EpsilonInsensitiveLoss(epsilon=-1), ValueError, "Invalid epsilon: -1"),
    (lambda: fo.HalfTweedieLoss(power=0.5), ValueError, "Invalid power: 0.5"),
    (lambda: fo.HalfTweedieLoss(power="1"), TypeError, "Invalid power"),
    (lambda: fo.SigmoidFocalLoss(alpha=2), ValueError, "Invalid alpha: 2"),
    (lambda: fo.FocalLoss(gamma=-1), ValueError, "Invalid gamma: -1"),
    (lambda: fo.KLDivLoss(log_target=1), TypeError, "True or False for log_target"),
    (lambda: fo.MultiMarginLoss(p=3), ValueError, "Invalid p: 3"),
    (lambda: fo.TripletMarginLoss(margin=0), ValueError, "Invalid margin: 0"),
    (lambda: fo.TripletMarginLoss(p=0), ValueError, "Invalid p: 0"),
    (lambda: fo.DiceLoss(smooth=-1), ValueError, "Invalid smooth: -1"),
    (lambda: fo.HalfGammaLoss()(np.ones(2), np.array([1.0, 0])), ValueError, "needs targets > 0, finite; got 0.0"),
    (lambda: fo.HalfPoissonLoss()(np.ones(2), np.array([1, -1])), ValueError, "needs targets >= 0, finite; got -1.0"),
    (lambda: fo.HalfTweedieLoss()(np.ones(1), np.array([np.nan])), ValueError, "needs targets >= 0, finite; got nan"),
    (
        lambda: fo.BCELoss()(np.array([0.5, 1.5]), np.ones(2)),
        ValueError,
        "input should be between 0 and 1, but one is 1.5",
    ),
    (
        lambda: fo.BCELoss()(np.ones(2), np.array([0, -1])),
        ValueError,
        "target should be between 0 and 1, but one is -1",
    ),
    (lambda: fo.BCELoss(weight=np.ones(2))(np.ones(3), np.ones(3)), ValueError, r"weight has shape \(2,\), which does"),
    (lambda: fo.BCEWithLogitsLoss(pos_weight=np.ones(2))(Z, Z), ValueError, r"pos_weight has shape \(2,\), which does"),
    (lambda: fo.BCEWithLogitsLoss(weight=[np.inf]), ValueError, "weight must be finite"),
    (lambda: fo.GaussianNLLLoss()(Z, Z, -Z), ValueError, "var has negative entry"),
    (lambda: fo.GaussianNLLLoss()(Z, Z, np.ones(2)[:0]), ValueError, r"var has shape \(0,\), the input \(2, 3\)"),
    (
        lambda: fo.MarginRankingLoss()(Z, Z.astype(np.float32), Z),
        TypeError,
        "input2 has dtype float32, the input1 float64",
    ),
    (lambda: fo.CrossEntropyLoss(label_smoothing=1.1), ValueError, "label_smoothing must be between 0.0 and 1.0"),
    (lambda: fo.CrossEntropyLoss(weight=[[1.0]]), ValueError, "weight must be a vector"),
    (lambda: fo.CrossEntropyLoss(weight=[1, -1]), ValueError, "finite numbers >= 0"),
    (lambda: fo.CrossEntropyLoss(ignore_index=1.0), TypeError, "ignore_index must be an int"),
    (lambda: fo.CrossEntropyLoss(ignore_index=2**70), ValueError, "ignore_index must fit"),
    (
        lambda: fo.CrossEntropyLoss(weight=[1, 2])(Z, Y),
        ValueError,
        "either for all 3 classes or no classes but has shape",
    ),
    (
        lambda: fo.NLLLoss()(Z, np.ones(3, int)),
        ValueError,
        r"\(3,\); for an input of shape \(2, 3\), class indices .* \(2,\)",
    ),
    (lambda: fo.CrossEntropyLoss()(Z, np.ones(2)), ValueError, r"probabilities have shape \(2, 3\)"),
    (lambda: fo.CrossEntropyLoss()(Z, np.ones(2, bool)), TypeError, "target has dtype bool"),
    (lambda: fo.CrossEntropyLoss()(Z, np.array([0, 4])), IndexError, "Target 4 is out of bounds. .classes are 0 to 2"),
    (lambda: fo.FocalLoss()(Z, np.array([-1, 0])), IndexError, "Target -1 is out of bounds."),
    (lambda: fo.MultiMarginLoss()(Z, np.array([0, 3])), IndexError, "Target 3 is out of bounds."),
    (lambda: fo.MultiMarginLoss()(np.ones((2, 3, 4)), np.ones((2, 4), int)), ValueError, r"must be \(C,\) or \(N, C\)"),
    (lambda: fo.MultiLabelMarginLoss()(Z, np.full((2, 3), 3)), IndexError, "Target 3 is out of bounds."),
    (lambda: fo.MultiLabelMarginLoss()(Z, np.full((2, 3), -2)), IndexError, "Target -2 is out of bounds."),
    (lambda: fo.MultiLabelMarginLoss()(Z, Y), ValueError, r"target has shape \(2,\), the input \(2, 3\)"),
    (lambda: fo.MultiLabelSoftMarginLoss()(Z, Y), ValueError, r"target has shape \(2,\), the input \(2, 3\)"),
    (lambda: fo.CrossEntropyLoss()(np.ones((2, 0)), np.ones(2, int)), ValueError, "no classes"),
    (lambda: fo.CrossEntropyLoss()(np.array(1.0), np.array(0)), ValueError, r"input has shape \(\); it must be \(C,\)"),
    (lambda: fo.CrossEntropyLoss(ignore_index=0)(Z, Z), ValueError, "ignore_index is not supported for floating point"),
    (
        lambda: fo.NLLLoss()(Z, np.array([2**64 - 100, 0], np.uint64)),
        IndexError,
        "Target 18446744073709551516 is out of",
    ),
    (
        lambda: fo.TripletMarginLoss()(Z, Z, np.ones((2, 4))),
        ValueError,
        r"anchor \(2, 3\), positive \(2, 3\), negative \(2, 4\)",
    ),
    (
        lambda: fo.CosineEmbeddingLoss()(Z, Z, np.ones(3)),
        ValueError,
        r"target has shape \(3,\); inputs of shape \(2, 3\)",
    ),
    (lambda: fo.DiceLoss()(Z, np.ones(6)), ValueError, r"target has shape \(6,\), the input \(2, 3\)"),
    (
        lambda: fo.MSELoss()(Z, Z, sample_weight=np.ones(3)),
        ValueError,
        r"sample_weight has shape \(3,\); it must be \(2,\)",
    ),
    (lambda: fo.MSELoss()(Z, Z, sample_weight=[1, -1]), ValueError, "sample_weight must be finite numbers >= 0"),
    (lambda: fo.MSELoss()(Z, Z, sample_weight=[1j, 1]), TypeError, "sample_weight has dtype complex128"),
    (lambda: fo.CrossEntropyLoss()(Z[0], 1, sample_weight=[1]), ValueError, "sample_weight needs samples"),
    (
        lambda: fo.MSELoss().value_and_grad(Z, Z, grad_output=Z),
        TypeError,
        "grad_output must be a number, as the value is",
    ),
    (
        lambda: fo.MSELoss("none").value_and_grad(Z, Z, grad_output=2.0),
        ValueError,
        r"grad_output has shape \(\), the value",
    ),
    (
        lambda: fo.MSELoss("none").value_and_grad(Z, Z, grad_output=1j * Z),
        TypeError,
        "grad_output has dtype complex128",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), FAULTS)
def test_bad_arguments_are_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (lambda z, y: np.ones((2, 2)), ValueError, r"out has shape \(2, 2\), the input \(2, 3\)"),
        (lambda z, y: np.ones((2, 3), np.float32), TypeError, "out has dtype float32, the input float64"),
        (lambda z, y: np.ones((3, 2)).T, ValueError, "out must be C-contiguous"),
        (lambda z, y: np.broadcast_to(1.0, (2, 3)), ValueError, "out must be C-contiguous, aligned and writeable"),
        (lambda z, y: z, ValueError, "out shares memory"),
        (lambda z, y: y.view(float)[:6].reshape(2, 3), ValueError, "out shares memory"),
        (lambda z, y: [1.0], TypeError, "out must be a NumPy array, not list"),
    ],
)
def test_a_bad_out_is_refused(out, error, words):
    y = np.zeros(16, int)
    z = np.ones((2, 3))
    for loss in (fo.CrossEntropyLoss(), fo.NLLLoss(), fo.MultiMarginLoss()):
        with pytest.raises(error, match=words):
            loss.value_and_grad(z, y[:2], out=out(z, y))
        assert (z == 1).all()
        assert (y == 0).all()


def test_a_tuple_of_outs_is_checked_one_by_one():
    loss, x = fo.MarginRankingLoss(), np.ones(3)
    for out, error, words in (
        (np.ones(3), TypeError, "out must be a tuple of 2 arrays"),
        ((np.ones(3),), TypeError, "out must be a tuple of 2 arrays"),
        ((np.ones(3), np.ones(4)), ValueError, r"out has shape \(4,\), the input2 \(3,\)"),
        ((x, np.ones(3)), ValueError, "out shares memory"),
    ):
        with pytest.raises(error, match=words):
            loss.value_and_grad(np.zeros(3), np.zeros(3), x, out=out)
    one = np.full(3, 5.0)
    with pytest.raises(ValueError, match="out shares memory"):
        loss.value_and_grad(np.zeros(3), np.zeros(3), x, out=(one, one))
    assert (one == 5).all()


def test_an_error_leaves_out_alone():
    for loss, z, y in (
        (fo.CrossEntropyLoss(), Z, np.array([0, 3])),
        (fo.BCELoss(), Z, 2 * Z),
        (fo.HalfGammaLoss(), Z, -Z),
        (fo.MultiLabelMarginLoss(), Z, np.array([[0, 1, 2], [0, 1, 3]])),
    ):
        out = np.full((2, 3), 5.0)
        with pytest.raises((IndexError, ValueError)):
            loss.value_and_grad(z, y, out=out)
        assert (out == 5).all()


SHAPE = st.lists(st.integers(0, 4), max_size=3).map(tuple)
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e300, -1e-320, math.inf, -math.inf, math.nan, 2.0, 7.0])


@st.composite
def arrays(draw):
    shape = draw(SHAPE)
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.int8, np.uint64, bool, complex, object]))
    size = math.prod(shape)
    with np.errstate(all="ignore"):
        if dtype in (np.float32, np.float64, complex, object):
            numbers = draw(st.lists(NUMBERS, min_size=size, max_size=size))
        else:
            numbers = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
        return np.array(numbers).astype(dtype).reshape(shape)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=30, deadline=None)
@for_all(data=st.data())
def test_any_arguments_are_computed_with_or_refused(name, data):
    """Never another error, never anything written to an argument; a number beyond float32 warns as NumPy does."""
    family = FAMILIES[name]
    drawn = family.draw(np.random.default_rng(data.draw(st.integers(0, 9))), 20)
    inputs = [np.asarray(x) if data.draw(st.booleans()) else data.draw(arrays()) for x in drawn[: family.calls]]
    before = [x.copy() for x in inputs]
    reduction = {} if len(family.reductions) == 1 else {"reduction": data.draw(st.sampled_from(family.reductions))}
    loss = getattr(fo, name)(**family.options, **reduction)
    weight = data.draw(st.one_of(st.none(), arrays()))
    factor = data.draw(st.one_of(st.none(), arrays()))
    try:
        with np.errstate(over="ignore"):
            value, gradient = quietly(loss.value_and_grad, *inputs, sample_weight=weight, grad_output=factor)
    except (TypeError, ValueError, IndexError):
        pass
    else:
        assert np.shape(value) == () or reduction.get("reduction") == "none"
        for i, g in zip(family.differentiable, many(gradient), strict=False):
            if i < family.calls:
                assert g.shape == np.shape(inputs[i])
    for x, y in zip(inputs, before, strict=True):
        assert x.tobytes() == y.tobytes()


# Faults that once were.


def test_a_nan_is_not_hidden():
    for name in LOSSES:
        family = FAMILIES[name]
        inputs = [np.array(x) for x in family.draw(np.random.default_rng(8), 60)]
        loss = made(CASES[0]._replace(name=name, options=family.options, inputs=inputs), "mean", np.float64)
        inputs[0][:1] = np.nan
        if name == "BCELoss":
            continue  # refuses it
        assert np.isnan(loss(*inputs[: family.calls])), name


def test_an_ignored_row_hides_its_nan():
    z = np.zeros((3, 40))
    z[1] = np.nan
    for columns in (3, 40):
        for loss in (fo.CrossEntropyLoss(), fo.CrossEntropyLoss(label_smoothing=0.1), fo.FocalLoss(), fo.NLLLoss()):
            value, gradient = loss.value_and_grad(z[:, :columns], np.array([0, -100, 2]))
            assert math.isfinite(value)
            assert np.isfinite(gradient).all()


def test_an_ignored_class_still_takes_part_in_the_softmax():
    assert fo.CrossEntropyLoss(ignore_index=0)(np.zeros((2, 4)), np.array([0, 1])) == pytest.approx(math.log(4))


def test_a_cross_entropy_near_0_is_right_to_the_last_digits():
    for gap in (30.0, 60.0, 300.0):
        z = np.array([[gap, 0.0, 0.0]])
        value, gradient = fo.CrossEntropyLoss().value_and_grad(z, np.array([0]))
        exact = np.log1p(2 * np.exp(-gap))
        assert_allclose(value, exact, rtol=8 * np.finfo(float).eps)
        assert_allclose(gradient, [[-2 * np.exp(-gap), np.exp(-gap), np.exp(-gap)]], rtol=1e-12)


@pytest.mark.parametrize("ignored", [2**53 + 1, np.iinfo(np.intp).max, -(2**62) - 1])
def test_an_ignored_index_no_double_can_hold_is_ignored(ignored):
    loss = fo.CrossEntropyLoss(ignore_index=ignored)
    value, gradient = loss.value_and_grad(np.zeros((2, 3)), np.array([ignored, 0]))
    assert value == pytest.approx(math.log(3))
    assert (gradient[0] == 0).all()


def test_a_weight_assigned_later_is_read_as_it_is():
    loss = fo.CrossEntropyLoss(weight=np.ones(3))
    for weight in (np.ones(3, np.float32), np.array([1.0, 9, 1, 9, 1, 9])[::2]):
        loss.weight = weight
        assert loss(np.zeros((2, 3)), np.array([0, 2])) == pytest.approx(math.log(3))
    loss.reduction = "bogus"
    with pytest.raises(ValueError, match="Invalid reduction: 'bogus'"):
        loss(np.zeros((2, 3)), np.array([0, 2]))


def test_label_smoothing_boundaries_from_both_sides():
    fo.CrossEntropyLoss(label_smoothing=1.0)
    with pytest.raises(ValueError, match=r"label_smoothing in \[0, 1\]"):
        fo.CrossEntropyLoss(label_smoothing=np.nextafter(1.0, 2))


def test_an_out_of_one_row_is_written_within_its_row():
    """Its stride to a next row, whatever it is, means nothing."""
    z, y = np.log([[0.25, 0.25, 0.5]]), np.array([1])
    for room in (np.full((3, 9), 5.0), np.full((3, 9), 5.0)[::-1], np.full((9, 3), 5.0)[::-3]):
        for name in ("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"):
            loss = getattr(fo, name)()
            room[...] = 5
            _, gradient = loss.value_and_grad(z, y, out=room[1:2, :3])
            assert_array_equal(gradient, loss.value_and_grad(z, y)[1])
            assert (np.delete(room, 1, axis=0) == 5).all()
            assert (room[1, 3:] == 5).all()


def test_an_ignored_index_beyond_memory_is_not_looked_up():
    for ignored in (2**62, -(2**62)):
        value, gradient = fo.NLLLoss(ignore_index=ignored).value_and_grad(Z, np.array([ignored, 1]))
        assert value == -1
        assert_array_equal(gradient, [[0, 0, 0], [0, -1, 0]])


def test_rows_of_more_axes_are_broadcast_and_their_gradients_added_up():
    rng = np.random.default_rng(9)
    for rows, one in (((3, 5, 3), (1, 5, 3)), ((3, 5, 3), (3, 1, 3)), ((2, 3, 4), (1, 1, 1))):
        anchor, positive, negative = rng.random(rows), rng.random(one), rng.random(rows)
        loss = fo.TripletMarginLoss()
        value, gradients = loss.value_and_grad(anchor, positive, negative)
        again, full = loss.value_and_grad(anchor, np.broadcast_to(positive, rows), negative)
        axes = tuple(i for i, size in enumerate(one) if size == 1)
        assert value == again
        assert_allclose(gradients[1], full[1].sum(axis=axes, keepdims=True), rtol=0, atol=1e-15)
        assert_array_equal(gradients[0], full[0])


def test_an_out_may_not_share_the_memory_of_a_target_that_is_converted():
    room = np.zeros(6)
    for loss, target in (
        (fo.CrossEntropyLoss(), room.view(np.int32)[:2]),
        (fo.CrossEntropyLoss(), room.view(np.float32)[::2].reshape(2, 3)),
        (fo.MultiLabelMarginLoss(), room.view(np.int32)[::2].reshape(2, 3)),
    ):
        with pytest.raises(ValueError, match="out shares memory"):
            loss.value_and_grad(Z, target, out=room.reshape(2, 3))
        assert (room == 0).all()


def test_an_out_of_a_variance_for_each_row_is_taken_as_it_is():
    loss, rows = fo.GaussianNLLLoss(), np.array([1.0, 2.0])
    outs = np.empty((2, 3)), np.empty(2)
    _, gradients = loss.value_and_grad(2 * Z, Z, rows, out=outs)
    assert gradients[0] is outs[0] and gradients[1] is outs[1]
    assert_array_equal(gradients[1], loss.value_and_grad(2 * Z, Z, rows[:, None])[1][1][:, 0])
    for out in (5, (np.empty((2, 3)),), (*outs, outs), (np.empty((2, 3)), [0.0, 0.0])):
        with pytest.raises(TypeError, match="out must be"):
            loss.value_and_grad(Z, Z, rows, out=out)


def test_dice_of_no_samples_is_a_mean_over_nothing():
    for shape in ((0, 3), (0, 5, 3), (0, 5, 0)):
        value, gradient = fo.DiceLoss().value_and_grad(np.ones(shape), np.ones(shape))
        assert math.isnan(value)
        assert gradient.shape == shape


def test_options_of_another_type_are_refused():
    assert fo.MSELoss(np.str_("sum"))(Z, 3 * Z) == 24
    with pytest.raises(ValueError, match="Invalid reduction"):
        fo.MSELoss(np.array("sum"))
    for name in ("CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss"):
        for weight in (["1", "2"], [1j, 2j], np.array([1, None])):
            with pytest.raises(TypeError, match=r"weight has dtype .*; it must be real numbers"):
                getattr(fo, name)(weight=weight)


def test_a_blank_assigned_later_is_checked():
    loss = fo.CTCLoss()
    for blank in (-1, 4):
        loss.blank = blank
        with pytest.raises(ValueError, match=rf"blank is {blank}; it must be in \[0, 4\)"):
            loss.value_and_grad(np.zeros((3, 1, 4)), [[1]], [3], [1])


def test_a_nan_is_not_hidden_by_a_target_of_0():
    assert np.isnan(fo.KLDivLoss()(np.array([np.nan]), np.array([0.0])))
    assert np.isnan(fo.KLDivLoss(log_target=True)(np.array([np.nan]), np.array([-np.inf])))


def test_a_focal_loss_without_weight_is_0_at_infinity():
    for alpha, z, y in ((0, -np.inf, 1.0), (1, np.inf, 0.0)):
        value, gradient = fo.SigmoidFocalLoss(alpha=alpha).value_and_grad(np.array([z]), np.array([y]))
        assert value == gradient[0] == 0


def test_a_class_of_weight_0_hides_its_rows():
    z, y = np.array([[np.nan, 0.0], [1.0, 2.0]]), np.array([0, 1])
    for name in ("CrossEntropyLoss", "FocalLoss", "MultiMarginLoss", "NLLLoss"):
        value, gradient = getattr(fo, name)(weight=[0, 1]).value_and_grad(z, y)
        assert math.isfinite(value), name
        assert (gradient[0] == 0).all(), name


def test_the_hessian_of_a_sure_cross_entropy_keeps_its_digits():
    for lead in (1.0, 20.0, 40.0, 300.0):
        for dtype in DTYPES:
            lead = min(lead, 80.0) if dtype == np.float32 else lead
            ours = fo.CrossEntropyLoss().hessian_diag(np.array([[lead, 0], [0, lead]], dtype), np.array([0, 0]))
            expected = fo.BCEWithLogitsLoss().hessian_diag(np.full((2, 2), lead, dtype), np.zeros((2, 2)))
            assert_allclose(ours, expected * 2, rtol=8 * np.finfo(dtype).eps)


def test_the_hessian_of_an_ignored_row_is_0():
    hessian = fo.CrossEntropyLoss().hessian_diag(np.array([[np.nan, 0.0], [1.0, 2.0]]), np.array([-100, 1]))
    assert_array_equal(hessian[0], 0)
    assert (hessian[1] > 0).all()


def test_distances_whose_squares_leave_the_range_are_finite():
    root = math.sqrt(0.5)
    for size in (1e200, 1e-200):
        a, b = np.full((1, 2), size), np.full((1, 2), -size)
        loss = fo.TripletMarginLoss(eps=0, swap=True, reduction="sum")
        value, (slope, up, down) = loss.value_and_grad(a, b, 2 * a)
        near, far = size / root * 2, size / root
        assert_allclose(value, 1 + near - far, rtol=1e-15)
        assert_allclose(slope, [[2 * root, 2 * root]], rtol=1e-14)
        assert_allclose(up, [[-root, -root]], rtol=1e-14)
        assert_allclose(down, [[-root, -root]], rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tweedie_mean_near_0_keeps_its_digits_for_a_target_of_0(dtype):
    loss = fo.HalfTweedieLoss(power=1.5)
    for z in (-80, -95, -103, -110) if dtype == np.float32 else (-600, -740, -745, -1000):
        value, gradient = loss.value_and_grad(np.array([z], dtype), np.zeros(1))
        mean = math.exp(z / 2)
        assert_allclose([value, gradient[0]], [2 * mean, mean], rtol=8 * np.finfo(dtype).eps)
        assert_allclose(loss.hessian_diag(np.array([z], dtype), np.zeros(1)), [mean / 2], rtol=8 * np.finfo(dtype).eps)


def test_a_nan_cast_to_a_class_is_refused():
    with pytest.raises(IndexError, match=r"Target -9223372036854775808 is out of bounds. .classes are 0 to 2.$"):
        fo.MultiMarginLoss()(Z, np.array([np.iinfo(np.int64).min, 0]))


@pytest.mark.parametrize("name", ["MSELoss", "CrossEntropyLoss", "NLLLoss", "KLDivLoss"])
def test_a_mean_is_the_same_for_all_multiples_of_the_weights(name):
    """Those that float32 cannot hold too; powers of two leave the bits as they are."""
    inputs = cast(CASES[0]._replace(inputs=FAMILIES[name].draw(np.random.default_rng(10), 60)), np.float32).inputs
    weight = np.random.default_rng(11).random(len(inputs[0]))
    for reduction in set(FAMILIES[name].reductions) - {"none", "sum"}:
        loss = getattr(fo, name)(reduction=reduction)
        value, gradient = loss.value_and_grad(*inputs, sample_weight=weight)
        for factor in (2.0**-500, 2.0**-140, 2.0**128, 2.0**500):
            again, slope = loss.value_and_grad(*inputs, sample_weight=factor * weight)
            assert again == value
            assert_array_equal(slope, gradient)


def test_a_target_that_is_refused_is_the_one_that_is_named():
    for bad in (3, -1):
        with pytest.raises(IndexError, match=rf"Target {bad} is out of bounds\. .classes are 0 to 2"):
            fo.CrossEntropyLoss().hessian_diag(Z, np.array([0, bad]))
    with pytest.raises(ValueError, match="needs targets >= 0, finite; got inf"):
        fo.HalfPoissonLoss()(np.ones(2), np.array([1, np.inf]))
