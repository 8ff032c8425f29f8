"""Adam and its variants: decoupled weight decay, the maximum norm, a rectified start, Nesterov momentum."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_betas, check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms

PLAIN = Rule(RULES["adam"], "exp_avg", "exp_avg_sq")
AMSGRAD = Rule(RULES["adam_amsgrad"], "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
ADAMAX = Rule(RULES["adamax"], "exp_avg", "exp_inf")
WARMUP = Rule(RULES["radam_warmup"], "exp_avg", "exp_avg_sq")
NADAM = Rule(RULES["nadam"], "exp_avg", "exp_avg_sq")


class Adam(Optimizer):
    """Adam: steps of about `lr`, scaled by running moments of the gradient.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p`` unless decoupled)::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr / (1 - beta1**t) * m / (sqrt(v) / sqrt(1 - beta2**t) + eps)

    With `amsgrad`, sqrt(v) is replaced by the root of the largest v so far. With `decoupled_weight_decay`, first
    ``p = p - lr * weight_decay * p``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, outside of it and after bias correction, as in torch; at least 0.
    weight_decay : float, default 0
        At least 0; an L2 penalty added to the gradient unless decoupled.
    amsgrad : bool, default False
        The maximum is taken over the raw v, as in torch; optax takes it after bias correction.
    decoupled_weight_decay : bool, default False
        Decay the parameter itself instead of adding to the gradient.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq`` and with `amsgrad` ``max_exp_avg_sq``. The step count is an integer;
    torch's is a float32, which stops at 2**24.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015. Reddi, Kale and Kumar, "On the
    convergence of Adam and beyond", ICLR 2018 (amsgrad).

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Adam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            **options,
        )

    _eps_modes = True

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        owner = type(self).__name__
        check_number(group["eps"], "Invalid epsilon value", owner, "eps")
        check_betas(group["betas"], owner)
        check_flag(group["amsgrad"], owner, "amsgrad")
        check_flag(group["decoupled_weight_decay"], owner, "decoupled_weight_decay")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2) if "eps_mode" in group else (0.0, group["eps"])
        rule = AMSGRAD if group["amsgrad"] else PLAIN
        return rule, (beta1, beta2, group["lr"] / (1 - beta1**t), correction2, inner, outer)


class AdamW(Adam):
    """Adam with decoupled weight decay: `Adam` with ``decoupled_weight_decay=True`` and a decay of 0.01.

    First ``p = p - lr * weight_decay * p``, then Adam's update of the plain gradient; see `Adam` for the formula.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, outside of it and after bias correction, as in torch; at least 0.
    weight_decay : float, default 0.01
        At least 0, multiplied by `lr` as in torch.
    amsgrad : bool, default False
        Divide by the root of the largest v so far.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq`` and with `amsgrad` ``max_exp_avg_sq``.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.AdamW(w, lr=0.1, weight_decay=0.5)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.85, -1.8 ])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options)


class Adamax(Optimizer):
    """Adamax: Adam with the largest recent gradient in place of the root mean square.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, abs(g) + eps)
        p = p - lr / (1 - beta1**t) * m / u

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 2e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of m and u, each in [0, 1).
    eps : float, default 1e-8
        Added to the size of the gradient, inside the maximum, as in torch; at least 0.
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
    State: ``step``, ``exp_avg`` (m) and ``exp_inf`` (u).

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.1.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Adamax(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "Adamax", "eps")
        check_betas(group["betas"], "Adamax")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        return ADAMAX, (beta1, beta2, group["lr"] / (1 - beta1**t), group["eps"])


class RAdam(Optimizer):
    """Rectified Adam: plain momentum until v can be trusted, then Adam with steps that grow to full size.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p`` unless decoupled)::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        rho = r - 2 * t * beta2**t / (1 - beta2**t)             with r = 2 / (1 - beta2) - 1
        rect = sqrt((rho - 4) * (rho - 2) * r / ((r - 4) * (r - 2) * rho))
        p = p - lr / (1 - beta1**t) * m                         if rho <= 5, and from then on
        p = p - lr / (1 - beta1**t) * m * rect * sqrt(1 - beta2**t) / (sqrt(v) + eps)

    With `decoupled_weight_decay`, first ``p = p - lr * weight_decay * p``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, outside of it and before bias correction, as in torch; at least 0.
    weight_decay : float, default 0
        At least 0; an L2 penalty added to the gradient unless decoupled.
    decoupled_weight_decay : bool, default False
        Decay the parameter itself instead of adding to the gradient.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`. Here the
        modes "torch" and "hat" are one.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg`` (m) and ``exp_avg_sq`` (v). A beta2 of up to 2/3 never leaves plain momentum.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.RAdam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "RAdam", "eps")
        check_betas(group["betas"], "RAdam")
        check_flag(group["decoupled_weight_decay"], "RAdam", "decoupled_weight_decay")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        power2 = beta2**t
        step = group["lr"] / (1 - beta1**t)
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * power2 / (1 - power2)
        if rho <= 5:
            return WARMUP, (beta1, beta2, step)
        step *= ((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) ** 0.5
        correction2 = (1 - power2) ** -0.5
        inner, outer = 0.0, group["eps"] * correction2
        if group.get("eps_mode") == "root":
            inner, outer = eps_terms(group, correction2)
        return PLAIN, (beta1, beta2, step, correction2, inner, outer)


class NAdam(Optimizer):
    """Adam with Nesterov momentum: the step uses the momentum as it will be, under a schedule that warms it up.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p`` unless decoupled)::

        mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2),       P(t) = mu(1) * ... * mu(t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        n = (1 - mu(t)) / (1 - P(t)) * g + mu(t + 1) / (1 - P(t + 1)) * m
        p = p - lr * n / (sqrt(v / (1 - beta2**t)) + eps)

    With `decoupled_weight_decay`, first ``p = p - lr * weight_decay * p``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 2e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, outside of it and after bias correction, as in torch; at least 0.
    weight_decay : float, default 0
        At least 0; an L2 penalty added to the gradient unless decoupled.
    momentum_decay : float, default 4e-3
        How fast mu rises from about beta1 / 2 to beta1; at least 0.
    decoupled_weight_decay : bool, default False
        Decay the parameter itself instead of adding to the gradient.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg`` (m), ``exp_avg_sq`` (v) and ``mu_product`` (P), a float; torch's is a float32.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.NAdam(w, lr=0.1, momentum_decay=0)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.894357, -1.894357])
    """

    _eps_modes = True
    _memory: ClassVar[dict[str, float]] = {"mu_product": 1.0}

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        owner = type(self).__name__
        check_number(group["eps"], "Invalid epsilon value", owner, "eps")
        check_betas(group["betas"], owner)
        check_number(group["momentum_decay"], "Invalid momentum_decay value", owner, "momentum_decay")
        check_flag(group["decoupled_weight_decay"], owner, "decoupled_weight_decay")

    @staticmethod
    def _scalars(
        group: dict[str, Any], t: int, memory: tuple[float, ...]
    ) -> tuple[Rule, tuple[float, ...], tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        lr, rate = group["lr"], group["momentum_decay"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * rate))
        following = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * rate))
        product = memory[0] * mu
        ahead = lr * (1 - mu) / (1 - product)
        step = lr * following / (1 - product * following)
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2)
        return NADAM, (beta1, beta2, step, correction2, inner, outer, ahead), (product,)


class NAdamW(NAdam):
    """NAdam with decoupled weight decay: `NAdam` with ``decoupled_weight_decay=True`` and a decay of 0.01.

    First ``p = p - lr * weight_decay * p``, then NAdam's update of the plain gradient; see `NAdam` for the formula.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 2e-3
        Learning rate, at least 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, outside of it and after bias correction, as in torch; at least 0.
    weight_decay : float, default 0.01
        At least 0, multiplied by `lr` as in torch.
    momentum_decay : float, default 4e-3
        How fast mu rises from about beta1 / 2 to beta1; at least 0.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq`` and ``mu_product``.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016. Loshchilov and Hutter, "Decoupled weight
    decay regularization", ICLR 2019.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.NAdamW(w, lr=0.1, weight_decay=0.5, momentum_decay=0)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.844357, -1.794357])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        momentum_decay: float = 4e-3,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay=True, **options)
