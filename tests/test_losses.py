"""Every loss of fastopt.losses against its oracle, torch and scikit-learn, on the cases of loss_cases."""

import inspect
import math
import warnings

import loss_oracles
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import CASES, FAMILIES, LIMITS, WORKED
from numpy.testing import assert_allclose, assert_array_equal
from test_loss_oracles import (
    GLM,
    SKLEARN,
    batched,
    differentiable,
    many,
    oracle,
    reductions,
    sample_axis,
    torch_value,
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "reduction"), reductions(HERE))
def test_loss_follows_its_oracle(case, reduction, dtype):
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
    for i, slope, given, out, theirs in zip(
        differentiable(case), many(gradient), many(slopes), outs, expected, strict=True
    ):
        assert slope.shape == case.inputs[i].shape
        assert slope.dtype == dtype
        assert np.shares_memory(given, out) or not out.size
        close(slope, theirs, case, dtype)
    for out, theirs in zip(outs, many(reference.grad(*case.inputs)), strict=True):
        close(out, theirs, case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "reduction"), [row for row in reductions(HERE) if batched(row[0])])
def test_samples_weigh_as_in_the_oracle(case, reduction, dtype):
    """Those of weight 0 are nan."""
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "reduction"), reductions(CURVED))
def test_hessian_follows_its_oracle(case, reduction, dtype):
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


@pytest.mark.peers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "reduction"), [row for row in reductions(HERE) if hasattr(loss_oracles, row[0].name)])
def test_loss_agrees_with_torch(case, reduction, dtype):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn, case.name):
        pytest.skip("torch lacks it")
    case = cast(case, dtype)
    reference = oracle(case, reduction)
    value = reference(*case.inputs)
    exceptions = wrongs(case, value)
    if any(row.mended is None for row in exceptions):
        pytest.skip(exceptions[-1].reason)
    which = differentiable(case)
    tensors = tuple(torch.tensor(x, requires_grad=i in which) for i, x in enumerate(case.inputs))
    options = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in case.options.items()}
    with warnings.catch_warnings():
        for category in (UserWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        result = torch_value(torch, case._replace(options=options), reduction, tensors)
    factor = np.random.default_rng(0).standard_normal(tuple(result.shape)).astype(dtype)
    gradients = torch.autograd.grad(
        (result * torch.tensor(factor)).sum(), [tensors[i] for i in which], allow_unused=True, materialize_grads=True
    )
    expected, gradients = result.detach().numpy(), [g.numpy() for g in gradients]
    for row in exceptions:
        expected, gradients = row.mended(expected, gradients, reference, case.inputs, factor)
    ours, slopes = quietly(made(case, reduction, dtype).value_and_grad, *called(case), grad_output=factor)
    close(ours, expected, case, dtype)
    for slope, theirs in zip(many(slopes), gradients, strict=True):
        close(slope, theirs, case, dtype)
