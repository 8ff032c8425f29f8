"""Losses of probabilities, and of their logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise, Pointwise, factors
from fastopt.params import Array


class KLDivLoss(Pointwise):
    """The Kullback-Leibler divergence of predicted log-probabilities from a target distribution.

    Element by element::

        value = target * (log(target) - input)      (exp(target) * (target - input) if `log_target`)

    For distillation and soft labels. Of a distribution only the sum of all its elements is the divergence, so use
    "batchmean" for rows of one distribution each.

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides by the number of elements, "batchmean" by the length of the first axis of `input`.
    log_target : bool, default False
        The target is log-probabilities too.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, float32 or float64 log-probabilities of any shape, and `target`, probabilities or their
    logarithms of a shape that broadcasts with it. Where the target is 0 (-inf) the value is 0, the limit, also where
    the input is -inf; torch has NaN there, and for every target of -inf. Neither is normalized or checked; a negative
    probability has value NaN, as in torch. The gradient is that by free log-probabilities, -target: not that by the
    logits they came from. torch warns of "mean"; here nothing does.

    References
    ----------
    Kullback and Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> loss = fo.KLDivLoss(reduction="batchmean")
    >>> value, gradient = loss.value_and_grad(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.5, 0.5], [1.0, 0.0]]))
    >>> round(value, 4), gradient.tolist()
    (0.0527, [[-0.25, -0.25], [-0.5, -0.0]])
    """

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
        return {
            "mass": lambda weights, _: samples * float(weights.mean()) if weights is not None and samples else samples
        }


class BCELoss(Pointwise):
    """Binary cross entropy of probabilities.

    Element by element, with w = `weight`::

        value = -w * (target * log(input) + (1 - target) * log(1 - input))

    Where logits are at hand `BCEWithLogitsLoss` is better: near 0 and 1 a probability has lost them.

    Parameters
    ----------
    weight : array, optional
        Finite factors of a shape that broadcasts to that of `input`; None is 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, whatever the weights.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit. An input or target
        outside [0, 1], or NaN.

    Notes
    -----
    Called with `input`, float32 or float64 probabilities of any shape, and `target`, real numbers in [0, 1] of the same
    shape; nothing is broadcast but the weight. As in torch no logarithm is below -100 and no denominator of the slope,
    input * (1 - input), below 1e-12: a probability of 0 for a target of 1 has value 100 and slope -1e12, and the other
    way round 100 and 1e12.

    References
    ----------
    Good, "Rational decisions", Journal of the Royal Statistical Society B 14, 1952.

    Examples
    --------
    >>> loss = fo.BCELoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.8, 0.5]), np.array([1, 0]))
    >>> round(value, 4), gradient.round(4)
    (0.4581, array([-0.625,  1.   ]))
    """

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
    """Binary cross entropy of sigmoid(input): logistic regression.

    Element by element, with w = `weight` and v = `pos_weight`::

        value = w * (v * target * log(1 + exp(-input)) + (1 - target) * log(1 + exp(input)))

    For labels that may each be there or not; rare ones are raised by `pos_weight`, which leaves the probabilities
    biased.

    Parameters
    ----------
    weight : array, optional
        Finite factors of a shape that broadcasts to that of `input`; None is 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, whatever the weights.
    pos_weight : array, optional
        Finite factors of the positive part, such as one for each class on the last axis, of a shape that broadcasts to
        that of `input`; None is 1.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, float32 or float64 logits of any shape, and `target`, real numbers of the same shape, in [0, 1]
    but not checked; nothing is broadcast but the weights. An infinite logit that is right has value 0, one that is
    wrong inf; torch has NaN for some of both. Values and slopes near 0 keep their relative accuracy, where torch rounds
    some to 0. `hessian_diag` gives the second derivative, w * (v * target + 1 - target) * p * (1 - p) with p =
    sigmoid(input).

    References
    ----------
    Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20, 1958.

    Examples
    --------
    >>> loss = fo.BCEWithLogitsLoss(pos_weight=[3.0])
    >>> value, gradient = loss.value_and_grad(np.array([0.0, 2.0]), np.array([1, 0]))
    >>> round(value, 4), gradient.round(4)
    (2.1032, array([-0.75  ,  0.4404]))
    """

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
    """Binary cross entropy with less weight on what is already right.

    Element by element, with p = sigmoid(input), t = `target` and ce the value of `BCEWithLogitsLoss`::

        p_t = p * t + (1 - p) * (1 - t)
        a_t = alpha * t + (1 - alpha) * (1 - t)         (1 if `alpha` is None)
        value = a_t * (1 - p_t)**gamma * ce

    For many easy negatives and few positives, as in detection. Its probabilities come out less extreme than the data's.

    Parameters
    ----------
    alpha : float, optional, default 0.25
        In [0, 1]: the weight of the positives, that of the negatives being 1 - alpha. None weighs both by 1.
    gamma : float, default 2.0
        In [0, 64]; 0 leaves the cross entropy.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, float32 or float64 logits of any shape, and `target`, real numbers of the same shape, in [0, 1]
    but not checked; between 0 and 1 they are soft labels. Nothing is broadcast. It is torchvision's
    `sigmoid_focal_loss`; its alpha of -1 is None here. An infinite logit that is right has value 0 and slope 0, one
    that is wrong inf and the slope of the cross entropy.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> loss = fo.SigmoidFocalLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.0, 3.0]), np.array([1, 1]))
    >>> round(value, 4), gradient.round(4)
    (0.0217, array([-0.0373, -0.    ]))
    """

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
    weight = factors(weight, name)
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
