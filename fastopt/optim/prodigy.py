"""Prodigy: Adam that finds its learning rate."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from fastopt._tensor_rules import MEASURES, RULES, SETTLES
from fastopt._validation import check_betas, check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule

PLAIN = Rule(
    RULES["prodigy"],
    *("exp_avg", "exp_avg_sq", "s", "p0"),
    start=RULES["prodigy_start"],
    measure=MEASURES["prodigy"],
    settle=SETTLES["prodigy"],
    joint=True,
)


class Prodigy(Optimizer):
    """Adam whose learning rate is an estimate d of the distance to the solution, times `lr`.

    With g the gradient (negated if `maximize`), x . y summed over all parameters of the group, p0 where they began::

        a = beta3 * a + (d / d0) * d * lr * g . (p0 - p)
        s = beta3 * s + (d / d0) * d * lr * g               (d / d0 * d * g with safeguard_warmup)
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * d**2 * g**2
        p = p - d * lr * (m / (sqrt(v) + d_new * eps) + weight_decay * p)
        d_new = min(max(d_max, d_coef * a / sum |s|), growth_rate * d)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1.0
        Factor on the estimate, at least 0: leave it, or schedule it around 1.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, at least 0.
    weight_decay : float, default 0
        At least 0, decoupled unless ``decay_mode="l2"``.
    beta3 : float, default None
        Decay rate of the estimate's sums, in [0, 1); the root of betas[1] if None.
    d0 : float, default 1e-6
        The first estimate, above 0.
    d_coef : float, default 1.0
        Factor on further ones, above 0: 0.5 or 2 is the way to tune.
    growth_rate : float, default inf
        How much an estimate may grow in one step, at least 1.
    use_bias_correction : bool, default False
        Adam's.
    safeguard_warmup : bool, default False
        Leave `lr` out of the denominator, for schedules that start near 0.
    **options
        What every optimizer takes; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq``, ``s``, ``p0`` and the numbers ``d``, ``d_max``, ``d_numerator``, ``k``
    (steps), the same for all parameters of a group: ``opt.state[0]["d"] * lr`` is the rate in use. Not in torch. The
    reference package shares one d among all groups, here each group has its own.

    References
    ----------
    Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", ICML 2024.

    Examples
    --------
    >>> w = np.array([3.0, -4.0])
    >>> opt = fo.Prodigy(w)
    >>> for _ in range(200): opt.step(2 * w)
    >>> bool(np.abs(w).max() < 0.1)
    True
    """

    _own = frozenset({"weight_decay", "decay_mode"})
    _memory: ClassVar[dict[str, float]] = {"d": 0.0, "d_max": 0.0, "d_numerator": 0.0, "k": 0.0}

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        beta3: float | None = None,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float = float("inf"),
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "beta3": beta3,
                "d0": d0,
                "d_coef": d_coef,
                "growth_rate": growth_rate,
                "use_bias_correction": use_bias_correction,
                "safeguard_warmup": safeguard_warmup,
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_betas(group["betas"], "Prodigy")
        check_number(group["eps"], "Invalid epsilon value", "Prodigy", "eps")
        if group["beta3"] is not None:
            check_number(group["beta3"], "Invalid beta3 value", "Prodigy", "beta3", high=1.0)
        check_number(group["d0"], "Invalid d0 value", "Prodigy", "d0", low_open=True)
        check_number(group["d_coef"], "Invalid d_coef value", "Prodigy", "d_coef", low_open=True)
        if group["growth_rate"] != float("inf"):
            check_number(group["growth_rate"], "Invalid growth_rate value", "Prodigy", "growth_rate", low=1.0)
        check_flag(group["use_bias_correction"], "Prodigy", "use_bias_correction")
        check_flag(group["safeguard_warmup"], "Prodigy", "safeguard_warmup")

    @staticmethod
    def _scalars(
        group: dict[str, Any], t: int, memory: tuple[float, ...]
    ) -> tuple[Rule, tuple[float, ...], tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        beta3, d0 = group["beta3"], group["d0"]
        d, d_max, numerator, k = memory
        d, d_max = d or d0, d_max or d0
        dlr = d * group["lr"]
        if group["use_bias_correction"]:
            dlr *= (1 - beta2 ** (k + 1)) ** 0.5 / (1 - beta1 ** (k + 1))
        coupled = group.get("decay_mode") == "l2"
        scalars = (
            beta1,
            beta2,
            beta2**0.5 if beta3 is None else beta3,
            d,
            d / d0,
            dlr,
            d / d0 * (d if group["safeguard_warmup"] else dlr),
            group["eps"],
            1 if coupled else 1 - dlr * group["weight_decay"],
            group["d_coef"],
            d == d0,
            1 / group["growth_rate"],
            numerator,
            d_max,
            group["weight_decay"] if coupled else 0,
        )
        return PLAIN, scalars, (d, d_max, numerator, k + 1)
