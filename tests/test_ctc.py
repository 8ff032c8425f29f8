"""CTCLoss against all alignments, written out, against torch, at the ends of the number range, and what it refuses."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastopt as fo

EPS = float(np.finfo(float).eps)
REDUCTIONS = ("mean", "sum", "none")


def log_softmax(x):
    """For real, complex and exact numbers."""
    top = x.real.max(axis=-1, keepdims=True) if x.dtype != object else x.max(axis=-1, keepdims=True)
    log, exp = (np.frompyfunc(f, 1, 1) for f in (mpmath.log, mpmath.exp)) if x.dtype == object else (np.log, np.exp)
    return x - top - log(exp(x - top).sum(axis=-1, keepdims=True))


def reads(path, blank):
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def alignments(steps, classes, labels, blank):
    paths = [path for path in itertools.product(range(classes), repeat=steps) if reads(path, blank) == tuple(labels)]
    return np.array(paths, int).reshape(len(paths), steps)


def by_enumeration(log_p, labels, blank=0):
    """Minus the logarithm of the sum over all alignments; log_p, (T, C), may be complex."""
    paths = alignments(*log_p.shape, labels, blank)
    total = np.exp(log_p[np.arange(len(log_p)), paths].sum(axis=1)).sum()
    return -np.log(total)


def by_recursion(log_p, labels, blank=0):
    """The value as a number of 40 digits, and the gradient, from numbers that cannot underflow."""
    with mpmath.workdps(40):
        exp = np.frompyfunc(lambda v: mpmath.exp(mpmath.mpf(v)), 1, 1)
        p = exp(log_p)
        states = [blank, *itertools.chain.from_iterable((c, blank) for c in labels)]

        def sweep(p, states):
            alpha = [mpmath.mpf(s == 0) for s in range(len(states))]
            rows = []
            for t in range(len(p)):
                before = [mpmath.mpf(0), mpmath.mpf(0), *alpha]
                alpha = []
                for s, c in enumerate(states):
                    m = before[s + 2] + before[s + 1] * (s > 0 and t >= 0)
                    if s > 1 and c not in (blank, states[s - 2]):
                        m += before[s]
                    if t == 0:
                        m = mpmath.mpf(s < 2)
                    alpha.append(m * p[t, c])
                rows.append(alpha)
            return rows

        there, back = sweep(p, states), sweep(p[::-1], states[::-1])[::-1]
        total = sum(there[-1][-2:])
        mass = np.full(p.shape, mpmath.mpf(0))
        for t in range(len(p)):
            for s, c in enumerate(states):
                if p[t, c]:
                    mass[t, c] += there[t][s] * back[t][-1 - s] / p[t, c] / total
        return -mpmath.log(total), -mass


def batch(rng, steps, items, classes, longest, blank=0):
    """Scores, padded targets without the blank, and lengths, whose labels fit mostly."""
    x = rng.standard_normal((steps, items, classes))
    targets = rng.integers(0, classes - 1, (items, longest))
    targets += targets >= blank
    input_lengths = rng.integers(min(steps, 2 * longest), steps + 1, items)
    target_lengths = rng.integers(0, longest + 1, items)
    return x, targets, input_lengths, target_lengths


def concatenated(targets, target_lengths):
    return np.concatenate([row[:n] for row, n in zip(targets, target_lengths, strict=True)])


SMALL = [  # steps, classes, labels, blank
    (1, 2, [], 0),
    (1, 2, [1], 0),
    (1, 1, [], 0),
    (3, 2, [1], 0),
    (3, 2, [1, 1], 0),
    (3, 3, [0, 1], 2),
    (4, 3, [1, 2], 0),
    (4, 3, [2, 2], 1),
    (5, 3, [1, 2, 1], 0),
    (5, 3, [1, 1, 2], 0),
    (5, 3, [1, 1, 1], 0),
    (5, 4, [3, 1, 0], 2),
    (4, 3, [1, 2, 1, 2], 0),
    (6, 2, [], 1),
]


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(("steps", "classes", "labels", "blank"), SMALL)
def test_value_and_gradient_are_those_of_all_alignments(steps, classes, labels, blank, from_logits):
    """The gradient by complex steps, which are exact; 4 roundings per step and 2 of the logarithm for both."""
    x = np.random.default_rng(0).standard_normal((steps, classes))

    def value(x):
        return by_enumeration(log_softmax(x) if from_logits else x, labels, blank)

    loss = fo.CTCLoss(blank, "sum", from_logits=from_logits)
    ours, gradient = loss.value_and_grad(x, np.array(labels, int), steps, len(labels))
    assert type(ours) is float
    assert gradient.shape == x.shape
    bound = EPS * (8 * steps + 2 * abs(ours))
    assert abs(ours - value(x)) < bound
    assert ours == loss(x, labels, steps, len(labels))
    for i in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[i] += 1e-30j
        assert abs(gradient[i] - value(moved).imag / 1e-30) < 2 * bound


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_reductions_lengths_and_factors(reduction, from_logits):
    rng = np.random.default_rng(1)
    x, targets, _, _ = batch(rng, 5, 4, 3, 2)
    lengths, sizes = np.array([5, 3, 4, 5]), np.array([2, 1, 0, 2])
    weight, slope = np.array([1, 0.5, 3, 2]), np.array([2, -1, 0.25, 4.0])
    log_p = log_softmax(x) if from_logits else x
    each = np.array([by_enumeration(log_p[: lengths[n], n], targets[n, : sizes[n]]) for n in range(4)])
    divisor = {"mean": np.maximum(sizes, 1) * weight.sum(), "sum": np.ones(4), "none": np.ones(4)}[reduction]
    expected = each * weight / divisor if reduction == "none" else (each * weight / divisor).sum()
    loss = fo.CTCLoss(reduction=reduction, from_logits=from_logits)
    grad_output = slope if reduction == "none" else -1.5
    value, gradient = loss.value_and_grad(x, targets, lengths, sizes, sample_weight=weight, grad_output=grad_output)
    np.testing.assert_allclose(value, expected, rtol=50 * EPS)
    np.testing.assert_array_equal(value, loss(x, targets, lengths, sizes, sample_weight=weight))
    assert type(value) is (np.ndarray if reduction == "none" else float)
    alone = fo.CTCLoss(reduction="sum", from_logits=from_logits)
    for n in range(4):
        _, own = alone.value_and_grad(x[: lengths[n], n], targets[n, : sizes[n]], lengths[n], sizes[n])
        factor = weight[n] * np.broadcast_to(grad_output, 4)[n] / divisor[n]
        np.testing.assert_allclose(gradient[: lengths[n], n], factor * own, rtol=0, atol=4 * EPS * abs(factor))
        assert (gradient[lengths[n] :, n] == 0).all()


def test_weight_two_is_there_twice_and_weight_zero_is_not_there():
    x, targets, lengths, sizes = batch(np.random.default_rng(2), 9, 3, 4, 3)
    x[:, 1] = np.nan
    loss = fo.CTCLoss()
    value, gradient = loss.value_and_grad(x, targets, lengths, sizes, sample_weight=[2, 0, 1])
    pick = [0, 0, 2]
    twice, slope = loss.value_and_grad(x[:, pick], targets[pick], lengths[pick], sizes[pick])
    assert value == pytest.approx(twice, rel=4 * EPS)
    np.testing.assert_allclose(gradient[:, 0], slope[:, 0] + slope[:, 1], rtol=4 * EPS)
    np.testing.assert_allclose(gradient[:, 2], slope[:, 2], rtol=4 * EPS)
    assert (gradient[:, 1] == 0).all()
    none = fo.CTCLoss(reduction="none")(x, targets, lengths, sizes, sample_weight=[2, 0, 1])
    assert none[1] == 0 and np.isfinite(none).all()


def test_the_mean_of_nothing_is_nan_and_has_no_gradient():
    x, targets, lengths, sizes = batch(np.random.default_rng(3), 5, 2, 3, 2)
    value, gradient = fo.CTCLoss().value_and_grad(x, targets, lengths, sizes, sample_weight=[0, 0])
    assert np.isnan(value) and (gradient == 0).all()
    nothing = (x[:, :0], targets[:0], [], [])
    assert np.isnan(fo.CTCLoss()(*nothing))
    assert fo.CTCLoss(reduction="sum")(*nothing) == 0
    value, gradient = fo.CTCLoss(reduction="none").value_and_grad(*nothing)
    assert value.shape == (0,) and gradient.shape == (5, 0, 3)


@pytest.mark.parametrize("from_logits", [False, True])
def test_no_steps_have_the_empty_reading_only(from_logits):
    loss = fo.CTCLoss(reduction="none", from_logits=from_logits)
    for x in (np.ones((3, 2, 4)), np.ones((0, 2, 4))):
        value, gradient = loss.value_and_grad(x, [[1], [1]], [0, 0], [0, 1])
        np.testing.assert_array_equal(value, [0, np.inf])
        assert not np.signbit(value[0])
        assert gradient.shape == x.shape and (gradient == 0).all()


@pytest.mark.parametrize("from_logits", [False, True])
def test_labels_that_cannot_be_read_cost_infinity_and_have_no_gradient(from_logits):
    x = np.random.default_rng(4).standard_normal((4, 3, 3))
    arguments = (x, [[1, 1, 1], [1, 2, 1], [1, 1, 1]], [4, 4, 2], [3, 3, 3])
    value, gradient = fo.CTCLoss(reduction="none", from_logits=from_logits).value_and_grad(*arguments)
    assert np.isinf(value).tolist() == [True, False, True]
    assert (gradient[:, [0, 2]] == 0).all() and (gradient[:, 1] != 0).any()
    zeroed, slope = fo.CTCLoss(reduction="none", zero_infinity=True, from_logits=from_logits).value_and_grad(*arguments)
    np.testing.assert_array_equal(zeroed, [0, value[1], 0])
    np.testing.assert_array_equal(slope, gradient)
    assert fo.CTCLoss(from_logits=from_logits)(*arguments) == np.inf
    mean = fo.CTCLoss(zero_infinity=True, from_logits=from_logits)(*arguments)
    assert mean == pytest.approx(value[1] / 9, rel=4 * EPS)


@pytest.mark.peers
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize(
    ("steps", "items", "classes", "longest"), [(1, 1, 3, 1), (10, 5, 20, 3), (40, 7, 4, 17), (150, 3, 60, 9)]
)
def test_ctc_agrees_with_torch(steps, items, classes, longest, blank, flat, reduction):
    torch = pytest.importorskip("torch")
    x, targets, lengths, sizes = batch(np.random.default_rng(5), steps, items, classes, longest, blank)
    targets = concatenated(targets, sizes) if flat else targets
    z = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.CTCLoss(blank, reduction, zero_infinity=True)
    log_p = z.log_softmax(-1)
    expected = theirs(log_p, torch.tensor(targets), torch.tensor(lengths), torch.tensor(sizes))
    expected.sum().backward()
    value, gradient = fo.CTCLoss(blank, reduction, True, from_logits=True).value_and_grad(x, targets, lengths, sizes)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient, z.grad.numpy(), rtol=1e-12, atol=1e-13)
    log_p = log_p.detach().numpy()
    value, free = fo.CTCLoss(blank, reduction, True).value_and_grad(log_p, targets, lengths, sizes)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
    # Free log-probabilities behind a log_softmax: its derivative leads to that of the logits.
    np.testing.assert_allclose(free - np.exp(log_p) * free.sum(-1, keepdims=True), gradient, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1, 30, 1e3, 1e4])
@pytest.mark.parametrize("from_logits", [False, True])
def test_long_and_improbable_sequences_are_exact(from_logits, scale):
    """A step rounds 8 times at most, and a score minus the largest, below 2 span, by half an ulp, before its exp."""
    rng = np.random.default_rng(6)
    x = scale * rng.standard_normal((60, 5))
    labels = rng.integers(1, 5, 12)
    with mpmath.workdps(40):
        exact = np.frompyfunc(mpmath.mpf, 1, 1)(x)
        log_p = log_softmax(exact) if from_logits else exact
        value, slope = by_recursion(log_p, labels)
        slope = slope + np.frompyfunc(mpmath.exp, 1, 1)(log_p) if from_logits else slope
        span = float(np.abs(x).max() if from_logits else 0)
        ours, gradient = fo.CTCLoss(reduction="sum", from_logits=from_logits).value_and_grad(x, labels, 60, 12)
        bound = EPS * (8 * 60 + 60 * span)
        assert abs(ours - value) < bound + 2 * EPS * abs(float(value))
        assert np.abs((gradient - slope).astype(float)).max() < 2 * bound


def test_certain_and_impossible_classes():
    """Scores of +-1e4 and -inf: what is certain costs nothing, what is not is counted in full."""
    for dtype in (np.float32, np.float64):
        x = np.full((3, 3), -1e4, dtype)
        x[[0, 1, 2], [1, 0, 2]] = 1e4
        loss = fo.CTCLoss(reduction="none", from_logits=True)
        value, gradient = loss.value_and_grad(x, [1, 2], 3, 2)
        assert value == 0 and (gradient == 0).all()
        value, gradient = loss.value_and_grad(x, [2, 1], 3, 2)
        assert value == pytest.approx(4e4) and np.isfinite(gradient).all()
        x = np.full((3, 3), -np.inf, dtype)
        x[[0, 1, 2], [1, 0, 2]] = 0
        for from_logits in (False, True):
            loss = fo.CTCLoss(reduction="none", from_logits=from_logits)
            value, gradient = loss.value_and_grad(x, [1, 2], 3, 2)
            assert value == 0 and np.isfinite(gradient).all()
            value, gradient = loss.value_and_grad(x, [2, 1], 3, 2)
            assert value == np.inf and (gradient == 0).all()


@pytest.mark.parametrize("masked", [-1e30, float(np.finfo(np.float32).min), -1e299])
def test_a_mask_of_huge_numbers_is_no_overflow(masked):
    x = np.random.default_rng(7).standard_normal((6, 4))
    x[:, 3] = masked
    free = fo.CTCLoss(reduction="sum")
    value, gradient = free.value_and_grad(x, [1, 2], 6, 2)
    x[:, 3] = -np.inf
    assert free(x, [1, 2], 6, 2) == value
    assert (gradient[:, 3] == 0).all()
    x[:, 3] = masked
    value, gradient = free.value_and_grad(x, [3, 1, 3], 6, 3)
    assert value == pytest.approx(-2 * masked, rel=4 * EPS)
    np.testing.assert_allclose(gradient.sum(axis=1), -1, rtol=20 * EPS)


def test_nan_is_not_hidden_where_it_is_needed():
    x = np.zeros((4, 2, 4))
    x[2, 0, 1] = x[1, 1, 3] = np.nan
    value, gradient = fo.CTCLoss(reduction="none").value_and_grad(x, [[1, 2], [1, 2]], [4, 4], [2, 2])
    assert np.isnan(value).tolist() == [True, False]
    assert np.isnan(gradient[:, 0]).any() and np.isfinite(gradient[:, 1]).all()
    value, gradient = fo.CTCLoss(reduction="none", from_logits=True).value_and_grad(x, [[1, 2], [1, 2]], [4, 4], [2, 2])
    assert np.isnan(value).all() and np.isnan(gradient).any(axis=(0, 2)).all()
    x[:] = np.inf
    for from_logits in (False, True):
        assert not np.isfinite(fo.CTCLoss(from_logits=from_logits)(x, [[1, 2], [1, 2]], [4, 4], [2, 2]))


def test_float32_is_rounded_at_the_end_only():
    """softmax is rounded when it is kept, and the gradient: half an ulp of numbers below 1 each."""
    x, targets, lengths, sizes = batch(np.random.default_rng(8), 50, 6, 7, 12)
    x = x.astype(np.float32)
    for reduction, from_logits in itertools.product(REDUCTIONS, (False, True)):
        loss = fo.CTCLoss(reduction=reduction, from_logits=from_logits)
        value, gradient = loss.value_and_grad(x, targets, lengths, sizes)
        exact, slope = loss.value_and_grad(x.astype(float), targets, lengths, sizes)
        assert gradient.dtype == np.float32
        np.testing.assert_array_equal(value, np.float32(exact) if reduction == "none" else exact)
        np.testing.assert_allclose(gradient, slope.astype(np.float32), rtol=0, atol=from_logits * 2**-23)
    assert loss(x, targets, lengths, sizes).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("from_logits", [False, True])
def test_same_bits_for_any_threads(dtype, from_logits):
    x, targets, lengths, sizes = batch(np.random.default_rng(9), 300, 29, 40, 60)
    x = x.astype(dtype)
    loss = fo.CTCLoss(reduction="none", zero_infinity=True, from_logits=from_logits)
    before = fo.get_num_threads()
    try:
        fo.set_num_threads(1)
        value, gradient = loss.value_and_grad(x, targets, lengths, sizes)
        for threads in (2, 3, 7):
            fo.set_num_threads(threads)
            for _ in range(3):
                again, slope = loss.value_and_grad(x, targets, lengths, sizes)
                assert again.tobytes() == value.tobytes() and slope.tobytes() == gradient.tobytes()
            assert loss(x, targets, lengths, sizes).tobytes() == value.tobytes()
    finally:
        fo.set_num_threads(before)


def test_an_item_does_not_depend_on_its_batch():
    x, targets, lengths, sizes = batch(np.random.default_rng(10), 30, 6, 5, 11)
    loss = fo.CTCLoss(reduction="none", zero_infinity=True)
    value, gradient = loss.value_and_grad(x, targets, lengths, sizes)
    flat, slope = loss.value_and_grad(x, concatenated(targets, sizes), lengths, sizes)
    assert flat.tobytes() == value.tobytes() and slope.tobytes() == gradient.tobytes()
    for n in range(6):
        one, own = loss.value_and_grad(x[:, n], targets[n, : sizes[n]], lengths[n], sizes[n])
        assert one.shape == () and one == value[n]
        assert own.tobytes() == gradient[:, n].tobytes()


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    return raw


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.ascontiguousarray(x[::-1])[::-1],
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        lambda x: np.concatenate([x, x], axis=2)[..., : x.shape[2]],
        np.asfortranarray,
        lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        unaligned,
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_of_any_strides(view, dtype):
    x, targets, lengths, sizes = batch(np.random.default_rng(11), 12, 3, 5, 4)
    x = x.astype(dtype)
    same = view(x)
    assert same.shape == x.shape and not (same.flags.c_contiguous and same.flags.aligned)
    for from_logits in (False, True):
        loss = fo.CTCLoss(from_logits=from_logits)
        value, gradient = loss.value_and_grad(x, targets, lengths, sizes)
        again, slope = loss.value_and_grad(same, targets, lengths, sizes)
        assert again == value and slope.tobytes() == gradient.tobytes() and slope.flags.c_contiguous


def test_one_row_for_all_steps_and_one_class():
    row = np.log(np.full((1, 1, 4), 0.25))
    x = np.broadcast_to(row, (6, 3, 4))
    value = fo.CTCLoss(reduction="none")(x, [[1, 2]] * 3, [6] * 3, [2] * 3)
    assert (value == fo.CTCLoss(reduction="none")(x.copy(), [[1, 2]] * 3, [6] * 3, [2] * 3)).all()
    assert fo.CTCLoss(reduction="sum")(np.full((5, 1), -0.5), [], 5, 0) == pytest.approx(2.5, rel=8 * EPS)


def test_integers_of_every_dtype_are_read():
    x, targets, lengths, sizes = batch(np.random.default_rng(12), 9, 3, 4, 3)
    expected = fo.CTCLoss()(x, targets, lengths, sizes)
    for code in "bBhHiIlLqQ":
        assert fo.CTCLoss()(x, targets.astype(code), lengths.astype(code), sizes.astype(code)) == expected
    assert fo.CTCLoss()(x, targets.tolist(), lengths.tolist(), tuple(sizes)) == expected
    assert fo.CTCLoss()(x, np.asfortranarray(targets), lengths, sizes) == expected
    padded = np.where(np.arange(3) < sizes[:, None], targets, -100)
    assert fo.CTCLoss()(x, padded, lengths, sizes) == expected


def test_rows_of_the_gradient_balance():
    """Each row of a gradient of logits adds up to 0; the sum of 9 numbers below 1 is rounded 9 times, twice over."""
    x, targets, lengths, sizes = batch(np.random.default_rng(13), 80, 4, 9, 20)
    _, gradient = fo.CTCLoss(reduction="sum", zero_infinity=True, from_logits=True).value_and_grad(
        x, targets, lengths, sizes
    )
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=18 * EPS)


def test_out_takes_the_gradient():
    x, targets, lengths, sizes = batch(np.random.default_rng(14), 9, 3, 4, 3)
    out = np.full_like(x, 7)
    _, gradient = fo.CTCLoss().value_and_grad(x, targets, lengths, sizes, out=out)
    assert gradient is out
    np.testing.assert_array_equal(out, fo.CTCLoss().value_and_grad(x, targets, lengths, sizes)[1])


X = np.zeros((5, 2, 4))
Y = np.array([[1, 2], [3, 1]])
FAULTS = [  # what replaces a good argument, the error, its words
    ({"log_probs": X.astype(int)}, TypeError, "log_probs has dtype int64; it must be float32 or float64"),
    ({"log_probs": X.astype(np.float16)}, TypeError, "dtype float16"),
    ({"log_probs": X[0, 0]}, ValueError, r"shape \(4,\); it must be \(T, N, C\) or \(T, C\)"),
    ({"log_probs": X[None]}, ValueError, r"shape \(1, 5, 2, 4\)"),
    ({"log_probs": X[..., :0]}, ValueError, r"blank is 0; it must be in \[0, 0\)"),
    ({"log_probs": X[:, :1]}, ValueError, r"targets has shape \(2, 2\); for 1 items it must be \(1, S\)"),
    ({"targets": Y.astype(float)}, TypeError, "targets has dtype float64; it must be integers"),
    ({"targets": Y == 1}, TypeError, "targets has dtype bool"),
    ({"targets": Y[0, 0]}, ValueError, r"targets has shape \(\)"),
    ({"targets": Y[None]}, ValueError, r"targets has shape \(1, 2, 2\)"),
    ({"targets": Y[:1]}, ValueError, r"targets has shape \(1, 2\); for 2 items it must be \(2, S\)"),
    ({"targets": Y.ravel()[:3]}, ValueError, r"target_lengths\[1\] is 2; it must be in \[0, 1\], as targets has 3"),
    ({"targets": np.ones(5, int)}, ValueError, "targets has 5 labels; target_lengths add up to 4"),
    ({"targets": [[1, 4], [3, 1]]}, IndexError, r"Target 4 is out of bounds: label 1 of item 0 must be in \[0, 4\)"),
    ({"targets": [[1, 2], [-1, 1]]}, IndexError, r"Target -1 is out of bounds: label 0 of item 1"),
    ({"targets": [[1, 2], [0, 1]]}, IndexError, "Target 0 is the blank: label 0 of item 1"),
    ({"targets": [1, 2, 9, 1]}, IndexError, "Target 9 is out of bounds: label 0 of item 1"),
    ({"targets": Y.astype(np.uint64) + np.uint64(2**63)}, IndexError, "targets has 92233720368547758"),
    ({"input_lengths": [5, 6]}, ValueError, r"input_lengths\[1\] is 6; it must be in \[0, 5\]"),
    ({"input_lengths": [-1, 5]}, ValueError, r"input_lengths\[0\] is -1; it must be in \[0, 5\]"),
    ({"input_lengths": [5]}, ValueError, r"input_lengths has shape \(1,\); it must be \(2,\)"),
    ({"input_lengths": 5}, ValueError, r"input_lengths has shape \(\); it must be \(2,\)"),
    ({"input_lengths": [[5, 5]]}, ValueError, r"input_lengths has shape \(1, 2\)"),
    ({"input_lengths": [5.0, 5.0]}, TypeError, "input_lengths has dtype float64"),
    ({"target_lengths": [2, 3]}, ValueError, r"target_lengths\[1\] is 3; it must be in \[0, 2\], the width of targets"),
    ({"target_lengths": [2, -3]}, ValueError, r"target_lengths\[1\] is -3"),
    ({"target_lengths": [2, 2, 2]}, ValueError, r"target_lengths has shape \(3,\)"),
    ({"sample_weight": [1.0]}, ValueError, r"sample_weight has shape \(1,\); it must be \(2,\)"),
    ({"sample_weight": [1.0, -1.0]}, ValueError, "sample_weight must be finite numbers >= 0"),
    ({"sample_weight": [1.0, np.nan]}, ValueError, "sample_weight must be finite numbers >= 0"),
    ({"sample_weight": ["1", "2"]}, TypeError, "sample_weight has dtype"),
    ({"grad_output": [1.0, 2.0]}, TypeError, "grad_output must be a number"),
    ({"out": np.zeros((5, 2, 3))}, ValueError, "out has shape"),
    ({"out": X}, ValueError, "out shares memory"),
    ({"out": X.astype(np.float32)}, TypeError, "out has dtype float32"),
]


@pytest.mark.parametrize(("fault", "error", "words"), FAULTS)
def test_what_does_not_fit_is_refused_before_anything_is_written(fault, error, words):
    out = np.full(np.shape(fault.get("log_probs", X)), 7.0)
    good = {"log_probs": X, "targets": Y, "input_lengths": [5, 5], "target_lengths": [2, 2], "out": out}
    with pytest.raises(error, match=words):
        fo.CTCLoss().value_and_grad(**{**good, **fault})
    assert (out == 7).all()
    if not fault.keys() & {"out", "grad_output"}:
        del good["out"]
        with pytest.raises(error, match=words):
            fo.CTCLoss()(**{**good, **fault})


def test_grad_output_and_weights_of_one_item():
    loss = fo.CTCLoss(reduction="none")
    with pytest.raises(ValueError, match=r"grad_output has shape \(3,\), the value \(2,\)"):
        loss.value_and_grad(X, Y, [5, 5], [2, 2], grad_output=np.ones(3))
    with pytest.raises(TypeError, match="grad_output has dtype"):
        loss.value_and_grad(X, Y, [5, 5], [2, 2], grad_output=np.ones(2, complex))
    with pytest.raises(ValueError, match="sample_weight needs samples"):
        loss(X[:, 0], Y[0], 5, 2, sample_weight=[1.0])
    _, gradient = loss.value_and_grad(X[:, 0], Y[0], 5, 2)
    np.testing.assert_array_equal(loss.value_and_grad(X[:, 0], Y[0], 5, 2, grad_output=2.0)[1], 2 * gradient)


def test_options_out_of_range_are_refused():
    for options, error in [
        ({"blank": -1}, ValueError),
        ({"blank": 0.0}, TypeError),
        ({"blank": True}, TypeError),
        ({"reduction": "batchmean"}, ValueError),
        ({"zero_infinity": 1}, ValueError),
        ({"from_logits": "no"}, TypeError),
    ]:
        with pytest.raises((error, TypeError)):
            fo.CTCLoss(**options)
    with pytest.raises(ValueError, match=r"blank is 4; it must be in \[0, 4\)"):
        fo.CTCLoss(4)(X, Y, [5, 5], [2, 2])
    assert repr(fo.CTCLoss(1)) == "CTCLoss(reduction='mean', blank=1, zero_infinity=False, from_logits=False)"


@given(
    st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**32), st.booleans(),
    st.sampled_from([np.float32, np.float64]), st.sampled_from([0.0, 1.0, 30.0]), st.booleans(),
)  # fmt: skip
def test_any_shapes_lengths_and_labels(steps, items, classes, longest, seed, from_logits, dtype, scale, flat):
    """Anything in and a little out of range: either an error, or the sum over all alignments."""
    rng = np.random.default_rng(seed)
    x = (scale * rng.standard_normal((steps, items, classes))).astype(dtype)
    x[rng.random(x.shape) < 0.1] = -np.inf
    slack = seed % 3 == 0
    blank = int(rng.integers(0, classes))
    targets = rng.integers(-slack, classes + slack, (items, longest))
    lengths = rng.integers(-slack, steps + 1 + slack, items)
    sizes = rng.integers(0, longest + 1 + slack, items)
    used = [row[:n] for row, n in zip(targets, sizes, strict=True)]
    labels = np.concatenate([*used, []]).astype(int) if flat else targets
    good = (
        all(0 <= n <= steps for n in lengths)
        and all(n <= longest for n in sizes)
        and all(0 <= c < classes and c != blank for row in used for c in row)
    )
    loss = fo.CTCLoss(blank, "none", from_logits=from_logits)
    if not good:
        with pytest.raises((ValueError, IndexError)):
            loss.value_and_grad(x, labels, lengths, sizes)
        return
    value, gradient = loss.value_and_grad(x, labels, lengths, sizes)
    for n in range(items):
        with np.errstate(all="ignore"):
            z = x[: lengths[n], n].astype(float)
            log_p = log_softmax(z) if from_logits else z
            expected = by_enumeration(log_p, used[n], blank)
        if np.isnan(log_p).any():  # a row of -inf only has no softmax
            continue
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(value[n], expected, rtol=2 * eps, atol=EPS * 50 * (1 + scale))
        assert np.isfinite(gradient[:, n]).all()
        if not from_logits and np.isfinite(value[n]):
            np.testing.assert_allclose(gradient[: lengths[n], n].sum(axis=-1), -1, rtol=8 * eps)
