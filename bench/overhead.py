"""Time of L-BFGS outside the objective, against SciPy's and PyLBFGS: same problem, same memory, same run.

The problem is a chain of Rosenbrock's functions; each solver keeps 10 pairs and stops after 200 evaluations. The
figures are microseconds an evaluation: all from the call to the result, less the objective. Set OPENBLAS_NUM_THREADS=1,
or SciPy suffers from its own threads.
"""

from contextlib import suppress

import numpy as np
import scipy.optimize
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    from lbfgs import LBFGSError, fmin_lbfgs
except ImportError:
    fmin_lbfgs = None

SIZES = (2, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
EVALUATIONS = 200


def chain(x):
    t = x[1:] - x[:-1] ** 2
    u = 1 - x[:-1]
    g = np.empty_like(x)
    g[-1] = 0
    np.multiply(t, -400 * x[:-1], out=g[:-1])
    g[:-1] -= 2 * u
    g[1:] += 200 * t
    return float(100 * (t @ t) + u @ u), g


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return chain(x)


def fastopt(fun, x0, **options):
    options = {"maxcor": 10, "maxfun": EVALUATIONS, "gtol": 0, **options}
    fo.minimize(fun, x0, jac=True, options=options)


def scipy_lbfgsb(fun, x0):
    options = {"maxcor": 10, "maxfun": EVALUATIONS, "maxiter": EVALUATIONS, "gtol": 0, "ftol": 0}
    scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options=options)


def pylbfgs(fun, x0):
    def progress(*_):
        return fun.calls >= EVALUATIONS

    def in_place(x, g):
        f, g[:] = fun(x)
        return f

    with suppress(LBFGSError):
        fmin_lbfgs(in_place, x0, progress=progress, m=10, epsilon=1e-300, max_linesearch=20)


def run(repeats=5, sizes=SIZES):
    """Time of L-BFGS outside the objective, against SciPy's and PyLBFGS."""
    solvers = {
        "fastopt": fastopt,
        "plain": lambda fun, x0: fastopt(fun, x0, diagonal=False, conjugate=False),
        "float32 history": lambda fun, x0: fastopt(fun, x0, history_dtype="float32"),
        "SciPy": scipy_lbfgsb,
    } | ({"PyLBFGS": pylbfgs} if fmin_lbfgs else {})
    table = Table("L-BFGS, float64, us an evaluation outside the objective", ["n", *solvers])
    for n in sizes:
        x0 = np.tile([-1.2, 1.0], n // 2)
        counts = []
        for solve in solvers.values():
            counted = Counted()
            solve(counted, x0)
            counts.append(counted.calls)
        calls = [lambda solve=solve, x0=x0: solve(Counted(), x0) for solve in solvers.values()]
        *times, once = best_of(*calls, lambda x0=x0: Counted()(x0), repeats=repeats)
        table.add(n, *(1e6 * (time / count - once) for time, count in zip(times, counts, strict=True)))
    yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    main(run, options)
