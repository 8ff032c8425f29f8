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
    """The hinge of support vector machines.

    Element by element::

        value = max(0, margin - target * input)

    Scores beyond the margin are free, so the solution rests on few samples; scores are no probabilities.

    Parameters
    ----------
    margin : float, default 1.0
        Any finite number; 0 is the perceptron.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, -1 or 1, not checked, of the same shape;
    nothing is broadcast. The slope is -target up to and at the margin, as in scikit-learn's SGDClassifier.

    References
    ----------
    Cortes and Vapnik, "Support-vector networks", Machine Learning 20, 1995.

    Examples
    --------
    >>> loss = fo.HingeLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.5, 2.0, 0.5]), np.array([1, 1, -1]))
    >>> round(value, 4), gradient.round(4)
    (0.6667, array([-0.3333,  0.    ,  0.3333]))
    """

    _kernel = "hinge"


class SquaredHingeLoss(Margin):
    """The square of the hinge: smooth, and harder on large errors.

    Element by element::

        value = max(0, margin - target * input)**2

    Differentiable, so that L-BFGS takes it; an outlier counts by its square.

    Parameters
    ----------
    margin : float, default 1.0
        Any finite number.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, -1 or 1, not checked, of the same shape;
    nothing is broadcast. As in scikit-learn's SGDClassifier.

    References
    ----------
    Chang, Hsieh and Lin, "Coordinate descent method for large-scale L2-loss linear support vector machines", Journal of
    Machine Learning Research 9, 2008.

    Examples
    --------
    >>> loss = fo.SquaredHingeLoss(reduction="sum")
    >>> value, gradient = loss.value_and_grad(np.array([0.5, 2.0, 0.5]), np.array([1, 1, -1]))
    >>> value, gradient
    (2.5, array([-1., -0.,  3.]))
    """

    _kernel = "squared_hinge"


class ModifiedHuberLoss(Pointwise):
    """The squared hinge, linear where the score is far wrong.

    Element by element, with m = target * input::

        value = max(0, 1 - m)**2        if m >= -1
                -4 * m                  else

    Smooth, and an outlier counts no more than by its distance. (clip(input, -1, 1) + 1) / 2 estimates the probability.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, -1 or 1, not checked, of the same shape;
    nothing is broadcast. As in scikit-learn's SGDClassifier.

    References
    ----------
    Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms", ICML 2004.

    Examples
    --------
    >>> loss = fo.ModifiedHuberLoss(reduction="sum")
    >>> value, gradient = loss.value_and_grad(np.array([0.5, -3.0]), np.array([1, 1]))
    >>> value, gradient
    (12.25, array([-1., -4.]))
    """

    _kernel = "modified_huber"


class SoftMarginLoss(Pointwise):
    """The logistic loss of labels -1 and 1.

    Element by element::

        value = log(1 + exp(-target * input))

    The same as `BCEWithLogitsLoss` of labels 0 and 1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, -1 or 1, not checked, of a shape that
    broadcasts with it. The exponential does not overflow: a score of -1000 for a target of 1 has value 1000 and slope
    -1, where torch has inf and NaN; one of -inf has inf and -1.

    References
    ----------
    Friedman, Hastie and Tibshirani, "Additive logistic regression: a statistical view of boosting", Annals of
    Statistics 28, 2000.

    Examples
    --------
    >>> loss = fo.SoftMarginLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.0, -1000.0]), np.array([1, 1]))
    >>> round(value, 4), gradient
    (500.3466, array([-0.25, -0.5 ]))
    """

    _kernel = "soft_margin"
    _broadcast = True


class HingeEmbeddingLoss(Margin):
    """Draws distances to 0 for pairs that are alike, beyond a margin for others.

    Element by element::

        value = input                       if target == 1
                max(0, margin - input)      if target == -1

    The input is a distance, such as that of two embeddings. That of pairs which are alike may collapse to 0 for all if
    there are too few others.

    Parameters
    ----------
    margin : float, default 1.0
        Any finite number.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, -1 or 1, of a shape that broadcasts with
    it. As in torch, the slope at the margin is -1, and any other target has both values, added up. The paper has
    squares of the distance and of the hinge.

    References
    ----------
    Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006.

    Examples
    --------
    >>> loss = fo.HingeEmbeddingLoss(reduction="none")
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 0.8, 0.5]), np.array([1, 1, -1]))
    >>> value, gradient
    (array([1. , 0.8, 0.5]), array([ 1.,  1., -1.]))
    """

    _kernel = "hinge_embedding"
    _broadcast = True


class MarginRankingLoss(Margin):
    """Of two scores, the one that should rank higher is drawn a margin above the other.

    Element by element::

        value = max(0, margin - target * (input1 - input2))

    For learning to rank from pairs. Without a margin, equal scores have no loss.

    Parameters
    ----------
    margin : float, default 0.0
        Any finite number.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input1` and `input2`, both float32 or both float64, and `target`, 1 if the first should rank higher, -1
    if the second, not checked; their shapes broadcast. The gradient is a pair. Where target * (input1 - input2) is the
    margin the slopes are -target and target, as in torch.

    References
    ----------
    Herbrich, Graepel and Obermayer, "Large margin rank boundaries for ordinal regression", 2000.

    Examples
    --------
    >>> loss = fo.MarginRankingLoss(margin=0.5)
    >>> value, (by_first, by_second) = loss.value_and_grad(np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([1, 1]))
    >>> value, by_first, by_second
    (0.25, array([-0.5, -0. ]), array([0.5, 0. ]))
    """

    _kernel = "margin_ranking"
    _broadcast = True
    _names = ("input1", "input2", "target")
    _gradients = 2

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        if len(shape) != len(other):
            raise ValueError(f"{name} has shape {other}, the input1 {shape}: as many dimensions are needed")
        return super()._common_shape(shape, other, name)

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
    """The hinge of several classes: the right score should be a margin above all others.

    For each row, with y = `target`, C classes and w = `weight`::

        value = w[y] / C * sum over c != y of max(0, margin - input[y] + input[c])**p

    Scores are no probabilities. All classes within the margin count, as in the reference; Crammer and Singer (2001)
    take the largest only.

    Parameters
    ----------
    p : {1, 2}, default 1
    margin : float, default 1.0
        Any finite number.
    weight : array of shape (C,), optional
        A factor for each class, finite and at least 0; None is 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows, whatever the weights.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A class index that is not in [0, C).

    Notes
    -----
    Called with `input`, float32 or float64 scores of shape (N, C) or (C,), and `target`, integers of any type and of
    shape (N,) or (). With p = 1 the slope exactly at the margin is 0, as in torch.

    References
    ----------
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.

    Examples
    --------
    >>> loss = fo.MultiMarginLoss(reduction="none")
    >>> value, gradient = loss.value_and_grad(np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]), np.array([1, 2]))
    >>> value.round(4), gradient.round(4).tolist()
    (array([0.8, 0.7]), [[0.3333, -0.6667, 0.3333], [0.3333, 0.3333, -0.6667]])
    """

    _most_dimensions = 2

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if isinstance(p, bool) or p not in (1, 2):
            raise ValueError(f"Invalid p: {p!r} (MultiMarginLoss needs 1 or 2)")
        check_number(margin, "Invalid margin", "MultiMarginLoss", "margin", low=-np.inf)
        self.p = int(p)
        self.margin = float(margin)
        self.weight = class_weight(weight)

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        # A class out of range is no target that is ignored: nothing is.
        return self._run("multi_margin", inputs, call, (self.margin, self.p), mean_of_weights=False)


class MultiLabelMarginLoss(Loss):
    """Each label's score should be 1 above that of every class that is no label.

    For each row, with L the set of its labels and C classes::

        value = sum over y in L and c not in L of max(0, 1 - (input[y] - input[c])) / C

    For rankings of labels; how many to take is left open.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A target that is neither -1 nor in [0, C).

    Notes
    -----
    Called with `input`, float32 or float64 scores of shape (N, C) or (C,), and `target`, integers of any type and of
    the same shape: the labels of each row, ended by the first -1; what follows must be in range too. A label that is
    there twice counts twice. A row without labels, or with all, has value 0. The slope exactly at the margin is 0, as
    in torch.

    References
    ----------
    Elisseeff and Weston, "A kernel method for multi-labelled classification", NIPS 2001.

    Examples
    --------
    >>> loss = fo.MultiLabelMarginLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.1, 0.2, 0.4, 0.8]), np.array([0, 3, -1, -1]))
    >>> round(value, 4), gradient
    (0.85, array([-0.5,  0.5,  0.5, -0.5]))
    """

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        z = float_array(inputs[0], "input")
        if z.ndim not in (1, 2) or z.shape[-1] == 0:
            raise ValueError(f"input has shape {z.shape}; it must be (C,) or (N, C), with at least one class")
        y = labels_of(inputs[1], z.shape)
        rows = (as_rows(z), y)
        return reduce(self, ROWWISE["multilabel_margin"], inputs, rows, call, z.shape[:-1], z.shape[-1], scratch=1)


class MultiLabelSoftMarginLoss(Loss):
    """Binary cross entropy of each class, averaged over classes.

    For each row, with C classes, w = `weight` and bce the value of `BCEWithLogitsLoss`::

        value = sum over c of w[c] * bce(input[c], target[c]) / C

    For labels that may each be there or not; correlations between them are not seen.

    Parameters
    ----------
    weight : array of shape (C,), optional
        A factor for each class, finite and at least 0; None is 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of rows, whatever the weights.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, float32 or float64 logits of shape (..., C), and `target`, real numbers of the same shape, in
    [0, 1] but not checked, which torch broadcasts. An infinite logit that is right has value 0, where torch has NaN.

    References
    ----------
    Tsoumakas and Katakis, "Multi-label classification: an overview", International Journal of Data Warehousing and
    Mining 3, 2007.

    Examples
    --------
    >>> loss = fo.MultiLabelSoftMarginLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.3, 0.7, 0.8]), np.array([0, 1, 1]))
    >>> round(value, 4), gradient.round(4)
    (0.5429, array([ 0.1915, -0.1106, -0.1033]))
    """

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
