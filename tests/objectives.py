"""Smooth functions that tests minimize, each with its gradient."""

import numpy as np
import scipy.optimize as so


def rosenbrock(x):
    return float(so.rosen(x)), so.rosen_der(x)


def quadratic(x, condition=1e4):
    h = np.logspace(0, np.log10(condition), x.size).astype(x.dtype)
    return float(h @ (x - 1) ** 2) / 2, h * (x - 1)


def logistic(w, X, y, l2=1e-2):
    margin = y * (X @ w)
    f = np.logaddexp(0, -margin).mean() + l2 / 2 * (w @ w)
    return float(f), X.T @ (-y / (1 + np.exp(margin))) / len(y) + l2 * w


def sway(x):
    """Constant in f, and a gradient that leads nowhere: each step is accepted, none helps."""
    return 1.0, np.sin(1e6 * x)


def driver1(x):
    """The problem of driver1 of L-BFGS-B 3.0, n = 25."""
    t = x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[0] = (x[0] - 1) / 2
    g[:-1] -= 4 * t * x[:-1]
    g[1:] += 2 * t
    return 4 * float((x[0] - 1) ** 2 / 4 + t @ t), 4 * g


def exponentials(x):
    """The problem of the driver of ACM TOMS 851, n = 100."""
    root = np.sqrt(np.arange(1, x.size + 1))
    return float((np.exp(x) - root * x).sum()), np.exp(x) - root


def barrier(x, outside):
    if np.any(x <= 0):
        return outside, np.full_like(x, outside)
    return float((50 * x - np.log(x)).sum()), 50 - 1 / x


def downhill(x):
    return float(-x.sum()), -np.ones_like(x)


def uphill_gradient(x):
    return float(x @ x), -2 * x


def trail(fun):
    """fun and the list of all it returned."""
    seen = []

    def recorded(x):
        seen.append((x.copy(), *fun(x)))
        return seen[-1][1:]

    return recorded, seen


PROBLEMS = {
    "rosenbrock-2": (rosenbrock, [-1.2, 1.0]),
    "rosenbrock-20": (rosenbrock, np.tile([-1.2, 1.0], 10)),
    "quadratic-50": (quadratic, np.zeros(50)),
    "driver1": (driver1, np.full(25, 3.0)),
    "toms851": (exponentials, np.ones(100)),
}
