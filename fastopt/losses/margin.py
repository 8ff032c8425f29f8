"""Losses of scores that should be beyond a margin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import reduce
from fastopt._rowwise import ROWWISE
from fastopt._validation import check_number
from fastopt.losses.classification import ClassLoss, as_rows, class_weight, weight_for
from fastopt.losses.loss import Call, Loss, Pointwise, float_array, real_arrays
from fastopt.params import Array


class Margin(Pointwise):
    """Base class of the losses of one score each with a margin."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(margin, "Invalid margin", type(self).__name__, "margin", low=-np.inf)
        self.margin = float(margin)

    def _scalars(self) -> tuple[float, ...]:
        return (self.margin,)


class HingeLoss(Margin):
    """Hinge."""

    _kernel = "hinge"


class SquaredHingeLoss(Margin):
    """Squared hinge."""

    _kernel = "squared_hinge"


class ModifiedHuberLoss(Pointwise):
    """Modified Huber."""

    _kernel = "modified_huber"


class SoftMarginLoss(Pointwise):
    """Soft margin."""

    _kernel = "soft_margin"
    _broadcast = True


class HingeEmbeddingLoss(Margin):
    """Hinge embedding."""

    _kernel = "hinge_embedding"
    _broadcast = True


class MarginRankingLoss(Margin):
    """Margin ranking."""

    _kernel = "margin_ranking"
    _broadcast = True
    _names = ("input1", "input2", "target")
    _gradients = 2

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def __call__(  # type: ignore[override]
        self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Any:
        return self._evaluate((input1, input2, target), (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        target: ArrayLike,
        *,
        out: tuple[Array, Array] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, Array]]:
        """As `Loss.value_and_grad`, with the gradients by `input1` and by `input2`."""
        return self._evaluate((input1, input2, target), (True, out, grad_output, sample_weight))


class MultiMarginLoss(ClassLoss):
    """Multi margin."""

    _most_dimensions = 2

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"Invalid p: {p!r} (MultiMarginLoss needs 1 or 2)")
        check_number(margin, "Invalid margin", "MultiMarginLoss", "margin", low=-np.inf)
        self.p = int(p)
        self.margin = float(margin)
        self.weight = class_weight(weight)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        # A class out of range is no target that is ignored: nothing is.
        return self._run("multi_margin", inputs, call, (self.margin, self.p), mean_of_weights=False)


class MultiLabelMarginLoss(Loss):
    """Multi-label margin."""

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        z = float_array(inputs[0], "input")
        if z.ndim not in (1, 2) or z.shape[-1] == 0:
            raise ValueError(f"input has shape {z.shape}; it must be (C,) or (N, C), with at least one class")
        y = labels_of(inputs[1], z.shape)
        rows = (as_rows(z), y)
        return reduce(self, ROWWISE["multilabel_margin"], inputs, rows, call, z.shape[:-1], z.shape[-1], scratch=1)


class MultiLabelSoftMarginLoss(Loss):
    """Multi-label soft margin."""

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = class_weight(weight)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        z, y = real_arrays(inputs, self._names, 1)
        if z.ndim == 0 or z.shape[-1] == 0:
            raise ValueError(f"input has shape {z.shape}; it must be (..., C), with at least one class")
        if y.shape != z.shape:
            raise ValueError(f"target has shape {y.shape}, the input {z.shape}")
        weight = weight_for(self.weight, z.shape[-1])
        return reduce(
            self,
            ROWWISE["multilabel_soft_margin"],
            inputs,
            (as_rows(z), as_rows(y)),
            call,
            z.shape[:-1],
            z.shape[-1],
            shared=(None if weight is None else weight.astype(z.dtype),),
            scratch=1,
        )


def labels_of(target: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Rows of labels as contiguous intp, each -1 or a class."""
    y = np.asarray(target)
    if y.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {y.dtype}; it must be class indices (int)")
    if y.shape != shape:
        raise ValueError(f"target has shape {y.shape}, the input {shape}")
    if y.size and not (y.min() >= -1 and y.max() < shape[-1]):
        bad = y[(y < -1) | (y >= shape[-1])]
        raise IndexError(f"Target {bad.flat[0]} is out of bounds. (classes are 0 to {shape[-1] - 1}, -1 ends a row)")
    return np.require(y, np.intp, ["C", "A"])
