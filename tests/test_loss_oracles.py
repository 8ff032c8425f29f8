"""The oracles of the losses, held to live torch and scikit-learn, to complex steps and to figures worked by hand."""

import warnings
from math import inf
from typing import NamedTuple

import loss_oracles
import numpy as np
import pytest
from loss_cases import CASES, FAMILIES, LIMITS, WORKED, manhattan, squared_distance
from numpy.testing import assert_allclose, assert_array_equal

PEER = 1e-12
EPS = float(np.finfo(float).eps)
EXACT = 1e-15
STEP = 1e-30  # of a complex step: exact to rounding, however small
NEAR = 1e-7  # distance from a kink at which its two slopes are taken


IN_TORCH = (
    *("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "CrossEntropyLoss", "NLLLoss", "NLLLoss2d", "BCELoss"),
    *("BCEWithLogitsLoss", "PoissonNLLLoss", "GaussianNLLLoss", "KLDivLoss", "MarginRankingLoss", "SoftMarginLoss"),
    *("MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "TripletMarginLoss", "HingeEmbeddingLoss"),
    *("TripletMarginWithDistanceLoss", "CosineEmbeddingLoss", "CTCLoss", "LinearCrossEntropyLoss"),
    "AdaptiveLogSoftmaxWithLoss",
)


def rounding(case):
    """Of numbers of the size of the inputs, four times."""
    floats = [x for x in case.inputs if x.dtype.kind == "f" and x.size]
    return 4 * EPS * max([1.0, *(np.abs(x[np.isfinite(x)]).max() for x in floats)])


def oracle(case, reduction):
    reductions = FAMILIES[case.name].reductions
    return getattr(loss_oracles, case.name)(**case.options, **({"reduction": reduction} if len(reductions) > 1 else {}))


def reductions(cases):
    return [(case, reduction) for case in cases for reduction in FAMILIES[case.name].reductions]


def differentiable(case):
    return [i for i in FAMILIES[case.name].differentiable if i < len(case.inputs)]


def many(gradient):
    """Gradients as a tuple, also if there is one."""
    return gradient if isinstance(gradient, tuple) else (gradient,)


# Against torch.


def dice(torch, z, y, smooth=1.0, from_logits=False):
    p = z.sigmoid() if from_logits else z
    p, y = (x.flatten(1) if x.ndim > 1 else x for x in (p, y))
    both = (p + y).sum(-1) + smooth
    ratio = (2 * (p * y).sum(-1) + smooth) / torch.where(both == 0, 1, both)
    return torch.where(both == 0, 0, 1 - ratio)


def nt_xent(torch, a, b, temperature=0.07):
    if len(a) == 0:
        return (a * b).sum(-1)
    u = torch.nn.functional.normalize(torch.cat([a, b]), eps=1e-8)
    similarity = u @ u.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(u), dtype=bool), -inf)
    return torch.nn.functional.cross_entropy(similarity, torch.arange(len(u)).roll(len(a)), reduction="none")


def sigmoid_focal(torch, z, y, alpha=0.25, gamma=2.0):
    ce = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    p = z.sigmoid()
    weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return weight * (p * (1 - y) + (-z).sigmoid() * y) ** gamma * ce


def focal(torch, z, y, weight=None, gamma=2.0, ignore_index=-100):
    nll = torch.nn.functional.nll_loss(z.log_softmax(min(1, z.ndim - 1)), y, None, None, ignore_index, None, "none")
    w = torch.ones(z.shape[min(1, z.ndim - 1)]) if weight is None else weight
    kept = y != ignore_index
    counted = torch.where(kept, w[torch.where(kept, y, 0)], 0)
    return counted * (-torch.expm1(-nll)) ** gamma * nll, counted.sum()


FORMULAS = {"DiceLoss": dice, "NTXentLoss": nt_xent, "SigmoidFocalLoss": sigmoid_focal, "FocalLoss": focal}
DISTANCES = {
    None: None,
    manhattan: lambda x1, x2: (x1 - x2).abs().sum(-1),
    squared_distance: lambda x1, x2: ((x1 - x2) ** 2).sum(-1),
}


def torch_value(torch, case, reduction, tensors):
    options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in case.options.items()}
    if case.name in FORMULAS:
        losses = FORMULAS[case.name](torch, *tensors, **options)
        losses, total = losses if isinstance(losses, tuple) else (losses, losses.numel())
        return losses if reduction == "none" else losses.sum() / (total if reduction == "mean" else 1)
    if options.pop("from_logits", False):
        tensors = (tensors[0].log_softmax(-1), *tensors[1:])
    if "distance_function" in options:
        options["distance_function"] = DISTANCES[options["distance_function"]]
    if len(FAMILIES[case.name].reductions) > 1:
        options["reduction"] = reduction
    module = getattr(torch.nn, case.name)(**options)
    calls = FAMILIES[case.name].calls
    names = [name for name, _ in module.named_parameters()]
    value = torch.func.functional_call(module, dict(zip(names, tensors[calls:], strict=True)), tensors[:calls])
    return value.loss if hasattr(value, "loss") else value


class Wrong(NamedTuple):
    """Where torch is wrong, and its `mended(value, gradients, loss, inputs, factor)`; None if it has no answer."""

    reason: str
    applies: object
    mended: object


def no_mean(value, gradients, *_):
    return np.array(np.nan), [np.zeros_like(g) for g in gradients]


def in_double(value, gradients, loss, inputs, factor):
    """1e-12 under the gradient of BCELoss, and its root under that of CosineEmbeddingLoss by a vector of zeros."""
    ratio = np.float64(np.float32(1e-12)) / 1e-12
    if isinstance(loss, loss_oracles.BCELoss):
        return value, [np.where(inputs[0] * (1 - inputs[0]) < 1e-12, ratio * gradients[0], gradients[0])]
    zero = [(x == 0).all(-1, keepdims=True) for x in inputs[:2]]
    return value, [np.where(at, np.sqrt(ratio) * g, g) for at, g in zip(zero, gradients, strict=True)]


@np.errstate(all="ignore")
def of_log_probabilities(value, gradients, loss, inputs, factor):
    times = np.arange(len(inputs[0])).reshape((-1,) + (1,) * (inputs[0].ndim - 1))
    read = times < np.reshape(inputs[2], (*np.shape(inputs[2]), 1))
    weight = (loss._factors(inputs, None) * factor)[..., None]
    return value, [gradients[0] - np.where(read & feasible(inputs), weight * np.exp(inputs[0]), 0)]


def feasible(inputs):
    """Samples that have an alignment; axes as in log_probs."""
    return np.isfinite(loss_oracles.CTCLoss(reduction="none")(*inputs))[..., None]


def without_infeasible(value, gradients, loss, inputs, factor):
    return value, [np.where(feasible(inputs), gradients[0], 0)]


WRONG = (
    Wrong(
        "nothing counts in the mean: torch has zero or garbage as value (MultiMarginLoss), or nan in the gradient",
        lambda case, value: np.ndim(value) == 0 and np.isnan(value),
        no_mean,
    ),
    Wrong(
        "torch's 1e-12 is a float32, off by 4e-9",
        lambda case, value: case.name in ("BCELoss", "CosineEmbeddingLoss"),
        in_double,
    ),
    Wrong(
        "torch's gradient is nan where no alignment exists",
        lambda case, value: case.name == "CTCLoss" and case.inputs[0].size and not feasible(case.inputs).all(),
        without_infeasible,
    ),
    Wrong(
        "torch's gradient is that by the logits of log_probs, ours that by log_probs",
        lambda case, value: case.name == "CTCLoss" and not case.options.get("from_logits"),
        of_log_probabilities,
    ),
    Wrong(
        "torch sums the value of broadcast inputs, but fails to differentiate it",
        lambda case, value: case.name == "SoftMarginLoss" and case.inputs[0].shape != np.shape(sum(case.inputs)),
        None,
    ),
    Wrong(
        "torch refuses an empty batch",
        lambda case, value: case.name == "CTCLoss" and case.inputs[0].size == 0,
        None,
    ),
    Wrong(
        "torch returns memory that nobody wrote for an empty batch",
        lambda case, value: case.name in ("MultiMarginLoss", "MultiLabelMarginLoss") and case.inputs[0].size == 0,
        None,
    ),
    Wrong(
        "our formula in torch divides 0 by 0 where the probability is 1",
        lambda case, value: (
            case.name == "FocalLoss" and case.options.get("gamma", 2) < 1 and case.inputs[0].shape == (1, 1)
        ),
        None,
    ),
)


def wrongs(case, value):
    return [row for row in WRONG if row.applies(case, value)]


def test_every_exception_is_one():
    for row in WRONG:
        assert any(row.applies(case, oracle(case, reduction)(*case.inputs)) for case, reduction in reductions(CASES))


def torch_value_and_gradients(torch, case, reduction):
    """Value, gradients, and a random factor of the value that they have."""
    which = differentiable(case)
    tensors = tuple(torch.tensor(x, requires_grad=i in which) for i, x in enumerate(case.inputs))
    with warnings.catch_warnings():
        for category in (UserWarning, FutureWarning):  # broadcasting, the mean of KLDivLoss; the name NLLLoss2d
            warnings.simplefilter("ignore", category)
        result = torch_value(torch, case, reduction, tensors)
    factor = np.random.default_rng(0).standard_normal(tuple(result.shape)).astype(result.detach().numpy().dtype)
    gradients = torch.autograd.grad(
        (result * torch.tensor(factor)).sum(), [tensors[i] for i in which], allow_unused=True, materialize_grads=True
    )
    return result.detach().numpy(), [g.numpy() for g in gradients], factor


def in_torch(cases):
    return [row for row in reductions(cases) if row[0].name in (*IN_TORCH, *FORMULAS)]


@pytest.mark.peers
@pytest.mark.parametrize(("case", "reduction"), in_torch(CASES))
def test_oracle_agrees_with_torch(case, reduction):
    torch = pytest.importorskip("torch")
    loss = oracle(case, reduction)
    value = loss(*case.inputs)
    exceptions = wrongs(case, value)
    if any(row.mended is None for row in exceptions):
        pytest.skip(exceptions[-1].reason)
    expected, gradients, factor = torch_value_and_gradients(torch, case, reduction)
    for row in exceptions:
        expected, gradients = row.mended(expected, gradients, loss, case.inputs, factor)
    assert np.shape(value) == expected.shape
    atol = rounding(case)
    assert_allclose(value, expected, rtol=PEER, atol=atol)
    for ours, theirs in zip(many(loss.grad(*case.inputs, grad_output=factor)), gradients, strict=True):
        assert ours.shape == theirs.shape
        assert_allclose(ours, theirs, rtol=PEER, atol=atol)


@pytest.mark.peers
@pytest.mark.parametrize("case", [case for case, reduction in in_torch(LIMITS) if reduction == "none"])
def test_limits_agree_with_torch_where_it_has_them(case):
    torch = pytest.importorskip("torch")
    loss = oracle(case, "none")
    value, gradients, factor = torch_value_and_gradients(torch, case, "none")
    for row in wrongs(case, value):
        value, gradients = row.mended(value, gradients, loss, case.inputs, factor)
    ours = (loss(*case.inputs), *many(loss.grad(*case.inputs, grad_output=factor)))
    for mine, theirs in zip(ours, (value, *gradients), strict=True):
        known = np.isfinite(theirs)
        atol = 37 * EPS  # torch adds exp(-z) to z, and takes z away; beyond 37 it is lost altogether
        assert_allclose(mine[known], theirs[known], rtol=PEER, atol=atol)


# Against scikit-learn.


def glm(name, scale=1, **options):
    """A loss of scikit-learn's private module and what multiplies it."""
    losses = pytest.importorskip("sklearn._loss.loss")
    return getattr(losses, name)(**options), scale


SKLEARN = {
    "MSELoss": lambda: glm("HalfSquaredError", 2),
    "HalfPoissonLoss": lambda: glm("HalfPoissonLoss"),
    "HalfGammaLoss": lambda: glm("HalfGammaLoss"),
    "HalfTweedieLoss": lambda power=1.5: glm("HalfTweedieLoss", power=power),
    "BCEWithLogitsLoss": lambda weight=None, pos_weight=None: glm("HalfBinomialLoss"),
    "PinballLoss": lambda quantile=0.5: glm("PinballLoss", quantile=quantile),
    "HuberLoss": lambda delta=1.0: glm("HuberLoss", delta=delta),
    "PoissonNLLLoss": lambda log_input=True, full=False, eps=0: glm("HalfPoissonLoss"),
}
GLM = [
    case
    for case in CASES
    if case.name in SKLEARN
    and {x.shape for x in case.inputs} in ({(7,)}, {(33,)}, {(1000,)}, {case.inputs[0].shape} - {()})
    and case.inputs[0].ndim == 1
    and not {"weight", "pos_weight", "full"} & {k for k, v in case.options.items() if v is not None and v is not False}
    and case.options.get("log_input", True)
]


@pytest.mark.peers
@pytest.mark.parametrize("case", GLM)
def test_oracle_agrees_with_scikit_learn(case):
    theirs, scale = SKLEARN[case.name](**case.options)
    loss, (z, y) = oracle(case, "none"), case.inputs
    atol = rounding(case)
    assert_allclose(loss(z, y), scale * theirs.loss(y, z), rtol=PEER, atol=atol)
    assert_allclose(loss.grad(z, y), scale * theirs.gradient(y, z), rtol=PEER, atol=atol)
    if hasattr(loss, "second"):
        gradient, hessian = theirs.gradient_hessian(y, z)
        assert_allclose(loss.grad(z, y), scale * gradient, rtol=PEER, atol=atol)
        assert_allclose(loss.hessian_diag(z, y), scale * hessian, rtol=PEER, atol=atol)


@pytest.mark.peers
@pytest.mark.parametrize("classes", [3, 10])
def test_cross_entropy_agrees_with_scikit_learn(classes):
    rng = np.random.default_rng(0)
    z, y, s = 3 * rng.standard_normal((33, classes)), rng.integers(0, classes, 33), rng.random(33)
    theirs, _ = glm("HalfMultinomialLoss", n_classes=classes)
    loss = loss_oracles.CrossEntropyLoss(reduction="none")
    gradient, hessian = theirs.gradient_hessian(y.astype(float), z, s)
    assert_allclose(loss(z, y, sample_weight=s), theirs.loss(y.astype(float), z, s), rtol=PEER, atol=64 * EPS)
    assert_allclose(loss.grad(z, y, sample_weight=s), gradient, rtol=PEER, atol=4 * EPS)
    assert_allclose(loss.hessian_diag(z, y, sample_weight=s), hessian, rtol=PEER, atol=4 * EPS)


# Against the calculus.


def slope(loss, inputs, which, k, shift=0.0):
    """Derivative of the value by entry k of input `which`, moved by `shift`: a complex step."""
    moved = inputs[which].astype(complex)
    moved.flat[k] += shift + 1j * STEP
    return loss(*inputs[:which], moved, *inputs[which + 1 :]).imag / STEP


NO_SLOPE = {  # where the gradient is not the value's, and why
    "BCELoss": ("p (1 - p) under the slope is clamped", lambda options, p, y: np.isin(p, (0, 1))),
    "GaussianNLLLoss": (
        "the slope is taken at the clamped variance",
        lambda options, z, y, v: v < options.get("eps", 1e-6),
    ),
    "CTCLoss": ("no alignment", lambda options, *inputs: ~feasible(inputs)),
    "FocalLoss": (
        "the root has no slope at 0",
        lambda options, z, y: options.get("gamma", 2) < 1 and z.shape == (1, 1),
    ),
    "DiceLoss": (
        "0 / 0 is 0",
        lambda options, p, y: options.get("smooth") == 0 and ((p + y) == 0).all(tuple(range(1, p.ndim))),
    ),
}


@pytest.mark.parametrize(
    "case", [case for case in CASES if 0 < sum(case.inputs[i].size for i in differentiable(case)) <= 300]
)
def test_gradient_is_the_slope_of_the_value(case):
    """At a kink, where the slopes on both sides differ, it lies between them."""
    loss = oracle(case, "sum")
    gradients = dict(zip(differentiable(case), many(loss.grad(*case.inputs)), strict=True))
    if case.name in NO_SLOPE and np.any(NO_SLOPE[case.name][1](case.options, *case.inputs)):
        pytest.skip(NO_SLOPE[case.name][0])
    for which, gradient in gradients.items():
        size = np.abs(gradient).max(initial=1)
        for k, ours in enumerate(gradient.flat):
            exact = slope(loss, case.inputs, which, k)
            if abs(exact - ours) > 1e-12 * size:
                sides = [slope(loss, case.inputs, which, k, shift) for shift in (-NEAR, NEAR)]
                assert np.ptp([exact, *sides]) > 1e-3  # a kink
                assert min(sides) - 1e-5 < ours < max(sides) + 1e-5


@pytest.mark.parametrize(
    ("name", "options", "z", "y", "expected"),
    [
        ("PinballLoss", {"quantile": 0.25}, [1.0], [1.0], [-0.25]),
        ("EpsilonInsensitiveLoss", {"epsilon": 0.5}, [0.5, -0.5, 0.75], [0.0] * 3, [0, 0, 1]),
        ("EpsilonInsensitiveLoss", {"epsilon": 0.0}, [0.0], [0.0], [0]),
        ("HingeLoss", {"margin": 0.5}, [0.5, -0.5, 0.75], [1.0, -1.0, 1.0], [-1, 1, 0]),
    ],
)
def test_slope_at_a_kink_that_torch_does_not_know(name, options, z, y, expected):
    assert_array_equal(getattr(loss_oracles, name)(**options, reduction="sum").grad(np.array(z), np.array(y)), expected)


CURVED = [
    case
    for case in CASES
    if (hasattr(getattr(loss_oracles, case.name), "second") or case.name == "CrossEntropyLoss")
    and 0 < case.inputs[0].size <= 70
    and case.inputs[0].shape == np.shape(oracle(case, "none").grad(*case.inputs))
    and case.options.get("log_input", True)
    and case.name != "HuberLoss"
]


@pytest.mark.parametrize("case", CURVED)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_hessian_is_the_slope_of_the_gradient(case, reduction):
    """Fourth-order differences: their error is h**4 of the fifth derivative, plus eps of the gradient over h."""
    loss, (z, y), h = oracle(case, reduction), case.inputs, 1e-3
    hessian = loss.hessian_diag(z, y)
    for k in np.ndindex(z.shape):
        gradients = []
        for shift in (-2, -1, 1, 2):
            moved = z.copy()
            moved[k] += shift * h
            gradients.append(loss.grad(moved, y)[k])
        expected = (gradients[0] - 8 * gradients[1] + 8 * gradients[2] - gradients[3]) / (12 * h)
        assert abs(hessian[k] - expected) < (1e2 * h**4 + 8 * EPS / h) * max(
            1, abs(hessian[k]), np.abs(gradients).max()
        )


def test_hessian_of_the_huber_loss_steps_at_delta():
    z = np.array([0.0, 0.5, np.nextafter(0.5, 1), -0.5, -1])
    assert_array_equal(loss_oracles.HuberLoss("sum", 0.5).hessian_diag(z, np.zeros(5)), [1, 1, 0, 1, 0])


# Weights of samples, means over nothing, limits.


def batched(case):
    """Whether every input the loss is called with has the same samples, and no option has one number for each."""
    family = FAMILIES[case.name]
    called = case.inputs[: family.calls]
    arrays = [v for v in case.options.values() if isinstance(v, np.ndarray)]
    if case.name == "CTCLoss":
        return called[0].ndim == 3 and called[1].ndim == 2
    return (
        called[0].ndim >= family.batched
        and all(x.ndim and len(x) == len(called[0]) for x in called)
        and all(v.ndim < called[0].ndim for v in arrays)
    )


def sample_axis(case, i):
    return 1 if case.name == "CTCLoss" and i == 0 else 0


def repeated(case, times):
    """The inputs with sample n there times[n] times."""
    calls = FAMILIES[case.name].calls
    copies = [np.repeat(x, times, sample_axis(case, i)) for i, x in enumerate(case.inputs[:calls])]
    return (*copies, *case.inputs[calls:])


WEIGHTED = [
    row
    for row in reductions(CASES)
    if row[0].name != "NTXentLoss"  # whose samples are in each other's losses
    and row[0].inputs[0].size <= 1000
    and batched(row[0])
]


@pytest.mark.parametrize(("case", "reduction"), WEIGHTED)
def test_a_weight_counts_how_often_a_sample_is_there(case, reduction):
    """A sample of weight 0 is absent even if it is nan."""
    inputs = list(case.inputs)
    n = inputs[0].shape[sample_axis(case, 0)]
    s = np.random.default_rng(n).integers(0, 4, n)
    loss = oracle(case, reduction)
    copies = repeated(case, s)
    value, gradients = loss(*copies), many(loss.grad(*copies))
    absent = np.array(inputs[0])
    absent[(slice(None),) * sample_axis(case, 0) + (s == 0,)] = np.nan
    weighted = (absent, *inputs[1:])
    ours = loss(*weighted, sample_weight=s.astype(float))
    if reduction == "none":
        ours, value = np.repeat(ours, s, 0), value * np.repeat(s, s).reshape((-1,) + (1,) * (value.ndim - 1))
    assert_allclose(ours, value, rtol=PEER, atol=rounding(case))
    slopes = many(loss.grad(*weighted, sample_weight=s.astype(float)))
    for i, g, once in zip(differentiable(case), slopes, gradients, strict=True):
        if i < FAMILIES[case.name].calls:
            axis = sample_axis(case, i)
            shape = [1] * g.ndim
            shape[axis] = -1
            assert (np.compress(s == 0, g, axis) == 0).all()
            g = np.repeat(g, s, axis)
            once = once * np.repeat(s, s).reshape(shape)
        assert_allclose(g, once, rtol=PEER, atol=rounding(case))


def test_a_weight_counts_both_views_of_a_sample():
    rng = np.random.default_rng(0)
    a, b, s = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)), rng.random(7)
    losses = loss_oracles.NTXentLoss(reduction="none")(a, b)
    assert_allclose(
        loss_oracles.NTXentLoss()(a, b, sample_weight=s), np.average(losses, weights=np.tile(s, 2)), rtol=PEER
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.inputs[0].size == 0])
def test_a_mean_over_nothing_is_nan_and_has_no_slope(case):
    loss = oracle(case, "mean")
    assert np.isnan(loss(*case.inputs))
    assert all((g == 0).all() for g in many(loss.grad(*case.inputs)))
    if len(FAMILIES[case.name].reductions) > 1:
        assert oracle(case, "sum")(*case.inputs) == 0


@pytest.mark.parametrize("case", LIMITS)
def test_no_nan_where_a_limit_exists(case):
    loss = oracle(case, "none")
    assert not np.isnan(loss(*case.inputs)).any()
    for gradient in many(loss.grad(*case.inputs)):
        assert not np.isnan(gradient).any()
    if hasattr(loss, "second") and case.options.get("log_input", True):
        assert not np.isnan(loss.hessian_diag(*case.inputs)).any()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("n", [1, 100])
def test_draws_are_valid_inputs_of_the_size_asked_for(name, n):
    family = FAMILIES[name]
    inputs = family.draw(np.random.default_rng(0), n)
    loss = getattr(loss_oracles, name)(**family.options)
    assert np.isfinite(loss(*inputs))
    assert len(many(loss.grad(*inputs))) == len([i for i in family.differentiable if i < len(inputs)])
    assert n / 2 < inputs[0].size <= max(16, n)
    assert {i for i, x in enumerate(inputs) if x.dtype.kind == "i"} == set(family.integer)


@pytest.mark.parametrize(("name", "options", "inputs", "expected", "digits"), WORKED)
def test_the_worked_numbers_of_a_course(name, options, inputs, expected, digits):
    value = getattr(loss_oracles, name)(**options)(*map(np.array, inputs))
    assert_array_equal(np.round(value, digits), expected)


# By hand.


def test_mean_squared_error_by_hand():
    z, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    assert loss_oracles.MSELoss()(z, y) == 3.5
    assert loss_oracles.MSELoss("sum")(z, y) == 14
    assert (loss_oracles.MSELoss("none")(z, y) == [[0, 1], [4, 9]]).all()
    assert (loss_oracles.MSELoss().grad(z, y) == [[0, 0.5], [1, 1.5]]).all()
    assert (loss_oracles.MSELoss("none").grad(z, y) == [[0, 2], [4, 6]]).all()
    assert np.isnan(loss_oracles.MSELoss()(np.ones(0), np.ones(0)))


def test_cross_entropy_by_hand():
    z, y = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]]), np.array([0, 1, 1])
    a, b = np.log1p(np.e), np.log1p(np.exp(-2))
    atol = 4 * np.spacing(3.0)  # of each logsumexp, near 3; one weight is 2
    assert_allclose(loss_oracles.CrossEntropyLoss(reduction="none")(z, y), [a, b, b], rtol=0, atol=atol)
    assert_allclose(loss_oracles.CrossEntropyLoss()(z, y), (a + 2 * b) / 3, rtol=0, atol=atol)
    weighted = {r: loss_oracles.CrossEntropyLoss([1, 2], reduction=r) for r in ("none", "sum", "mean")}
    assert_allclose(weighted["none"](z, y), [a, 2 * b, 2 * b], rtol=0, atol=atol)
    assert_allclose(weighted["sum"](z, y), a + 4 * b, rtol=0, atol=atol)
    assert_allclose(weighted["mean"](z, y), (a + 4 * b) / 5, rtol=0, atol=atol)
    assert_allclose(weighted["none"](z, y), [1.3133, 0.2539, 0.2539], atol=5e-5)
    assert_allclose(weighted["sum"](z, y), 1.8210, atol=5e-5)
    assert_allclose(weighted["mean"](z, y), 0.3642, atol=5e-5)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    z = np.log([[1.0, 2.0, 5.0]])
    hard = loss_oracles.CrossEntropyLoss(label_smoothing=0.3)(z, np.array([2]))
    soft = loss_oracles.CrossEntropyLoss()(z, np.array([[0.1, 0.1, 0.8]]))
    assert_allclose([hard, soft], -(0.1 * np.log(2 / 64) + 0.8 * np.log(5 / 8)), rtol=EXACT)


def test_ignored_targets_count_as_absent():
    rng = np.random.default_rng(5)
    z, y = rng.normal(size=(6, 3)), np.array([0, 1, 2, 1, 0, 1])
    for reduction in ("sum", "mean"):
        options = {"weight": [1, 2, 3], "reduction": reduction, "label_smoothing": 0.3}
        ignoring = loss_oracles.CrossEntropyLoss(ignore_index=1, **options)
        absent, kept = loss_oracles.CrossEntropyLoss(**options), y != 1
        assert_allclose(ignoring(z, y), absent(z[kept], y[kept]), rtol=1e-14)
        assert_allclose(ignoring.grad(z, y)[kept], absent.grad(z[kept], y[kept]), rtol=1e-14)
        assert not ignoring.grad(z, y)[~kept].any()


@pytest.mark.parametrize("n", [0, 3])
def test_cross_entropy_of_nothing_is_nan_with_a_zero_gradient(n):
    z, y = np.ones((n, 2)), np.full(n, -100)
    loss = loss_oracles.CrossEntropyLoss()
    assert np.isnan(loss(z, y))
    assert loss.grad(z, y).shape == (n, 2) and not loss.grad(z, y).any()
    assert loss_oracles.CrossEntropyLoss(reduction="sum")(z, y) == 0


def test_cross_entropy_survives_classes_ruled_out():
    z = np.array([[0.0, 0.0, -np.inf]])
    for target in (np.array([1]), np.array([[0.0, 1.0, 0.0]])):
        assert_allclose(loss_oracles.CrossEntropyLoss()(z, target), np.log(2), rtol=EXACT)
        assert_allclose(loss_oracles.CrossEntropyLoss().grad(z, target), [[0.5, -0.5, 0]], rtol=EXACT)
