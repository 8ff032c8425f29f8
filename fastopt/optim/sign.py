"""Optimizers that use the sign of a gradient or momentum: SignSGD, Signum and Lion."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_betas, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

SIGN = Rule(RULES["sign_sgd"])
SIGNUM = Rule(RULES["signum"], "momentum_buffer")
LION = Rule(RULES["lion"], "exp_avg")


class Signum(Optimizer):
    """Signum: steps of `lr` against the sign of the momentum.

    With g the gradient (negated if `maximize`)::

        p = p - lr * weight_decay * p
        m = momentum * m + (1 - momentum) * g
        p = p - lr * sign(m)

    where sign(0) is 0. Every element moves by `lr` whatever the size of its gradient, so `lr` must fall for it to
    come to rest.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.01
        Length of a step, at least 0.
    momentum : float, default 0.9
        In [0, 1); 0 keeps no buffer.
    weight_decay : float, default 0
        At least 0; decoupled, unless ``decay_mode="l2"`` adds it to the gradient.
    **options
        What every optimizer takes, `maximize` and `decay_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step`` and with momentum ``momentum_buffer``. A gradient of NaN makes the parameter NaN; a sign of 0 for
    it, as torch has, would hide it.

    References
    ----------
    Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: compressed optimisation for non-convex problems",
    ICML 2018.

    Examples
    --------
    >>> w = np.array([1.0, -20.0, 0.0])
    >>> opt = fo.Signum(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([  0.9, -19.9,   0. ])
    """

    _steady = 2

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "decay_mode": "decoupled"}
        super().__init__(params, defaults, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["momentum"], "Invalid momentum value", type(self).__name__, "momentum", high=1.0)

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        momentum = group["momentum"]
        return (SIGNUM, (group["lr"], momentum)) if momentum else (SIGN, (group["lr"],))


class SignSGD(Signum):
    """Sign descent: `Signum` without momentum, ``p = p - lr * sign(g)``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.01
        Length of a step, at least 0.
    weight_decay : float, default 0
        At least 0; decoupled, unless ``decay_mode="l2"`` adds it to the gradient.
    **options
        What every optimizer takes, `maximize` and `decay_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``.

    References
    ----------
    Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: compressed optimisation for non-convex problems",
    ICML 2018.

    Examples
    --------
    >>> w = np.array([1.0, -20.0, 0.0])
    >>> opt = fo.SignSGD(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([  0.9, -19.9,   0. ])
    """

    _steady = 2

    def __init__(self, params: Params, lr: float = 0.01, weight_decay: float = 0, **options: Unpack[Options]) -> None:
        super().__init__(params, lr, 0, weight_decay, **options)


class Lion(Optimizer):
    """Lion: steps of `lr` against the sign of a momentum that looks ahead to the present gradient.

    With g the gradient (negated if `maximize`)::

        p = p - lr * weight_decay * p
        p = p - lr * sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g

    where sign(0) is 0. Its steps are larger than Adam's at the same `lr`, so the paper takes an `lr` 3 to 10 times
    smaller and a `weight_decay` as many times larger.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-4
        Length of a step, at least 0.
    betas : pair of float, default (0.9, 0.99)
        Share of the momentum in the step, and its decay rate; each in [0, 1).
    weight_decay : float, default 0
        At least 0; decoupled, unless ``decay_mode="l2"`` adds it to the gradient.
    **options
        What every optimizer takes, `maximize` and `decay_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``. A gradient of NaN makes the parameter NaN.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.

    Examples
    --------
    >>> w = np.array([1.0, -20.0, 0.0])
    >>> opt = fo.Lion(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([  0.9, -19.9,   0. ])
    """

    _steady = 2

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "decay_mode": "decoupled"}
        super().__init__(params, defaults, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_betas(group["betas"], "Lion")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        return LION, (group["lr"], *group["betas"])
