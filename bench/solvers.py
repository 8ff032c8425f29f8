"""Evaluations that solvers take on published test problems, and how far they are to be trusted.

Every problem is run from its start and from two perturbed ones, by each solver twice: a race with tight tolerances,
which ends at the first evaluated point that is solved, and a run to the end with gtol=1e-6, for what the solver
returns. A point is stationary if ||P(x - g) - x||inf <= 1e-5 max(1, |f|), with P the projection on the bounds, and
solved if moreover f <= best + 1e-6 max(1, |best|). A run has arrived where it first is solved, or, if it never is,
where it first is stationary with f as near to the least f of that run.

Set OPENBLAS_NUM_THREADS=1. For experiments of one's own there are `measure` and `finish`:

    from problems import problems
    from solvers import SOLVERS, measure
    problem = problems("structured")[0]
    run = measure(SOLVERS["fastopt"], problem, problem.x0)
    run.solved, run.stationary, run.f, run.nfev
"""

import warnings
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from importlib.util import find_spec
from itertools import product
from time import perf_counter
from typing import NamedTuple

import numpy as np
import scipy.optimize
from harness import Table, main, parser
from problems import problems

import fastopt as fo

KINDS = ("unconstrained", "bounded", "structured")
REFERENCE = "SciPy L-BFGS-B"
BUDGET = 3000  # evaluations
TAUS = (1, 1.25, 2, 4, 8)
SIZES = {"n <= 10": (0, 10), "n <= 200": (11, 200), "n > 200": (201, np.inf)}
TIGHT, USUAL = 1e-9, 1e-6  # gtol of the race, of the run to the end


class Solver(NamedTuple):
    """`run(fun, x0, bounds, gtol, budget)` returns the last x; bounds are None or of SciPy."""

    name: str
    run: Callable
    bounded: bool = False
    largest: float = np.inf  # n, for the sake of time


class Run(NamedTuple):
    """What a race gave: evaluations until solved and until stationary at its least f, or None; f on arrival."""

    solved: int | None
    stationary: int | None
    f: float
    nfev: int
    outside: int  # evaluations outside of the bounds
    overhead: float  # seconds an evaluation, outside the objective

    @property
    def arrived(self):
        return self.stationary if self.solved is None else self.solved


class Stop(Exception):
    """Ends a solver from within the objective."""


class Judge:
    """The objective of a problem, which counts, looks at each point, and ends the run at `budget` or when solved."""

    def __init__(self, problem, budget, race=True):
        self.problem, self.budget, self.race = problem, budget, race
        self.bounded = problem.low is not None or problem.high is not None
        self.low = -np.inf if problem.low is None else problem.low
        self.high = np.inf if problem.high is None else problem.high
        self.goal = np.inf if problem.best is None else _within(problem.best)
        self.nfev = self.outside = 0
        self.seconds = 0.0
        self.solved = None
        self.least = np.inf
        self.still = []  # (evaluation, f) of the stationary points

    def is_stationary(self, x, f, g):
        pull = np.clip(x - g, self.low, self.high) - x if self.bounded else g
        return bool(abs(f) < np.inf and abs(pull).max() <= 1e-5 * max(1, abs(f)))

    def is_outside(self, x):
        return self.bounded and bool(np.any(x < self.low) or np.any(x > self.high))

    def is_solved(self, x):
        f, g = self.problem.fun(x)
        return f <= self.goal and not self.is_outside(x) and self.is_stationary(x, f, g)

    def __call__(self, x):
        begin = perf_counter()
        if self.nfev == self.budget:
            raise Stop
        self.nfev += 1
        f, g = self.problem.fun(x)
        if self.is_outside(x):
            self.outside += 1
        elif self.race:
            self.look(x, f, g)
        self.seconds += perf_counter() - begin
        if self.solved:
            raise Stop
        return f, g

    def look(self, x, f, g):
        self.least = min(self.least, f)
        if self.is_stationary(x, f, g):
            self.still.append((self.nfev, f))
            if f <= self.goal:
                self.solved = self.nfev

    def verdict(self, overhead):
        least = _within(self.least)
        stationary, f = next(((nfev, f) for nfev, f in self.still if f <= least), (None, np.nan))
        if self.solved:
            f = self.still[-1][1]
        return Run(self.solved, stationary, float(f), self.nfev, self.outside, overhead)


def _within(f):
    return f + 1e-6 * max(1, abs(f))


def measure(solver, problem, start, budget=BUDGET):
    """Race `solver` from `start`: a Run, or None where it is not for this problem."""
    judge = Judge(problem, budget)
    begin = perf_counter()
    if not _end(solver, judge, start, TIGHT)[0]:
        return None
    return judge.verdict((perf_counter() - begin - judge.seconds) / judge.nfev)


def finish(solver, problem, start, budget=BUDGET):
    """Run `solver` to its own end: whether what it returns is solved, or None where it is not for this problem."""
    judge = Judge(problem, budget + 100, race=False)  # who minds maxfun, minds it with a line search to spare
    known, x = _end(solver, judge, start, USUAL, budget)
    return known and x is not None and judge.is_solved(x) if known else None


def _end(solver, judge, start, gtol, budget=10**6):
    """Whether the solver can do this problem, and the x that it returns, None if it had to be stopped or gave up."""
    if (judge.bounded and not solver.bounded) or start.size > solver.largest:
        return False, None
    bounds = scipy.optimize.Bounds(judge.low, judge.high) if judge.bounded else None
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        try:
            return True, solver.run(judge, start.copy(), bounds, gtol, budget)
        except NotImplementedError:
            return False, None
        except Stop:
            return True, None


def _fastopt(fun, x0, bounds, gtol, budget, **options):
    options = {"gtol": gtol, "ftol": 0, "maxfun": budget, "maxiter": budget} | options
    return fo.minimize(fun, x0, jac=True, bounds=bounds, options=options).x


def _scipy(fun, x0, bounds, gtol, budget, method, **options):
    limits = {"maxiter": budget} if method in ("BFGS", "CG") else {"ftol": 0, "maxfun": budget}
    if method == "L-BFGS-B":
        limits["maxiter"] = budget
    options = {"gtol": gtol} | limits | options
    return scipy.optimize.minimize(fun, x0, jac=True, method=method, bounds=bounds, options=options).x


def _torch(fun, x0, bounds, gtol, budget):  # noqa: ARG001
    import torch

    torch.set_num_threads(1)
    x = torch.from_numpy(x0).requires_grad_()

    def closure():
        f, g = fun(x0)
        x.grad = torch.from_numpy(g)
        return torch.tensor(f)

    torch.optim.LBFGS(
        [x],
        max_iter=budget,
        max_eval=budget,
        tolerance_grad=gtol,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    ).step(closure)
    return x0


def _pylbfgs(fun, x0, bounds, gtol, budget):  # noqa: ARG001
    import lbfgs

    stopped = False

    def write(x, g):  # must not raise: where the run has to stop, the point is made to look like a minimum
        nonlocal stopped
        try:
            f, g[:] = fun(x)
        except Stop:
            stopped, f, g[:] = True, -1e300, 0
        return f

    optimizer = lbfgs.LBFGS()
    optimizer.epsilon, optimizer.max_iterations = gtol, budget
    try:
        x = optimizer.minimize(write, x0)
    except lbfgs.LBFGSError:
        x = None
    if stopped:
        raise Stop
    return x


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("fastopt", _fastopt, True),
        Solver(REFERENCE, partial(_scipy, method="L-BFGS-B", maxcor=10), True),
        Solver("SciPy BFGS", partial(_scipy, method="BFGS"), largest=200),
        Solver("SciPy CG", partial(_scipy, method="CG")),
        Solver("SciPy TNC", partial(_scipy, method="TNC"), True),
        Solver("torch LBFGS", _torch),
        Solver("PyLBFGS", _pylbfgs),
    )
}
USUALLY = "fastopt,SciPy L-BFGS-B"
NEEDS = {"torch LBFGS": "torch", "PyLBFGS": "lbfgs"}
ABLATION = {
    "whole": {},
    "no diagonal": {"diagonal": False},
    "no conjugation": {"conjugate": False},
    "plain": {"diagonal": False, "conjugate": False},
    "m=10": {"maxcor": 10},
    "m=20": {"maxcor": 20},
    "m=100": {"maxcor": 100},
}


def ratios(runs, solver, reference=REFERENCE):
    """Evaluations of `solver` to those of `reference`, where both arrive at the same minimum: {problem: [ratio]}."""
    found = {}
    for (name, _), row in runs.items():
        a, b = row.get(solver), row.get(reference)
        if a and b and a.arrived and b.arrived and max(a.f, b.f) <= _within(min(a.f, b.f)):
            found.setdefault(name, []).append(a.arrived / b.arrived)
    return found


def profile(runs, solvers):
    """Performance profile of Dolan and Moré (2002): the ratios of each solver to the best one, inf where not solved."""
    counts = np.array([[(row[s].solved if s in row else None) or np.inf for s in solvers] for row in runs.values()])
    with np.errstate(invalid="ignore"):
        scaled = counts / counts.min(1, keepdims=True)
    return {s: np.sort(np.where(np.isnan(column), np.inf, column)) for s, column in zip(solvers, scaled.T, strict=True)}


def _geomean(values):
    return float(np.exp(np.mean(np.log(values)))) if len(values) else None


def _percent(flags):
    flags = list(flags)
    return 100 * sum(flags) / len(flags) if flags else None


def _tables(kind, chosen, solvers, runs, ends):
    """Yield the tables of one kind."""
    names = [s.name for s in solvers if any(s.name in row for row in runs.values())]
    table = Table(
        f"{kind}: {len(chosen)} problems, {len(runs)} runs each",
        [
            "solver",
            "solved %",
            "final ok %",
            "outside",
            f"to {REFERENCE}, by run",
            "by problem",
            "of runs",
            "no more %",
        ],
    )
    for name in names:
        rows = [row[name] for row in runs.values() if name in row]
        by_problem = ratios(runs, name)
        every = [ratio for found in by_problem.values() for ratio in found]
        table.add(
            name,
            _percent(run.solved is not None for run in rows),
            _percent(row[name] for row in ends.values() if name in row),
            sum(run.outside for run in rows),
            _geomean(every),
            _geomean([_geomean(found) for found in by_problem.values()]),
            len(every),
            _percent(ratio <= 1 for ratio in every),
        )
    yield table

    table = Table(f"{kind}: % of runs solved within tau times the fewest evaluations", ["solver", *map(str, TAUS)])
    for name, scaled in profile(runs, names).items():
        table.add(name, *(_percent(scaled <= tau) for tau in TAUS))
    yield table

    table = Table(f"{kind}: us an evaluation outside the objective, median", ["solver", *SIZES])
    sizes = {problem.name: problem.n for problem in chosen}
    for name in names:
        cells = []
        for low, high in SIZES.values():
            times = [row[name].overhead for (p, _), row in runs.items() if low <= sizes[p] <= high and name in row]
            cells.append(1e6 * float(np.median(times)) if times else None)
        table.add(name, *cells)
    yield table

    if kind == "structured":
        table = Table("structured: evaluations until solved, geometric mean of the starts", ["problem", *names])
        for problem in chosen:
            cells = []
            for name in names:
                rows = [row[name] for (p, _), row in runs.items() if p == problem.name and name in row]
                solved = [run.solved for run in rows]
                cells.append(_geomean(solved) if None not in solved else None)
            table.add(problem.name, *cells)
        yield table


def _draw(picture, profiles):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(profiles), figsize=(5.5 * len(profiles), 4), sharey=True, squeeze=False)
    for ax, (kind, scaled) in zip(axes[0], profiles.items(), strict=True):
        for name, ratio in scaled.items():
            solved = ratio[np.isfinite(ratio)]
            share = 100 * np.arange(1, solved.size + 1) / ratio.size
            ax.step(np.append(solved, 1e9), np.append(share, share[-1:]), where="post", label=name)
        ax.set(xscale="log", xlim=(1, 32), ylim=(0, 100), title=kind, xlabel="evaluations to the fewest of any solver")
        ax.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("% of runs solved")
    axes[0][-1].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


def run(kinds=KINDS, solvers=USUALLY, only="*", ablation=False, picture=None):
    """Evaluations that solvers take on published test problems, and how many they solve."""
    contestants = [solver for name, solver in SOLVERS.items() if find_spec(NEEDS.get(name, "scipy"))]
    if ablation:
        variants = [Solver(name, partial(_fastopt, **options), True) for name, options in ABLATION.items()]
        contestants = [*variants, SOLVERS[REFERENCE]]
    elif solvers != "all":
        contestants = [solver for solver in contestants if solver.name in solvers.split(",")]
    profiles = {}
    for kind in kinds:
        chosen = [problem for problem in problems(kind) if fnmatch(problem.name, only)]
        runs, ends = {}, {}
        for problem, solver in product(chosen, contestants):
            for i, start in enumerate(problem.starts()):
                raced = measure(solver, problem, start)
                if raced is not None:
                    runs.setdefault((problem.name, i), {})[solver.name] = raced
                    ends.setdefault((problem.name, i), {})[solver.name] = finish(solver, problem, start)
        if runs:
            yield from _tables(kind, chosen, contestants, runs, ends)
            profiles[kind] = profile(runs, [s.name for s in contestants if any(s.name in row for row in runs.values())])
    if picture and profiles:
        _draw(picture, profiles)


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--kind", dest="kinds", nargs="+", choices=KINDS, default=KINDS, help="all by default")
    options.add_argument(
        "--solvers", default=USUALLY, help=f"by commas: {', '.join(SOLVERS)}; or all; default: %(default)s"
    )
    options.add_argument("--only", default="*", metavar="PATTERN", help="problems whose name fits, such as 'HS*'")
    options.add_argument("--ablation", action="store_true", help="fastopt without this or that part, instead of peers")
    options.add_argument("--picture", metavar="FILE", help="draw the performance profiles")
    main(run, options)
