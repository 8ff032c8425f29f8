"""The loss of a sequence of scores against a shorter sequence of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._ctc import ctc_loss, locate
from fastopt._validation import check_count, check_flag
from fastopt.losses.loss import Call, Loss, float_array
from fastopt.params import Array


class CTCLoss(Loss):
    """Connectionist temporal classification: labels whose places in the sequence are not known.

    An alignment gives each step a class; it reads as the labels if its repetitions are merged and its blanks left
    out. With log_p the log-probabilities of an item::

        value = -log(sum over alignments that read as the labels of exp(sum_t log_p[t, alignment_t]))

    "mean" divides the value of each item by its number of labels (by 1 if it has none), then by the number of items.

    Parameters
    ----------
    blank : int, default 0
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}, default "mean"
    zero_infinity : bool, default False
        An item too short for its labels, or whose labels have no probability, has value 0 instead of infinity.
    from_logits : bool, default False
        The input is logits, whose log_softmax over the classes are the log-probabilities.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes, dtypes or lengths do not fit.
    IndexError
        A label that is no class, or is the blank.

    Notes
    -----
    Called with

    - `log_probs`, float32 or float64 of shape (T, N, C), T steps, N items, C classes, or (T, C), one item. They
      should be at most 0; -inf is a class that cannot be; with NaN or inf at a class that is needed the value is NaN.
      Steps and items may have any strides; if the classes are not contiguous there is a copy.
    - `targets`, integers of shape (N, S), of which each item uses the first, or 1-d, the items' labels one after the
      other. Padding is not looked at.
    - `input_lengths` and `target_lengths`, integers, N of them: an array, a sequence or, for one item, a number.

    The gradient is that with respect to the input given. With P the probability of passing through class c at step t,
    given the labels, it is -P for log-probabilities, each of which is free, and softmax - P for logits. torch returns
    the latter for log-probabilities too, which is right only if log_softmax comes before. Steps from the item's input
    length on have gradient 0, and so has an item of infinite value (in torch NaN, for logits). A label that is no class
    or the blank is an error, where torch computes with it. A batch without items has mean NaN and sum 0, where torch
    refuses it.

    The recursion works with probabilities that have exponents of their own, in double for float32 too: it neither
    underflows nor rounds as sums of logarithms do. Beside the gradient each thread needs 48 T (S + 2) bytes.

    References
    ----------
    Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with recurrent neural
    networks", ICML 2006.

    Examples
    --------
    >>> loss = fo.CTCLoss(from_logits=True)
    >>> value, gradient = loss.value_and_grad(np.zeros((3, 2)), [1], 3, 1)
    >>> round(value, 4), gradient.round(3).tolist()
    (0.2877, [[0.0, 0.0], [0.167, -0.167], [0.0, 0.0]])
    """

    _names = ("log_probs", "targets", "input_lengths", "target_lengths")

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
        *,
        from_logits: bool = False,
    ) -> None:
        super().__init__(reduction)
        check_count(blank, "CTCLoss", "blank", low=0)
        check_flag(zero_infinity, "CTCLoss", "zero_infinity")
        check_flag(from_logits, "CTCLoss", "from_logits")
        self.blank = int(blank)
        self.zero_infinity = bool(zero_infinity)
        self.from_logits = bool(from_logits)

    def __call__(  # type: ignore[override]
        self,
        log_probs: ArrayLike,
        targets: ArrayLike,
        input_lengths: ArrayLike,
        target_lengths: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """The value: a float, or for ``reduction="none"`` an array, (N,) or () as `log_probs` has three axes or two."""
        inputs = (log_probs, targets, input_lengths, target_lengths)
        return self._evaluate(inputs, (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        log_probs: ArrayLike,
        targets: ArrayLike,
        input_lengths: ArrayLike,
        target_lengths: ArrayLike,
        *,
        out: Array | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """As `Loss.value_and_grad`, with the gradient by `log_probs`; samples are the N items."""
        inputs = (log_probs, targets, input_lengths, target_lengths)
        return self._evaluate(inputs, (True, out, grad_output, sample_weight))

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        log_probs, targets, input_lengths, target_lengths = inputs
        wanted, _, grad_output, sample_weight = call
        self._check_reduction()
        x = float_array(log_probs, "log_probs")
        if x.ndim not in (2, 3):
            raise ValueError(f"log_probs has shape {x.shape}; it must be (T, N, C) or (T, C)")
        shape = x.shape[1:-1]
        if not shape:
            x = x[:, None]
        steps, items, classes = x.shape
        if not 0 <= self.blank < classes:
            raise ValueError(f"blank is {self.blank}; it must be in [0, {classes}), the classes of the input")
        labels = _integers(targets, "targets")
        if labels.ndim not in (1, 2) or (labels.ndim == 2 and len(labels) != items):
            raise ValueError(
                f"targets has shape {labels.shape}; for {items} items it must be ({items}, S), "
                "or 1-d, one item after the other"
            )
        lengths = _lengths(input_lengths, "input_lengths", items)
        sizes = _lengths(target_lengths, "target_lengths", items)
        starts = np.empty(items, np.intp)
        locate(labels, lengths, sizes, steps, classes, self.blank, starts)
        weight = np.ones(items) if sample_weight is None else self._weights(sample_weight, shape)
        mass = float(weight.sum())
        if self.reduction == "none":
            slope = 1.0 if grad_output is None else self._cotangent(grad_output, shape, np.dtype(float)).reshape(-1)
        else:
            slope = 1.0 if grad_output is None else self._number(grad_output)
        if self.reduction == "mean":
            weight = weight / (np.maximum(sizes, 1) * mass) if mass else np.zeros(items)
        gradient = self._outs(inputs, x.dtype, call)[0] if wanted else None
        values = np.empty(items)
        total = ctc_loss(
            x if _readable(x) else np.require(x, requirements=["C", "A"]),
            gradient,
            values,
            labels,
            starts,
            sizes,
            lengths,
            weight,
            slope * weight,
            self.blank,
            self.from_logits,
            self.zero_infinity,
        )
        value: Any = total if mass or self.reduction == "sum" else np.nan
        if self.reduction == "none":
            with np.errstate(over="ignore"):  # a value beyond float32 is infinite there
                value = (values if sample_weight is None else values * weight).astype(x.dtype).reshape(shape)
        return value, gradient


def _readable(x: Array) -> bool:
    """Whether the classes of each step and item lie side by side."""
    return bool(x.flags.aligned and (x.shape[-1] == 1 or x.strides[-1] == x.itemsize))


def _integers(numbers: ArrayLike, name: str) -> Array:
    """A copy, so that what has been checked stays as it was."""
    array = np.asarray(numbers)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} has dtype {array.dtype}; it must be integers")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.intp).max:
        raise IndexError(f"{name} has {array.max()}, which is out of bounds")
    return np.array(array, np.intp, order="C")


def _lengths(numbers: ArrayLike, name: str, items: int) -> Array:
    array = _integers(numbers, name)
    if array.ndim > 1 or array.size != items:
        raise ValueError(f"{name} has shape {array.shape}; it must be ({items},), a length for each item")
    return array.reshape(-1)
