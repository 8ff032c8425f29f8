"""Optimizers whose averaged weights take the place of a learning rate schedule: SGD and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from fastopt._engine import resolved
from fastopt._rules import RULES
from fastopt._validation import check_betas, check_count, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms
from fastopt.params import Array

SGD = Rule(RULES["sgd_schedule_free"], "z", start=RULES["copy"])
ADAMW = Rule(RULES["adamw_schedule_free"], "z", "exp_avg_sq", start=RULES["copy"])
MEMORY = {"weight_sum": 0.0, "lr_max": 0.0}


def _check_averaging(group: dict[str, Any], owner: str) -> None:
    check_count(group["warmup_steps"], owner, "warmup_steps", low=0)
    check_number(group["r"], "Invalid r value", owner, "r")
    check_number(group["weight_lr_power"], "Invalid weight_lr_power value", owner, "weight_lr_power")


def _average(
    group: dict[str, Any], t: int, memory: tuple[float, ...], lr: float, beta: float
) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """Scalars of step `t`: those of z and y, which multiply the direction, and the weight of z in the average x."""
    weight_sum, lr_max = memory
    if t < group["warmup_steps"]:
        lr *= t / group["warmup_steps"]
    lr_max = lr if lr > lr_max else lr_max
    weight = float(t) ** group["r"] * lr_max ** group["weight_lr_power"]
    weight_sum += weight
    share = weight / weight_sum if weight_sum else 0.0
    return (lr, lr * (1 - beta * (1 - share)), share), (weight_sum, lr_max)


def _averaged(beta: float, y: Array, state: Mapping[str, Any]) -> Array:
    """x, where y is beta of the way from z to it; the parameter itself before its first step."""
    average: Array = y + (1 - 1 / beta) * (state["z"] - y) if "z" in state else y
    return average


class SGDScheduleFree(Optimizer):
    """Schedule-free SGD: a running average of the weights instead of a learning rate that falls.

    Gradients are taken at y, which is what the parameters hold while training; z takes the steps; x is the average, put
    in place by ``opt.eval()``, taken out by ``opt.train()``, or had as a copy from ``opt.eval_params()``. With g the
    gradient at y (negated if `maximize`) and rate = lr * min(1, t / warmup_steps)::

        g = g + weight_decay * y
        z = z - rate * g
        w = t**r * (largest rate so far)**weight_lr_power
        x = x + w / (sum of w) * (z - x)
        y = momentum * x + (1 - momentum) * z

    where all three start at the parameters. x is not stored: it is ``(y - (1 - momentum) * z) / momentum``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1.0
        Learning rate, at least 0; larger than that of SGD with a schedule.
    momentum : float, default 0.9
        In (0, 1): how near to the average the gradients are taken.
    weight_decay : float, default 0
        L2 penalty at y; at least 0. Without preconditioning it is the same in either `decay_mode`.
    warmup_steps : int, default 0
        So many steps the rate takes to rise to `lr`; at least 0.
    r : float, default 0.0
        Power of the step count in the weights of the average; at least 0, which weighs early and late alike.
    weight_lr_power : float, default 2.0
        Power of the rate in the weights of the average; at least 0.
    **options
        What every optimizer takes, `maximize` among them; see `Optimizer`. `l1`, `bounds` and `lookahead` work on y.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``z``, and the numbers ``weight_sum`` and ``lr_max``. These and the step count are those of a
    parameter; the package schedulefree has them per group, where they count steps without a gradient too.

    References
    ----------
    Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The road less scheduled", NeurIPS 2024.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.SGDScheduleFree(w, lr=0.1)
    >>> for _ in range(200): opt.step(2 * w)
    >>> abs(opt.eval_params()[0]).max() < 0.1
    np.True_
    """

    _own = frozenset({"weight_decay", "decay_mode"})
    _memory = MEMORY

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(
            group["momentum"], "Invalid momentum value", "SGDScheduleFree", "momentum", high=1.0, low_open=True
        )
        _check_averaging(group, "SGDScheduleFree")

    @staticmethod
    def _scalars(
        group: dict[str, Any], t: int, memory: tuple[float, ...]
    ) -> tuple[Rule, tuple[float, ...], tuple[float, ...]]:
        (rate, step, share), memory = _average(group, t, memory, group["lr"], group["momentum"])
        return SGD, (rate, step, share, group["weight_decay"]), memory

    def _averaged(self, group: Mapping[str, Any], param: Array, state: Mapping[str, Any]) -> Array:
        if "average" in state:
            return super()._averaged(group, param, state)
        group = resolved(dict(group), max(state.get("step", 0) - 1, 0))
        return _averaged(group["momentum"], param, state)


class AdamWScheduleFree(Optimizer):
    """Schedule-free AdamW: a running average of the weights instead of a learning rate that falls.

    Gradients are taken at y, which is what the parameters hold while training; z takes the steps; x is the average, put
    in place by ``opt.eval()``, taken out by ``opt.train()``, or had as a copy from ``opt.eval_params()``. With g the
    gradient at y (negated if `maximize`) and rate = lr * min(1, t / warmup_steps)::

        v = beta2 * v + (1 - beta2) * g**2
        u = g / (sqrt(v / (1 - beta2**t)) + eps) + weight_decay * y
        z = z - rate * u
        w = t**r * (largest rate so far)**weight_lr_power
        x = x + w / (sum of w) * (z - x)
        y = beta1 * x + (1 - beta1) * z

    where all three start at the parameters. x is not stored: it is ``(y - (1 - beta1) * z) / beta1``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.0025
        Learning rate, at least 0; 1 to 10 times that of AdamW with a schedule.
    betas : pair of float, default (0.9, 0.999)
        How near to the average the gradients are taken, in (0, 1), and the decay rate of v, in [0, 1).
    eps : float, default 1e-8
        Added to the root; at least 0.
    weight_decay : float, default 0
        At least 0; at y, as above, unless ``decay_mode="l2"`` adds it to the gradient.
    warmup_steps : int, default 0
        So many steps the rate takes to rise to `lr`; at least 0.
    r : float, default 0.0
        Power of the step count in the weights of the average; at least 0, which weighs early and late alike.
    weight_lr_power : float, default 2.0
        Power of the rate in the weights of the average; at least 0.
    **options
        What every optimizer takes, `maximize`, `decay_mode` and `eps_mode` among them; see `Optimizer`. `l1`, `bounds`
        and `lookahead` work on y.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``z``, ``exp_avg_sq``, and the numbers ``weight_sum`` and ``lr_max``. These and the step count are
    those of a parameter; the package schedulefree has them per group, where they count steps without a gradient too.
    Its early releases had the bias correction in the rate instead.

    References
    ----------
    Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The road less scheduled", NeurIPS 2024.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.AdamWScheduleFree(w, lr=0.1)
    >>> for _ in range(200): opt.step(2 * w)
    >>> abs(opt.eval_params()[0]).max() < 0.1
    np.True_
    """

    _own = frozenset({"weight_decay", "decay_mode"})
    _memory = MEMORY
    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        owner = "AdamWScheduleFree"
        check_betas(group["betas"], owner)
        check_number(group["betas"][0], "Invalid beta parameter at index 0", owner, "betas[0]", high=1.0, low_open=True)
        check_number(group["eps"], "Invalid epsilon value", owner, "eps")
        _check_averaging(group, owner)

    @staticmethod
    def _scalars(
        group: dict[str, Any], t: int, memory: tuple[float, ...]
    ) -> tuple[Rule, tuple[float, ...], tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        l2, decay = 0.0, group["weight_decay"]
        if group.get("decay_mode") == "l2":
            l2, decay = decay, l2
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2)
        (rate, step, share), memory = _average(group, t, memory, group["lr"], beta1)
        return ADAMW, (rate, step, share, l2, decay, beta2, correction2, inner, outer), memory

    def _averaged(self, group: Mapping[str, Any], param: Array, state: Mapping[str, Any]) -> Array:
        if "average" in state:
            return super()._averaged(group, param, state)
        group = resolved(dict(group), max(state.get("step", 0) - 1, 0))
        return _averaged(group["betas"][0], param, state)
