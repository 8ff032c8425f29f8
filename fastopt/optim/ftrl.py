"""Follow the regularized leader: online learning of sparse linear models."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._rules import RULES
from fastopt._validation import check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

RULE = Rule(RULES["ftrl"], "z", "n", start=RULES["ftrl_start"])


class FTRL(Optimizer):
    """FTRL-Proximal: for sparse data and sparse weights, with a rate of its own for each element.

    With g the gradient (negated if `maximize`, plus ``weight_decay * p``), n starting at 0 and z where p, as it is
    given, stays as long as gradients are zero, ``z = -p * (beta / lr + l2) - sign(p) * l1``::

        z = z + g - (sqrt(n + g**2) - sqrt(n)) / lr * p
        n = n + g**2
        p = 0 if |z| <= l1 else -(z - sign(z) * l1) / ((beta + sqrt(n)) / lr + l2)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 0.1
        The paper's alpha, above 0: steps start at ``lr / beta`` and fall with the root of the sum of squared gradients.
    beta : float, default 1.0
        Above 0; larger makes the first steps smaller.
    l2 : float, default 0.0
        L2 penalty on p as a whole, in closed form; at least 0. Without gradients it lets p be, as it is part of z.
    weight_decay : float, default 0
        L2 penalty of each step, added to the gradient; at least 0.
    **options
        What every optimizer takes, `l1` and `maximize` among them; see `Optimizer`. `l1` is the closed form's, not
        multiplied by `lr`, and like `l2` it counts once against the sum of all gradients, not at every step: for a
        penalty of c beside the mean loss, take c times the number of steps.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``z``, ``n``. p is a function of z and n: what else changes it, such as lookahead or a
    new value by hand, is mostly forgotten at the next step, and a schedule of `lr` scales p itself. Rates fall
    by themselves; leave `lr` as it is.

    References
    ----------
    McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1.

    Examples
    --------
    >>> w = np.array([1.0, -2.0, 0.0])
    >>> opt = fo.FTRL(w, lr=1.0, l1=0.5)
    >>> opt.step(np.array([1.0, -1.0, 0.5]))
    >>> w
    array([ 0.5, -1.5,  0. ])
    """

    _steady = 2

    _own = frozenset({"l1"})

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        beta: float = 1.0,
        l2: float = 0.0,
        *,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "l2": l2, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["lr"], "Invalid learning rate", "FTRL", "lr", low_open=True)
        check_number(group["beta"], "Invalid beta value", "FTRL", "beta", low_open=True)
        check_number(group["l2"], "Invalid l2 value", "FTRL", "l2")
        if group.get("decay_mode") == "decoupled":
            raise ValueError("FTRL works its parameters out anew, which decay_mode='decoupled' contradicts: use l2")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        lr = group["lr"]
        return RULE, (1 / lr, group["beta"] / lr + group["l2"], group.get("l1", 0))
