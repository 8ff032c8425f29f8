"""Losses of a prediction against a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastopt._losses import LOSSES
from fastopt.losses.loss import Loss
from fastopt.params import Array


class MSELoss(Loss):
    """Squared error, (input - target)**2; "mean" divides by the number of elements.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape.
    Where torch broadcasts a target of another shape, and warns that this is likely wrong, a ValueError names both
    shapes: (n, 1) against (n,) is a mistake far more often than a wish. The mean of nothing is NaN, its gradient
    empty, as in torch.

    References
    ----------
    Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae", 1821.

    Examples
    --------
    >>> loss = fo.MSELoss()
    >>> value, gradient = loss.value_and_grad(np.ones(4), np.full(4, 3.0))
    >>> value, gradient
    (4.0, array([-1., -1., -1., -1.]))
    """

    def _evaluate(self, input: Array, target: Array, gradient: Array | None) -> Any:
        if target.shape != input.shape:
            raise ValueError(f"target has shape {target.shape}, the input {input.shape}")
        if target.dtype.kind not in "fiub":
            raise TypeError(f"target has dtype {target.dtype}; it must be real numbers")
        target = np.require(target, input.dtype, ["C", "A"])
        return self._reduce(LOSSES["mse"], (input, target), gradient, shape=input.shape, mass=input.size)
