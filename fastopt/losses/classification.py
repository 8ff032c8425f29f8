"""Losses of scores against classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import plain_indices, reduce, weigh_targets
from fastopt._rowwise import ROWWISE
from fastopt._validation import check_number
from fastopt.losses.loss import Call, Curved, Loss, factors, float_array, real_arrays
from fastopt.params import Array

NO_INDEX = np.iinfo(np.intp).min  # nothing is ignored, not even a NaN that was cast to this
COLUMN_KERNELS = ("cross_entropy", "cross_entropy_smooth", "focal")


class ClassLoss(Loss):
    """Base class of the losses of rows of scores against one class index each; classes are on axis 1 of more."""

    weight: Array | None = None
    ignore_index = NO_INDEX
    _most_dimensions = 32

    def _run(
        self,
        kernel: str,
        inputs: tuple[Any, ...],
        call: Call,
        scalars: tuple[float, ...],
        *,
        mean_of_weights: bool = True,
        picked: bool = False,
    ) -> tuple[Any, Any]:
        """Evaluate `kernel`; "mean" divides by the weights of the targets' classes, or by the number of targets."""
        z = in_place(float_array(inputs[0], "input"))
        classes, shape = self._classes(z)
        y = indices_of(inputs[1], z.shape, shape)
        weights = weight_for(self.weight, classes)

        def mass(sample_weights: Array | None, units: int) -> float:
            return weigh_targets(
                y, classes, self.ignore_index, weights if mean_of_weights else None, sample_weights, units
            )

        return reduce(
            self,
            ROWWISE[kernel],
            inputs,
            (z,),
            call,
            shape,
            classes,
            mass=mass,
            targets=(y,),
            shared=(None if weights is None else weights.astype(z.dtype),),
            scalars=scalars,
            picked=picked,
            columns=kernel in COLUMN_KERNELS,
        )

    def _classes(self, z: Array) -> tuple[int, tuple[int, ...]]:
        """The number of classes, and the shape of the values."""
        shape = z.shape
        if not 1 <= len(shape) <= self._most_dimensions:
            allowed = "(C,) or (N, C)" if self._most_dimensions == 2 else "(C,), (N, C) or (N, C, d1, ...)"
            raise ValueError(f"input has shape {shape}; it must be {allowed}")
        axis = 1 if len(shape) > 1 else 0
        if shape[axis] == 0:
            raise ValueError(f"input of shape {shape} has no classes")
        return shape[axis], shape[:axis] + shape[axis + 1 :]


class NLLLoss(ClassLoss):
    """The negative of the log-probability of the target's class.

    For each row, with y = `target` and w = `weight`::

        value = -w[y] * input[y]

    For log-probabilities that are at hand; from scores, `CrossEntropyLoss` is one pass and keeps accuracy.

    Parameters
    ----------
    weight : array of shape (C,), optional
        A factor for each class, finite and at least 0; None is 1.
    ignore_index : int, default -100
        Targets with this index give no value and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the sum of the weights w[y] of the targets that are not ignored.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A class index that is neither in [0, C) nor `ignore_index`.

    Notes
    -----
    Called with `input`, float32 or float64 log-probabilities of shape (C,), (N, C) or (N, C, d1, ...), and `target`,
    integers of any type and of the same shape without C. `NLLLoss2d` is another name of this class. The input is
    neither normalized nor checked; -inf at the target has value inf, or 0 if the class weighs 0, where torch has NaN.
    If nothing counts, all targets being ignored or of weight 0, the mean is NaN, as in torch, and its gradient 0.

    References
    ----------
    Fisher, "On the mathematical foundations of theoretical statistics", Philosophical Transactions of the Royal Society
    A 222, 1922.

    Examples
    --------
    >>> loss = fo.NLLLoss()
    >>> value, gradient = loss.value_and_grad(np.log([[0.8, 0.2], [0.5, 0.5]]), np.array([0, -100]))
    >>> round(value, 4), gradient.tolist()
    (0.2231, [[-1.0, 0.0], [0.0, 0.0]])
    """

    def __init__(self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = class_weight(weight)
        self.ignore_index = class_index(ignore_index)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        return self._run("nll", inputs, call, (self.ignore_index,), picked=True)


NLLLoss2d = NLLLoss


class CrossEntropyLoss(Curved, ClassLoss):
    """Cross entropy of softmax(input) against class indices or class probabilities.

    With p = softmax(input) over the classes, q the target distribution (one class, or the given probabilities), s =
    `label_smoothing` and w = `weight`::

        q' = (1 - s) * q + s / C
        value = -sum_c w_c * q'_c * log(p_c)

    The default for classes that exclude each other.

    Parameters
    ----------
    weight : array of shape (C,), optional
        A factor for each class, finite and at least 0; None is 1.
    ignore_index : int, default -100
        Targets with this index give no value and no gradient. Class indices only.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the sum of the weights w_y of the targets that are not ignored; for probabilities by their
        number, whatever the weights.
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
    integers of any type and of the same shape without C, or probabilities of the same shape. Probabilities are taken as
    they are, not normalized; with them an `ignore_index` of 0 or more is refused, as in torch.

    Infinite scores are limits: equal ones are tied, as if they were finite, and a single inf has probability 1, where
    torch has NaN; -inf has probability 0, also beside a target probability of 0. For class indices without smoothing a
    value near 0 keeps its relative accuracy, and so does the slope; torch's falls to 0 from a lead of 17 in float32 and
    of 37 in float64 on. If nothing counts, all targets being ignored or of weight 0, the mean is NaN, as in torch, and
    its gradient 0, where torch has NaN for weights of 0. `hessian_diag` gives p_c * (1 - p_c) * sum_k w_k * q'_k.

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
        words = "label_smoothing must be between 0.0 and 1.0. Got"
        check_number(label_smoothing, words, "CrossEntropyLoss", "label_smoothing", high=1.0, high_open=False)
        self.weight = class_weight(weight)
        self.ignore_index = class_index(ignore_index)
        self.label_smoothing = float(label_smoothing)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        if np.asarray(inputs[1]).dtype.kind == "f":
            return self._evaluate_soft(inputs, call)
        if self.label_smoothing:
            return self._run("cross_entropy_smooth", inputs, call, (self.ignore_index, self.label_smoothing))
        return self._run("cross_entropy", inputs, call, (self.ignore_index,))

    def _soft(self, inputs: tuple[Any, ...]) -> tuple[Array, Array, int, tuple[int, ...]]:
        """Logits, probabilities, the number of classes and the shape of the values."""
        z, q = map(in_place, real_arrays(inputs, self._names, 1))
        classes, shape = self._classes(z)
        if q.shape != z.shape:
            raise ValueError(
                f"target has shape {q.shape}; for an input of shape {z.shape}, probabilities have shape {z.shape}"
            )
        if self.ignore_index >= 0:
            raise ValueError("ignore_index is not supported for floating point target")
        return z, q, classes, shape

    def _evaluate_soft(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        z, q, classes, shape = self._soft(inputs)
        weights = weight_for(self.weight, classes)
        return reduce(
            self,
            ROWWISE["cross_entropy_soft"],
            inputs,
            (z, q),
            call,
            shape,
            classes,
            shared=(None if weights is None else weights.astype(z.dtype),),
            scalars=(self.label_smoothing,),
            columns=True,
        )

    def _evaluate_curvature(self, inputs: tuple[Any, ...], call: Call) -> Any:
        if np.asarray(inputs[1]).dtype.kind == "f":
            z, q, classes, shape = self._soft(inputs)
            weights = weight_for(self.weight, classes)
            smooth = (1 - self.label_smoothing) * q + self.label_smoothing / classes
            axis = min(1, z.ndim - 1)
            w = 1 if weights is None else weights.reshape(-1, *(1,) * (z.ndim - axis - 1))
            masses, mass = (w * smooth).sum(axis=axis), None
        else:
            z = in_place(float_array(inputs[0], "input"))
            classes, shape = self._classes(z)
            y = indices_of(inputs[1], z.shape, shape)
            weights = weight_for(self.weight, classes)
            w = np.ones(classes) if weights is None else weights

            def mass(sample_weights: Array | None, units: int) -> float:
                return weigh_targets(y, classes, self.ignore_index, weights, sample_weights, units)

            mass(None, 1)
            kept = y != self.ignore_index
            own = (1 - self.label_smoothing) * w[np.where(kept, y, 0)] + self.label_smoothing * w.mean()
            masses = np.where(kept, own, 0)
        return reduce(
            self,
            ROWWISE["softmax_curvature"],
            inputs,
            (z,),
            call,
            shape,
            classes,
            mass=mass,
            targets=(np.ascontiguousarray(masses, z.dtype),),
        )[1]


class FocalLoss(ClassLoss):
    """Cross entropy of classes with less weight on what is already right.

    For each row, with p = softmax(input), y = `target` and w = `weight`::

        value = -w[y] * (1 - p[y])**gamma * log(p[y])

    For classes of very different frequency. Its probabilities come out less extreme than the data's.

    Parameters
    ----------
    weight : array of shape (C,), optional
        A factor for each class, finite and at least 0; None is 1.
    gamma : float, default 2.0
        In [0, 64]; 0 is `CrossEntropyLoss`.
    ignore_index : int, default -100
        Targets with this index give no value and no gradient.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the sum of the weights w[y] of the targets that are not ignored.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A class index that is neither in [0, C) nor `ignore_index`.

    Notes
    -----
    Called with `input`, float32 or float64 scores of shape (C,), (N, C) or (N, C, d1, ...), and `target`, integers of
    any type and of the same shape without C. Infinite scores are limits as in `CrossEntropyLoss`, and values near 0
    keep their relative accuracy. If nothing counts the mean is NaN and its gradient 0.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> loss = fo.FocalLoss()
    >>> value, gradient = loss.value_and_grad(np.array([[0.0, 0.0], [0.0, 3.0]]), np.array([0, 1]))
    >>> round(value, 4), gradient.round(4).tolist()
    (0.0867, [[-0.1491, 0.1491], [0.0002, -0.0002]])
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_number(gamma, "Invalid gamma", "FocalLoss", "gamma", high=64.0, high_open=False)
        self.weight = class_weight(weight)
        self.gamma = float(gamma)
        self.ignore_index = class_index(ignore_index)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        whole = math.floor(self.gamma)
        return self._run("focal", inputs, call, (self.ignore_index, whole, self.gamma - whole))


def class_weight(weight: ArrayLike | None) -> Array | None:
    """A copy of a factor for each class in float64, or None."""
    if weight is None:
        return None
    weight = factors(weight, "weight")
    if weight.ndim != 1 or not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"weight must be a vector of finite numbers >= 0, one for each class, not {weight!r}")
    return weight


def weight_for(weight: Any, classes: int) -> Array | None:
    """The weights of so many classes in float64, or None."""
    if weight is None:
        return None
    weight = np.require(weight, np.float64, ["C", "A"])
    if weight.shape != (classes,):
        raise ValueError(
            f"weight should be defined either for all {classes} classes or no classes but has shape {weight.shape}"
        )
    return weight  # type: ignore[no-any-return]


def class_index(ignore_index: Any) -> int:
    """`ignore_index` as an int that a target can have."""
    if not isinstance(ignore_index, int | np.integer) or isinstance(ignore_index, bool):
        raise TypeError(f"ignore_index must be an int, not {ignore_index!r}")
    if abs(int(ignore_index)) > np.iinfo(np.intp).max:
        raise ValueError(f"ignore_index must fit the platform's integers, not {ignore_index}")
    return int(ignore_index)


def in_place(z: Array) -> Array:
    """`z` as a kernel can read it: of any strides in two dimensions, else contiguous."""
    if z.flags.c_contiguous or (z.ndim == 2 and z.shape[1] != 1):
        return z
    return np.ascontiguousarray(z)


def as_rows(z: Array) -> Array:
    """`z` with at most two dimensions, the last as it is, to be read in place if it can be."""
    return in_place(z if z.ndim <= 2 else np.ascontiguousarray(z).reshape(-1, z.shape[-1]))


def indices_of(target: ArrayLike, input_shape: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Class indices as contiguous intp."""
    if plain_indices(target) and target.shape == shape:  # type: ignore[union-attr]
        return target  # type: ignore[return-value]
    y = np.asarray(target)
    if y.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {y.dtype}; it must be class indices (int)")
    if y.shape != shape:
        raise ValueError(
            f"target has shape {y.shape}; for an input of shape {input_shape}, class indices have shape {shape}"
        )
    if y.dtype == np.uint64 and y.size and y.max() > np.iinfo(np.intp).max:
        raise IndexError(f"Target {y.max()} is out of bounds.")
    return np.require(y, np.intp, ["C", "A"])
