"""Losses of distances between rows."""

from __future__ import annotations

import math
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
    """A row should be nearer to one that is alike than to one that is not, by a margin.

    For each row, with d(x, y) the p-norm of x - y + eps::

        value = max(0, margin + d(anchor, positive) - d(anchor, negative))

    With `swap` the smaller of d(anchor, negative) and d(positive, negative) replaces the latter. For embeddings of
    faces, images, sentences. Most triplets soon have no loss: choose hard ones.

    Parameters
    ----------
    margin : float, default 1.0
        Finite, above 0.
    p : float, default 2.0
        Above 0; inf is the largest difference.
    eps : float, default 1e-6
        Added to each difference, as in torch; finite, at least 0.
    swap : bool, default False
        Compare with the nearer of both to the negative.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `anchor`, `positive` and `negative`, all float32 or all float64, of shape (..., D); they broadcast
    but have the same number of axes. The gradient is a tuple of three. At a
    distance of 0 the slope is 0; where the largest difference or the smaller distance is a tie, it is shared evenly; at
    a value of exactly 0 it is that of above: all as in torch.

    References
    ----------
    Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015.
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC
    2016 (swap).

    Examples
    --------
    >>> loss = fo.TripletMarginLoss(p=1, eps=0)
    >>> value, gradients = loss.value_and_grad(np.array([[1.0]]), np.array([[2.0]]), np.array([[0.5]]))
    >>> value, [gradient.item() for gradient in gradients]
    (1.5, [-2.0, 1.0, 1.0])
    """

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
    """The angle between two rows: small for pairs that are alike, large for others.

    For each row::

        cos = sum(input1 * input2) / sqrt((sum(input1**2) + 1e-12) * (sum(input2**2) + 1e-12))
        value = 1 - cos                     if target == 1
                max(0, cos - margin)        if target == -1

    For embeddings whose length means nothing. The slope grows as the rows get shorter.

    Parameters
    ----------
    margin : float, default 0.0
        Any finite number; torch recommends 0 to 0.5.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input1` and `input2`, both float32 or both float64, of shape (N, D) or (D,), which broadcast but have
    the same number of axes, and `target`, real numbers of shape (N,) or (). Any target other than 1 and -1 has value 0,
    as in torch. The gradient is a pair. The cosine of a row of zeros is 0, and its slope about 1e6 long; at cos =
    margin the slope is that of above; both as in torch.

    References
    ----------
    Bromley et al., "Signature verification using a 'siamese' time delay neural network", NIPS 1993.

    Examples
    --------
    >>> loss = fo.CosineEmbeddingLoss(reduction="none")
    >>> rows = np.array([[0.3, 0.5, 0.7]] * 2), np.array([[0.1, 0.3, 0.5]] * 2)
    >>> loss(*rows, np.array([1, -1])).round(4)
    array([0.0167, 0.9833])
    """

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
        if y.shape not in (shape, (1,) * len(shape)):
            raise ValueError(f"target has shape {y.shape}; inputs of shape {arrays[0].shape} need {shape}")
        return reduce(
            self,
            ROWWISE["cosine_embedding"],
            inputs,
            arrays,
            call,
            shape,
            arrays[0].shape[-1],
            targets=(np.require(np.broadcast_to(y, shape), arrays[0].dtype, ["C", "A"]),),
            scalars=(self.margin,),
        )


class DiceLoss(Loss):
    """One minus the overlap of a predicted and a true set.

    For each sample, p being the input, or sigmoid(input) if `from_logits`, with sums over all but the first axis::

        value = 1 - (2 * sum(p * target) + smooth) / (sum(p) + sum(target) + smooth)

    For masks of which little is foreground, where cross entropy is all background. Small objects make it noisy; it is
    often added to a cross entropy.

    Parameters
    ----------
    smooth : float, default 1.0
        Keeps the ratio defined, and near 1 for empty sets that are predicted so; finite, at least 0.
    from_logits : bool, default False
        The input is logits.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of samples.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, float32 or float64 probabilities or logits of shape (N, ...), and `target`, real numbers of the
    same shape, in [0, 1]; neither is checked. "none" gives (N,) values. An input of one axis is one sample. A
    denominator of 0 (`smooth` 0, both sets empty) has value 0 and gradient 0. The reference squares the terms of the
    denominator.

    References
    ----------
    Milletari, Navab and Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical image segmentation",
    3DV 2016.

    Examples
    --------
    >>> loss = fo.DiceLoss()
    >>> value, gradient = loss.value_and_grad(np.array([[0.9, 0.2, 0.0]]), np.array([[1, 0, 0]]))
    >>> round(value, 4), gradient.round(4).tolist()
    (0.0968, [[-0.3538, 0.2914, 0.2914]])
    """

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
        flat = (*shape, math.prod(z.shape[len(shape) :]))
        rows = tuple(as_rows(x if x.ndim == 2 else np.ascontiguousarray(x).reshape(flat)) for x in (z, y))
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
