"""Relatives of Adam, each with another measure of how far to trust a gradient: AdaBelief, Yogi and Adan."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_betas, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms

ADABELIEF = Rule(RULES["adabelief"], "exp_avg", "exp_avg_var")
YOGI = Rule(RULES["yogi"], "exp_avg", "exp_avg_sq", start=RULES["yogi_start"])
ADAN = Rule(RULES["adan"], "exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_grad")


class AdaBelief(Optimizer):
    """AdaBelief: Adam, with steps scaled by how far gradients are from their running mean, not from zero.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p`` unless decoupled)::

        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m)**2 + eps
        p = p - lr / (1 - beta1**t) * m / (sqrt(s / (1 - beta2**t)) + eps)

    Where gradients hardly vary, s falls toward ``eps / (1 - beta2)`` and steps grow far beyond `lr`.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of m and s, each in [0, 1).
    eps : float, default 1e-16
        Added to s at every step, and to the root; at least 0. `eps_mode` concerns the latter.
    weight_decay : float, default 0
        At least 0; an L2 penalty added to the gradient, unless ``decay_mode="decoupled"``.
    **options
        What every optimizer takes, `maximize`, `decay_mode` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_var``. The package adabelief_pytorch by default decouples the weight decay
    and rectifies as RAdam does; this is the paper's algorithm, which does neither.

    References
    ----------
    Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", NeurIPS 2020.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.AdaBelief(w, lr=0.09)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "AdaBelief", "eps")
        check_betas(group["betas"], "AdaBelief")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2)
        return ADABELIEF, (beta1, beta2, group["lr"] / (1 - beta1**t), correction2, group["eps"], inner, outer)


class Yogi(Optimizer):
    """Yogi: Adam, with a second moment that falls no faster than it rises.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p`` unless decoupled)::

        m = beta1 * m + (1 - beta1) * g
        v = v - (1 - beta2) * sign(v - g**2) * g**2
        p = p - lr / (1 - beta1**t) * m / (sqrt(v / (1 - beta2**t)) + eps)

    So a rare large gradient is not forgotten, and steps do not jump, as soon as small ones follow.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.01
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rate of m, and one minus the rate of change of v; each in [0, 1).
    eps : float, default 1e-3
        Added to the root; at least 0.
    weight_decay : float, default 0
        At least 0; an L2 penalty added to the gradient, unless ``decay_mode="decoupled"``.
    initial_accumulator : float, default 1e-6
        Where v starts; at least 0.
    **options
        What every optimizer takes, `maximize`, `decay_mode` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq``. Both moments are bias-corrected as in optax, though v does not start
    at 0: at the first step it counts ``initial_accumulator / (1 - beta2)``, 1e-3. optax starts m there too, which gives
    the first steps a direction that no gradient has.

    References
    ----------
    Zaheer, Reddi, Sachan, Kale and Kumar, "Adaptive methods for nonconvex optimization", NeurIPS 2018.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Yogi(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(3)
    array([ 0.9, -1.9])
    """

    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0,
        initial_accumulator: float = 1e-6,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator": initial_accumulator,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "Yogi", "eps")
        check_betas(group["betas"], "Yogi")
        check_number(group["initial_accumulator"], "Invalid initial_accumulator value", "Yogi", "initial_accumulator")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2)
        start = group["initial_accumulator"]
        return YOGI, (beta1, beta2, group["lr"] / (1 - beta1**t), correction2, inner, outer, start)


class Adan(Optimizer):
    """Adan: Adam with Nesterov momentum, told by how the gradient changes from step to step.

    With g the gradient (negated if `maximize`), and c = g - previous g, 0 at the first step::

        m = beta1 * m + (1 - beta1) * g
        d = beta2 * d + (1 - beta2) * c
        n = beta3 * n + (1 - beta3) * (g + beta2 * c)**2
        u = (m / (1 - beta1**t) + beta2 * d / (1 - beta2**t)) / (sqrt(n / (1 - beta3**t)) + eps)
        p = (p - lr * u) / (1 + lr * weight_decay)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    betas : three floats, default (0.98, 0.92, 0.99)
        Decay rates of m, d and n, each in [0, 1). The paper's are one minus these.
    eps : float, default 1e-8
        Added to the root, outside of it and after bias correction; at least 0.
    weight_decay : float, default 0
        At least 0. In proximal form, after the step as above, unless `decay_mode` is given: "decoupled" is
        ``p = p - lr * weight_decay * p`` before the step, "l2" adds ``weight_decay * p`` to the gradient.
    **options
        What every optimizer takes, `maximize`, `decay_mode` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_diff``, ``exp_avg_sq``, ``previous_grad``: four buffers, twice Adam's. The
    package adan stores the negative of the previous gradient.

    References
    ----------
    Xie, Zhou, Li, Lin and Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", IEEE
    TPAMI 2024.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Adan(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _own = frozenset({"weight_decay", "decay_mode"})
    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "Adan", "eps")
        check_betas(group["betas"], "Adan", 3)

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2, beta3 = group["betas"]
        lr, weight_decay, mode = group["lr"], group["weight_decay"], group.get("decay_mode")
        step1 = lr / (1 - beta1**t)
        step2 = lr * beta2 / (1 - beta2**t)
        correction3 = (1 - beta3**t) ** -0.5
        inner, outer = eps_terms(group, correction3)
        l2, before, after = 0.0, 1.0, 1.0
        if mode == "l2":
            l2 = weight_decay
        elif mode == "decoupled":
            before = 1 - lr * weight_decay
        else:
            after = 1 / (1 + lr * weight_decay)
        return ADAN, (beta1, beta2, beta3, step1, step2, correction3, inner, outer, l2, before, after, t == 1)
