"""Losses of a prediction against a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise, Pointwise, warn_of_broadcast
from fastopt.params import Array


class Difference(Pointwise):
    """Base class of torch's losses of input - target, which broadcast with a warning."""

    _broadcast = True

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        common = super()._common_shape(shape, other, name)
        warn_of_broadcast(shape, other)
        return common


class L1Loss(Difference):
    """Absolute error."""

    _kernel = "l1"


class MSELoss(CurvedPointwise, Difference):
    """Squared error."""

    _kernel = "mse"
    _curvature = "mse_curvature"


class SmoothL1Loss(Difference):
    """Smooth l1."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number(beta, "Invalid beta", "SmoothL1Loss", "beta")
        self.beta = float(beta)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "smooth_l1" if self.beta else "l1"

    def _scalars(self) -> tuple[float, ...]:
        return (self.beta,)


class HuberLoss(CurvedPointwise, Difference):
    """Huber."""

    _kernel = "huber"
    _curvature = "huber_curvature"

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number(delta, "Invalid delta", "HuberLoss", "delta", low_open=True)
        self.delta = float(delta)

    def _scalars(self) -> tuple[float, ...]:
        return (self.delta,)


class PinballLoss(Pointwise):
    """Pinball."""

    _kernel = "pinball"

    def __init__(self, quantile: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(quantile, "Invalid quantile", "PinballLoss", "quantile", high=1.0, low_open=True)
        self.quantile = float(quantile)

    def _scalars(self) -> tuple[float, ...]:
        return (self.quantile,)


class LogCoshLoss(CurvedPointwise):
    """Log-cosh."""

    _kernel = "log_cosh"
    _curvature = "log_cosh_curvature"


class CauchyLoss(Pointwise):
    """Cauchy."""

    _kernel = "cauchy"

    def __init__(self, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(scale, "Invalid scale", "CauchyLoss", "scale", low_open=True)
        self.scale = float(scale)

    def _scalars(self) -> tuple[float, ...]:
        return (self.scale,)


class EpsilonInsensitiveLoss(Pointwise):
    """Epsilon-insensitive."""

    _kernel = "epsilon_insensitive"

    def __init__(self, epsilon: float = 0.1, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(epsilon, "Invalid epsilon", "EpsilonInsensitiveLoss", "epsilon")
        self.epsilon = float(epsilon)

    def _scalars(self) -> tuple[float, ...]:
        return (self.epsilon,)


class GaussianNLLLoss(Pointwise):
    """Gaussian NLL."""

    _kernel = "gaussian_nll"
    _names = ("input", "var", "target")
    _gradients = 2

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_flag(full, "GaussianNLLLoss", "full")
        check_number(eps, "Invalid eps", "GaussianNLLLoss", "eps", low_open=True)
        self.full = bool(full)
        self.eps = float(eps)

    def __call__(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike, var: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Any:
        return self._evaluate((input, self._column(input, var), target), (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        input: ArrayLike,
        target: ArrayLike,
        var: ArrayLike,
        *,
        out: tuple[Array, Array] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, Array]]:
        """As `Loss.value_and_grad`, with the gradients by `input` and by `var`."""
        column = self._column(input, var)
        if column is var:
            return self._evaluate((input, var, target), (True, out, grad_output, sample_weight))
        if out is not None:
            out = (out[0], np.asarray(out[1])[..., None])
        value, (slope, of_column) = self._evaluate((input, column, target), (True, out, grad_output, sample_weight))
        return value, (slope, of_column[..., 0])

    def _column(self, input: ArrayLike, var: ArrayLike) -> ArrayLike:
        """A variance that all of a row share, as a column."""
        shape, own = np.shape(input), np.shape(var)
        return np.asarray(var)[..., None] if own != shape and own == shape[:-1] else var

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        differ = [b for a, b in zip(shape, other, strict=True) if a != b] if len(shape) == len(other) else []
        if name == "var" and differ == [1]:
            return shape
        return super()._common_shape(shape, other, name)

    def _check(self, *arrays: Array) -> None:
        if outside(arrays[1], 0.0, np.inf) and (arrays[1] < 0).any():
            raise ValueError(f"var has negative entry/entries: the least is {np.nanmin(arrays[1])}")

    def _scalars(self) -> tuple[float, ...]:
        return (self.eps, 0.5 * math.log(2 * math.pi) if self.full else 0.0)
