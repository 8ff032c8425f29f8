"""Time of L-BFGS outside the objective, against SciPy's: same problem, same call, same run.

The problem is a diagonal quadratic of condition 1e6; both solvers keep 10 pairs and stop after 200 evaluations. The
figures are microseconds an evaluation: all from the call of SciPy's `minimize` to its result, less the objective.
Set OPENBLAS_NUM_THREADS=1, or SciPy suffers from its own threads.
"""

import numpy as np
import scipy.optimize
from harness import Table, best_of, main, parser

import fastopt as fo

SIZES = (2, 10, 100, 1_000, 10_000, 100_000)
OPTIONS = {"maxcor": 10, "maxfun": 200, "maxiter": 200, "gtol": 0, "ftol": 0}


def quadratic(n):
    h = np.logspace(0, 6, n)

    def fun(x):
        g = h * x
        return 0.5 * float(g @ x), g

    return fun


def solver(fun, n, method):
    x0 = np.ones(n)
    return lambda: scipy.optimize.minimize(fun, x0, jac=True, method=method, options=OPTIONS)


def objective(fun, n, evaluations):
    x = np.ones(n)

    def call():
        for _ in range(evaluations):
            fun(x)

    return call


def run(repeats=7):
    """Time of L-BFGS outside the objective, against SciPy's."""
    table = Table(
        "L-BFGS, float64, us an evaluation outside the objective", ["n", "fastopt", "SciPy", "SciPy / fastopt"]
    )
    for n in SIZES:
        fun = quadratic(n)
        solvers = [solver(fun, n, method) for method in (fo.lbfgs, "L-BFGS-B")]
        counts = [solve().nfev for solve in solvers]
        times = best_of(*solvers, *(objective(fun, n, count) for count in counts), repeats=repeats)
        ours, theirs = (1e6 * (times[i] - times[2 + i]) / counts[i] for i in range(2))
        table.add(n, ours, theirs, theirs / ours)
    yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--repeats", type=int, default=7)
    main(run, options)
