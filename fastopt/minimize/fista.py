"""Accelerated proximal gradient descent by ask and tell: FISTA with backtracking and restarts."""

# Design: the algorithm is one generator, which yields the points to evaluate and returns the reason to stop. What it
# lets the caller see has the names of LBFGSCore. It does no arithmetic that may warn but in the functions below it, as
# np.errstate would reach from a generator into the caller.

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastopt.minimize.bounds import Limits, limits, within
from fastopt.minimize.evaluation import Vector, checked, evaluator, start
from fastopt.minimize.options import chosen, limits_of_run
from fastopt.minimize.outcome import ENDINGS, finish, outcome, run, watcher
from fastopt.penalties import L1, Box, Penalty, is_separable

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

# Steps of a first-order method may be small far from the minimum, so that its ftol is off.
OPTIONS = {"gtol": 1e-5, "ftol": 0.0, "maxiter": 15000, "maxfun": 15000}
FISTA_ENDINGS = ENDINGS | {
    "gradient": ENDINGS["gradient"]._replace(
        message="Converged: no component of the gradient mapping is larger than gtol."
    ),
    # It may also be that f has a kink there which the penalty does not know of.
    "precision": ENDINGS["precision"]._replace(
        success=False, message="Stopped: rounding hides any further decrease of f; gtol is not met."
    ),
    "stalled": ENDINGS["stalled"]._replace(
        message="Stopped: neither f nor the gradient mapping has fallen over a thousand iterations; gtol is not met."
    ),
}

DOUBT = 10  # trials after which rounding is no longer believed to be why f disagrees with its gradient
TRIALS = 60  # that one step may take
PATIENCE = 1000  # iterations without progress
GROWTH = 2.0, 1.02
SHORTEST, LONGEST = 1e-30, 1e18  # steps, whose inverses and products are no trouble in single precision


class Point(NamedTuple):
    """An evaluated point; `total` is f with the penalty, `finite` whether f and g are."""

    x: Vector
    f: float
    g: Vector
    total: float
    finite: bool


class FISTA:
    """Minimize f + penalty from `x`, a vector of its own, calling f within the bounds only.

    With bounds the penalty must be one of each element: then its prox, projected, is the prox of both.

    A step goes from y, ahead of the iterate by momentum, to u = prox(y - step g), where
    f(u) <= f(y) + g'(u - y) + ||u - y||^2 / (2 step) must hold. Momentum ends where it leads uphill.

    References
    ----------
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM J. Imaging
    Sciences 2009. O'Donoghue and Candès, "Adaptive restart for accelerated gradient schemes", Foundations of
    Computational Mathematics 2015. Scheinberg, Goldfarb and Bai, "Fast first-order methods for composite convex
    optimization with backtracking", Foundations of Computational Mathematics 2014: momentum where steps grow.
    """

    def __init__(
        self,
        x: Vector,
        penalty: Penalty,
        bounds: Limits | None = None,
        *,
        gtol: float,
        ftol: float,
        maxiter: int,
        maxfun: int,
    ) -> None:
        self.penalty, self.bounds = penalty, bounds
        self.gtol, self.ftol, self.maxiter, self.maxfun = gtol, ftol, maxiter, maxfun
        self.eps = float(np.finfo(x.dtype).eps)
        self.nit = self.nfev = 0
        self.reason = "running"
        self.step, self.gnorm = 0.0, math.inf  # of the last iteration, and of the gradient mapping
        x = within(x, bounds)
        start = penalty.prox(x) if penalty.value(x) == math.inf else x  # from outside of a constraint
        self._here = self._best = Point(start, math.nan, np.full_like(start, np.nan), math.inf, False)
        self._algorithm = self._run(start)
        self._asked = next(self._algorithm)

    @property
    def done(self) -> bool:
        return self.reason != "running"

    def ask(self) -> Vector:
        return self._asked.copy()

    def tell(self, f: float, g: Vector) -> bool:
        self.nfev += 1
        finite = math.isfinite(f) and bool(np.isfinite(g).all())
        try:
            self._asked = self._algorithm.send(Point(self._asked, f, g, f + self.penalty.value(self._asked), finite))
        except StopIteration as end:
            self.reason = end.value
        return True

    def stop(self) -> None:
        self.reason = "stopped"

    def here(self) -> tuple[Vector, float, Vector]:
        return self._here.x.copy(), self._here.total, self._here.g.copy()

    def best(self) -> tuple[Vector, float, Vector]:
        point = self._here if self.reason == "gradient" or not self._best.total < self._here.total else self._best
        return point.x.copy(), point.total, point.g.copy()

    def _run(self, start: Vector) -> Generator[Vector, Point, str]:
        here = self._here = yield start
        if not (here.finite and math.isfinite(here.total)):
            return "nonfinite"
        step = _first_step(here)
        calm = self.gnorm = self._slope(here, step)
        if calm <= self.gtol:
            return "gradient"
        if self.maxiter == 0:
            return "maxiter"
        y, t, failures, still, growth = here, 1.0, 0, 0, GROWTH[0]
        while True:
            u = self._forward(y, step)
            d = _minus(u, y.x)
            square = _dot(d, d)
            if square == 0 and y is here:
                return "linesearch" if failures >= DOUBT else "precision"
            if square == 0:
                y, t = here, 1.0
                continue
            if self.nfev >= self.maxfun:
                return "maxfun"
            trial = yield u
            valid = trial.finite and math.isfinite(trial.total)
            if valid and trial.total < min(self._best.total, here.total):
                self._best = trial

            # The curvature along d, in units of what the step allows for.
            hidden = square / step <= 128 * self.eps * max(abs(y.f), abs(trial.f))
            if not valid:
                curvature = math.inf
            elif hidden:  # from f by rounding, but not from the gradient
                curvature = _dot(d, _minus(trial.g, y.g)) * step / square
            else:
                curvature = 2 * (trial.f - y.f - _dot(d, y.g)) * step / square
            if hidden and failures >= DOUBT:
                return "linesearch"
            rises = trial.total > here.total + 8 * self.eps * max(abs(here.total), abs(y.f))
            if not curvature <= 1 or (rises and y is here):
                failures += 1
                growth = GROWTH[1]
                if failures == TRIALS:
                    return "linesearch"
                step *= min(max(0.9 / curvature, 0.1), 0.9) if curvature > 0 else 0.1
                continue
            if rises:
                y, t = here, 1.0
                continue

            uphill = _dot(d, _minus(trial.x, here.x)) < 0
            former, here = here, trial
            self._here = here
            self.nit += 1
            failures = 0
            slope = self.gnorm = self._slope(here, step)
            self.step = step
            if slope <= self.gtol:
                return "gradient"
            drop, size = former.total - here.total, max(abs(former.total), abs(here.total))
            if self.ftol > 0 and drop < self.ftol * max(size, 1.0):
                return "decrease"
            if abs(drop) > 2 * self.eps * size or slope < 0.5 * calm:
                still, calm = 0, slope
            else:
                still += 1
                if still == PATIENCE:
                    return "stalled"
            if self.nit >= self.maxiter:
                return "maxiter"

            longer = min(step * growth, LONGEST)
            before, t = t, (1 + math.sqrt(1 + 4 * t * t * step / longer)) / 2
            y, step = here, longer
            if uphill:
                t = 1.0
            elif before > 1:
                if self.nfev >= self.maxfun:
                    return "maxfun"
                y = yield within(_ahead(here.x, former.x, (before - 1) / t), self.bounds)
                if not y.finite:
                    y, t = here, 1.0

    def _forward(self, point: Point, step: float) -> Vector:
        """The proximal gradient step."""
        with np.errstate(all="ignore"):
            moved = point.x - point.x.dtype.type(step) * point.g
        return within(self.penalty.prox(moved, step), self.bounds)

    def _slope(self, point: Point, step: float) -> float:
        """The largest component of the gradient mapping, inf where rounding hides some of it."""
        step = min(step, 1.0)  # beyond, it would be small near any bound
        size = np.abs(point.g)
        if np.any((size > self.gtol) & (size * step < 4 * self.eps * np.abs(point.x))):
            return math.inf
        return float(np.max(np.abs(_minus(point.x, self._forward(point, step))), initial=0)) / step


def fista(
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
    eps: float | None = None,
    finite_diff_rel_step: float | None = None,
    history: bool = False,
    **options: Any,
) -> OptimizeResult:
    """FISTA as `minimize` calls it."""
    x = start(x0).copy()
    low_high = limits(bounds, x)
    if l1 is not None and np.any(l1):
        if penalty is not None:
            raise ValueError("'fista' takes a penalty or l1, not both")
        penalty = L1(l1)
    if penalty is not None and low_high is not None and not is_separable(penalty):
        raise ValueError(f"'fista' cannot handle bounds together with {type(penalty).__name__}")
    evaluate = evaluator(fun, x0, args, jac, bounds, eps, finite_diff_rel_step)
    watch = watcher(callback, history)
    stops = limits_of_run(chosen(options, OPTIONS, tol, evaluate))
    solver = FISTA(x, Box() if penalty is None else penalty, low_high, **stops)
    run(solver, solver.tell, checked(evaluate), watch)
    return finish(outcome(solver, FISTA_ENDINGS), evaluate, watch)


def _first_step(point: Point) -> float:
    """About the size of x, or 1 if that is more."""
    steepest = float(np.max(np.abs(point.g), initial=0)) * math.sqrt(point.g.size)
    reach = max(1.0, float(np.max(np.abs(point.x), initial=0)))
    return min(max(reach / steepest, SHORTEST), LONGEST) if steepest else 1.0


def _minus(a: Vector, b: Vector) -> Vector:
    return np.subtract(a, b, dtype=np.float64)


@np.errstate(all="ignore")
def _dot(a: Vector, b: Vector) -> float:
    return float(np.dot(a, b.astype(np.float64, copy=False)))


@np.errstate(all="ignore")
def _ahead(x: Vector, former: Vector, momentum: float) -> Vector:
    y: Vector = x + x.dtype.type(momentum) * (x - former)
    return y
