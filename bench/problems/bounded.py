"""Bound-constrained problems: of Hock and Schittkowski, of CUTE, of MINPACK-2, and bounds upon classics.

Where a source leaves the size free, it is in the name. `best` is from the source where it is exact, else from runs to
the last digit. CGT is Conn, Gould, Toint: Testing a class of methods for solving minimization problems with simple
bounds on the variables (Math. Comp. 50, 1988).
"""

import numpy as np

from problems.problem import Problem

HS = "Hock, Schittkowski: Test Examples for Nonlinear Programming Codes (1981)"
CUTE = "Bongartz, Conn, Gould, Toint: CUTE (1995)"
MINPACK2 = "Averick, Carter, More, Xue: The MINPACK-2 Test Problem Collection (1992)"
INF = np.inf


def problems():
    """Return the bounded problems."""
    return [
        *_hock_schittkowski(),
        *_chains(),
        *_grids(),
        *_quadratics(),
    ]


def _problem(name, fun, x0, best, source, low=-INF, high=INF):
    x0 = np.array(x0, float)
    low, high = (np.array(np.broadcast_to(bound, x0.shape), float) for bound in (low, high))
    return Problem(name, fun, np.clip(x0, low, high), best, source, low, high)


def _squares(residuals):
    """Return x -> sum of r^2 and its gradient, from x -> (r, its Jacobian)."""

    def fun(x):
        r, jacobian = residuals(x)
        return r @ r, 2 * (r @ jacobian)

    return fun


def _rosenbrock(x):
    u, v = x[1] - x[0] ** 2, 1 - x[0]
    return 100 * u**2 + v**2, np.array([-400 * u * x[0] - 2 * v, 200 * u])


def _wood(x):
    a, b, c, d = x
    u, v = b - a**2, d - c**2
    f = 100 * u**2 + (1 - a) ** 2 + 90 * v**2 + (1 - c) ** 2 + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2)
    f += 19.8 * (b - 1) * (d - 1)
    return f, np.array(
        [
            -400 * u * a - 2 * (1 - a),
            200 * u + 20.2 * (b - 1) + 19.8 * (d - 1),
            -360 * v * c - 2 * (1 - c),
            180 * v + 20.2 * (d - 1) + 19.8 * (b - 1),
        ]
    )


def _hock_schittkowski():
    def hs3(x):
        u = x[1] - x[0]
        return x[1] + 1e-5 * u**2, np.array([-2e-5 * u, 1 + 2e-5 * u])

    def hs3mod(x):
        u = x[1] - x[0]
        return x[1] + u**2, np.array([-2 * u, 1 + 2 * u])

    def hs4(x):
        return (x[0] + 1) ** 3 / 3 + x[1], np.array([(x[0] + 1) ** 2, 1 + 0 * x[1]])

    i = np.arange(1, 100) / 100
    u = 25 + (-50 * np.log(i)) ** (2 / 3)

    def hs25(x):
        power = (u - x[1]) ** x[2] / x[0]
        e = np.exp(-power)
        return e - i, np.array([e * power / x[0], e * power * x[2] / (u - x[1]), -e * power * np.log(u - x[1])]).T

    def hs45(x):
        others = np.array([np.prod(np.delete(x, k)) for k in range(5)])
        return 2 - np.prod(x) / 120, -others / 120

    def hs110(x):
        a, b, p = np.log(x - 2), np.log(10 - x), np.prod(x) ** 0.2
        return a @ a + b @ b - p, 2 * a / (x - 2) - 2 * b / (10 - x) - 0.2 * p / x

    return [
        _problem("HS1", _rosenbrock, [-2, 1], 0.0, HS, [-INF, -1.5]),
        _problem("HS2", _rosenbrock, [-2, 1], 0.05042618789786105, HS, [-INF, 1.5]),
        _problem("HS3", hs3, [10, 1], 0.0, HS, [-INF, 0]),
        _problem("HS3MOD", hs3mod, [10, 1], 0.0, HS, [-INF, 0]),
        _problem("HS4", hs4, [1.125, 0.125], 8 / 3, HS, [1, 0]),
        _problem("HS5", _mccormick, [0, 0], -np.sqrt(3) / 2 - np.pi / 3, HS, [-1.5, -3], [4, 3]),
        _problem("HS25", _squares(hs25), [100, 12.5, 3], 0.0, HS, [0.1, 0, 0], [100, 25.6, 5]),
        _problem("HS38", _wood, [-3, -1, -3, -1], 0.0, HS, -10, 10),
        _problem("HS45", hs45, [2] * 5, 1.0, HS, 0, [1, 2, 3, 4, 5]),
        _problem("HS110", hs110, [9] * 10, -45.778469707446, HS, 2.001, 9.999),
    ]


def _mccormick(x):
    a, b = x[:-1], x[1:]
    c, d = np.cos(a + b), 2 * (a - b)
    g = np.zeros_like(x)
    g[:-1] += c + d - 1.5
    g[1:] += c - d + 2.5
    return (np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1).sum(), g


def _chains():
    """Functions of neighbors."""

    def nonscomp(x):
        u = x[1:] - x[:-1] ** 2
        g = np.zeros_like(x)
        g[0] = 2 * (x[0] - 1)
        g[1:] = 8 * u
        g[:-1] -= 16 * u * x[:-1]
        return (x[0] - 1) ** 2 + 4 * (u @ u), g

    def hatflda(x):
        root = np.sqrt(x[1:])
        u = x[:-1] - root
        g = np.zeros_like(x)
        g[0] = 2 * (x[0] - 1)
        g[:-1] += 2 * u
        g[1:] -= u / root
        return (x[0] - 1) ** 2 + u @ u, g

    def hatfldc(x):
        u = x[2:] - x[1:-1] ** 2
        g = np.zeros_like(x)
        g[[0, -1]] = 2 * (x[[0, -1]] - 1)
        g[2:] += 2 * u
        g[1:-1] -= 4 * u * x[1:-1]
        return (x[0] - 1) ** 2 + u @ u + (x[-1] - 1) ** 2, g

    def biggsb1(x):
        u = np.diff(x)
        g = np.zeros_like(x)
        g[[0, -1]] = 2 * (x[[0, -1]] - 1)
        g[1:] += 2 * u
        g[:-1] -= 2 * u
        return (x[0] - 1) ** 2 + u @ u + (x[-1] - 1) ** 2, g

    def bdexp(x):
        a = x[:-2] + x[1:-1]
        e = np.exp(-x[2:] * a)
        g = np.zeros_like(x)
        g[:-2] += e * (1 - x[2:] * a)
        g[1:-1] += e * (1 - x[2:] * a)
        g[2:] -= e * a**2
        return a @ e, g

    def odd(n, first, other):
        return np.where(np.arange(n) % 2, other, first)

    return [
        *(_problem(f"NONSCOMP-{n}", nonscomp, np.full(n, 3), 0.0, CUTE, odd(n, 1, -100), 100) for n in (25, 1000)),
        _problem("HATFLDA", hatflda, [0.1] * 4, 0.0, CUTE, 1e-7),
        _problem("HATFLDB", hatflda, [0.1] * 4, 0.005572809000084122, CUTE, 1e-7, [INF, 0.8, INF, INF]),
        _problem("HATFLDC-25", hatfldc, [0.9] * 25, 0.0, CUTE, 0, 10),
        _problem("BIGGSB1-100", biggsb1, np.zeros(100), 0.015, CUTE, 0, [*[0.9] * 99, INF]),
        _problem("BDEXP-500", bdexp, np.ones(500), 0.0, CUTE, 0),
        _problem("MCCORMCK-50", _mccormick, np.zeros(50), -46.1269256442026, CUTE, -1.5, 3),
        _problem("MCCORMCK-500", _mccormick, np.zeros(500), -457.077255385669, CUTE, -1.5, 3),
    ]


def _membrane(rows, columns, dx, dy, load):
    """Return v -> integral of |grad v|^2 / 2 - load v over a grid, zero at its rim."""

    def fun(x):
        v = np.pad(x.reshape(rows, columns), 1)
        across, along = np.diff(v, axis=0), np.diff(v, axis=1)
        laplacian = np.diff(across, axis=0)[:, 1:-1] * dy / dx + np.diff(along, axis=1)[1:-1] * dx / dy
        f = ((across**2).sum() * dy / dx + (along**2).sum() * dx / dy) / 2 - load * dx * dy * x.sum()
        return f, (-laplacian - load * dx * dy).ravel()

    return fun


def _grids():
    """Variational inequalities on a square."""

    def torsion(c, m, best):
        h = 1 / (m + 1)
        t = h * np.arange(1, m + 1)
        to_side = np.minimum(t, 1 - t)
        distance = np.minimum.outer(to_side, to_side).ravel()
        fun = _membrane(m, m, h, h, c)
        return _problem(f"TORSION-{c}-{m * m}", fun, distance, best, MINPACK2, -distance, distance)

    def obstacle(name, m, low, high, best):
        h = 1 / (m + 1)
        t = h * np.arange(1, m + 1)
        return _problem(
            f"{name}-{m * m}", _membrane(m, m, h, h, 1), np.ones(m * m), best, CUTE, low(t).ravel(), high(t).ravel()
        )

    def bump(t):
        return np.outer(np.sin(9.2 * t), np.sin(9.3 * t))

    return [
        torsion(5, 12, -0.412234979557781),
        torsion(10, 20, -1.19948649477135),
        torsion(20, 31, -2.84635816154016),
        obstacle(
            "OBSTCLAE",
            20,
            lambda t: np.outer(np.sin(3.2 * t), np.sin(3.3 * t)),
            lambda t: 2000 + 0 * bump(t),
            1.95965959005357,
        ),
        obstacle("OBSTCLBL", 20, lambda t: bump(t) ** 3, lambda t: bump(t) ** 2 + 0.02, 6.83623529653066),
    ]


def _quadratics():
    def simbqp(x):
        u, v = x[1] - x[0], 2 * x[0] + x[1]
        return x[1] + u**2 + v**2, np.array([4 * v - 2 * u, 1 + 2 * u + 2 * v])

    def convex(n, curvature):
        i = np.arange(n)
        j, k = (2 * i + 1) % n, (3 * i + 2) % n
        scale = curvature(np.arange(1, n + 1))

        def fun(x):
            u = x + x[j] + x[k]
            g = scale * u
            return g @ u / 2, g + np.bincount(j, g, n) + np.bincount(k, g, n)

        return fun

    return [
        _problem("SIMBQP", simbqp, [10, 1], 0.0, CUTE, [-INF, 0], [INF, 0.5]),
        _problem("CVXBQP1-100", convex(100, lambda i: i), np.full(100, 0.5), 227.25, CUTE, 0.1, 10),
        _problem("CVXBQP1-1000", convex(1000, lambda i: i), np.full(1000, 0.5), 22522.5, CUTE, 0.1, 10),
    ]
