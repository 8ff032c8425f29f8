"""Adafactor: Adam's second moment in the memory of its rows and columns."""

from __future__ import annotations

import math
from typing import Any, Unpack

from fastopt._tensor_rules import MEASURES, RULES, SETTLES
from fastopt._validation import check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

VECTOR = Rule(RULES["adafactor"], "variance", measure=MEASURES["adafactor"], settle=SETTLES["adafactor"])
MATRIX = Rule(RULES["adafactor_matrix"], "row_var", "col_var", "_sums", whole=True)


class Adafactor(Optimizer):
    """Steps relative to the size of the parameter, by a second moment that is kept as row and column means.

    With g the gradient (negated if `maximize`), RMS the root mean square of a tensor, beta2 = 1 - t**beta2_decay::

        R = beta2 * R + (1 - beta2) * (row means of g**2)
        C = beta2 * C + (1 - beta2) * (column means of g**2)
        v = R C / max(mean of R, eps1)                      (for vectors the running mean of g**2)
        u = g / sqrt(max(v, eps1**2))
        alpha = max(eps2, RMS(p)) * min(lr, 1 / sqrt(t)) / max(1, RMS(u) / d)
        p = (1 - lr * weight_decay) * p - alpha * u

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.01
        Largest step in relation to the parameter, at least 0.
    beta2_decay : float, default -0.8
        How fast beta2 approaches 1; at most 0.
    eps : pair of (float or None, float), default (None, 1e-3)
        eps1, at least 0, None for the machine epsilon of the parameter's type, and eps2, at least 0.
    d : float, default 1.0
        Limit on RMS(u), at least 1.
    weight_decay : float, default 0
        At least 0, decoupled, with `lr` itself, unless ``decay_mode="l2"``.
    **options
        What every optimizer takes but `state_dtype`; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``row_var`` and ``col_var`` over the last two axes, for vectors and scalars ``variance``. torch takes the
    machine epsilon of the group's first parameter for all of the group, here each parameter has that of its own type.
    Sums are in double, and a matrix is updated by one thread.

    References
    ----------
    Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018.

    Examples
    --------
    >>> w = np.full((2, 2), 4.0)
    >>> opt = fo.Adafactor(w, lr=0.1)
    >>> opt.step(w)
    >>> w[0].round(6)
    array([3.6, 3.6])
    """

    _own = frozenset({"weight_decay", "decay_mode"})
    _by_shape = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, defaults, **options)

    def _check(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], float | int) and not group["lr"] >= 0:
            raise ValueError(f"Learning rate should be >= 0 but is: {group['lr']}")
        super()._check(group)
        words = "beta2_decay should be <= 0 but is"
        check_number(group["beta2_decay"], words, "Adafactor", "beta2_decay", -math.inf, 0, high_open=False)
        if not isinstance(group["eps"], tuple | list) or len(group["eps"]) != 2:
            raise ValueError(f"Invalid eps: {group['eps']!r} (Adafactor needs a pair, the first a number or None)")
        for i, eps in enumerate(group["eps"]):
            if i or eps is not None:
                check_number(eps, f"epsilon{i + 1} should be >= 0 but is", "Adafactor", f"eps[{i}]")
        check_number(group["d"], "Clipping threshold d should be >= 1 but is", "Adafactor", "d", low=1.0)

    @staticmethod
    def _state_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if (name == "variance") != (len(shape) < 2):
            return None
        return {
            "variance": shape,
            "row_var": (*shape[:-1], 1),
            "col_var": (*shape[:-2], 1, *shape[-1:]),
            "_sums": (2 * math.prod(shape[-1:]),),  # one double a column, whatever the type
        }.get(name)

    @staticmethod
    def _scalars(group: dict[str, Any], t: int, shape: tuple[int, ...]) -> tuple[Rule, tuple[float, ...]]:
        lr, weight_decay, (eps1, eps2) = group["lr"], group["weight_decay"], group["eps"]
        coupled = group.get("decay_mode") == "l2"
        limit = t**-0.5
        scalars = (
            lr if lr < limit else limit,
            float(t) ** group["beta2_decay"],
            -1 if eps1 is None else eps1,
            eps2,
            group["d"],
            1 if coupled else 1 - lr * weight_decay,
            weight_decay if coupled else 0,
        )
        if len(shape) < 2:
            return VECTOR, (*scalars, 1, 1, math.prod(shape))
        return MATRIX, (*scalars, math.prod(shape[:-2]), *shape[-2:])
