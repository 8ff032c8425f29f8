"""The optimizers of `fastopt.optim` as methods of `minimize`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt import optim
from fastopt.minimize.bounds import Limits, limits, within
from fastopt.minimize.evaluation import Vector, checked, evaluator, penalized, start
from fastopt.minimize.options import chosen, limits_of_run
from fastopt.minimize.outcome import ENDINGS, Ending, finish, outcome, run, watcher
from fastopt.penalties import L1, Penalty

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

OPTIONS = {"gtol": 1e-5, "ftol": 0.0, "maxiter": 10000, "maxfun": 15000}
FIRST_ORDER_ENDINGS = ENDINGS | {
    "decrease": ENDINGS["decrease"]._replace(
        message="Stopped as asked: the last step changed f by less than ftol allows for."
    ),
    "diverged": Ending(
        7, False, "Failed: f or its gradient is not finite after a step; a lower lr or clip_norm may help."
    ),
}
# What minimize says by arguments of its own, or what has no meaning for one vector with a dense gradient.
REFUSED = {"params", "maximize", "l1", "bounds", "sparse"}


def steps_by_gradients(cls: Any) -> bool:
    """Whether cls is an optimizer whose steps need the gradient at one point and nothing else."""
    if not (isinstance(cls, type) and issubclass(cls, optim.Optimizer)) or cls is optim.Optimizer:
        return False
    return cls._dense and cls.step is optim.Optimizer.step


OPTIMIZERS = {name.lower(): cls for name in optim.__all__ if steps_by_gradients(cls := getattr(optim, name))}


def settings_of(cls: type[optim.Optimizer]) -> list[str]:
    """The options of an optimizer that `minimize` hands on."""
    return [name for name in inspect.signature(cls).parameters if name not in REFUSED]


class FirstOrder:
    """Steps of an optimizer from `x`, a vector of its own, each point projected on the bounds.

    An L1 penalty enters as in OWL-QN: the optimizer sees the gradient of least size among those the kink allows, and a
    variable that a step would take through 0 stays there. So it ends where f + l1 |x| has its minimum, whatever the
    optimizer makes of the gradient's size, and zeros are exact.

    Where the optimizer keeps an average of x, that is the last point evaluated.

    References
    ----------
    Andrew and Gao, "Scalable training of L1-regularized log-linear models", ICML 2007.
    """

    def __init__(
        self,
        x: Vector,
        cls: type[optim.Optimizer],
        settings: dict[str, Any],
        l1: L1 | None = None,
        bounds: Limits | None = None,
        *,
        gtol: float,
        ftol: float,
        maxiter: int,
        maxfun: int,
    ) -> None:
        self.l1, self.bounds = l1, bounds
        self.gtol, self.ftol, self.maxiter, self.maxfun = gtol, ftol, maxiter, maxfun
        self._x = within(x, bounds)
        self.optimizer = cls(self._x, **settings)
        self.nit = self.nfev = 0
        self.reason = "running"
        self.step, self.gnorm = 0.0, math.inf  # the rate that led here, and the largest component that may fall
        self._rate = 0.0  # that leads to the next point
        self._asked, self._averaging = self._x, False
        self._here = self._best = (self._x.copy(), math.nan, np.full_like(self._x, np.nan))

    @property
    def done(self) -> bool:
        return self.reason != "running"

    def ask(self) -> Vector:
        return self._asked.copy()

    def tell(self, f: float, g: Vector) -> bool:
        x = self._asked.copy()
        former = self._here[1]
        if self.l1 is not None:
            f += self.l1.value(x)
        self._here = (x, f, g)
        self.step = self._rate
        self.nfev += 1
        self.nit = self.nfev - 1 - self._averaging
        slope = g if self.l1 is None else pseudo_gradient(x, g, self.l1.alpha)
        self.gnorm = largest = _largest(g)
        if self.l1 is not None or self.bounds is not None:
            self.gnorm = _largest(slope if self.bounds is None else _allowed(x, slope, self.bounds))
        finite = math.isfinite(f) and math.isfinite(largest)
        if self.nfev == 1 or (finite and not f >= self._best[1]):
            self._best = self._here
        self.reason = self._judge(former, finite)
        if self.reason == "running":
            self._advance(x, slope)
        return True

    def stop(self) -> None:
        self.reason = "stopped"

    def here(self) -> tuple[Vector, float, Vector]:
        return _copied(self._here)

    def best(self) -> tuple[Vector, float, Vector]:
        return _copied(self._here if self.reason == "gradient" else self._best)

    def _judge(self, former: float, finite: bool) -> str:
        f = self._here[1]
        if not finite and self.nfev == 1:
            return "nonfinite"
        if not finite and not self.optimizer.param_groups[0].get("skip_nonfinite"):
            return "diverged"
        if finite and self.gnorm <= self.gtol:
            return "gradient"
        if self.nit and abs(former - f) < self.ftol * max(abs(former), abs(f), 1.0):
            return "decrease"
        if self.nfev >= self.maxfun:
            return "maxfun"
        if self._averaging or (self.nit >= self.maxiter and not self._average()):
            return "maxiter"
        return "running"

    def _average(self) -> bool:
        """Ask for the average, if there is one."""
        average = within(self.optimizer.eval_params()[0], self.bounds)
        self._averaging = not np.array_equal(average, self._x)
        if self._averaging:
            self._asked = average
        return self._averaging

    def _advance(self, x: Vector, slope: Vector) -> None:
        if self._averaging or (self.nfev == self.maxfun - 1 and self._average()):
            return
        rate = self.optimizer.param_groups[0]["lr"]
        self._rate = float(rate(self.nit) if callable(rate) else rate)
        self.optimizer.step([slope])
        if self.l1 is not None:
            across = self._x * np.where(x != 0, x, -slope) <= 0
            self._x[across & (np.asarray(self.l1.alpha) > 0)] = 0
        if self.bounds is not None:
            np.clip(self._x, *self.bounds, out=self._x, casting="same_kind")


def pseudo_gradient(x: Vector, g: Vector, weights: Any) -> Vector:
    """The subgradient of f + weights |x| of least size, where g is the gradient of f."""
    w = np.asarray(weights).astype(x.dtype)
    with np.errstate(all="ignore"):
        slope: Vector = np.where(x != 0, g + w * np.sign(x), g - np.clip(g, -w, w))
    return slope


def _largest(slope: Vector) -> float:
    return float(np.max(np.abs(slope), initial=0))


def _allowed(x: Vector, slope: Vector, bounds: Limits) -> Vector:
    """How far the bounds let x follow the slope, each component for itself."""
    with np.errstate(all="ignore"):
        step: Vector = np.clip(-slope, bounds[0] - x, bounds[1] - x)
    return step


def _copied(point: tuple[Vector, float, Vector]) -> tuple[Vector, float, Vector]:
    x, f, g = point
    return x.copy(), f, g.copy()


def descend(
    cls: type[optim.Optimizer],
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any,
    jac: Any,
    *,
    bounds: Any,
    callback: Callable[..., Any] | None,
    tol: float | None,
    l1: ArrayLike | None,
    penalty: Penalty | None,
    finite_diff_rel_step: float | None = None,
    history: bool = False,
    **options: Any,
) -> OptimizeResult:
    """A first-order optimizer as `minimize` calls it."""
    if penalty is not None and not penalty.smooth:
        name = type(penalty).__name__
        raise ValueError(f"{cls.__name__} cannot handle {name}, which is not smooth: use method='fista'")
    x = start(x0).copy()
    lasso = None
    if l1 is not None and np.any(l1):
        lasso = L1(l1)
        lasso._fit(x.shape)
    evaluate = evaluator(fun, x0, args, jac, bounds, None, finite_diff_rel_step)
    watch = watcher(callback, history)
    stops = limits_of_run(chosen(options, OPTIONS, tol, evaluate))
    settings = {name: value for name, value in options.items() if name not in OPTIONS}
    solver = FirstOrder(x, cls, settings, lasso, limits(bounds, x), **stops)
    run(solver, solver.tell, checked(evaluate) if penalty is None else penalized(evaluate, penalty), watch)
    return finish(outcome(solver, FIRST_ORDER_ENDINGS), evaluate, watch)
