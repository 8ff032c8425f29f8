"""Time outside the objective: L-BFGS here and in SciPy, same problem, same run.

The problem is a diagonal quadratic of condition 1e6, both solvers keep 10 pairs and stop after 200 evaluations. The
table gives microseconds an evaluation, everything from the call of `minimize` to its result, less the objective.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import scipy.optimize

from fastopt.minimize import lbfgs

SIZES = (2, 10, 100, 1_000, 10_000, 100_000)
METHODS = {"fastopt": lbfgs, "scipy": "L-BFGS-B"}
OPTIONS = {"maxcor": 10, "maxfun": 200, "maxiter": 200, "gtol": 0, "ftol": 0}


def quadratic(n: int) -> Callable:
    h = np.logspace(0, 6, n)

    def fun(x):
        g = h * x
        return 0.5 * float(g @ x), g

    return fun


def best_of(repeats: int, run: Callable[[], object]) -> float:
    """Shortest time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def overhead(n: int, method: object, repeats: int) -> float:
    """Seconds an evaluation outside the objective."""
    fun = quadratic(n)
    x0 = np.ones(n)

    def solve():
        return scipy.optimize.minimize(fun, x0, jac=True, method=method, options=OPTIONS)

    evaluations = solve().nfev
    inside = best_of(repeats, lambda: [fun(x0) and None for _ in range(evaluations)])
    return (best_of(repeats, solve) - inside) / evaluations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    rows = []
    print(f"{'n':>8} {'fastopt':>10} {'scipy':>10} {'ratio':>7}   us an evaluation, float64")
    for n in SIZES:
        repeats = arguments.repeats if n < 100_000 else max(3, arguments.repeats // 5)
        ours, theirs = (1e6 * overhead(n, method, repeats) for method in METHODS.values())
        rows.append({"n": n, "fastopt": ours, "scipy": theirs})
        print(f"{n:8d} {ours:10.2f} {theirs:10.2f} {theirs / ours:7.1f}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
