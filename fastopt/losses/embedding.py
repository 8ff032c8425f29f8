"""Losses of distances between rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import reduce
from fastopt._rowwise import ROWWISE
from fastopt._validation import check_flag, check_number
from fastopt.losses.classification import CrossEntropyLoss, as_rows
from fastopt.losses.linear import cross_entropies, prepare, reduced
from fastopt.losses.loss import Call, Loss, float_array, real_arrays
from fastopt.losses.margin import MarginRankingLoss
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


# What a distance function returns: the distance of each two rows, and its gradients by the first and by the second.
Distance = Callable[[Array, Array], tuple[Array, Array, Array]]


class TripletMarginWithDistanceLoss(TripletMarginLoss):
    """How much farther than a margin rows are from what they should resemble than from others, at any distance.

    ::

        far = d(anchor, negative), or with `swap` the smaller of it and d(positive, negative)
        value = max(0, margin + d(anchor, positive) - far)

    Parameters
    ----------
    distance_function : callable, optional
        ``distance_function(x1, x2) -> (d, d1, d2)`` for rows of shape (N, D), or for one row each, (D,): the distances,
        of shape (N,) or (), and their gradients by `x1` and `x2`, of the shape of the rows. None is the Euclidean
        distance as torch has it, the norm of x1 - x2 + 1e-6.
    margin : float, default 1
        > 0.
    swap : bool, default False
        Take the negative's distance to the positive where that is smaller.
    reduction : {"mean", "sum", "none"}, default "mean"

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit; a distance function
        that returns other shapes.

    Notes
    -----
    As torch's, but for the distance, which brings its own gradient. At a kink, margin + d = far, the gradient passes.
    Where both distances of `swap` are equal each has half of it.

    References
    ----------
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks",
    BMVC 2016.

    Examples
    --------
    >>> cityblock = lambda x, y: (np.abs(x - y).sum(axis=-1), np.sign(x - y), np.sign(y - x))
    >>> loss = fo.TripletMarginWithDistanceLoss(distance_function=cityblock)
    >>> loss.value_and_grad(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]), np.array([[0.0, 2.5]]))[0]
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, swap=swap, reduction=reduction)
        if distance_function is not None and not callable(distance_function):
            raise TypeError(f"distance_function must be callable, not {distance_function!r}")
        self.distance_function = distance_function

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        if self.distance_function is None:
            return super()._evaluate(inputs, call)
        distance = partial(distances, self.distance_function)
        shape, rows = common_rows(inputs, self._names)
        anchor, positive, negative = (np.ascontiguousarray(x) for x in rows)
        near, da, dp = distance(anchor, positive)
        far, ea, en = distance(anchor, negative)
        if self.swap:
            other, sp, sn = distance(positive, negative)
            share = np.add(other > far, other >= far, dtype=far.dtype) / 2  # of the anchor in the negative's distance
            far = np.minimum(far, other)
        outs = self._outs(inputs, anchor.dtype, call) if call[0] else ()
        # The value is that of a ranking of both distances.
        ranking = MarginRankingLoss(self.margin, self.reduction)
        pair = near.reshape(shape), far.reshape(shape)
        value, slopes = ranking._evaluate((*pair, np.full(shape, -1.0)), (call[0], None, *call[2:]))
        if outs:
            toward, away = (slope.reshape(near.shape) for slope in slopes)
            if self.swap:
                swapped, away = away * (1 - share), away * share
            full = [times(toward, da) + times(away, ea), times(toward, dp), times(away, en)]
            if self.swap:
                full[1] += times(swapped, sp)
                full[2] += times(swapped, sn)
            for out, slope in zip(outs, full, strict=True):
                self._sum_to(slope.reshape(*shape, slope.shape[-1]), out)
        return value, outs


def distances(function: Distance, x1: Array, x2: Array) -> tuple[Array, ...]:
    """What the caller's function returns, checked."""
    returned = tuple(np.asarray(array, x1.dtype, order="C") for array in function(x1, x2))
    shapes, allowed = [array.shape for array in returned], [x1.shape[:-1], x1.shape, x1.shape]
    if shapes != allowed:
        raise ValueError(
            f"distance_function returned arrays of shapes {shapes}; for rows {x1.shape} it must be {allowed}"
        )
    return returned


def times(factors: Array, rows: Array) -> Array:
    """Each row times its factor; 0 times what is not finite is 0."""
    factors = np.asarray(factors)[..., None]
    product: Array = np.multiply(factors, rows, out=np.zeros_like(rows), where=factors != 0)
    return product


class NTXentLoss(Loss):
    """Normalized, temperature-scaled cross entropy of two views of each sample against all other samples' views.

    With the rows z of both inputs, 2N in all, over their norms, and t = `temperature`::

        similarity(i, k) = z_i . z_k / t
        value_i = -log(exp(similarity(i, i's other view)) / sum over k != i of exp(similarity(i, k)))

    Similarities are made by blocks of rows: 1 MB of them, or 256 rows if these are more.

    Parameters
    ----------
    temperature : float, default 0.07
        > 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by 2N; "none" has shape (2N,): rows of `input1`, then of `input2`.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; inputs that are not (N, D) of one shape and one dtype.

    Notes
    -----
    Called with `input1` and `input2`, both of shape (N, D). The gradient is a pair. A norm below 1e-8 counts as 1e-8. A
    sample's weight counts for both its rows, outside the logarithm only. torch.nn lacks this loss.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.

    Examples
    --------
    >>> loss = fo.NTXentLoss(temperature=0.5)
    >>> views = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.5], [0.0, 2.0]])
    >>> value, (gradient, _) = loss.value_and_grad(*views)
    >>> round(value, 4), gradient.round(3).tolist()
    (0.4129, [[0.0, 0.061], [0.31, 0.0]])
    """

    _names = ("input1", "input2")
    _gradients = 2

    def __init__(self, temperature: float = 0.07, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(temperature, "Invalid temperature", "NTXentLoss", "temperature", low_open=True)
        self.temperature = float(temperature)

    def __call__(self, input1: ArrayLike, input2: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Any:
        return self._evaluate((input1, input2), (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        input1: ArrayLike,
        input2: ArrayLike,
        *,
        out: tuple[Array, Array] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, Array]]:
        """As `Loss.value_and_grad`, with the gradients by `input1` and by `input2`."""
        return self._evaluate((input1, input2), (True, out, grad_output, sample_weight))

    def _weights(self, sample_weight: ArrayLike, shape: tuple[int, ...]) -> Array:
        return np.tile(super()._weights(sample_weight, (shape[0] // 2,)), 2)

    @np.errstate(all="ignore")
    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        x1, x2 = (float_array(x, name) for x, name in zip(inputs, self._names, strict=True))
        if x2.dtype != x1.dtype:
            raise TypeError(f"input2 has dtype {x2.dtype}, the input1 {x1.dtype}")
        if x1.shape != x2.shape or x1.ndim != 2 or x1.shape[1] == 0:
            raise ValueError(f"input1 has shape {x1.shape}, input2 {x2.shape}; both must be (N, D), of one shape")
        z = np.ascontiguousarray(np.concatenate((x1, x2)))
        n = len(z)
        weights, divisor, factor = prepare(
            self, call, (n,), z.dtype, lambda weights: n if weights is None else float(weights.sum())
        )
        outs = self._outs(inputs, z.dtype, call) if call[0] else ()
        # Divided by the largest first, as the square of a number may overflow; then a norm is below 1 if clamped only.
        largest = np.maximum(np.abs(z).max(axis=1, keepdims=True), 1e-8)
        z /= largest
        norm = np.sqrt(np.vecdot(z, z))[:, None]
        clamped = norm < 1
        norm[clamped] = 1
        z /= norm
        slopes = tuple(np.empty_like(z) for _ in outs)
        values = cross_entropies(
            CrossEntropyLoss(reduction="none" if self.reduction == "none" else "sum"),
            z / self.temperature,
            (np.arange(n) + n // 2) % max(n, 1),
            z,
            None,
            factor,
            weights,
            slopes,
            others=True,
        )
        if outs:
            slope = slopes[0] / self.temperature + slopes[1]
            along = np.vecdot(slope, z)[:, None]
            along[clamped] = 0
            slope -= along * z
            slope /= norm * largest
            outs[0][...], outs[1][...] = slope[: len(x1)], slope[len(x1) :]
        return reduced(self, values, (n,), z.dtype, divisor), outs
