"""Losses of distances between rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import reduce
from fastopt._rowwise import ROWWISE
from fastopt._validation import check_flag, check_number
from fastopt.losses.classification import as_rows
from fastopt.losses.loss import Call, Loss, float_array, real_arrays
from fastopt.params import Array


def common_rows(inputs: tuple[Any, ...], names: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[Array, ...]]:
    """The shape of the values, and rows of one length and dtype; two dimensions that broadcast are read in place."""
    arrays = [float_array(x, name) for x, name in zip(inputs, names, strict=True)]
    for x, name in zip(arrays, names, strict=True):
        if x.dtype != arrays[0].dtype:
            raise TypeError(f"{name} has dtype {x.dtype}, the {names[0]} {arrays[0].dtype}")
    try:
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
    except ValueError:
        shape = ()
    if not shape or shape[-1] == 0 or any(x.ndim != len(shape) for x in arrays):
        shapes = ", ".join(f"{name} {x.shape}" for x, name in zip(arrays, names, strict=True))
        raise ValueError(f"rows of one length D >= 1 and as many dimensions are needed, but the shapes are {shapes}")
    spread = (x if x.shape == shape else np.broadcast_to(x, shape) for x in arrays)
    return shape[:-1], tuple(as_rows(x) for x in spread)


class TripletMarginLoss(Loss):
    """Triplet."""

    _names = ("anchor", "positive", "negative")
    _gradients = 3

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        check_number(margin, "Invalid margin", "TripletMarginLoss", "margin", low_open=True)
        if p != np.inf:
            check_number(p, "Invalid p", "TripletMarginLoss", "p", low_open=True)
        check_number(eps, "Invalid eps", "TripletMarginLoss", "eps")
        check_flag(swap, "TripletMarginLoss", "swap")
        self.margin = float(margin)
        self.p = float(p)
        self.eps = float(eps)
        self.swap = bool(swap)

    def __call__(  # type: ignore[override]
        self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Any:
        return self._evaluate((anchor, positive, negative), (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        anchor: ArrayLike,
        positive: ArrayLike,
        negative: ArrayLike,
        *,
        out: tuple[Array, Array, Array] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, Array, Array]]:
        """As `Loss.value_and_grad`, with the gradients by all three."""
        return self._evaluate((anchor, positive, negative), (True, out, grad_output, sample_weight))

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        shape, arrays = common_rows(inputs, self._names)
        return reduce(
            self,
            ROWWISE["triplet"],
            inputs,
            arrays,
            call,
            shape,
            arrays[0].shape[-1],
            scalars=(self.margin, self.eps, self.p, self.swap),
            scratch=2,
        )


class CosineEmbeddingLoss(Loss):
    """Cosine embedding."""

    _names = ("input1", "input2", "target")
    _gradients = 2

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(margin, "Invalid margin", "CosineEmbeddingLoss", "margin", low=-np.inf)
        self.margin = float(margin)

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

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        shape, arrays = common_rows(inputs[:2], self._names[:2])
        if len(shape) > 1:
            raise ValueError(f"inputs of {len(shape) + 1} dimensions; they must be (D,) or (N, D)")
        y = np.asarray(inputs[2])
        if y.dtype.kind not in "fiub":
            raise TypeError(f"target has dtype {y.dtype}; it must be real numbers")
        if y.shape != shape:
            raise ValueError(f"target has shape {y.shape}; inputs of shape {arrays[0].shape} need {shape}")
        return reduce(
            self,
            ROWWISE["cosine_embedding"],
            inputs,
            arrays,
            call,
            shape,
            arrays[0].shape[-1],
            targets=(np.require(y, arrays[0].dtype, ["C", "A"]),),
            scalars=(self.margin,),
        )


class DiceLoss(Loss):
    """Dice."""

    def __init__(self, smooth: float = 1.0, from_logits: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(smooth, "Invalid smooth", "DiceLoss", "smooth")
        check_flag(from_logits, "DiceLoss", "from_logits")
        self.smooth = float(smooth)
        self.from_logits = bool(from_logits)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        z, y = real_arrays(inputs, self._names, 1)
        if y.shape != z.shape:
            raise ValueError(f"target has shape {y.shape}, the input {z.shape}")
        shape = z.shape[:1] if z.ndim > 1 else ()
        rows = tuple(as_rows(x if x.ndim == 2 else np.ascontiguousarray(x).reshape(*shape, -1)) for x in (z, y))
        return reduce(
            self,
            ROWWISE["dice"],
            inputs,
            rows,
            call,
            shape,
            rows[0].shape[-1],
            scalars=(self.smooth, self.from_logits),
        )
