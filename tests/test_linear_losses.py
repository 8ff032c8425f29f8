"""The losses made of matrix products, and of a distance that the caller brings: torch, differences, memory, edges."""

import contextlib
import itertools
import tracemalloc

import numpy as np
import pytest

import fastopt as fo

DTYPES = (np.float32, np.float64)
REDUCTIONS = ("mean", "sum", "none")


def close(actual, expected, dtype, terms=100):
    """Sums of `terms` products: in float64 to 1e-12, in float32 to their rounding, relative to the largest result."""
    expected = np.asarray(expected, float)
    bound = 1e-12 if dtype == np.float64 else terms * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound * np.abs(expected).max(initial=1e-30))


def agree_with_torch(torch, peer, loss, arrays, value, dtype, grad_output=None, terms=100):
    """Compare the gradients of torch's `value`, by the first input and all parameters, and it, to ours."""
    x = arrays[0]
    expected = value if grad_output is None else value * torch.tensor(grad_output)
    expected.sum().backward()
    ours, gradients = loss.value_and_grad(*(a.detach().numpy() for a in arrays), grad_output=grad_output)
    close(ours, value.detach().numpy(), dtype, terms)
    assert len(gradients) == 1 + len(list(peer.parameters()))
    for gradient, tensor in zip(gradients, [x, *peer.parameters()], strict=True):
        assert gradient.dtype == dtype
        close(gradient, np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy(), dtype, terms)


def load(loss, peer):
    """Give `loss` the parameters of torch's."""
    state = peer.state_dict()
    assert [name for name in state if name != "weight"] == list(loss.parameters())
    for name, array in loss.parameters().items():
        array[...] = state[name].numpy()


def slope_along(function, arrays, directions, h=1e-3):
    """The derivative of `function` along a direction, by differences of the fourth order."""

    def at(t):
        return function(*(x + t * d for x, d in zip(arrays, directions, strict=True)))

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


# LinearCrossEntropyLoss

LINEAR = [
    (shape, soft, options)
    for shape, soft in itertools.product(
        [(7, ()), (1, ()), (None, ()), (300, ()), (5, (3,)), (4, (2, 3))], (False, True)
    )
    for options in (
        {},
        {"bias": True, "label_smoothing": 0.1},
        {"weight": True},
        {"bias": True, "weight": True, "label_smoothing": 0.3},
        {"ignore_index": 1},
    )
    if not (soft and "ignore_index" in options)
]


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "soft", "options"), LINEAR)
def test_linear_cross_entropy_agrees_with_torch(shape, soft, options, reduction, dtype, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(fo.losses.linear, "BLOCK", 64)
    monkeypatch.setattr(fo.losses.linear, "ROWS", 64)
    monkeypatch.setattr(fo.losses.linear, "TILE", 64)
    (n, out_features), rng, classes = shape, np.random.default_rng(0), 5
    batch = () if n is None else (n,)
    x = rng.standard_normal((*batch, 6)).astype(dtype)
    if soft:
        y = rng.dirichlet(np.ones(classes), (*batch, *out_features)).astype(dtype)
        y = np.ascontiguousarray(np.moveaxis(y, -1, len(batch)))
    else:
        y = rng.integers(0, classes, (*batch, *out_features))
        if n == 7:
            y[2] = options.get("ignore_index", -100)
    options = {"out_features": out_features, **options}
    weight = rng.random(classes).astype(dtype) if options.pop("weight", False) else None
    kind = torch.float32 if dtype == np.float32 else torch.float64
    peer = torch.nn.LinearCrossEntropyLoss(
        6, classes, **options, reduction=reduction, dtype=kind, weight=None if weight is None else torch.tensor(weight)
    )
    loss = fo.LinearCrossEntropyLoss(6, classes, **options, reduction=reduction, dtype=dtype, weight=weight)
    load(loss, peer)
    input, target = torch.tensor(x, requires_grad=True), torch.tensor(y)
    value = peer(input, target)
    grad_output = rng.standard_normal(value.shape).astype(dtype) if reduction == "none" else 2.5
    agree_with_torch(torch, peer, loss, (input, target), value, dtype, grad_output, terms=6 + 5 + 300)
    assert np.array_equal(loss(x, y), loss.value_and_grad(x, y)[0])
    assert np.shape(loss(x, y)) == value.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_blocks_are_cross_entropy_of_the_logits(bias, soft, dtype):
    rng, (n, features, classes) = np.random.default_rng(1), (1000, 8, 700)
    loss = fo.LinearCrossEntropyLoss(features, classes, bias=bias, dtype=dtype, rng=2, label_smoothing=0.1)
    size = max(fo.losses.linear.BLOCK // (classes * np.dtype(dtype).itemsize), fo.losses.linear.ROWS)
    assert 2 * size < n
    assert n % size
    x = rng.standard_normal((n, features)).astype(dtype)
    y = rng.dirichlet(np.ones(classes), n).astype(dtype) if soft else rng.integers(0, classes, n)
    weights = rng.integers(0, 3, n)
    logits = x @ loss.linear_weight.T + (loss.linear_bias if bias else 0)
    expected, slope = fo.CrossEntropyLoss(label_smoothing=0.1).value_and_grad(logits, y, sample_weight=weights)
    value, gradients = loss.value_and_grad(x, y, sample_weight=weights)
    np.testing.assert_allclose(value, expected, rtol=4 * float(np.finfo(dtype).eps))
    assert loss(x, y, sample_weight=weights) == value
    close(gradients[0], slope @ loss.linear_weight, dtype, classes)
    close(gradients[1], slope.T @ x, dtype, n)
    if bias:
        close(gradients[2], slope.sum(axis=0), dtype, n)


def test_linear_cross_entropy_follows_differences():
    rng = np.random.default_rng(3)
    loss = fo.LinearCrossEntropyLoss(4, 5, out_features=(2,), bias=True, dtype=np.float64, rng=rng, label_smoothing=0.2)
    x, y = rng.standard_normal((6, 4)), rng.integers(0, 5, (6, 2))
    start = [x, *(array.copy() for array in loss.parameters().values())]

    def at(x, weight, bias):
        loss.linear_weight[...], loss.linear_bias[...] = weight, bias
        return loss(x, y)

    gradients = loss.value_and_grad(x, y)[1]
    for _ in range(5):
        directions = [rng.standard_normal(array.shape) for array in start]
        expected = sum(np.vdot(g, d) for g, d in zip(gradients, directions, strict=True))
        assert slope_along(at, start, directions) == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_linear_cross_entropy_never_stores_the_logits():
    n, features, classes = 8192, 16, 1000
    rng = np.random.default_rng(0)
    loss = fo.LinearCrossEntropyLoss(features, classes, rng=rng)
    x, y = rng.standard_normal((n, features)).astype(np.float32), rng.integers(0, classes, n)
    out = loss.value_and_grad(x, y)[1]
    tracemalloc.start()
    loss.value_and_grad(x, y, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The logits of a block and their gradient, the product that is added to that of the matrix, and the targets.
    assert peak < 2.2 * fo.losses.linear.BLOCK + out[1].nbytes + y.nbytes
    assert peak < n * classes * 4 / 10


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_weight_of_two_is_twice_the_sample_and_of_zero_none(reduction):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((6, 3)), rng.integers(0, 4, 6)
    x[2] = np.nan
    weights = [1, 2, 0, 1, 0, 2]
    rows = np.repeat(np.arange(6), weights)
    adaptive = fo.AdaptiveLogSoftmaxWithLoss(3, 4, [1, 2], div_value=1, dtype=np.float64, rng=1)
    linear = fo.LinearCrossEntropyLoss(3, 4, bias=True, dtype=np.float64, reduction=reduction, rng=1)
    for loss in (linear, adaptive) if reduction == "mean" else (linear,):
        value, (slope, *gradients) = loss.value_and_grad(x, y, sample_weight=weights)
        expected, (slopes, *others) = loss.value_and_grad(x[rows], y[rows])
        if reduction == "none":
            np.testing.assert_allclose(value[[0, 3]], expected[[0, 3]], rtol=1e-14)
            assert value[2] == 0
        else:
            assert value == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(slope, [slopes[rows == i].sum(axis=0) for i in range(6)], rtol=1e-12, atol=1e-15)
        for gradient, other in zip(gradients, others, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-12, atol=1e-15)


def test_a_mean_over_nothing_is_nan_and_its_gradient_zero():
    x = np.ones((3, 2))
    linear = fo.LinearCrossEntropyLoss(2, 3, bias=True, dtype=np.float64, ignore_index=1)
    adaptive = fo.AdaptiveLogSoftmaxWithLoss(2, 3, [1], dtype=np.float64)
    calls = [
        (linear, (x, np.ones(3, int)), {}),
        (linear, (x[:0], np.ones(0, int)), {}),
        (linear, (x, np.zeros(3, int)), {"sample_weight": np.zeros(3)}),
        (adaptive, (x[:0], np.ones(0, int)), {}),
        (adaptive, (x, np.ones(3, int)), {"sample_weight": np.zeros(3)}),
        (fo.NTXentLoss(), (x[:0], x[:0]), {}),
        (fo.NTXentLoss(), (x, x), {"sample_weight": np.zeros(3)}),
    ]
    for loss, arguments, options in calls:
        value, gradients = loss.value_and_grad(*arguments, **options)
        assert np.isnan(value)
        assert np.isnan(loss(*arguments, **options))
        assert not any(gradient.any() for gradient in gradients)
    linear.reduction = "sum"
    assert linear(x[:0], np.ones(0, int)) == 0
    assert linear(x, np.ones(3, int)) == 0
    linear.reduction = "none"
    assert linear(x[:0], np.ones(0, int)).shape == (0,)


# AdaptiveLogSoftmaxWithLoss


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [None, 0, 1, 2, 40, 700])
@pytest.mark.parametrize(
    ("cutoffs", "options"),
    [([3], {}), ([2, 5], {"head_bias": True}), ([1, 2, 9], {"div_value": 2.0}), ([8], {"div_value": 17.0})],
)
def test_adaptive_softmax_agrees_with_torch(n, cutoffs, options, dtype):
    torch = pytest.importorskip("torch")
    rng, kind = np.random.default_rng(0), torch.float32 if dtype == np.float32 else torch.float64
    loss = fo.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs, **options, dtype=dtype)
    if options.get("div_value") == 17:  # no numbers are left for the tail
        assert loss.parameters()["tail.0.1.weight"].shape == (4, 0)
    with (
        pytest.warns(UserWarning, match="zero-element") if options.get("div_value") == 17 else contextlib.nullcontext()
    ):
        peer = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs, **options, dtype=kind)
    load(loss, peer)
    batch = () if n is None else (n,)
    x, y = torch.tensor(rng.standard_normal((*batch, 16)).astype(dtype), requires_grad=True), rng.integers(0, 12, batch)
    y = torch.tensor(y)
    if n != 0:
        agree_with_torch(torch, peer, loss, (x, y), peer(x, y).loss, dtype, terms=20 + (n or 1))
    rows = x.detach().reshape(-1, 16)
    close(loss.log_prob(rows.numpy()), peer.log_prob(rows).detach().numpy(), dtype)
    np.testing.assert_array_equal(loss.predict(rows.numpy()), peer.predict(rows).numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_softmax_is_the_likelihood_of_its_log_probabilities(dtype):
    rng = np.random.default_rng(5)
    loss = fo.AdaptiveLogSoftmaxWithLoss(6, 20, (4, 9), head_bias=True, dtype=dtype, rng=rng)
    for array in loss.parameters().values():
        array *= 5
    x, y = rng.standard_normal((50, 6)).astype(dtype), rng.integers(0, 20, 50)
    p = loss.log_prob(x)
    assert p.dtype == dtype
    np.testing.assert_allclose(np.exp(p.astype(float)).sum(axis=1), 1, rtol=100 * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(loss.predict(x), p.argmax(axis=1))
    assert {False, True} == set((p.argmax(axis=1) < 4).tolist())
    assert loss(x, y) == pytest.approx(-p[np.arange(50), y].mean(), rel=100 * float(np.finfo(dtype).eps))
    assert loss.log_prob(x[0]).shape == (20,)
    assert loss.predict(x[0]) == p[0].argmax()
    assert loss.predict(x[:0]).shape == (0,)


def test_adaptive_softmax_follows_differences():
    rng = np.random.default_rng(6)
    loss = fo.AdaptiveLogSoftmaxWithLoss(8, 9, [3, 6], div_value=2, head_bias=True, dtype=np.float64, rng=rng)
    x, y = rng.standard_normal((30, 8)), rng.integers(0, 9, 30)
    live = list(loss.parameters().values())
    start = [x, *(array.copy() for array in live)]

    def at(x, *parameters):
        for array, parameter in zip(live, parameters, strict=True):
            array[...] = parameter
        return loss(x, y)

    gradients = loss.value_and_grad(x, y)[1]
    for _ in range(5):
        directions = [rng.standard_normal(array.shape) for array in start]
        expected = sum(np.vdot(g, d) for g, d in zip(gradients, directions, strict=True))
        assert slope_along(at, start, directions) == pytest.approx(expected, rel=1e-8, abs=1e-9)


# Parameters


def test_parameters_are_drawn_as_torchs_linear_and_written_in_place():
    loss = fo.LinearCrossEntropyLoss(16, 500, bias=True, rng=7)
    again = fo.LinearCrossEntropyLoss(16, 500, bias=True, rng=np.random.default_rng(7))
    for name, array in loss.parameters().items():
        np.testing.assert_array_equal(array, again.parameters()[name])
        assert array.dtype == np.float32
        assert 0.99 * 0.25 < np.abs(array).max() <= 0.25
        assert abs(array.mean()) < 6 * 0.25 / np.sqrt(3 * array.size)
    assert loss.parameters()["linear.weight"] is loss.linear_weight
    assert loss.parameters()["linear.bias"] is loss.linear_bias
    assert fo.LinearCrossEntropyLoss(2, 3).linear_bias is None
    adaptive = fo.AdaptiveLogSoftmaxWithLoss(16, 500, [10, 100], head_bias=True, rng=7).parameters()
    bounds = {"head.weight": 16, "head.bias": 16, "tail.0.0.weight": 16, "tail.0.1.weight": 4}
    bounds |= {"tail.1.0.weight": 16, "tail.1.1.weight": 1}
    assert list(adaptive) == list(bounds)
    for name, inputs in bounds.items():
        assert 0.7 < np.abs(adaptive[name]).max() * np.sqrt(inputs) <= 1


# TripletMarginWithDistanceLoss


def cityblock(x, y):
    return np.abs(x - y).sum(axis=-1), np.sign(x - y), np.sign(y - x)


def euclidean(x, y):
    u = x - y + 1e-6
    d = np.linalg.norm(u, axis=-1)
    return d, u / d[..., None], -u / d[..., None]


def skewed(x, y):
    """Neither symmetric nor a difference."""
    return (np.exp(x) * y**2).sum(axis=-1), np.exp(x) * y**2, 2 * np.exp(x) * y


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("distance", [None, cityblock, euclidean, skewed])
@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3), (40, 3), (4, 2, 3)])
def test_triplets_at_any_distance_agree_with_torch(shape, distance, swap, reduction, dtype):
    torch = pytest.importorskip("torch")
    theirs = {
        None: None,
        cityblock: lambda x, y: (x - y).abs().sum(-1),
        euclidean: torch.nn.functional.pairwise_distance,
        skewed: lambda x, y: (x.exp() * y**2).sum(-1),
    }[distance]
    rng = np.random.default_rng(8)
    rows = [rng.standard_normal(shape).astype(dtype) for _ in range(3)]
    tensors = [torch.tensor(x, requires_grad=True) for x in rows]
    options = {"margin": 0.7, "swap": swap, "reduction": reduction}
    expected = torch.nn.TripletMarginWithDistanceLoss(distance_function=theirs, **options)(*tensors)
    grad_output = rng.standard_normal(expected.shape).astype(dtype) if reduction == "none" else -1.5
    (expected * torch.tensor(grad_output)).sum().backward()
    loss = fo.TripletMarginWithDistanceLoss(distance_function=distance, **options)
    out = tuple(np.full_like(x, 7) for x in rows)
    value, gradients = loss.value_and_grad(*rows, grad_output=grad_output, out=out)
    assert all(a is b for a, b in zip(gradients, out, strict=True))
    np.testing.assert_array_equal(value, loss(*rows))
    # A margin and three distances of six terms each are added up.
    bound = 32 * float(np.finfo(dtype).eps) * (1 + np.exp(3) * 9)
    np.testing.assert_allclose(
        value, expected.detach().numpy(), rtol=0, atol=bound * max(len(rows[0]) ** (reduction == "sum"), 1)
    )
    for gradient, tensor in zip(gradients, tensors, strict=True):
        close(gradient, np.nan_to_num(tensor.grad.numpy()), dtype)


def test_no_distance_is_the_triplet_loss_and_rows_broadcast():
    rng = np.random.default_rng(9)
    rows = rng.standard_normal((1, 4)), rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    value, gradients = fo.TripletMarginLoss(swap=True).value_and_grad(*rows, sample_weight=[0, 1, 2, 3, 4, 5])
    for distance in (None, euclidean):
        loss = fo.TripletMarginWithDistanceLoss(distance_function=distance, swap=True)
        ours, slopes = loss.value_and_grad(*rows, sample_weight=[0, 1, 2, 3, 4, 5])
        assert ours == pytest.approx(value, rel=1e-14)
        for slope, gradient in zip(slopes, gradients, strict=True):
            np.testing.assert_allclose(slope, gradient, rtol=1e-12, atol=1e-15)


def test_a_triplet_beyond_the_margin_needs_no_finite_slope():
    def distance(x, y):
        d = np.abs(x - y).sum(axis=-1)
        return d, np.full_like(x, np.inf), np.full_like(x, np.nan)

    loss = fo.TripletMarginWithDistanceLoss(distance_function=distance, swap=False)
    value, gradients = loss.value_and_grad(np.zeros((1, 2)), np.zeros((1, 2)), np.full((1, 2), 9.0))
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)


# NTXentLoss


def nt_xent(torch, a, b, temperature, reduction):
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1, eps=1e-8)
    similarities = (z @ z.T / temperature).fill_diagonal_(-np.inf)
    return torch.nn.functional.cross_entropy(similarities, torch.arange(len(z)).roll(len(a)), reduction=reduction)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("n", "features", "temperature"), [(1, 3, 0.07), (2, 1, 1.0), (7, 5, 0.07), (300, 4, 0.5)])
def test_nt_xent_agrees_with_torch(n, features, temperature, reduction, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(10)
    views = [rng.standard_normal((n, features)).astype(dtype) for _ in range(2)]
    # In double: in float32 torch's own rounding of 1/0.07 times a similarity would be most of the difference.
    tensors = [torch.tensor(x.astype(float), requires_grad=True) for x in views]
    expected = nt_xent(torch, *tensors, temperature, reduction)
    grad_output = rng.standard_normal(expected.shape).astype(dtype) if reduction == "none" else -1.5
    (expected * torch.tensor(grad_output)).sum().backward()
    loss = fo.NTXentLoss(temperature, reduction)
    value, gradients = loss.value_and_grad(*views, grad_output=grad_output)
    np.testing.assert_array_equal(loss(*views), value)
    terms = (2 * n + features) / temperature
    close(value, expected.detach().numpy(), dtype, terms)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        # The part along the row cancels.
        scale = np.abs(grad_output).max() * (2 if reduction == "sum" else 1) / np.linalg.norm(views, axis=-1).min()
        bound = terms * float(np.finfo(dtype).eps) * scale * max(np.abs(tensor.grad.numpy()).max(), 1)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=bound)


def test_nt_xent_follows_differences():
    rng = np.random.default_rng(11)
    loss, views, weights = fo.NTXentLoss(0.3), rng.standard_normal((2, 9, 4)), rng.random(9)
    gradients = loss.value_and_grad(*views, sample_weight=weights)[1]
    for _ in range(5):
        directions = rng.standard_normal((2, 9, 4))
        expected = slope_along(lambda *z: loss(*z, sample_weight=weights), views, directions, h=1e-4)
        assert expected == pytest.approx(np.vdot(gradients, directions), rel=1e-8, abs=1e-9)


def test_nt_xent_at_its_edges():
    loss, rng = fo.NTXentLoss(), np.random.default_rng(12)
    value, gradients = loss.value_and_grad(*rng.standard_normal((2, 1, 3)))
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)
    same = np.tile(rng.standard_normal(3), (5, 1))
    value, gradients = loss.value_and_grad(same, same.copy())
    assert value == pytest.approx(np.log(9), rel=1e-14)
    np.testing.assert_allclose(gradients, 0, atol=1e-14)
    a, b = rng.standard_normal((2, 4, 3))
    a[1] = 0
    value, gradients = loss.value_and_grad(a, b)
    assert np.isfinite(value)
    assert np.isfinite(gradients).all()
    assert np.abs(gradients[0][1]).max() > 1e5
    a[1] = 3e-9
    row = np.array([[0], [1], [0], [0]])
    directions = [1e-9 * row * rng.standard_normal(3), 0 * b]
    expected = slope_along(loss, [a, b], directions, h=1e-2)
    value, gradients = loss.value_and_grad(a, b)
    assert expected == pytest.approx(np.vdot(gradients[0], directions[0]), rel=1e-6)
    a[1] = 1
    value, gradients = loss.value_and_grad(a, b)
    for factor in (1e-5, 1e200, 1e308 / np.abs([a, b]).max()):
        scaled, slopes = loss.value_and_grad(factor * a, factor * b)
        assert scaled == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(slopes[1] * factor, gradients[1], rtol=1e-9, atol=1e-12)


def test_nt_xent_weighs_both_rows_of_a_pair():
    rng = np.random.default_rng(13)
    views, weights = rng.standard_normal((2, 5, 3)), rng.random(5)
    values = fo.NTXentLoss(reduction="none")(*views)
    assert values.shape == (10,)
    expected = (values * np.tile(weights, 2)).sum() / (2 * weights.sum())
    assert fo.NTXentLoss()(*views, sample_weight=weights) == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(
        fo.NTXentLoss(reduction="none")(*views, sample_weight=weights), values * np.tile(weights, 2)
    )


# All


def cases(dtype=np.float64):
    rng = np.random.default_rng(14)
    x, y = rng.standard_normal((600, 5)).astype(dtype), rng.integers(0, 300, 600)
    views = tuple(rng.standard_normal((3, 300, 5)).astype(dtype))
    return [
        (fo.LinearCrossEntropyLoss(5, 300, bias=True, dtype=dtype, rng=1), (x, y)),
        (fo.AdaptiveLogSoftmaxWithLoss(5, 300, [50, 100], dtype=dtype, rng=1), (x, y)),
        (fo.NTXentLoss(), views[:2]),
        (fo.TripletMarginWithDistanceLoss(distance_function=cityblock, swap=True), views),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_a_bit(dtype):
    before = fo.get_num_threads()
    try:
        for loss, arguments in cases(dtype):
            seen = set()
            for threads in (1, 2, 3):
                fo.set_num_threads(threads)
                value, gradients = loss.value_and_grad(*arguments)
                seen.add((value, *(gradient.tobytes() for gradient in gradients)))
            assert len(seen) == 1
    finally:
        fo.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_takes_the_gradients_and_strides_do_not_change_a_bit(dtype):
    for loss, arguments in cases(dtype):
        value, gradients = loss.value_and_grad(*arguments)
        out = tuple(np.full_like(gradient, 7) for gradient in gradients)
        strided = [np.repeat(a, 2, axis=0)[::2] if a.ndim == 1 else np.asfortranarray(a) for a in arguments]
        again, returned = loss.value_and_grad(*strided, out=out)
        assert again == value
        for a, b, gradient in zip(returned, out, gradients, strict=True):
            assert a is b
            np.testing.assert_array_equal(a, gradient)


def test_bad_input_is_refused_in_words_and_nothing_is_written():
    linear = fo.LinearCrossEntropyLoss(3, 4, dtype=np.float64)
    many = fo.LinearCrossEntropyLoss(3, 4, out_features=(2,), dtype=np.float64)
    adaptive = fo.AdaptiveLogSoftmaxWithLoss(3, 4, [2], dtype=np.float64)
    triplet, views = fo.TripletMarginWithDistanceLoss, np.ones((2, 3))
    x, y = np.ones((2, 3)), np.zeros(2, int)
    rows = [
        (lambda: linear(np.ones((2, 5)), y), ValueError, r"input has shape \(2, 5\); it must be \(N, 3\) or \(3,\)"),
        (lambda: linear(np.ones((2, 3), np.float32), y), TypeError, "input has dtype float32, the parameters float64"),
        (lambda: linear(x, np.zeros(3, int)), ValueError, r"target has shape \(3,\); .* \(2, 3\), .* \(2,\)"),
        (
            lambda: linear(x, np.zeros((2, 3))),
            ValueError,
            r"target has shape \(2, 3\); .* \(2, 3\), .* \(2, 4\)",
        ),
        (lambda: linear(x, np.array([0, 4])), IndexError, "Target 4 is out of bounds"),
        (lambda: linear(x[0], np.array(0), sample_weight=[1]), ValueError, "sample_weight needs samples"),
        (lambda: linear(x, y, sample_weight=[1]), ValueError, r"sample_weight has shape \(1,\); .* \(2,\)"),
        (lambda: linear.value_and_grad(x, y, out=x), TypeError, "out must be a tuple of 2 arrays"),
        (lambda: linear.value_and_grad(x, y, out=(x, np.ones((4, 3)))), ValueError, "out shares memory"),
        (
            lambda: linear.value_and_grad(x, y, out=(np.ones((2, 3)), linear.linear_weight)),
            ValueError,
            "out shares memory",
        ),
        (lambda: linear.value_and_grad(x, y, grad_output=[1, 1]), TypeError, "grad_output must be a number"),
        (lambda: many(x[0], np.zeros(2, int)), ValueError, r"input has shape \(3,\); out_features \(2,\)"),
        (lambda: adaptive(x, np.array([0, 4])), IndexError, "Target 4 is out of bounds"),
        (lambda: adaptive(x, np.array([0, -100])), IndexError, "Target -100 is out of bounds"),
        (lambda: adaptive(x, np.zeros(2)), TypeError, "target has dtype float64"),
        (lambda: adaptive.predict(np.ones(4)), ValueError, r"input has shape \(4,\)"),
        (lambda: fo.LinearCrossEntropyLoss(0, 4), ValueError, "in_features"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4.0), TypeError, "num_classes"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, out_features=2), TypeError, "out_features must be a tuple"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, dtype=int), TypeError, "dtype must be float32 or float64"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, weight=[1, 2]), ValueError, r"all 4 classes .* shape \(2,\)"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, options={}), ValueError, "always works by blocks"),
        (lambda: fo.LinearCrossEntropyLoss(3, 4, reduction="avg"), ValueError, "Invalid reduction"),
        (
            lambda: fo.LinearCrossEntropyLoss(3, 4, dtype=float, ignore_index=1)(x, np.ones((2, 4))),
            ValueError,
            "ignore_index cannot be specified",
        ),
        *(
            (lambda cutoffs=cutoffs: fo.AdaptiveLogSoftmaxWithLoss(3, 9, cutoffs), ValueError, "cutoffs should be")
            for cutoffs in ([], [0], [9], [3, 3], [4, 2], [-1])
        ),
        (lambda: fo.AdaptiveLogSoftmaxWithLoss(3, 9, [2.5]), TypeError, "cutoffs"),
        (lambda: fo.AdaptiveLogSoftmaxWithLoss(3, 9, [2], div_value=0), ValueError, "Invalid div_value"),
        (lambda: fo.NTXentLoss(0), ValueError, "Invalid temperature"),
        (lambda: fo.NTXentLoss()(x, x[:1]), ValueError, r"input1 has shape \(2, 3\), input2 \(1, 3\)"),
        (lambda: fo.NTXentLoss()(x[0], x[0]), ValueError, r"both must be \(N, D\)"),
        (lambda: fo.NTXentLoss()(x, x.astype("f")), TypeError, "input2 has dtype float32"),
        (
            lambda: fo.NTXentLoss()(x, x, sample_weight=[1] * 4),
            ValueError,
            r"sample_weight has shape \(4,\); .* \(2,\)",
        ),
        (lambda: triplet(distance_function=3), TypeError, "distance_function must be callable"),
        (lambda: triplet(margin=0), ValueError, "Invalid margin"),
        (
            lambda: triplet(distance_function=lambda x, y: (np.ones((2, 1)), x, y))(views, views, views),
            ValueError,
            r"shapes \[\(2, 1\), \(2, 3\), \(2, 3\)\]; for rows \(2, 3\)",
        ),
    ]
    for call, error, words in rows:
        with pytest.raises(error, match=words):
            call()
    out = np.full((2, 3), 7.0), np.full((4, 3), 7.0)
    for target, options in (
        (np.array([0, 4]), {}),
        (np.zeros(3, int), {}),
        (y, {"sample_weight": [1, -1]}),
        (y, {"grad_output": [1, 1]}),
    ):
        with pytest.raises((ValueError, IndexError, TypeError)):
            linear.value_and_grad(x, target, out=out, **options)
    assert all((array == 7).all() for array in out)


def test_infinite_and_large_inputs_raise_no_warning():
    loss = fo.LinearCrossEntropyLoss(1, 2, dtype=np.float64, reduction="none")
    loss.linear_weight[...] = [[1], [-1]]
    x = np.array([[1e4], [-1e4], [1e-320], [1e308]])
    value, gradients = loss.value_and_grad(x, np.array([0, 0, 1, 0]))
    np.testing.assert_array_equal(value, [0, 2e4, np.log(2), 0])
    assert np.isfinite(gradients[0]).all()
    assert np.isnan(loss(np.array([[np.nan]]), np.array([0]))).all()
    assert np.isnan(fo.NTXentLoss()(np.array([[np.inf], [1.0]]), np.ones((2, 1))))
