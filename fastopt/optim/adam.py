"""Adam and its alias with decoupled weight decay."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_betas, check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms

PLAIN = Rule(RULES["adam"], "exp_avg", "exp_avg_sq")
AMSGRAD = Rule(RULES["adam_amsgrad"], "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


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
        rule = AMSGRAD if group["amsgrad"] else PLAIN
        return rule, (beta1, beta2, group["lr"] / (1 - beta1**t), correction2, *eps_terms(group, correction2))


class AdamW(Adam):
    """Adam with decoupled weight decay: `Adam` with ``decoupled_weight_decay=True`` and a decay of 0.01.

    First ``p = p - lr * weight_decay * p``, then Adam's update of the plain gradient; see `Adam` for the formula, the
    parameters, the state and the errors.

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
