"""Stochastic gradient descent, plain and averaged."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

PLAIN = Rule(RULES["sgd"])
MOMENTUM = Rule(RULES["sgd_momentum"], "momentum_buffer")
NESTEROV = Rule(RULES["sgd_nesterov"], "momentum_buffer")
RESTART = Rule(RULES["asgd"], "ax", start=RULES["copy"])
AVERAGE = Rule(RULES["asgd_average"], "ax")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        b = momentum * b + (1 - dampening) * g      (b = g at the first step)
        p = p - lr * (g + momentum * b if nesterov else b)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    momentum : float, default 0
        At least 0; 0 keeps no buffer.
    dampening : float, default 0
        Share of the gradient that the momentum leaves out, from the second step on.
    weight_decay : float, default 0
        L2 penalty, added to the gradient; at least 0.
    nesterov : bool, default False
        Look ahead along the momentum; needs ``momentum > 0`` and ``dampening == 0``.
    **options
        What every optimizer takes, `maximize` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``momentum_buffer``, and unlike torch's also ``step``. As in torch the learning rate multiplies the whole
    buffer when it is applied, so a change of `lr` acts at once. A momentum switched on later, by hand, starts from a
    buffer of zeros, dampening applied; torch starts from g.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> opt = fo.SGD(w, lr=0.1, momentum=0.9)
    >>> opt.step(2 * w)
    >>> w
    array([0.8, 1.6])
    """

    _steady = 2

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["momentum"], "Invalid momentum value", "SGD", "momentum")
        check_number(group["dampening"], "Invalid dampening value", "SGD", "dampening", low=-float("inf"))
        check_flag(group["nesterov"], "SGD", "nesterov")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening "
                f"(momentum={group['momentum']}, dampening={group['dampening']})"
            )

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        momentum = group["momentum"]
        if not momentum:
            return PLAIN, (group["lr"],)
        intake = 1 if t == 1 else 1 - group["dampening"]
        return NESTEROV if group["nesterov"] else MOMENTUM, (group["lr"], momentum, intake)


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: a falling rate, and the mean of the parameter over the steps after `t0`.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        eta = lr / (1 + lambd * lr * (t - 1))**alpha
        p = (1 - lambd * eta) * p - eta * g
        ax = ax + (p - ax) / max(1, t - 1 - t0)     (ax = p at the first step)

    The average is in ``opt.state[i]["ax"]``; nothing puts it into p, and `l1` and `bounds` do not reach it, unlike that
    of the option `swa_start`. By default it begins after a million steps, as in torch: set `t0` to where the iterates
    begin to hover.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate at the first step, at least 0.
    lambd : float, default 1e-4
        Decay of the parameter and of the rate; at least 0.
    alpha : float, default 0.75
        Power of the rate's decay; at least 0.
    t0 : float, default 1e6
        How many steps pass before averaging begins; up to then ax is p.
    weight_decay : float, default 0
        L2 penalty, added to the gradient; at least 0.
    **options
        What every optimizer takes, `maximize` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step`` and ``ax``. torch also keeps ``eta`` and the weight of the mean ``mu``, as float32 and for the step
    after: a change of `lr` acts one step late there. Here both follow from the step count, in double, and it acts at
    once.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
    Optimization, 1992.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.ASGD(w, lr=0.1, lambd=0)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.8, -1.6])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}, **options
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["lambd"], "Invalid lambd value", "ASGD", "lambd")
        check_number(group["alpha"], "Invalid alpha value", "ASGD", "alpha")
        check_number(group["t0"], "Invalid t0 value", "ASGD", "t0", low=-float("inf"))

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        lr, lambd = group["lr"], group["lambd"]
        eta = lr / (1.0 + lambd * lr * (t - 1)) ** group["alpha"]
        averaged = t - 1 - group["t0"]
        if t == 1 or averaged <= 1:
            return RESTART, (1 - lambd * eta, eta)
        return AVERAGE, (1 - lambd * eta, eta, 1 / averaged)
