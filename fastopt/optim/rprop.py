"""Rprop: step sizes of their own for every coordinate, from the signs of the gradient alone."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

RPROP = Rule(RULES["rprop"], "step_size", "prev", start=RULES["fill"])


class Rprop(Optimizer):
    """Resilient backpropagation: a coordinate speeds up while its gradient keeps its sign, and slows down at a turn.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``) and q the one of the step before::

        s = s * (etas[1] if g q > 0, etas[0] if g q < 0, else 1), clamped to step_sizes     (s = lr at the start)
        g = 0 where g q < 0
        p = p - sign(g) * s

    For full batches: with the noise of small ones, every turn of sign looks like a valley crossed.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-2
        The first step size, at least 0.
    etas : pair of float, default (0.5, 1.2)
        Factors on the step size, ``0 < etas[0] < 1 < etas[1]``.
    step_sizes : pair of float, default (1e-6, 50)
        The smallest and the largest step size, ``0 <= step_sizes[0] <= step_sizes[1]``.
    weight_decay : float, default 0
        L2 penalty, added to the gradient; at least 0. torch has none here.
    **options
        What every optimizer takes, `maximize` among them; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``prev`` (q) and ``step_size`` (s). As in torch, the first step of a parameter alone reads `lr`: a
    schedule has no effect afterwards. torch multiplies g by q, which underflows to 0 for small gradients, so that s
    stays; here their signs are multiplied.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", ICNN
    1993.

    Examples
    --------
    >>> w = np.array([1.0, -2.0])
    >>> opt = fo.Rprop(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.9, -1.9])
    """

    _steady = 2

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "weight_decay": weight_decay}, **options
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for name in ("etas", "step_sizes"):
            pair = group[name]
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ValueError(f"Invalid {name}: {pair!r} (Rprop needs a pair of numbers)")
            for i, value in enumerate(pair):
                check_number(value, f"Invalid {name} at index {i}", "Rprop", f"{name}[{i}]")
        low, high = group["etas"]
        if not 0 < low < 1 < high:
            raise ValueError(f"Invalid eta values: {low}, {high} (Rprop needs 0 < etas[0] < 1 < etas[1])")
        low, high = group["step_sizes"]
        if low > high:
            raise ValueError(f"Invalid step_sizes: {low}, {high} (Rprop needs step_sizes[0] <= step_sizes[1])")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        return RPROP, (group["lr"], *group["etas"], *group["step_sizes"])
