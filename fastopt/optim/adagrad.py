"""Adagrad and what grew out of it: steps scaled by past squared gradients. RMSprop forgets, Adadelta needs no rate."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms

ADAGRAD = Rule(RULES["adagrad"], "sum", start=RULES["fill"])
ADADELTA = Rule(RULES["adadelta"], "square_avg", "acc_delta")
RMSPROP = Rule(RULES["rmsprop"], "square_avg")
MOMENTUM = Rule(RULES["rmsprop_momentum"], "square_avg", "momentum_buffer")
CENTERED = Rule(RULES["rmsprop_centered"], "square_avg", "grad_avg")
CENTERED_MOMENTUM = Rule(RULES["rmsprop_centered_momentum"], "square_avg", "grad_avg", "momentum_buffer")


class Adagrad(Optimizer):
    """Adagrad: the more a coordinate has moved, the slower it goes on; made for sparse features.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        s = s + g**2                                (s = initial_accumulator_value before the first step)
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Its known flaw is that s only grows, so that on long runs the steps die out; `RMSprop` forgets instead.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate, at least 0.
    lr_decay : float, default 0
        How fast the learning rate falls with the number of steps; at least 0.
    weight_decay : float, default 0
        L2 penalty, added to the gradient; at least 0.
    initial_accumulator_value : float, default 0
        Where s starts; at least 0.
    eps : float, default 1e-10
        Added to the root, outside of it, as in torch (optax has it inside); at least 0.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`. There is no bias
        correction, so that the modes "torch" and "hat" are one.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step`` and ``sum``, from the first step on; torch has them from the start.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Adagrad(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        initial = "initial_accumulator_value"
        check_number(group["lr_decay"], "Invalid lr_decay value", "Adagrad", "lr_decay")
        check_number(group[initial], f"Invalid {initial} value", "Adagrad", initial)
        check_number(group["eps"], "Invalid epsilon value", "Adagrad", "eps")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        lr, lr_decay = group["lr"], group["lr_decay"]
        if lr_decay:
            lr /= 1 + (t - 1) * lr_decay
        inner, outer = eps_terms(group)
        return ADAGRAD, (group["initial_accumulator_value"], lr, inner, outer)


class Adadelta(Optimizer):
    """Adadelta: steps as large as past steps were, relative to past gradients, so that no rate need be found.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        v = rho * v + (1 - rho) * g**2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d**2
        p = p - lr * d

    The first steps are of about ``sqrt(eps)``, and the start is slow therefore.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1.0
        Factor on the step, at least 0; 1 in the paper.
    rho : float, default 0.9
        Decay rate of both averages, in [0, 1].
    eps : float, default 1e-6
        Added inside both roots; at least 0.
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
    State: ``step``, ``square_avg`` (v) and ``acc_delta`` (u).

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, 2012.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Adadelta(w, rho=0.75)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.998, -1.998])
    """

    _steady = 2

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["rho"], "Invalid rho value", "Adadelta", "rho", high=1.0, high_open=False)
        check_number(group["eps"], "Invalid epsilon value", "Adadelta", "eps")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        return ADADELTA, (group["lr"], group["rho"], group["eps"])


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square, with momentum if wanted.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``)::

        v = alpha * v + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g             (if centered, else m = 0)
        b = momentum * b + g / (sqrt(max(v - m**2, 0)) + eps)
        p = p - lr * b

    There is no bias correction: the first steps are larger than later ones by about ``1 / sqrt(1 - alpha)``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate, at least 0.
    alpha : float, default 0.99
        Decay rate of the averages, in [0, 1].
    eps : float, default 1e-8
        Added to the root, outside of it, as in torch (optax and keras have it inside); at least 0.
    weight_decay : float, default 0
        L2 penalty, added to the gradient; at least 0.
    momentum : float, default 0
        At least 0; 0 keeps no buffer.
    centered : bool, default False
        Divide by the standard deviation of the gradient, not by its root mean square.
    **options
        What every optimizer takes, `maximize` and `eps_mode` among them; see `Optimizer`. There is no bias
        correction, so that the modes "torch" and "hat" are one.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``square_avg``, with momentum ``momentum_buffer`` and if centered ``grad_avg``. Rounding may leave
    the variance v - m**2 slightly below 0, where the gradient hardly changes: torch gives NaN there, here it counts as
    0. torch takes any alpha >= 0; beyond 1, v would turn negative.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: RMSProp", COURSERA: Neural Networks for Machine Learning, 2012. Graves,
    "Generating sequences with recurrent neural networks", arXiv:1308.0850, 2013 (centered).

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.RMSprop(w, lr=0.1, alpha=0.75)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.8])
    """

    _steady = 2

    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["alpha"], "Invalid alpha value", "RMSprop", "alpha", high=1.0, high_open=False)
        check_number(group["eps"], "Invalid epsilon value", "RMSprop", "eps")
        check_number(group["momentum"], "Invalid momentum value", "RMSprop", "momentum")
        check_flag(group["centered"], "RMSprop", "centered")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        momentum = group["momentum"]
        inner, outer = eps_terms(group)
        scalars = (group["lr"], group["alpha"], inner, outer, momentum)
        if group["centered"]:
            return CENTERED_MOMENTUM if momentum else CENTERED, scalars
        return MOMENTUM if momentum else RMSPROP, scalars
