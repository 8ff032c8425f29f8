"""Losses of the logarithm of a mean against counts and positive numbers."""

from __future__ import annotations

import numpy as np

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise
from fastopt.params import Array

LEAST = np.nextafter(0.0, 1.0)


class PoissonNLLLoss(CurvedPointwise):
    """Poisson NLL."""

    _broadcast = True

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_flag(log_input, "PoissonNLLLoss", "log_input")
        check_flag(full, "PoissonNLLLoss", "full")
        check_number(eps, "Invalid eps", "PoissonNLLLoss", "eps")
        self.log_input = bool(log_input)
        self.full = bool(full)
        self.eps = float(eps)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "poisson" if self.log_input else "poisson_rate"

    @property
    def _curvature(self) -> str:  # type: ignore[override]
        if not self.log_input:
            raise NotImplementedError("PoissonNLLLoss has hessian_diag for log_input=True only")
        return "poisson_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (self.full, self.eps)


class HalfPoissonLoss(CurvedPointwise):
    """Half Poisson."""

    _kernel = "poisson"
    _curvature = "poisson_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (False,)

    def _check(self, *arrays: Array) -> None:
        check_targets(arrays[1], 0.0, "HalfPoissonLoss needs targets >= 0")


class HalfGammaLoss(CurvedPointwise):
    """Half gamma."""

    _kernel = "gamma"
    _curvature = "gamma_curvature"

    def _check(self, *arrays: Array) -> None:
        check_targets(arrays[1], LEAST, "HalfGammaLoss needs targets > 0")


class HalfTweedieLoss(CurvedPointwise):
    """Half Tweedie."""

    def __init__(self, power: float = 1.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(power, "Invalid power", "HalfTweedieLoss", "power", low=-np.inf)
        if 0 < power < 1:
            raise ValueError(f"Invalid power: {power} (no Tweedie distribution has a power between 0 and 1)")
        self.power = float(power)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return {0.0: "exp_mse", 1.0: "poisson", 2.0: "gamma"}.get(self.power, "tweedie")

    @property
    def _curvature(self) -> str:  # type: ignore[override]
        return f"{self._kernel}_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (self.power if self._kernel == "tweedie" else 0.0,)

    def _check(self, *arrays: Array) -> None:
        if self.power >= 2:
            check_targets(arrays[1], LEAST, f"HalfTweedieLoss(power={self.power:g}) needs targets > 0")
        elif self.power > 0:
            check_targets(arrays[1], 0.0, f"HalfTweedieLoss(power={self.power:g}) needs targets >= 0")


def check_targets(target: Array, low: float, words: str) -> None:
    """Refuse targets below `low`, infinite ones and NaN."""
    low = max(low, float(np.nextafter(target.dtype.type(0), target.dtype.type(1)))) if low else low
    if outside(target, low, float(np.finfo(target.dtype).max)):
        bad = target[~((target >= low) & np.isfinite(target))]
        raise ValueError(f"{words}, finite; got {bad.flat[0]}")
