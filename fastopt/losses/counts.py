"""Losses of the logarithm of a mean against counts and positive numbers."""

from __future__ import annotations

import numpy as np

from fastopt._losses import outside
from fastopt._validation import check_flag, check_number
from fastopt.losses.loss import CurvedPointwise
from fastopt.params import Array


class PoissonNLLLoss(CurvedPointwise):
    """The likelihood of counts whose mean is predicted.

    Element by element::

        value = exp(input) - target * input                 if `log_input`
                input - target * log(input + eps)           else
                (+ target * log(target) - target + log(2 * pi * target) / 2 where target > 1, if `full`)

    For counts whose variance is about their mean; real counts often vary more.

    Parameters
    ----------
    log_input : bool, default True
        The input is the logarithm of the mean, else the mean itself.
    full : bool, default False
        Add Stirling's approximation of log(target!); the gradient is the same.
    eps : float, default 1e-8
        Keeps the logarithm of a mean of 0 finite; finite, at least 0. Only for ``log_input=False``.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    NotImplementedError
        `hessian_diag` with ``log_input=False``.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of a shape that broadcasts
    with it. As in torch, neither is checked: a negative target, or a negative mean, gives what the formula gives, which
    may be NaN. A logarithm of inf has value inf, and one of -inf beside a target of 0 has value 0, the limits, where
    torch has NaN. With ``log_input=True`` `hessian_diag` gives the second derivative, exp(input).

    References
    ----------
    Cameron and Trivedi, "Regression analysis of count data", 1998.

    Examples
    --------
    >>> loss = fo.PoissonNLLLoss()
    >>> value, gradient = loss.value_and_grad(np.array([0.0, 1.0]), np.array([1, 2]))
    >>> round(value, 4), gradient.round(4)
    (0.8591, array([0.    , 0.3591]))
    """

    _broadcast = True

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_flag(log_input, "PoissonNLLLoss", "log_input")
        check_flag(full, "PoissonNLLLoss", "full")
        check_number(eps, "Invalid eps", "PoissonNLLLoss", "eps")
        self.log_input = bool(log_input)
        self.full = bool(full)
        self.eps = float(eps)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "poisson" if self.log_input else "poisson_rate"

    @property
    def _curvature(self) -> str:  # type: ignore[override]
        if not self.log_input:
            raise NotImplementedError("PoissonNLLLoss has hessian_diag for log_input=True only")
        return "poisson_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (self.full, self.eps)


class HalfPoissonLoss(CurvedPointwise):
    """Half the Poisson deviance with log link, without what does not depend on the input.

    Element by element, the mean being exp(input)::

        value = exp(input) - target * input

    For counts and frequencies, as `sklearn.linear_model.PoissonRegressor`. As `PoissonNLLLoss`, but with checked
    targets.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit. A target that is
        negative or not finite.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers >= 0 of the same shape;
    nothing is broadcast. At -inf the value is inf, or 0 if the target is. `hessian_diag` gives the second derivative,
    exp(input).

    References
    ----------
    Nelder and Wedderburn, "Generalized linear models", Journal of the Royal Statistical Society A 135, 1972.

    Examples
    --------
    >>> loss = fo.HalfPoissonLoss()
    >>> value, gradient = loss.value_and_grad(np.log([1.0, 2.0]), np.array([0, 2]))
    >>> round(value, 4), gradient.round(4)
    (0.8069, array([0.5, 0. ]))
    """

    _kernel = "poisson"
    _curvature = "poisson_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (False,)

    def _check(self, *arrays: Array) -> None:
        check_targets(arrays[1], "HalfPoissonLoss needs targets >= 0")


class HalfGammaLoss(CurvedPointwise):
    """Half the gamma deviance with log link, without what does not depend on the input.

    Element by element, the mean being exp(input)::

        value = input + target * exp(-input)

    For positive numbers whose spread grows with their mean, such as costs, as `sklearn.linear_model.GammaRegressor`.
    Means far below the target have slopes of any size.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit. A target that is not
        above 0, or not finite.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers > 0 of the same shape;
    nothing is broadcast. At inf and at -inf the value is inf. `hessian_diag` gives the second derivative, target *
    exp(-input).

    References
    ----------
    McCullagh and Nelder, "Generalized linear models", second edition, 1989.

    Examples
    --------
    >>> loss = fo.HalfGammaLoss()
    >>> value, gradient = loss.value_and_grad(np.log([1.0, 2.0]), np.array([2.0, 2.0]))
    >>> round(value, 4), gradient.round(4)
    (1.8466, array([-0.5,  0. ]))
    """

    _kernel = "gamma"
    _curvature = "gamma_curvature"

    def _check(self, *arrays: Array) -> None:
        check_targets(arrays[1], "HalfGammaLoss needs targets > 0", zero=False)


class HalfTweedieLoss(CurvedPointwise):
    """Half the Tweedie deviance with log link, without what does not depend on the input.

    Element by element, with p = `power`, the mean being exp(input) and the variance proportional to the mean to the p::

        value = exp((2 - p) * input) / (2 - p) - target * exp((1 - p) * input) / (1 - p)

    and its limits, `HalfPoissonLoss` for p = 1 and `HalfGammaLoss` for p = 2; for p = 0 it is (exp(input) - target)**2
    / 2. Between 1 and 2 it is for positive numbers among which are zeros, such as claims or rainfall, as
    `sklearn.linear_model.TweedieRegressor`. Values of different powers cannot be compared.

    Parameters
    ----------
    power : float, default 1.5
        Finite, at most 0 or at least 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit. A target outside its
        domain, or not finite.

    Notes
    -----
    Called with `input`, a float32 or float64 array of any shape, and `target`, real numbers of the same shape: any
    where the power is at most 0, >= 0 below a power of 2, > 0 from 2 on; nothing is broadcast. As in scikit-learn, p =
    0 keeps the square of the target, which other powers leave out. Below p = 1 and above 2 it is not convex.
    `hessian_diag` gives the second derivative, (2 - p) * exp((2 - p) * input) - (1 - p) * target * exp((1 - p) *
    input).

    References
    ----------
    Jorgensen, "Exponential dispersion models", Journal of the Royal Statistical Society B 49, 1987.

    Examples
    --------
    >>> loss = fo.HalfTweedieLoss(power=1.5)
    >>> value, gradient = loss.value_and_grad(np.log([1.0, 4.0]), np.array([0.0, 1.0]))
    >>> round(value, 4), gradient.round(4)
    (3.5, array([0.5 , 0.75]))
    """

    def __init__(self, power: float = 1.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_number(power, "Invalid power", "HalfTweedieLoss", "power", low=-np.inf)
        if 0 < power < 1:
            raise ValueError(f"Invalid power: {power} (no Tweedie distribution has a power between 0 and 1)")
        self.power = float(power)

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return {0.0: "exp_mse", 1.0: "poisson", 2.0: "gamma"}.get(self.power, "tweedie")

    @property
    def _curvature(self) -> str:  # type: ignore[override]
        return f"{self._kernel}_curvature"

    def _scalars(self) -> tuple[float, ...]:
        return (self.power if self._kernel == "tweedie" else 0.0,)

    def _check(self, *arrays: Array) -> None:
        if self.power >= 2:
            check_targets(arrays[1], f"HalfTweedieLoss(power={self.power:g}) needs targets > 0", zero=False)
        elif self.power > 0:
            check_targets(arrays[1], f"HalfTweedieLoss(power={self.power:g}) needs targets >= 0")


def check_targets(target: Array, words: str, *, zero: bool = True) -> None:
    """Refuse targets below 0, or at it, infinite ones and NaN."""
    if outside(target, 0.0, np.inf, not zero):
        bad = target[~((target >= 0 if zero else target > 0) & np.isfinite(target))]
        raise ValueError(f"{words}, finite; got {bad.flat[0]}")
