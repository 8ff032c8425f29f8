"""Losses of a prediction against a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise, Pointwise, warn_of_broadcast
from fastopt.params import Array


class Difference(Pointwise):
    """Base class of torch's losses of input - target, which broadcast with a warning."""

    _broadcast = True

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        common = super()._common_shape(shape, other, name)
        warn_of_broadcast(shape, other)
        return common


class L1Loss(Difference):
    """The size of the error: its minimum is the median.

    Element by element::

        value = abs(input - target)

    Outliers count no more than others; but the slope stays 1 however small the error is, so that fixed steps do not
    settle.

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
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape. Shapes
    that broadcast are taken with a UserWarning, as in torch: (n, 1) against (n,) is a mistake far more often than a
    wish. The slope where both are equal is 0, as in torch.

    References
    ----------
    Bloomfield and Steiger, "Least absolute deviations: theory, applications, and algorithms", 1983.

    Examples
    --------
    >>> loss = fo.L1Loss()
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 2.0, 5.0, 0.0]), np.ones(4))
    >>> value, gradient
    (1.5, array([ 0.  ,  0.25,  0.25, -0.25]))
    """

    _kernel = "l1"


class MSELoss(CurvedPointwise, Difference):
    """The squared error: its minimum is the mean.

    Element by element::

        value = (input - target)**2

    The likelihood of normal noise of one variance; a single outlier can outweigh all else.

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
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape. Shapes
    that broadcast are taken with a UserWarning, as in torch: (n, 1) against (n,) is a mistake far more often than a
    wish. The mean of nothing is NaN, its gradient empty, as in torch. `hessian_diag` gives the second derivative.

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

    _kernel = "mse"
    _curvature = "mse_curvature"


class SmoothL1Loss(Difference):
    """The size of the error, rounded off near 0.

    Element by element, with d = input - target::

        value = d**2 / (2 * beta)       if abs(d) < beta
                abs(d) - beta / 2       else

    Slopes of at most 1, and steps that settle. It is `HuberLoss` with ``delta=beta``, divided by beta.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.
    beta : float, default 1.0
        Where the parabola ends; finite, at least 0, which is `L1Loss`.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape. Shapes
    that broadcast are taken with a UserWarning, as in torch. A negative beta is refused by the constructor; in torch by
    the first call.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> loss = fo.SmoothL1Loss(beta=0.5)
    >>> value, gradient = loss.value_and_grad(np.array([0.25, 3.0]), np.zeros(2))
    >>> value, gradient
    (1.40625, array([0.25, 0.5 ]))
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number(beta, "Invalid beta", "SmoothL1Loss", "beta")
        self.beta = float(beta)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "smooth_l1" if self.beta else "l1"

    def _scalars(self) -> tuple[float, ...]:
        return (self.beta,)


class HuberLoss(CurvedPointwise, Difference):
    """The squared error near 0, linear beyond: between mean and median.

    Element by element, with d = input - target::

        value = d**2 / 2                            if abs(d) <= delta
                delta * (abs(d) - delta / 2)        else

    For normal noise with outliers; delta is in the units of the target, so scale one of them.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.
    delta : float, default 1.0
        Where the parabola ends, and the largest slope; finite, above 0.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape. Shapes
    that broadcast are taken with a UserWarning, as in torch. A delta that is not above 0 is refused by the constructor;
    in torch by the first call. `hessian_diag` gives the second derivative: 1 up to delta, then 0.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> loss = fo.HuberLoss(delta=2.0)
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 5.0]), np.zeros(2))
    >>> value, gradient
    (4.25, array([0.5, 1. ]))
    """

    _kernel = "huber"
    _curvature = "huber_curvature"

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        check_number(delta, "Invalid delta", "HuberLoss", "delta", low_open=True)
        self.delta = float(delta)

    def _scalars(self) -> tuple[float, ...]:
        return (self.delta,)


class PinballLoss(Pointwise):
    """The quantile loss: its minimum is the `quantile` of the target.

    Element by element, with q = `quantile`::

        value = q * (target - input)            if target >= input
                (1 - q) * (input - target)      else

    For intervals and for costs that differ above and below. Quantiles that are fitted apart from each other may cross.

    Parameters
    ----------
    quantile : float, default 0.5
        In (0, 1). 0.5 is half of `L1Loss`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape; nothing
    is broadcast. The slope where both are equal is -q, as in scikit-learn.

    References
    ----------
    Koenker and Bassett, "Regression quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> loss = fo.PinballLoss(0.75, reduction="sum")
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    >>> value, gradient
    (1.25, array([-0.75,  0.25]))
    """

    _kernel = "pinball"

    def __init__(self, quantile: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(quantile, "Invalid quantile", "PinballLoss", "quantile", high=1.0, low_open=True)
        self.quantile = float(quantile)

    def _scalars(self) -> tuple[float, ...]:
        return (self.quantile,)


class LogCoshLoss(CurvedPointwise):
    """The logarithm of the hyperbolic cosine of the error: a smooth `HuberLoss`.

    Element by element, with d = input - target::

        value = log(cosh(d))

    About d**2 / 2 near 0, and abs(d) - log(2) far away; twice differentiable everywhere, but its turn is at an error of
    about 1 and no parameter moves it: scale the target.

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
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape; nothing
    is broadcast. No cosh is taken, so nothing overflows: an infinite error has infinite value and slope 1 or -1. Values
    near 0 keep their relative accuracy. `hessian_diag` gives the second derivative, 1 / cosh(d)**2.

    References
    ----------
    Saleh and Saleh, "Statistical properties of the log-cosh loss function used in machine learning", 2022.

    Examples
    --------
    >>> loss = fo.LogCoshLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.1, 1000.0]), np.zeros(2))
    >>> round(value, 4), gradient.round(4)
    (499.6559, array([0.0498, 0.5   ]))
    """

    _kernel = "log_cosh"
    _curvature = "log_cosh_curvature"


class CauchyLoss(Pointwise):
    """The logarithm of the squared error: beyond `scale`, the larger an error the less it pulls.

    Element by element, with d = input - target and c = `scale`::

        value = c**2 / 2 * log(1 + (d / c)**2)

    The likelihood of Cauchy noise of this scale, times c**2 / 2; also called Lorentzian. About d**2 / 2 near 0. It is
    not convex: begin with a fit that is about right.

    Parameters
    ----------
    scale : float, default 1.0
        The error of the largest slope, c / 2; finite, above 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape; nothing
    is broadcast. The square of an error does not overflow; an infinite error has infinite value and slope 0.

    References
    ----------
    Black and Anandan, "The robust estimation of multiple motions: parametric and piecewise-smooth flow fields",
    Computer Vision and Image Understanding 63, 1996.

    Examples
    --------
    >>> loss = fo.CauchyLoss()
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 100.0]), np.zeros(2))
    >>> round(value, 4), gradient.round(4)
    (2.4759, array([0.25 , 0.005]))
    """

    _kernel = "cauchy"

    def __init__(self, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(scale, "Invalid scale", "CauchyLoss", "scale", low_open=True)
        self.scale = float(scale)

    def _scalars(self) -> tuple[float, ...]:
        return (self.scale,)


class EpsilonInsensitiveLoss(Pointwise):
    """The size of the error beyond a tolerance: that of support vector regression.

    Element by element::

        value = max(0, abs(input - target) - epsilon)

    Errors up to epsilon are free, so few samples have a gradient; epsilon is in the units of the target.

    Parameters
    ----------
    epsilon : float, default 0.1
        The tolerance; finite, at least 0, which is `L1Loss`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape; nothing
    is broadcast. The slope at an error of exactly epsilon is 0.

    References
    ----------
    Vapnik, "The nature of statistical learning theory", 1995.

    Examples
    --------
    >>> loss = fo.EpsilonInsensitiveLoss(0.5)
    >>> value, gradient = loss.value_and_grad(np.array([0.25, 3.0]), np.zeros(2))
    >>> value, gradient
    (1.25, array([0. , 0.5]))
    """

    _kernel = "epsilon_insensitive"

    def __init__(self, epsilon: float = 0.1, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(epsilon, "Invalid epsilon", "EpsilonInsensitiveLoss", "epsilon")
        self.epsilon = float(epsilon)

    def _scalars(self) -> tuple[float, ...]:
        return (self.epsilon,)


class GaussianNLLLoss(Pointwise):
    """The likelihood of normal noise whose variance is predicted too.

    Element by element, with v = max(var, eps)::

        value = (log(v) + (input - target)**2 / v) / 2      (+ log(2 * pi) / 2 if `full`)

    For noise that differs from place to place. Where the variance is large the mean hardly learns, so fit the mean
    first.

    Parameters
    ----------
    full : bool, default False
        Add the constant of the likelihood.
    eps : float, default 1e-6
        The least variance; finite, above 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit. A variance that is
        negative.

    Notes
    -----
    Called with `input` and `target` of the same shape, and `var`, of that shape too, or with an axis of 1, or without
    the last: one variance for several elements, whose gradients are added up. `input` and `var` are float32 or
    float64, both the same; `target` is real numbers. The gradient is a pair, that by `input` and that by `var`. Below
    eps the latter is that at eps, not 0, so that a variance can grow again; as in torch.

    References
    ----------
    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.

    Examples
    --------
    >>> loss = fo.GaussianNLLLoss()
    >>> value, (by_mean, by_variance) = loss.value_and_grad(np.array([1.0, 2.0]), np.zeros(2), np.array([2.0, 4.0]))
    >>> round(value, 4), by_mean, by_variance
    (0.8949, array([0.25, 0.25]), array([0.0625, 0.    ]))
    """

    _kernel = "gaussian_nll"
    _names = ("input", "var", "target")
    _gradients = 2

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_flag(full, "GaussianNLLLoss", "full")
        check_number(eps, "Invalid eps", "GaussianNLLLoss", "eps", low_open=True)
        self.full = bool(full)
        self.eps = float(eps)

    def __call__(  # type: ignore[override]
        self, input: ArrayLike, target: ArrayLike, var: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Any:
        return self._evaluate((input, var, target), (False, None, None, sample_weight))[0]

    def value_and_grad(  # type: ignore[override]
        self,
        input: ArrayLike,
        target: ArrayLike,
        var: ArrayLike,
        *,
        out: tuple[Array, Array] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, Array]]:
        """As `Loss.value_and_grad`, with the gradients by `input` and by `var`."""
        return self._evaluate((input, var, target), (True, out, grad_output, sample_weight))

    def _conform(self, inputs: tuple[Any, ...]) -> tuple[Array, ...]:
        input, var, target = inputs
        if np.ndim(input) and np.shape(var) == np.shape(input)[:-1]:  # one for each row: a column
            var = np.asarray(var)[..., None]
        return super()._conform((input, var, target))

    def _sum_to(self, full: Array, out: Array) -> None:
        super()._sum_to(full, out if out.ndim == full.ndim else out[..., None])

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        differ = [b for a, b in zip(shape, other, strict=True) if a != b] if len(shape) == len(other) else []
        if name == "var" and differ == [1]:
            return shape
        return super()._common_shape(shape, other, name)

    def _check(self, *arrays: Array) -> None:
        if outside(arrays[1], 0.0, np.inf) and (arrays[1] < 0).any():
            raise ValueError(f"var has negative entry/entries: the least is {np.nanmin(arrays[1])}")

    def _scalars(self) -> tuple[float, ...]:
        return (self.eps, 0.5 * math.log(2 * math.pi) if self.full else 0.0)
