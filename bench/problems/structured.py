"""Problems where scaling single variables helps little or not at all, as users have them: rotated, correlated, with a
domain, models of data. `best` is exact where there is a closed form, else from runs to the last digit.
"""

import numpy as np
from scipy.special import expit

from problems.problem import Problem

BARRIER = "Fiacco, McCormick: Nonlinear Programming (1968), its barriers alone"
BOYD = "Boyd, Vandenberghe: Convex Optimization (2004), random data"
HASTIE = "Hastie, Tibshirani, Friedman: The Elements of Statistical Learning (2009), random data"
LANGE = "Lange, Little, Taylor: Robust statistical modeling using the t distribution (1989), random data"
MINKA = "Minka: A comparison of numerical optimizers for logistic regression (2003), random data"
NOCEDAL = "Nocedal, Wright: Numerical Optimization (2006), rotated at random"
ROSENBROCK = "Rosenbrock: An automatic method for finding the greatest or least value (1960), rotated at random"
SREBRO = "Srebro, Rennie, Jaakkola: Maximum-margin matrix factorization (2005), random data"


def problems():
    """Return the structured problems."""
    return [*_quadratics(), *_rosenbrocks(), *_domains(), *_classifiers(), *_regressions(), *_models()]


def _problem(name, fun, x0, best, source):
    def plain(x):  # outside of a domain f is NaN or infinite, without a warning
        with np.errstate(all="ignore"):
            f, g = fun(x)
        return f.item(), g

    return Problem(name, plain, x0, float(best), source)


def _rotation(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def _quadratics():
    def quadratic(name, hessian):
        def fun(x):
            g = hessian * (x - 1) if hessian.ndim == 1 else hessian @ (x - 1)
            return g @ (x - 1) / 2, g

        return _problem(name, fun, np.zeros(len(hessian)), 0.0, NOCEDAL)

    def rotated(n, decades):
        q = _rotation(n, decades)
        return quadratic(f"quadratic-rotated-1e{decades}-{n}", (q * np.logspace(0, decades, n)) @ q.T)

    return [
        *(rotated(n, decades) for n, decades in ((20, 2), (20, 6), (50, 4), (100, 2), (100, 6), (200, 4), (200, 6))),
        *(quadratic(f"quadratic-diagonal-1e4-{n}", np.logspace(0, 4, n)) for n in (200, 1000)),
    ]


def _rosenbrocks():
    def rotated(n):
        q = _rotation(n, n)

        def fun(x):
            y = q @ x
            u, v = y[1:] - y[:-1] ** 2, 1 - y[:-1]
            slope = np.zeros_like(y)
            slope[1:] = 200 * u
            slope[:-1] -= 400 * u * y[:-1] + 2 * v
            return 100 * (u @ u) + v @ v, slope @ q

        return _problem(f"rosenbrock-rotated-{n}", fun, q.T @ np.zeros(n), 0.0, ROSENBROCK)

    return [rotated(n) for n in (20, 50, 200)]


def _domains():
    """f is NaN or infinite outside of the domain."""

    def logarithm(x):
        return (50 * x - np.log(x)).sum(), 50 - 1 / x

    slopes = np.logspace(-1, 1, 20)

    def root(x):
        roots = np.sqrt(x)
        return (slopes * x - roots).sum(), slopes - 0.5 / roots

    def center(a):
        def fun(x):
            slack = 1 - a @ x
            if np.any(slack <= 0):
                return np.float64(np.inf), np.full_like(x, np.nan)
            return -np.log(slack).sum(), (1 / slack) @ a

        return fun

    def halfspaces(seed, m, n):
        return np.random.default_rng(seed).normal(size=(m, n)) / np.sqrt(n)

    boxed = np.vstack([halfspaces(1, 200, 100), np.eye(100), -np.eye(100)])
    cone = halfspaces(2, 100, 30) * np.logspace(-1, 1, 100)[:, None]
    return [
        _problem("domain-logarithm-10", logarithm, np.ones(10), 10 * (1 + np.log(50)), BARRIER),
        _problem("domain-root-20", root, np.ones(20), -(0.25 / slopes).sum(), BARRIER),
        _problem("domain-center-50", center(halfspaces(0, 200, 50)), np.zeros(50), -31.52239159913, BOYD),
        _problem("domain-center-boxed-100", center(boxed), np.zeros(100), -26.81766224546, BOYD),
        _problem("domain-center-scaled-30", center(cone), np.zeros(30), -29.9772315185, BOYD),
    ]


def _fit(features, loss, l2):
    """Return w -> mean of the loss at features @ w + l2 |w|^2 / 2; loss(z) returns its values and slopes."""
    m, n = features.shape

    def fun(w):
        z = features @ w.reshape(n, -1)
        values, slopes = loss(z if z.shape[1] > 1 else z[:, 0])
        return values.sum() / m + l2 / 2 * (w @ w), (features.T @ slopes / m).ravel() + l2 * w

    return fun


def _correlated(rng, m, n, correlation):
    return np.sqrt(correlation) * rng.normal(size=(m, 1)) + np.sqrt(1 - correlation) * rng.normal(size=(m, n))


def _logistic(sign):
    def loss(z):
        return np.logaddexp(0, -sign * z), -sign * expit(-sign * z)

    return loss


def _classifiers():
    def logistic(name, seed, m, n, correlation, l2, best, scales=1.0):
        rng = np.random.default_rng(seed)
        x = _correlated(rng, m, n, correlation)
        sign = np.where(x @ rng.normal(size=n) / np.sqrt(n) + 0.5 * rng.normal(size=m) > 0, 1, -1)
        return _problem(f"logistic-{name}-{n}", _fit(x * scales, _logistic(sign), l2), np.zeros(n), best, MINKA)

    def hinge(n, best):
        rng = np.random.default_rng(n)
        x = _correlated(rng, 400, n, 0.5)
        sign = np.where(x @ rng.normal(size=n) + rng.normal(size=400) > 0, 1, -1)

        def loss(z):
            short = np.maximum(0, 1 - sign * z)
            return short**2, -2 * sign * short

        return _problem(f"hinge-squared-{n}", _fit(x, loss, 1e-3), np.zeros(n), best, HASTIE)

    def softmax(correlation, n, classes, best):
        rng = np.random.default_rng(classes)
        x = _correlated(rng, 400, n, correlation)
        y = np.argmax(x @ rng.normal(size=(n, classes)) + rng.gumbel(size=(400, classes)), axis=1)
        rows = np.arange(400)

        def loss(z):
            top = z[rows, z.real.argmax(1)]
            p = np.exp(z - top[:, None])
            total = p.sum(1)
            p /= total[:, None]
            values = np.log(total) + top - z[rows, y]
            p[rows, y] -= 1
            return values, p

        fun = _fit(x, loss, 1e-3)
        return _problem(f"softmax-{correlation}-{n * classes}", fun, np.zeros(n * classes), best, HASTIE)

    return [
        logistic("correlated-0.9", 0, 500, 50, 0.9, 1e-4, 0.2335633471074),
        logistic("correlated-0.9", 1, 1000, 200, 0.9, 1e-4, 0.3087365957753),
        logistic("correlated-0.99", 2, 500, 50, 0.99, 1e-5, 0.1595913413084),
        logistic("correlated-0.99", 3, 1000, 200, 0.99, 1e-5, 0.4436329400421),
        logistic("scaled", 4, 500, 50, 0.0, 1e-4, 0.3552380955583, np.logspace(-2, 2, 50)),
        logistic("separable", 5, 100, 200, 0.0, 1e-4, 0.002635168889105),
        hinge(50, 0.022537127179),
        softmax(0.0, 10, 5, 0.5275443938727),
        softmax(0.9, 20, 5, 0.6647107696776),
    ]


def _regressions():
    def poisson(n, correlation, best):
        rng = np.random.default_rng(n)
        x = _correlated(rng, 400, n, correlation)
        y = rng.poisson(np.exp(x @ rng.normal(size=n) / np.sqrt(n)))

        def loss(z):
            rate = np.exp(z)
            return rate - y * z, rate - y

        return _problem(f"poisson-{correlation}-{n}", _fit(x, loss, 0.0), np.zeros(n), best, HASTIE)

    def student(n, best):
        rng = np.random.default_rng(n)
        x = _correlated(rng, 300, n, 0.7)
        y = x @ rng.normal(size=n) + rng.standard_t(2, size=300)

        def loss(z):
            r = z - y
            return 2 * np.log1p(r**2 / 3), 4 * r / (3 + r**2)

        return _problem(f"student-{n}", _fit(x, loss, 0.0), np.zeros(n), best, LANGE)

    def polynomial(n, best):
        t = np.linspace(-1, 1, 200)
        x = t[:, None] ** np.arange(n)
        y = np.exp(np.sin(4 * t))

        def loss(z):
            return (z - y) ** 2 / 2, z - y

        return _problem(f"polynomial-{n}", _fit(x, loss, 1e-6), np.zeros(n), best, HASTIE)

    def variation(n, best):
        rng = np.random.default_rng(n)
        y = np.repeat(rng.normal(size=n // 20), 20) + 0.3 * rng.normal(size=n)

        def fun(x):
            r, d = x - y, np.diff(x)
            root = np.sqrt(d**2 + 1e-4)
            g = r.copy()
            g[1:] += d / root
            g[:-1] -= d / root
            return r @ r / 2 + root.sum(), g

        return _problem(f"total-variation-{n}", fun, y, best, BOYD)

    return [
        poisson(20, 0.0, 0.3742824668645),
        poisson(50, 0.9, -1.102715552336),
        student(30, 0.9303710538715),
        student(100, 0.7418378045549),
        polynomial(12, 0.001457865966997),
        variation(500, 49.54951172776),
    ]


def _models():
    """Not convex."""

    def network(inputs, hidden, best):
        rng = np.random.default_rng(hidden)
        x = rng.normal(size=(200, inputs))
        y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=200)
        shapes = (inputs, hidden), (hidden,), (hidden,), (1,)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

        def fun(w):
            first, shift, last, bias = (part.reshape(s) for part, s in zip(np.split(w, ends[:-1]), shapes, strict=True))
            h = np.tanh(x @ first + shift)
            r = h @ last + bias - y
            slope = np.outer(r, last) * (1 - h**2) / 200
            g = np.concatenate([(x.T @ slope).ravel(), slope.sum(0), r @ h / 200, [r.sum() / 200]])
            return r @ r / 400 + 5e-4 * (w @ w), g + 1e-3 * w

        return _problem(f"network-{ends[-1]}", fun, rng.normal(size=ends[-1]) / 2, best, HASTIE)

    def factorization(rows, columns, rank, weight=1.0):
        """The best value follows from the singular values of the data (Srebro 2005)."""
        rng = np.random.default_rng(rows)
        data = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) + 0.5 * rng.normal(size=(rows, columns))
        kept, cut = np.split(np.linalg.svd(data, compute_uv=False), [rank])

        def fun(x):
            left, right = x[: rows * rank].reshape(rows, rank), x[rows * rank :].reshape(columns, rank)
            r = left @ right.T - data
            return ((r**2).sum() + weight * (x @ x)) / 2, np.concatenate(
                [(r @ right).ravel(), (r.T @ left).ravel()]
            ) + weight * x

        best = (cut @ cut) / 2 + (weight * kept - weight**2 / 2).sum()
        n = (rows + columns) * rank
        return _problem(f"factorization-{n}", fun, rng.normal(size=n) / 10, best, SREBRO)

    return [
        network(2, 8, 0.01458949326982),
        network(4, 20, 0.0141713396226),
        factorization(20, 15, 3),
        factorization(60, 40, 5),
    ]
