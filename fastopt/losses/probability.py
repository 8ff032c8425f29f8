"""Losses of probabilities, and of their logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise, Pointwise
from fastopt.params import Array


class KLDivLoss(Pointwise):
    """KL divergence."""

    _reductions = ("mean", "sum", "none", "batchmean")
    _broadcast = True

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        check_flag(log_target, "KLDivLoss", "log_target")
        self.log_target = bool(log_target)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "kl_div_log" if self.log_target else "kl_div"

    def _extra(self, inputs: tuple[Any, ...], arrays: tuple[Array, ...]) -> dict[str, Any]:
        if self.reduction != "batchmean":
            return {}
        samples = (np.shape(inputs[0]) or (1,))[0]
        return {"mass": lambda weights, units: samples if weights is None else float(weights.sum())}


class BCELoss(Pointwise):
    """BCE."""

    _kernel = "bce"

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = finite_array(weight, "weight")

    def _check(self, *arrays: Array) -> None:
        for x, name in zip(arrays, self._names, strict=True):
            if outside(x, 0.0, 1.0):
                bad = x[~((x >= 0) & (x <= 1))]
                raise ValueError(f"all elements of {name} should be between 0 and 1, but one is {bad.flat[0]}")

    def _extra(self, inputs: tuple[Any, ...], arrays: tuple[Array, ...]) -> dict[str, Any]:
        return {} if self.weight is None else {"factors": ((spread(self.weight, arrays[0], "weight"), 1),)}


class BCEWithLogitsLoss(CurvedPointwise):
    """BCE with logits."""

    def __init__(
        self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        super().__init__(reduction)
        self.weight = finite_array(weight, "weight")
        self.pos_weight = finite_array(pos_weight, "pos_weight")

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "bce_with_logits" if self.pos_weight is None else "bce_with_logits_weighted"

    @property
    def _curvature(self) -> str:  # type: ignore[override]
        return f"{self._kernel}_curvature"

    def _extra(self, inputs: tuple[Any, ...], arrays: tuple[Array, ...]) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if self.weight is not None:
            extra["factors"] = ((spread(self.weight, arrays[0], "weight"), 1),)
        if self.pos_weight is not None:
            extra["targets"] = (spread(self.pos_weight, arrays[0], "pos_weight"),)
        return extra


class SigmoidFocalLoss(Pointwise):
    """Binary focal loss."""

    _kernel = "sigmoid_focal"

    def __init__(self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if alpha is not None:
            check_number(alpha, "Invalid alpha", "SigmoidFocalLoss", "alpha", high=1.0, high_open=False)
        check_number(gamma, "Invalid gamma", "SigmoidFocalLoss", "gamma", high=64.0, high_open=False)
        self.alpha = None if alpha is None else float(alpha)
        self.gamma = float(gamma)

    def _scalars(self) -> tuple[float, ...]:
        whole = float(math.floor(self.gamma))
        return (whole, self.gamma - whole, *((1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)))


def finite_array(weight: ArrayLike | None, name: str) -> Array | None:
    """A copy of `weight` in float64, or None."""
    if weight is None:
        return None
    weight = np.array(weight, dtype=np.float64)
    if not np.isfinite(weight).all():
        raise ValueError(f"{name} must be finite, not {weight!r}")
    return weight


def spread(weight: ArrayLike, like: Array, name: str) -> Array:
    """`weight` broadcast to the shape and dtype of `like`."""
    weight = np.asarray(weight, like.dtype)
    try:
        return np.require(np.broadcast_to(weight, like.shape), requirements=["C", "A"])
    except ValueError:
        raise ValueError(f"{name} has shape {weight.shape}, which does not broadcast to {like.shape}") from None
