"""Optimizers whose steps are as long as the layer they update suggests."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._tensor_rules import MEASURES, RULES, SETTLES
from fastopt._validation import check_betas, check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms

LAMB_RULE = Rule(RULES["lamb"], "exp_avg", "exp_avg_sq", measure=MEASURES["lamb"], settle=SETTLES["lamb"])
PLAIN = Rule(RULES["lars"], "momentum_buffer", measure=MEASURES["lars"], settle=SETTLES["lars"])
NESTEROV = Rule(RULES["lars_nesterov"], "momentum_buffer", measure=MEASURES["lars"], settle=SETTLES["lars"])


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling: momentum whose rate follows the ratio of each tensor's norm to its gradient's.

    With g the gradient (negated if `maximize`), for each tensor::

        local = trust_coefficient * |p| / (|g| + weight_decay * |p| + eps)      (1 if |p| or |g| is 0)
        d = lr * local * (g + weight_decay * p)
        b = momentum * b + d
        p = p - (d + momentum * b if nesterov else b)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.1
        Learning rate, at least 0.
    momentum : float, default 0.9
        At least 0.
    weight_decay : float, default 0
        At least 0; part of the ratio and of the gradient as above, unless `decay_mode` is given.
    trust_coefficient : float, default 0.001
        How far a step goes in relation to the tensor's norm; at least 0.
    eps : float, default 1e-8
        At least 0.
    nesterov : bool, default False
    **options
        What every optimizer takes; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``momentum_buffer``. Not in torch. As in the paper the rate goes into the velocity; optax applies
    it after. Put biases and norms in a group with ``trust_coefficient`` of their own, or leave them to `SGD`.

    References
    ----------
    You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017.

    Examples
    --------
    >>> w = np.array([3.0, 4.0])
    >>> opt = fo.LARS(w, lr=1.0, trust_coefficient=0.1, eps=0)
    >>> opt.step(np.array([0.0, 2.0]))
    >>> w
    array([3. , 3.5])
    """

    _own = frozenset({"weight_decay"})

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "trust_coefficient": trust_coefficient,
                "eps": eps,
                "nesterov": nesterov,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["momentum"], "Invalid momentum value", "LARS", "momentum")
        check_number(group["trust_coefficient"], "Invalid trust_coefficient value", "LARS", "trust_coefficient")
        check_number(group["eps"], "Invalid epsilon value", "LARS", "eps")
        check_flag(group["nesterov"], "LARS", "nesterov")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        return NESTEROV if group["nesterov"] else PLAIN, (
            group["lr"],
            group["momentum"],
            0 if "decay_mode" in group else group["weight_decay"],
            group["trust_coefficient"],
            group["eps"],
        )


class LAMB(Optimizer):
    """Layer-wise Adam for large batches: Adam's direction, scaled to the norm of each tensor.

    With g the gradient (negated if `maximize`), for each tensor::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = m / (1 - beta1**t) / (sqrt(v) / sqrt(1 - beta2**t) + eps) + weight_decay * p
        p = p - lr * (|p| / |u|) * u        (the ratio is 1 if |p| or |u| is 0)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0: the relative length of a step.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-6
        Added to the root; at least 0.
    weight_decay : float, default 0.01
        At least 0; part of the direction, and so of its norm, unless `decay_mode` is given.
    **options
        What every optimizer takes, `eps_mode` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq``. Not in torch. Moments are bias-corrected and the ratio is not clipped,
    as in the last version of the paper and in optax.

    References
    ----------
    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020.

    Examples
    --------
    >>> w = np.array([3.0, -4.0])
    >>> opt = fo.LAMB(w, lr=0.1, weight_decay=0)
    >>> opt.step(2 * w)
    >>> w.round(4)
    array([ 2.6464, -3.6464])
    """

    _eps_modes = True
    _own = frozenset({"weight_decay"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_betas(group["betas"], "LAMB")
        check_number(group["eps"], "Invalid epsilon value", "LAMB", "eps")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        correction2 = (1 - beta2**t) ** -0.5
        inner, outer = eps_terms(group, correction2)
        return LAMB_RULE, (
            group["lr"],
            beta1,
            beta2,
            1 / (1 - beta1**t),
            correction2,
            inner,
            outer,
            0 if "decay_mode" in group else group["weight_decay"],
        )
