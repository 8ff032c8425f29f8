"""Losses of scores against classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import LOSSES, weigh_targets
from fastopt._validation import check_number
from fastopt.losses.loss import Loss
from fastopt.params import Array


class CrossEntropyLoss(Loss):
    """Cross entropy of softmax(input) against class indices or class probabilities.

    With p = softmax(input) over the classes, q the target distribution (one class, or the given probabilities),
    s = `label_smoothing` and w = `weight`::

        q' = (1 - s) * q + s / C
        value = -sum_c w_c * q'_c * log(p_c)        (for a class index y: w_y * (1 - s) replaces w_c * (1 - s) * q_c)

    "mean" divides by the sum of the weights w_y of the targets that are not ignored; for probabilities by the
    number of targets.

    Parameters
    ----------
    weight : array of shape (C,), optional
        A factor for each class.
    ignore_index : int, default -100
        Targets with this index give no value and no gradient. Class indices only.
    reduction : {"mean", "sum", "none"}, default "mean"
    label_smoothing : float in [0, 1], default 0
        How much of the target is spread evenly over the classes.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A class index that is neither in [0, C) nor `ignore_index`.

    Notes
    -----
    Called with `input`, float32 or float64 scores of shape (C,), (N, C) or (N, C, d1, ...), and `target`, either
    integers of the same shape without C or probabilities of the same shape. Probabilities are taken as they are, not
    normalized. If all targets are ignored the mean is NaN, as in torch; the gradient is zero, where torch's is NaN.

    References
    ----------
    Szegedy et al., "Rethinking the inception architecture for computer vision", CVPR 2016 (label smoothing).

    Examples
    --------
    >>> loss = fo.CrossEntropyLoss()
    >>> value, gradient = loss.value_and_grad(np.array([[1.0, 2.0], [1.0, 3.0]]), np.array([0, 1]))
    >>> round(value, 4), gradient.round(3).tolist()
    (0.7201, [[-0.366, 0.366], [0.06, -0.06]])
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        if weight is not None:
            weight = np.array(weight, dtype=np.float64)
            if weight.ndim != 1 or not (np.isfinite(weight) & (weight >= 0)).all():
                raise ValueError(f"weight must be a vector of finite numbers >= 0, one for each class, not {weight!r}")
        if not isinstance(ignore_index, int | np.integer) or isinstance(ignore_index, bool):
            raise TypeError(f"ignore_index must be an int, not {ignore_index!r}")
        if abs(ignore_index) > np.iinfo(np.intp).max:
            raise ValueError(f"ignore_index must fit the platform's integers, not {ignore_index}")
        words = "label_smoothing must be between 0.0 and 1.0. Got"
        check_number(label_smoothing, words, "CrossEntropyLoss", "label_smoothing", high=1.0, high_open=False)
        self.weight = weight
        self.ignore_index = int(ignore_index)
        self.label_smoothing = float(label_smoothing)

    def _evaluate(self, input: Array, target: Array, gradient: Array | None) -> Any:
        soft = target.dtype.kind == "f"
        if input.ndim == 0:
            raise ValueError("input has no dimension for the classes: its shape is ()")
        axis = min(1, input.ndim - 1)
        classes = input.shape[axis]
        shape = input.shape[:axis] + input.shape[axis + 1 :]
        if not soft and target.dtype.kind not in "iu":
            raise TypeError(f"target has dtype {target.dtype}; it must be class indices (int) or probabilities (float)")
        if target.shape != (input.shape if soft else shape):
            kind = "probabilities" if soft else "class indices"
            raise ValueError(
                f"target has shape {target.shape}; for an input of shape {input.shape}, {kind} have shape "
                f"{input.shape if soft else shape}"
            )
        if classes == 0:
            raise ValueError(f"input of shape {input.shape} has no classes")
        if soft and self.ignore_index >= 0:
            raise ValueError("ignore_index is not supported for floating point target")
        weights = None if self.weight is None else np.require(self.weight, np.float64, ["C", "A"])
        if weights is not None and weights.shape != (classes,):
            raise ValueError(
                f"weight should be defined either for all {classes} classes or no classes but has shape {weights.shape}"
            )
        weight = None if weights is None else weights.astype(input.dtype)
        smoothing = self.label_smoothing
        # Kernels take classes last; where they are not, one transposed copy in and one out.
        inner = axis != input.ndim - 1
        logits = np.ascontiguousarray(np.moveaxis(input, axis, -1)) if inner else input
        slope = np.empty_like(logits) if inner and gradient is not None else gradient
        if soft:
            q = np.require(np.moveaxis(target, axis, -1), input.dtype, ["C", "A"])
            value = self._reduce(
                LOSSES["cross_entropy_soft"],
                (logits, q),
                slope,
                shape=shape,
                mass=int(np.prod(shape)),
                shared=(weight,),
                scalars=(smoothing,),
            )
        else:
            if target.dtype == np.uint64 and target.size and target.max() > np.iinfo(np.intp).max:
                raise IndexError(f"Target {target.max()} is out of bounds. (classes are 0 to {classes - 1})")
            y = np.require(target, np.intp, ["C", "A"])
            value = self._reduce(
                LOSSES["cross_entropy"],
                (logits, y),
                slope,
                shape=shape,
                mass=weigh_targets(y, classes, self.ignore_index, weights),
                shared=(weight,),
                scalars=(smoothing, self.ignore_index),
            )
        if inner and gradient is not None and slope is not None:
            gradient[...] = np.moveaxis(slope, -1, axis)
        return value
