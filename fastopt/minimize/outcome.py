"""The run of a solver from its start to its result: the loop, what watches it, and all the ways it can end."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastopt.minimize.evaluation import Differences, Evaluator, Vector, pair

# scipy.optimize takes longer to import than all of this: it is imported where it is used.
if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]


class Solver(Protocol):
    """What asks for evaluations and is told them; all vectors it hands out are copies."""

    @property
    def done(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def nit(self) -> int: ...
    @property
    def nfev(self) -> int: ...
    @property
    def step(self) -> float: ...
    @property
    def gnorm(self) -> float: ...
    def ask(self) -> Vector: ...
    def tell(self, f: Any, g: Any, /) -> bool: ...
    def stop(self) -> None: ...
    def here(self) -> tuple[Vector, float, Vector]: ...
    def best(self) -> tuple[Vector, float, Vector]: ...


class Ending(NamedTuple):
    """How a run can end: SciPy's codes (0 converged, 1 out of budget, from 2 on something else) and a sentence."""

    status: int
    success: bool
    message: str


ENDINGS = {
    "running": Ending(-1, False, "The run has not ended yet."),
    "gradient": Ending(0, True, "Converged: no component of the (projected, or pseudo-) gradient is larger than gtol."),
    "decrease": Ending(0, True, "Stopped as asked: the last step lowered f by less than ftol allows for."),
    "maxiter": Ending(1, False, "Stopped: the limit of maxiter iterations is reached."),
    "maxfun": Ending(1, False, "Stopped: the limit of maxfun function evaluations is reached."),
    "linesearch": Ending(
        2,
        False,
        "Failed: no step down the gradient lowers f. Either the gradient is not that of f, "
        "or f is not smooth or not bounded below.",
    ),
    "precision": Ending(
        3, True, "Converged as far as rounding allows: it hides any further decrease of f; gtol is not met."
    ),
    "stalled": Ending(
        4, False, "Stopped: f no longer changes, though its gradient says that it should; gtol is not met."
    ),
    "nonfinite": Ending(5, False, "Failed: f or its gradient is not finite at x0."),
    "unbounded": Ending(6, False, "Failed: f seems to be unbounded below: it fell without end along a direction."),
    "stopped": Ending(99, False, "`callback` raised `StopIteration`."),
}


def outcome(solver: Solver, endings: Mapping[str, Ending]) -> OptimizeResult:
    """The best point and how the run ended."""
    from scipy.optimize import OptimizeResult

    x, f, g = solver.best()
    reason = solver.reason
    status, success, message = endings[reason]
    return OptimizeResult(
        x=x,
        fun=f,
        jac=g,
        nfev=solver.nfev,
        njev=solver.nfev,
        nit=solver.nit,
        status=status,
        success=success,
        message=message,
        reason=reason,
    )


def run(
    solver: Solver, tell: Callable[[Any, Any], object], evaluate: Evaluator, watch: Callable[[Solver], object] | None
) -> None:
    """Ask, evaluate and tell to the end; `tell` takes in what the solver cannot use as it lies."""
    nit = -1
    while not solver.done:
        f, g = pair(evaluate(solver.ask()))
        if not solver.tell(f, g):
            tell(f, g)
        if watch is not None and solver.nit != nit:
            nit = solver.nit
            watch(solver)


def watcher(callback: Callable[..., Any] | None, history: bool) -> Watch | None:
    """What `run` shows each iterate to, if anybody wants to see it."""
    if not isinstance(history, bool):
        raise TypeError(f"Invalid history: {history!r} (must be True or False)")
    return Watch(callback, history) if history or callback is not None else None


def finish(result: OptimizeResult, evaluate: Evaluator, watch: Watch | None) -> OptimizeResult:
    """Add what only they know that stood around the solver."""
    if isinstance(evaluate, Differences):
        result.nfev = evaluate.calls
    if watch is not None:
        watch.finish(result)
    return result


class Watch:
    """Calls the callback and keeps the history, after the start and after each iteration."""

    def __init__(self, callback: Callable[..., Any] | None, history: bool) -> None:
        self.notify = None if callback is None else _notifier(callback)
        self.rows: list[tuple[float, float, float, int]] | None = [] if history else None
        self.ended_by_true = False

    def __call__(self, solver: Solver) -> None:
        if self.rows is not None:
            step = solver.step if solver.nit else math.nan
            self.rows.append((solver.here()[1], solver.gnorm, step, solver.nfev))
        if self.notify is None or solver.nit == 0:
            return
        try:
            self.ended_by_true = self.notify(solver) is True
        except StopIteration:
            solver.stop()
        if self.ended_by_true:
            solver.stop()

    def finish(self, result: OptimizeResult) -> None:
        if self.ended_by_true:
            result.message = "`callback` returned `True`."
        if self.rows is not None:
            columns = np.array(self.rows, dtype=np.float64).reshape(-1, 4).T
            result.history = dict(zip(("fun", "grad_norm", "step", "nfev"), columns, strict=True))
            result.history["nfev"] = result.history["nfev"].astype(np.intp)


def _notifier(callback: Callable[..., Any]) -> Callable[[Solver], Any]:
    """Return what calls the callback in that one of SciPy's styles it is written for."""
    from scipy.optimize import OptimizeResult

    def state(solver: Solver) -> OptimizeResult:
        x, f, g = solver.here()
        return OptimizeResult(
            x=x, fun=f, jac=g, nit=solver.nit, nfev=solver.nfev, grad_norm=solver.gnorm, step=solver.step
        )

    try:
        parameters = inspect.signature(callback).parameters
    except ValueError:  # a builtin without a signature
        return lambda solver: callback(solver.here()[0])
    if set(parameters) == {"intermediate_result"}:
        return lambda solver: callback(intermediate_result=state(solver))
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters.values() if p.default is p.empty and p.kind in positional]
    if len(needed) == 2:
        return lambda solver: callback(solver.here()[0], state(solver))
    return lambda solver: callback(solver.here()[0])
