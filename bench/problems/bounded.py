"""Bound-constrained problems: published ones, and published bounds upon classics.

A number in a name is the size where the source leaves it free. `best` is exact where there is a closed form, else from
runs to the last digit; where there are several minima it is the least one known, which need not be near the start.
"""

import json
from pathlib import Path

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.polynomial import polyvander

from problems import pushed
from problems.problem import Problem

HS = "Hock, Schittkowski: Test Examples for Nonlinear Programming Codes (1981)"
CUTE = "Bongartz, Conn, Gould, Toint: CUTE (1995)"
GAY = "Moré, Garbow, Hillstrom: Testing unconstrained optimization software (1981), bounds of Gay (1984)"
MINPACK2 = "Averick, Carter, Moré, Xue: The MINPACK-2 test problem collection (1992)"
TORALDO = "Moré, Toraldo: On the solution of large quadratic programming problems with bound constraints (1991)"
LAWSON = "Lawson, Hanson: Solving Least Squares Problems (1974), random data"
INF = np.inf


def problems():
    """Return the bounded problems."""
    return [
        *_hock_schittkowski(),
        *_garbow(),
        *_small(),
        *_fits(),
        *_palmer(),
        *_chains(),
        *pushed.problems(),
        *_matrices(),
        *_grids(),
        *_quadratics(),
    ]


def _problem(name, fun, x0, best, source, low=-INF, high=INF):
    x0 = np.array(x0, float)
    low, high = (np.array(np.broadcast_to(bound, x0.shape), float) for bound in (low, high))

    def plain(x):  # outside of a domain f is NaN or infinite, without a warning
        with np.errstate(all="ignore"):
            f, g = fun(x)
        return f.item(), g

    return Problem(name, plain, np.clip(x0, low, high), float(best), source, low, high)


def _squares(residuals):
    """Return x -> sum of r^2 and its gradient, from x -> (r, columns of its Jacobian)."""

    def fun(x):
        r, columns = residuals(x)
        return r @ r, np.array([2 * (r @ np.broadcast_to(column, r.shape)) for column in columns])

    return fun


def _rosenbrock(x):
    """Pairs of variables: Rosenbrock's function of each."""
    u, v = x[1::2] - x[::2] ** 2, 1 - x[::2]
    g = np.empty_like(x)
    g[::2] = -400 * u * x[::2] - 2 * v
    g[1::2] = 200 * u
    return 100 * (u @ u) + v @ v, g


def _powell(x):
    """Fours of variables: Powell's singular function of each."""
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    t, u, v, w = a + 10 * b, c - d, b - 2 * c, a - d
    g = np.empty_like(x)
    g[::4] = 2 * t + 40 * w**3
    g[1::4] = 20 * t + 4 * v**3
    g[2::4] = 10 * u - 8 * v**3
    g[3::4] = -10 * u - 40 * w**3
    return (t**2 + 5 * u**2 + v**4 + 10 * w**4).sum(), g


def _wood(x):
    """Fours of variables: Wood's function of each."""
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    u, v = b - a**2, d - c**2
    f = 100 * u**2 + (1 - a) ** 2 + 90 * v**2 + (1 - c) ** 2 + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2)
    g = np.empty_like(x)
    g[::4] = -400 * u * a - 2 * (1 - a)
    g[1::4] = 200 * u + 20.2 * (b - 1) + 19.8 * (d - 1)
    g[2::4] = -360 * v * c - 2 * (1 - c)
    g[3::4] = 180 * v + 20.2 * (d - 1) + 19.8 * (b - 1)
    return (f + 19.8 * (b - 1) * (d - 1)).sum(), g


def _mccormick(x):
    a, b = x[:-1], x[1:]
    c, d = np.cos(a + b), 2 * (a - b)
    g = np.zeros_like(x)
    g[:-1] += c + d - 1.5
    g[1:] += c - d + 2.5
    return (np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1).sum(), g


def _weibull(samples):
    i = np.arange(1, samples + 1) / 100
    y = 25 + (-50 * np.log(i)) ** (2 / 3)

    def residuals(x):
        power = (y - x[1]) ** x[2] / x[0]
        e = np.exp(-power)
        return e - i, (e * power / x[0], e * power * x[2] / (y - x[1]), -e * power * np.log(y - x[1]))

    return residuals


def _hock_schittkowski():
    def hs3(x, weight=1e-5):
        u = x[1] - x[0]
        return x[1] + weight * u**2, np.array([-2 * weight * u, 1 + 2 * weight * u])

    def hs4(x):
        return (x[0] + 1) ** 3 / 3 + x[1], np.array([(x[0] + 1) ** 2, 1 + 0 * x[1]])

    def hs45(x):
        others = np.array([np.prod(np.delete(x, k)) for k in range(5)])
        return 2 - np.prod(x) / 120, -others / 120

    values = np.array([95, 105, *range(110, 225, 5), *range(230, 255, 5)])
    counts = np.array(
        [1, 1, 4, 4, 15, 15, 15, 13, 21, 12, 17, 4, 20, 8, 17, 8, 6, 6, 7, 4, 3, 3, 8, 1, 6, 5, 1, 7, 1, 2]
    )

    def hs105(x):
        weights = np.array([x[0], x[1], 1 - x[0] - x[1]])
        means, widths = x[2:5, None], x[5:, None]
        z = (values - means) / widths
        parts = np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * widths)
        total = weights @ parts
        share = counts * parts / total
        slopes = share.sum(1)
        g = np.concatenate(
            [
                slopes[2] - slopes[:2],
                -weights * (share * z / widths).sum(1),
                -weights * (share * (z**2 - 1) / widths).sum(1),
            ]
        )
        return -(counts @ np.log(total)), g

    def hs110(x):
        a, b, p = np.log(x - 2), np.log(10 - x), np.prod(x) ** 0.2
        return a @ a + b @ b - p, 2 * a / (x - 2) - 2 * b / (10 - x) - 0.2 * p / x

    low = [0.001, 0.001, 100, 130, 170, 5, 5, 5]
    high = [0.499, 0.499, 180, 210, 240, 25, 25, 25]
    return [
        _problem("HS1", _rosenbrock, [-2, 1], 0.0, HS, [-INF, -1.5]),
        _problem("HS2", _rosenbrock, [-2, 1], 0.05042618789786105, HS, [-INF, 1.5]),
        _problem("HS3", hs3, [10, 1], 0.0, HS, [-INF, 0]),
        _problem("HS3MOD", lambda x: hs3(x, 1), [10, 1], 0.0, HS, [-INF, 0]),
        _problem("HS4", hs4, [1.125, 0.125], 8 / 3, HS, [1, 0]),
        _problem("HS5", _mccormick, [0, 0], -np.sqrt(3) / 2 - np.pi / 3, HS, [-1.5, -3], [4, 3]),
        _problem("HS25", _squares(_weibull(99)), [100, 12.5, 3], 0.0, HS, [0.1, 0, 0], [100, 25.6, 5]),
        _problem("HS38", _wood, [-3, -1, -3, -1], 0.0, HS, -10, 10),
        _problem("HS45", hs45, [2] * 5, 1.0, HS, 0, [1, 2, 3, 4, 5]),
        _problem("HS105", hs105, [0.1, 0.2, 100, 125, 175, 11.2, 13.2, 15.8], 1136.3073035740715, HS, low, high),
        _problem("HS110", hs110, [9] * 10, -45.778469707446, HS, 2.001, 9.999),
    ]


def _garbow():
    """The bounds cut off the unconstrained minimum."""

    def freudenstein(x):
        a, b = x
        r = [a + ((5 - b) * b - 2) * b - 13, a + ((b + 1) * b - 14) * b - 29]
        return np.array(r), (1, np.array([(10 - 3 * b) * b - 2, (3 * b + 2) * b - 14]))

    def powell_scaled(x):
        e = np.exp(-x)
        return np.array([1e4 * x[0] * x[1] - 1, e.sum() - 1.0001]), (
            np.array([1e4 * x[1], -e[0]]),
            np.array([1e4 * x[0], -e[1]]),
        )

    def brown_scaled(x):
        a, b = x
        return np.array([a - 1e6, b - 2e-6, a * b - 2]), (np.array([1, 0, b]), np.array([0, 1, a]))

    def beale(x):
        k = np.arange(1, 4)
        return np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** k), (x[1] ** k - 1, x[0] * k * x[1] ** (k - 1))

    def jennrich(x):
        i = np.arange(1, 11)
        a, b = np.exp(i * x[0]), np.exp(i * x[1])
        return 2 + 2 * i - a - b, (-i * a, -i * b)

    def helix(x):
        a, b, c = x
        square = a**2 + b**2
        root = np.sqrt(square)
        turn = np.arctan2(b, a) / (2 * np.pi)
        r = np.array([10 * (c - 10 * (turn + (turn < -0.25))), 10 * (root - 1), c])
        return r, (
            np.array([50 / np.pi * b / square, 10 * a / root, 0]),
            np.array([-50 / np.pi * a / square, 10 * b / root, 0]),
            np.array([10, 0, 1]),
        )

    def bard(x):
        y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39]
        u = np.arange(1, 16)
        v, w = 16 - u, np.minimum(u, 16 - u)
        d = v * x[1] + w * x[2]
        return y - x[0] - u / d, (-1, u * v / d**2, u * w / d**2)

    def gaussian(x):
        half = [0.0009, 0.0044, 0.0175, 0.054, 0.1295, 0.242, 0.3521]
        t = (7 - np.arange(15)) / 2 - x[2]
        e = np.exp(-x[1] * t**2 / 2)
        return x[0] * e - [*half, 0.3989, *half[::-1]], (e, -x[0] * e * t**2 / 2, x[0] * e * x[1] * t)

    def box(x):
        t = np.arange(1, 11) / 10
        a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t) - np.exp(-10 * t)
        return a - b - x[2] * c, (-t * a, t * b, -c)

    def kowalik(x):
        y = [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
        u = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
        a, b = u**2 + u * x[1], u**2 + u * x[2] + x[3]
        return y - x[0] * a / b, (-a / b, -x[0] * u / b, x[0] * a * u / b**2, x[0] * a / b**2)

    def dennis(x):
        t = np.arange(1, 21) / 5
        u, v = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
        return u**2 + v**2, (2 * u, 2 * u * t, 2 * v, 2 * v * np.sin(t))

    def osborne(x):
        y = [844, 908, 932, 936, 925, 908, 881, 850, 818, 784, 751, 718, 685, 658, 628, 603, 580]
        y += [558, 538, 522, 506, 490, 478, 467, 457, 448, 438, 431, 424, 420, 414, 411, 406]
        t = 10 * np.arange(33)
        a, b = np.exp(-t * x[3]), np.exp(-t * x[4])
        return np.array(y) / 1000 - x[0] - x[1] * a - x[2] * b, (-1, -a, -b, t * x[1] * a, t * x[2] * b)

    def biggs(x):
        t = np.arange(1, 14) / 10
        a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
        r = x[2] * a - x[3] * b + x[5] * c - (np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t))
        return r, (-t * x[2] * a, t * x[3] * b, a, -b, -t * x[5] * c, c)

    def watson(x):
        j = np.arange(x.size)
        powers = (np.arange(1, 30) / 29)[:, None] ** j
        slopes = np.zeros_like(powers)
        slopes[:, 1:] = j[1:] * powers[:, :-1]
        s = powers @ x
        last = np.zeros((2, x.size), x.dtype)
        last[:, :2] = [[1, 0], [-2 * x[0], 1]]
        r = np.concatenate([slopes @ x - s**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])
        return r, np.vstack([slopes - 2 * s[:, None] * powers, last]).T

    def penalty2(x):
        n, a = x.size, np.sqrt(1e-5)
        e = np.exp(x / 10)
        i = np.exp(np.arange(1, n + 1) / 10)
        weights = np.arange(n, 0, -1)
        pairs, singles = a * (e[1:] + e[:-1] - i[1:] - i[:-1]), a * (e[1:] - np.exp(-0.1))
        ends = x[0] - 0.2, weights @ x**2 - 1
        g = 4 * ends[1] * weights * x
        g[0] += 2 * ends[0]
        g[1:] += a / 5 * (pairs + singles) * e[1:]
        g[:-1] += a / 5 * pairs * e[:-1]
        return ends[0] ** 2 + pairs @ pairs + singles @ singles + ends[1] ** 2, g

    def trials():
        yield "ROSENBROCK", _rosenbrock, [-1.2, 1], 0.25, [-50, 0], [0.5, 100]
        yield "FREUDENSTEIN", freudenstein, [0.5, -2], 48.985202, [0, -30], [20, -0.9]
        yield "POWELL-SCALED", powell_scaled, [0, 1], 1.51259367243967e-10, [0, 1], [1, 9]
        yield "BROWN-SCALED", brown_scaled, [1, 1], 783.999999295184, [0, 3e-5], [1e6, 100]
        yield "BEALE", beale, [1, 1], 0.0, [0.6, 0.5], [10, 100]
        yield "JENNRICH", jennrich, [0.3, 0.4], 124.383112916378, [0.26, 0], [10, 20]
        yield "HELIX", helix, [-1, 0, 0], 0.990422120961399, [-100, -1, -1], [0.8, 1, 1]
        yield "BARD", bard, [1, 1, 1], 0.00958228472115322, [0.1, 0, 0], [50, 100, 50]
        yield "GAUSSIAN", gaussian, [0.4, 1, 0], 1.1279327696184e-08, [0.398, 1, -0.5], [4.2, 2, 0.1]
        # Gay has x >= 0, where the first variable divides
        yield "GULF", _weibull(20), [5, 2.5, 0.15], 0.0243576124657854, [1e-3, 0, 0], [10, 10, 10]
        yield "BOX", box, [0, 10, 20], 0.000114348180264142, [0, 5, 0], [2, 9.5, 20]
        yield "POWELL-4", _powell, [3, -1, 0, 1], 0.000187819630058303, [0.1, -20, -1, -1], [100, 20, 1, 50]
        yield "WOOD-4", _wood, [-3, -1, -3, -1], 1.55670080043856, -100, [0, 10, 100, 100]
        yield "KOWALIK", kowalik, [0.25, 0.39, 0.415, 0.39], 0.000307830723464197, [0, -1, 0.13, 0.12], [10, 12, 13, 12]
        yield "DENNIS", dennis, [25, 5, -5, -1], 88860.4797675004, [-10, 0, -100, -20], [100, 15, 0, 0.2]
        yield (
            "OSBORNE",
            osborne,
            [0.5, 1.5, -1, 0.01, 0.02],
            5.47028334337336e-05,
            [0, 0, -50, 0, 0],
            [50, 1.9, -0.1, 10, 10],
        )
        yield "BIGGS", biggs, [1, 2, 1, 1, 1, 1], 0.000532098659078232, [0, 0, 0, 1, 0, 0], [2, 8, 1, 7, 5, 5]
        yield "WATSON-6", watson, [0] * 6, 0.00228960643824938, [-0.015, *[-10] * 5], [10, *[100] * 4, 0.99]
        yield "PENALTY2-4", penalty2, [0.5] * 4, 9.43420467090687e-06, [-10, 0.3, 0, -1], [50, 50, 50, 0.5]
        yield "ROSENBROCK-100", _rosenbrock, [-1.2, 1] * 50, 12.5, [-50, 0] * 50, [0.5, 100] * 50
        yield (
            "POWELL-100",
            _powell,
            [3, -1, 0, 1] * 25,
            0.00469549075145758,
            [0.1, -20, -1, -1] * 25,
            [100, 20, 1, 50] * 25,
        )

    whole = (_rosenbrock, _powell, _wood, penalty2)
    return [
        _problem(f"GAY-{name}", fun if fun in whole else _squares(fun), x0, best, GAY, low, high)
        for name, fun, x0, best, low, high in trials()
    ]


def _small():
    def allinit(x):
        a, b, c, d = x
        s, t = np.sin(c) ** 2, np.sin(d) ** 2
        u, v = c**2 + (d + a) ** 2, a - 4 + t + b**2 * c**2
        f = c + d - 4 + a**2 + b**2 + (c + d) ** 2 + 2 * s + a**2 * b**2 + (d - 1) ** 2 + b**4 + u**2 + v**2 + t**2
        return f, np.array(
            [
                2 * a + 2 * a * b**2 + 4 * u * (d + a) + 2 * v,
                2 * b + 2 * a**2 * b + 4 * b**3 + 4 * v * b * c**2,
                1 + 2 * (c + d) + 2 * np.sin(2 * c) + 4 * u * c + 4 * v * b**2 * c,
                1 + 2 * (c + d) + 2 * (d - 1) + 4 * u * (d + a) + 2 * (v + t) * np.sin(2 * d),
            ]
        )

    def camel(x):
        a, b = x
        f = (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (4 * b**2 - 4) * b**2
        return f, np.array([8 * a - 8.4 * a**3 + 2 * a**5 + b, a - 8 * b + 16 * b**3])

    def eg1(x):
        a, b, c = x
        s, t = np.sin(a + c), b * np.cos(a + c)
        p = 4 * (b * c) ** 3
        return a**2 + (b * c) ** 4 + b * s + a * c + b, np.array([2 * a + t + c, p * c + s + 1, p * b + t + a])

    def hartmann(x):
        c = np.array([1, 1.2, 3, 3.2])
        a = [[10, 0.05, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14]]
        a = np.array([*a, [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
        p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
        p = np.array([*p, [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]) / 1e4
        e = c * np.exp(-(a * (x - p) ** 2).sum(1))
        return -e.sum(), 2 * e @ (a * (x - p))

    def logros(x):
        u, v = x[1] - x[0] ** 2, 1 - x[0]
        total = 1 + 1e4 * u**2 + v**2
        return np.log(total), np.array([-4e4 * u * x[0] - 2 * v, 2e4 * u]) / total

    def mdhole(x):
        u = np.sin(x[0]) - x[1]
        return 100 * u**2 + x[0], np.array([200 * u * np.cos(x[0]) + 1, -200 * u])

    def points(x):
        x, y = x[::2], x[1::2]
        dx, dy = np.subtract.outer(x, x), np.subtract.outer(y, y)
        square = dx**2 + dy**2
        np.fill_diagonal(square, 1)
        cubed = square**-1.5
        return ((square**-0.5).sum() - x.size) / 2, -np.array([(cubed * dx).sum(1), (cubed * dy).sum(1)]).T.ravel()

    def pspdoc(x):
        u, v = x[1] - x[2], x[2] - x[3]
        p, q = np.sqrt(1 + x[0] ** 2 + u**2), np.sqrt(1 + x[1] ** 2 + v**2)
        return p + q, np.array([x[0] / p, u / p + x[1] / q, v / q - u / p, -v / q])

    def wolfe(x):
        squares, cubes, fourths = (x**2).sum(), (x**3).sum(), (x**4).sum()
        return cubes**2 - squares * fourths, 6 * cubes * x**2 - 2 * fourths * x - 4 * squares * x**3

    return [
        _problem("ALLINIT", allinit, [0] * 4, 16.7059684328799, CUTE, [-INF, 1, -1e10, 2], [INF, INF, 1, 2]),
        _problem("CAMEL6", camel, [1.1, 1.1], -1.031628453489877, CUTE, [-3, -1.5], [3, 1.5]),
        _problem("EG1", eg1, [0, 0, 0], -1.42930675357544, CUTE, [-INF, -1, 1], [INF, 1, 2]),
        _problem("HART6", hartmann, [0.2] * 6, -3.32288689158932, CUTE, 0, 1),
        _problem("LOGROS", logros, [-1.2, 1], 0.0, CUTE, 0),
        _problem("MDHOLE", mdhole, [10, 1], 0.0, CUTE, [0, -INF]),
        _problem("POWELLBC-24", points, (np.arange(1, 25) / 24) ** 2, 98.8916040708247, CUTE, 0, 1),
        _problem("PSPDOC", pspdoc, [3] * 4, 1 + np.sqrt(2), CUTE, -INF, [-1, INF, INF, INF]),
        _problem("S368", wolfe, np.arange(1, 9) / 9, -1.0, CUTE, 0, 1),
    ]


def _fits():
    def deconvolution(x):
        y = [0, 0, 0.0016, 0.0054, 0.0702, 0.1876, 0.332, 0.764, 0.932, 0.812, 0.3464, 0.2064, 0.083, 0.034, 0.06179999]
        y += [1.2, 1.8, 2.4, 9, 2.4, 1.801, 1.325, 0.0762, 0.2104, 0.268, 0.552, 0.996, 0.36, 0.24, 0.151, 0.0248]
        y += [0.2432, 0.3602, 0.48, 1.8, 0.48, 0.36, 0.264, 0.006, 0.006]
        signal, kernel = x[:40], x[40:]
        r = np.convolve(kernel, signal)[:40] - y
        slopes = [np.convolve(r[::-1], other)[:40][::-1] for other in (kernel, signal)]
        return r @ r, 2 * np.concatenate([slopes[0], slopes[1][:11]])

    def pole(k):
        """A pole's value and derivatives at two points, of which a = k, r = 3, h = 2 give the data."""

        def parts(a, r, h):
            y = 1 + h
            q = y**-a
            t = a * r * h
            u = (a + 1) * h * t
            return np.array([t - u / 2 - r * (1 - q), t * (1 - q / y) - u, u * (q / y**2 - 1)])

        def residuals(x):
            a, r, h = x
            y = 1 + h
            q = y**-a
            s, w = q / y, q / y**2
            t, u = a * r * h, a * (a + 1) * r * h**2
            columns = []
            for dt, du, dq, dr, dy in (
                (r * h, (2 * a + 1) * r * h**2, -np.log(y) * q, 0, 0),
                (a * h, a * (a + 1) * h**2, 0, 1, 0),
                (a * r, 2 * a * (a + 1) * r * h, -a * s, 0, 1),
            ):
                ds = (dq - s * dy) / y
                dw = (ds - w * dy) / y
                columns.append(
                    np.array([dt - du / 2 - dr * (1 - q) + r * dq, dt * (1 - s) - t * ds - du, du * (w - 1) + u * dw])
                )
            return parts(a, r, h) - parts(k, 3, 2), columns

        return _problem(f"PFIT{k}LS", _squares(residuals), [1, 0, 1], 0.0, CUTE, [-INF, -INF, -0.5])

    def specan(x):
        t = np.linspace(1, 26, 201)[1:]
        goal = np.array([19, 4.2, 1.2, 8, 2.5, 4.6, 10, 2, 2.6]).reshape(3, 3, 1)
        u, v, w = np.moveaxis(x.reshape(3, 3, 1), 1, 0)
        e = np.exp(-(((t - v) / w) ** 2))
        r = u * e - goal[:, 0] * np.exp(-(((t - goal[:, 1]) / goal[:, 2]) ** 2))
        z = 2 * u * e * (t - v) / w**2
        return (r**2).sum() / 2, np.array([(r * e).sum(1), (r * z).sum(1), (r * z * (t - v) / w).sum(1)]).T.ravel()

    def weeds(x):
        y = [5.308, 7.24, 9.638, 12.866, 17.069, 23.192, 31.443, 38.558, 50.156, 62.948, 75.995, 91.972]
        t = np.arange(1, 13)
        e = np.exp(-x[2] * t)
        d = 1 / (1 + x[1] * e)
        return x[0] * d - y, (d, -x[0] * d**2 * e, x[0] * x[1] * d**2 * e * t)

    def yfit(x):
        y = [21.158931, 17.591719, 14.046854, 10.519732, 7.0058392, 3.5007293]
        y = np.array([*y, 0, *-np.array(y[::-1]), -24.753206, -28.379405, -32.042552, -35.747869])
        t = np.arange(17) / 16
        tangent = np.tan(x[0] * (1 - t) + x[1] * t)
        slope = x[2] * (1 + tangent**2)
        return x[2] * tangent - y, (slope * (1 - t), slope * t, tangent)

    kernel = [0.01, 0.02, 0.4, 0.6, 0.8, 3, 0.8, 0.6, 0.44, 0.01, 0.01]
    low = [15, 3.5, 0.3, 5, 2.2, 2.6, 5, 1.2, 1.3]
    high = [31, 6.3, 3.7, 15, 5.3, 6.2, 14, 3.3, 2.8]
    return [
        _problem("DECONVB", deconvolution, [*[0] * 40, *kernel], 0.0, CUTE, 0, [*[INF] * 40, *[3] * 11]),
        *(pole(k) for k in range(1, 5)),
        _problem("SPECAN", specan, [25, 5.2, 3.2, 7, 4.1, 3.6, 11.6, 1.9, 2.2], 0.0, CUTE, low, high),
        _problem("WEEDS", _squares(weeds), [1] * 3, 2.58727739528415, CUTE, 0, [INF, INF, 3]),
        _problem("YFIT", _squares(yfit), [0.6, -0.6, 20], 0.0, CUTE, [-INF, -INF, 0]),
    ]


def _palmer():
    """Curves of s = x^2, a polynomial and one term, the letter says which, fitted to the data of the linear fits C."""
    fits = json.loads(Path(__file__).with_name("regression.json").read_text())

    def quotient(s, b, c, d):
        q = c + s / d
        return b / q, (1 / q, -b / q**2, b * s / (d * q) ** 2)

    def hyperbola(s, b, c):
        q = c + s
        return b / q, (1 / q, -b / q**2)

    def bell(s, rate, height):
        e = np.exp(-rate * s)
        return height * e, (-s * height * e, e)

    kinds = {  # the powers of s, the term, least values of its parameters
        "": (slice(1, 2), quotient, [1e-5, 1e-5, 1e-5]),
        "A": (slice(4), hyperbola, [1e-5, 1e-5]),
        "B": (slice(1, 3), hyperbola, [1e-5, 1e-5]),
        "E": (slice(6), bell, [0, -INF]),
        "5A": (slice(6), hyperbola, [0, 1e-5]),
        "5B": (slice(7), hyperbola, [1e-5, 1e-5]),
    }
    starts = {"5E": [19.264, -1.7302, 40.794, 0.83021, 3.709, -0.17723, 10, 1]}

    def fit(which, best):
        number, kind = which[0], which[1:]
        powers, term, least = kinds.get(which) or kinds[kind]
        # the first one does without the last four points
        y, x = np.array(fits[f"PALMER{number}C"]["data"])[:, : 31 if which == "1" else None]
        s = x**2
        # T_0, T_2, T_4, ... of x are those of half the degree of s
        basis = chebvander(2 * s / s.max() - 1, 6) if which in ("5A", "5E") else polyvander(s, 6)
        basis = basis[:, powers].T
        m = len(basis)

        def residuals(x):
            value, slopes = term(s, *x[m:])
            return x[:m] @ basis + value - y, (*basis, *slopes)

        low = [*[-INF] * m, *least]
        return _problem(f"PALMER{which}", _squares(residuals), starts.get(which, [1] * len(low)), best, CUTE, low)

    # 7E has an infimum only, as its rate goes to zero
    least = {
        "1": 11754.6025453495,
        "1A": 0.0898836290429559,
        "1B": 3.44735461906215,
        "1E": 0.00083526826867753,
        "2": 3651.09753540019,
        "2A": 0.0171097170533007,
        "2B": 0.623266970584747,
        "2E": 0.000206500092402422,
        "3": 2265.95821828243,
        "3A": 0.0204314229925444,
        "3B": 4.2276472508697,
        "3E": 5.07408418347857e-05,
        "4": 2285.38322544955,
        "4A": 0.0406061393779652,
        "4B": 6.83513859986908,
        "4E": 0.000148004219553513,
        "5A": 0.0204725743996575,
        "5B": 0.00975249263948999,
        "5E": 0.0207133938685832,
        "6A": 0.0559488389963193,
        "6E": 0.000223955033980302,
        "7A": 10.3348556556453,
        "8A": 0.0740096979551834,
        "8E": 0.00633930743105945,
    }
    return [fit(which, best) for which, best in least.items()]


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

    def genrose(x):
        u, v = x[1:] - x[:-1] ** 2, x[1:] - 1
        g = np.zeros_like(x)
        g[1:] = 200 * u + 2 * v
        g[:-1] -= 400 * u * x[:-1]
        return 1 + 100 * (u @ u) + v @ v, g

    def sineali(x):
        u = x[1:] - x[:-1] ** 2
        c = 100 * np.cos(u)
        g = np.zeros_like(x)
        g[0] = np.cos(x[0] - 1)
        g[1:] = c
        g[:-1] -= 2 * c * x[:-1]
        return np.sin(x[0] - 1) + 100 * np.sin(u).sum(), g

    def ramp(n, m, best, name, pair, arrow=False):
        """-10 i x_i, the first m by pairs, and as an arrow the others with the last one."""
        p, i = np.arange(1, m + 1) / m, np.arange(1, n + 1)

        def fun(x):
            a, b, c, last = x[:m], x[1 : m + 1], x[m:-1], x[-1]
            values, slopes = pair(p, a * b)
            g = -10 * i + 0 * x
            f = values.sum() + g @ x
            g[:m] += slopes * b
            g[1 : m + 1] += slopes * a
            if arrow:
                f += 4 * (c @ c) + 2 * c.size * last**2 + c.sum() * last
                g[m:-1] += 8 * c + last
                g[-1] += 4 * c.size * last + c.sum()
            return f, g

        bounded = (i <= m) | (not arrow)
        low, high = np.where(bounded, 0, -INF), np.where(bounded, 10, INF)
        return _problem(f"{name}-{n}", fun, np.zeros(n), best, CUTE, low, high)

    def exponential(p, u):
        e = np.exp(p * u)
        return e, p * e

    def odd(n, first, other):
        return np.where(np.arange(n) % 2, other, first)

    high = [np.pi / 2]
    while len(high) < 20:
        high.append(np.sqrt(high[-1] + np.pi / 2))
    return [
        *(_problem(f"NONSCOMP-{n}", nonscomp, np.full(n, 3), 0.0, CUTE, odd(n, 1, -100), 100) for n in (25, 1000)),
        _problem("HATFLDA", hatflda, [0.1] * 4, 0.0, CUTE, 1e-7),
        _problem("HATFLDB", hatflda, [0.1] * 4, 0.00557280900008412, CUTE, 1e-7, [INF, 0.8, INF, INF]),
        _problem("HATFLDC", hatfldc, [0.9] * 25, 0.0, CUTE, [*[0] * 24, -INF], [*[10] * 24, INF]),
        _problem("BIGGSB1-100", biggsb1, np.zeros(100), 0.015, CUTE, [*[0] * 99, -INF], [*[0.9] * 99, INF]),
        _problem("BDEXP-500", bdexp, np.ones(500), 0.0, CUTE, 0),
        _problem("MCCORMCK-50", _mccormick, np.zeros(50), -46.1269256442026, CUTE, -1.5, 3),
        _problem("MCCORMCK-500", _mccormick, np.zeros(500), -457.077255385669, CUTE, -1.5, 3),
        _problem("GENROSEB-100", genrose, np.arange(1, 101) / 101, 313.944931730421, CUTE, 0.2, 0.5),
        _problem("SINEALI-20", sineali, np.zeros(20), -1901.0, CUTE, np.array(high) - 2 * np.pi, high),
        ramp(120, 10, -723756.265492574, "EXPLIN", lambda _, u: exponential(0.1, u)),
        ramp(120, 10, -724459.142958091, "EXPLIN2", lambda p, u: exponential(0.1 * p, u)),
        ramp(120, 10, -3625962.13685646, "EXPQUAD", lambda p, u: exponential(0.1 * p, u), arrow=True),
        ramp(120, 10, -3624631.85352481, "QRTQUAD", lambda p, u: (p * u**4, 4 * p * u**3), arrow=True),
        ramp(120, 60, -720000.0, "QUDLIN", lambda _, u: (u, 1)),
    ]


def _matrices():
    def chebyquad(x):
        n, y = x.size, 2 * x - 1
        polynomials, slopes = [np.ones_like(x), y], [np.zeros_like(x), np.full_like(x, 2)]
        for _ in range(n - 1):
            slopes.append(4 * polynomials[-1] + 2 * y * slopes[-1] - slopes[-2])
            polynomials.append(2 * y * polynomials[-1] - polynomials[-2])
        even = np.arange(2, n + 1, 2)
        r = np.array(polynomials[1:]).mean(1)
        r[1::2] += 1 / (even**2 - 1)
        return r @ r, 2 / n * (r @ np.array(slopes[1:]))

    def hadamard(x):
        n = round(np.sqrt(x.size))
        q = x.reshape(n, n)
        products = q.T @ q - n * np.eye(n)
        own = np.diag(products)
        u = q**2 - 1
        u[0] = 0
        f = ((products**2).sum() + own @ own) / 2 + (u**2).sum()
        return f, (2 * q @ (products + np.diag(own)) + 4 * q * u).ravel()

    def linverse(x):
        n = (x.size + 1) // 2
        i = np.arange(1, n + 1)
        band = abs(np.subtract.outer(i, i)) <= 2
        lower = np.tril(np.outer(np.sin(i), np.cos(i)) * band)
        target = lower + np.tril(lower, -1).T
        bidiagonal = np.diag(x[::2]) + np.diag(x[1::2], -1)
        r = (bidiagonal @ target @ bidiagonal.T - np.eye(n)) * band
        slope = 4 * r @ bidiagonal @ target
        g = np.empty_like(x)
        g[::2], g[1::2] = np.diag(slope), np.diag(slope, -1)
        return (r**2).sum(), g

    def hadamals(n):
        sign = np.repeat([1, -1], n // 2)[:, None]
        low, high = np.full((n, n), -1.0), np.ones((n, n))
        low[:, :1] = high[:, :1] = sign
        start = np.broadcast_to(0.9 * sign, (n, n)).ravel()
        return _problem(f"HADAMALS-{n * n}", hadamard, start, 0.0, CUTE, low.ravel(), high.ravel())

    def positive(n, best):
        low = np.full(2 * n - 1, -INF)
        low[::2] = 1e-8
        return _problem(f"LINVERSE-{2 * n - 1}", linverse, np.full(2 * n - 1, -1), best, CUTE, low)

    return [
        _problem("CHEBYQAD-8", chebyquad, np.arange(1, 9) / 9, 0.00351687372567792, CUTE, 0, 1),
        _problem("CHEBYQAD-20", chebyquad, np.arange(1, 21) / 21, 0.00457295518686785, CUTE, 0, 1),
        hadamals(4),
        hadamals(8),
        positive(10, 6.0),
        positive(50, 34.0),
    ]


def _membrane(dx, dy, load, across=1.0, along=1.0):
    """Return v -> integral of w |grad v|^2 / 2 - load v, v zero at the rim; all may differ by row."""

    def fun(x):
        v = np.pad(x.reshape(np.size(load), -1), 1)
        down, right = np.diff(v, axis=0), np.diff(v, axis=1)[1:-1]
        tension, pull = across * dy / dx * down, along * dx / dy * right
        f = ((tension * down).sum() + (pull * right).sum()) / 2 - dx * dy * (load * v[1:-1]).sum()
        return f, -(np.diff(tension, axis=0)[:, 1:-1] + np.diff(pull, axis=1) + dx * dy * load).ravel()

    return fun


def _grids():
    """Variational inequalities: the bounds are obstacles."""

    def torsion(c, m, best, name="TORSION", free=0):
        t = np.arange(1, m + 1) / (m + 1)
        distance = np.minimum.outer(np.minimum(t, 1 - t), np.minimum(t, 1 - t)).ravel()
        fun = _membrane(1 / (m + 1), 1 / (m + 1), np.full((m, 1), c))
        bound = distance.copy()
        bound[: free * m] = INF
        return _problem(f"{name}-{c}-{m * m}", fun, distance, best, TORALDO, -bound, bound)

    def obstacle(name, m, wave, start, best, lower, upper):
        t = np.arange(1, m + 1) / (m + 1)
        bumps = np.outer(np.sin(wave * t), np.sin((wave + 0.1) * t)).ravel()
        low, high = lower(bumps), upper(bumps)
        fun = _membrane(1 / (m + 1), 1 / (m + 1), np.ones((m, 1)))
        return _problem(f"{name}-{m * m}", fun, low if start is None else start * np.ones(m * m), best, CUTE, low, high)

    def bearing(eccentricity, m, best):
        dx, dy = 2 * np.pi / (m + 1), 20 / (m + 1)
        angle = dx * np.arange(m + 2)
        w = (1 + eccentricity * np.cos(angle))[:, None] ** 3
        load = eccentricity * np.sin(angle[1:-1, None])
        fun = _membrane(dx, dy, load, (w[1:] + w[:-1]) / 2, (w[2:] + 4 * w[1:-1] + w[:-2]) / 6)
        start = np.repeat(np.sin(angle[1:-1]), m)
        return _problem(f"JNLBRNG-{eccentricity}-{m * m}", fun, start, best, MINPACK2, 0)

    def surface(m, best):
        h = 1 / (m + 1)
        t = np.linspace(0, 1, m + 2)
        frame = np.zeros((m + 2, m + 2))
        frame[:, 0] = frame[:, -1] = 1 - (2 * t - 1) ** 2

        def fun(x):
            v = frame.astype(x.dtype)
            v[1:-1, 1:-1] = x.reshape(m, m)
            down, right = np.diff(v, axis=0) / h, np.diff(v, axis=1) / h
            f, g = 0.0, np.zeros_like(v)
            for i, j in ((0, 0), (1, 1)):  # the two triangles of each cell: its left and upper sides, the others
                p, q = (down[:, 1:] if j else down[:, :-1]), (right[1:] if i else right[:-1])
                area = np.sqrt(1 + p**2 + q**2)
                f += h**2 / 2 * area.sum()
                p, q = h / 2 * p / area, h / 2 * q / area
                g[1:, j : m + 1 + j] += p
                g[:-1, j : m + 1 + j] -= p
                g[i : m + 1 + i, 1:] += q
                g[i : m + 1 + i, :-1] -= q
            return f, g[1:-1, 1:-1].ravel()

        middle = abs(t[1:-1] - 0.5) <= 0.25
        start = np.tile(1 - (2 * t[1:-1] - 1) ** 2, m)
        return _problem(
            f"MINSURFO-{m * m}", fun, start, best, MINPACK2, np.where(np.outer(middle, middle), 1, 0).ravel()
        )

    return [
        torsion(5, 12, -0.412234979557781),
        torsion(10, 20, -1.19948649477135),
        torsion(20, 31, -2.84635816154016),
        torsion(5, 20, -0.422955980760176, "NOBNDTOR", free=10),
        obstacle("OBSTCLAE", 20, 3.2, 1, 1.95965959005357, lambda bumps: bumps, lambda bumps: 2000 + 0 * bumps),
        obstacle("OBSTCLBL", 20, 9.2, None, 6.83623529653066, lambda bumps: bumps**3, lambda bumps: bumps**2 + 0.02),
        obstacle("OBSTCLBU", 30, 9.2, 2, 7.1284535051472, lambda bumps: bumps**3, lambda bumps: bumps**2 + 0.02),
        bearing(0.1, 21, -0.180045568927677),
        bearing(0.5, 30, -4.12486790824427),
        surface(20, 2.4295473951204),
    ]


def _quadratics():
    def simbqp(x):
        u, v = x[1] - x[0], 2 * x[0] + x[1]
        return x[1] + u**2 + v**2, np.array([4 * v - 2 * u, 1 + 2 * u + 2 * v])

    def oslbqp(x):
        c = np.array([1, 0, 0, 0, 2, 0, 0, -1])
        return c @ x + x @ x / 2, c + x

    def thirds(n, curvature, best, name):
        """Sum of c_i (x_i + x_j + x_k)^2 / 2."""
        i = np.arange(1, n + 1)
        j, k = (2 * i - 1) % n, (3 * i - 1) % n

        def fun(x):
            u = x + x[j] + x[k]
            g = curvature * u
            return g @ u / 2, g + np.bincount(j, g, n) + np.bincount(k, g, n)

        return _problem(f"{name}-{n}", fun, np.full(n, 0.5), best, CUTE, 0.1, 10)

    def pentdi(x):
        n = x.size
        c = np.zeros(n)
        c[[0, 1, n // 2 - 2, n // 2 - 1, n // 2]] = -3, 1, 1, -3, 4
        c[n // 2 + 2 :] = 1
        g = 12 * x + c
        g[1:-1] -= 4 * x[:-2]
        g[:-2] -= 4 * x[1:-1]
        g[2:] += x[:-2]
        g[:-2] += x[2:]
        return (g + c) @ x / 2, g

    def chenhark(n):
        free, degenerate = n // 2, n // 5
        solution = np.zeros(n)
        solution[:free] = 1

        def curve(x):
            return np.diff(np.pad(np.diff(np.pad(x, 2), 2), 0), 2)

        c = -curve(solution)
        c[free + degenerate :] += 1

        def fun(x):
            g = curve(x) + c
            return (g + c) @ x / 2, g

        return _problem(f"CHENHARK-{n}", fun, np.full(n, 0.5), -2.0, CUTE, 0)

    def toraldo(n, condition, degeneracy, seed):
        """Strictly convex; about half of the variables at a bound, with multipliers down to 10^-degeneracy."""
        rng = np.random.default_rng(seed)
        mirrors = rng.uniform(-1, 1, (3, n))
        mirrors /= np.linalg.norm(mirrors, axis=1)[:, None]
        spectrum = np.logspace(0, condition, n)
        solution = rng.uniform(-1, 1, n)
        multiplier = 10 ** (-degeneracy * rng.uniform(0, 1, n)) * rng.choice([-1, 0, 0, 1], n)
        low = np.where(multiplier > 0, solution, -1)
        high = np.where(multiplier < 0, solution, 1)

        def reflect(x, order):
            for y in mirrors[order]:
                x = x - 2 * (y @ x) * y
            return x

        def product(x):
            return reflect(spectrum * reflect(x, slice(None)), slice(None, None, -1))

        c = product(solution) - multiplier

        def fun(x):
            slope = product(x)
            return x @ slope / 2 - c @ x, slope - c

        best = fun(solution)[0]
        return _problem(f"BQP-{n}-{condition}-{degeneracy}", fun, (low + high) / 2, best, TORALDO, low, high)

    def nonnegative(name, a, b, best):
        def fun(x):
            r = a @ x - b
            return r @ r / 2, r @ a

        return _problem(name, fun, np.zeros(a.shape[1]), best, LAWSON, 0)

    rng = np.random.default_rng(7)
    t = np.linspace(0, 1, 100)
    blur = np.exp(-(np.subtract.outer(t, t) ** 2) / (2 * 0.02**2)) / 5
    spikes = np.where(np.arange(100) % 17 == 5, 1 + np.arange(100) / 50, 0)
    i = np.arange(1, 101)
    return [
        _problem("SIMBQP", simbqp, [10, 1], 0.0, CUTE, [-INF, 0], [INF, 0.5]),
        _problem(
            "OSLBQP",
            oslbqp,
            [0.5] * 8,
            6.25,
            CUTE,
            [2.5, 0, 0, 0, 0.5, 0, 0, 0],
            [INF, 4.1, INF, INF, 4, INF, INF, 4.3],
        ),
        thirds(100, i, 227.25, "CVXBQP1"),
        thirds(1000, np.arange(1, 1001), 22522.5, "CVXBQP1"),
        thirds(100, np.where(i <= 25, i, -i), -1995577.65, "NCVXBQP1"),
        _problem("PENTDI-200", pentdi, np.ones(200), -0.75, CUTE, 0),
        chenhark(100),
        toraldo(100, 2, 1, 0),
        toraldo(300, 4, 3, 1),
        toraldo(1000, 3, 6, 2),
        nonnegative("NNLS-UNIFORM-100", rng.uniform(size=(200, 100)), rng.uniform(size=200), 8.09281178460984),
        nonnegative("NNLS-BLUR-100", blur, blur @ spikes + 0.01 * rng.normal(size=100), 0.00391407265770963),
    ]
