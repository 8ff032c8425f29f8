"""Families of problems in any number of variables, by name."""

import numpy as np
from numpy import cos, exp, pi, sin, sqrt

from problems.families import ALL, blocks, chain, collection, least_squares, one_to, sum_of, sum_of_squares
from problems.more_garbow_hillstrom import wood_function

_family, problems = collection()

CUTE = "Bongartz, Conn, Gould and Toint, CUTE (1995)"
LUKSAN = "Lukšan, Matonoha and Vlček, Modified CUTE problems for sparse unconstrained optimization (2010)"
TOINT = "Toint, Test problems for partially separable optimization (1983)"
SURJANOVIC = "Surjanovic and Bingham, Virtual library of simulation experiments (2013)"
PAIRS_OF_PAIRS = [slice(0, -2, 2), slice(1, -2, 2), slice(2, None, 2), slice(3, None, 2)]  # x1..x4, x3..x6, x5..x8


@_family({100: 0.0, 1000: 0.0}, CUTE)
def arwhead(n):
    return sum_of(
        (slice(-1), -1, lambda x, z: ((x**2 + z**2) ** 2, 4 * x * (x**2 + z**2), 4 * z * (x**2 + z**2))),
        (slice(-1), lambda x: (3 - 4 * x, -4)),
    ), np.ones(n)


@_family({100: 378.7691918086841, 1000: 3983.8179505765343}, CUTE)
def bdqrtic(n):
    def quartic(a, b, c, d, z):
        return a**2 + 2 * b**2 + 3 * c**2 + 4 * d**2 + 5 * z**2, 2 * a, 4 * b, 6 * c, 8 * d, 10 * z

    return sum_of_squares((slice(-4), lambda x: (3 - 4 * x, -4)), (*chain(5)[:4], -1, quartic)), np.ones(n)


@_family({100: 2.5781401103807866, 1000: 2.5781401105701454}, TOINT)
def broydn7d(n):
    """Its local minima are walls between stretches of x_i = 1 / sqrt(2) and of its negative, which cost nothing."""

    def power(r):
        """|r|^p for p = 7/3, and p |r|^(p - 1) sign(r)."""
        root = (r**2) ** (1 / 6)
        return r**2 * root, 7 / 3 * r * root

    def fun(x):
        r = (3 - 2 * x) * x + 1
        r[1:] -= x[:-1]
        r[:-1] -= 2 * x[1:]
        f, u = power(r)
        h, v = power(x[: n // 2] + x[n // 2 :])
        g = (3 - 4 * x) * u
        g[:-1] -= u[1:]
        g[1:] -= 2 * u[:-1]
        return (np.sum(f) + np.sum(h)).item(), g + np.concatenate([v, v])

    return fun, np.ones(n)


@_family({100: 1.0, 1000: 1.0}, "Conn, Gould and Toint, Testing a class of methods with simple bounds (1988), no. 8")
def chainwoo(n):
    return wood_function(*PAIRS_OF_PAIRS, constant=1), np.concatenate([[-3, -1, -3, -1], np.full(n - 4, -2)])


@_family({50: 0.0, 500: 0.0}, LUKSAN)
def chnrsnbm(n):
    a = 4 * (sin(one_to(n)[1:]) + 1.5)
    return sum_of_squares(
        (*chain(2), lambda x, y: (a * (x - y**2), a, -2 * a * y)), (slice(1, None), lambda y: (1 - y, -1))
    ), np.full(n, -1)


@_family({100: -99.0, 1000: -999.0}, CUTE)
def cosine(n):
    return sum_of(
        (*chain(2), lambda x, y: (cos(x**2 - y / 2), -2 * x * sin(x**2 - y / 2), sin(x**2 - y / 2) / 2))
    ), np.ones(n)


@_family({100: 32.269911458581774, 1000: 336.42314787292105}, TOINT)
def cragglvy(n):
    a, b, c, d = PAIRS_OF_PAIRS

    def tangent(c, d):
        tan = np.tan(c - d)
        s = tan + c - d
        slope = 4 * s**2 * s * (2 + tan**2)
        return (s**2) ** 2, slope, -slope

    def exponential(a, b):
        s = exp(a) - b
        slope = 4 * s**2 * s
        return (s**2) ** 2, slope * exp(a), -slope

    return sum_of(
        (a, b, exponential),
        (b, c, lambda b, c: (100 * (b - c) ** 6, 600 * (b - c) ** 5, -600 * (b - c) ** 5)),
        (c, d, tangent),
        (a, lambda a: (a**8, 8 * a**7)),
        (d, lambda d: ((d - 1) ** 2, 2 * (d - 1))),
    ), np.array([1, *np.full(n - 1, 2)])


def _window_sums(x, width):
    """x_i + x_(i+1) + ... of `width` entries, fewer at the end."""
    total = np.concatenate([[0], np.cumsum(x)])
    i = np.arange(x.size)
    return total[np.minimum(i + width, x.size)] - total[i]


@_family({n: -100.31629024133106 * n for n in (100, 1000)}, CUTE)
def curly10(n):
    def fun(x):
        q = _window_sums(x, 11)
        slope = 4 * q**3 - 40 * q - 0.1
        return np.sum(q * (q * (q**2 - 20) - 0.1)).item(), _window_sums(slope[::-1], 11)[::-1].copy()

    return fun, 1e-4 * one_to(n) / (n + 1)


def _dixmaan(power, b, c, d):
    def build(n):
        m = n // 3
        ratio = (one_to(n) / n) ** power

        def coupled(x, y):
            z = y + y**2
            return b * x**2 * z**2, 2 * b * x * z**2, 2 * b * x**2 * z * (1 + 2 * y)

        f = sum_of(
            (ALL, lambda x: (ratio * x**2, 2 * ratio * x)),
            (*chain(2), coupled),
            (slice(2 * m), slice(m, None), lambda x, y: (c * x**2 * y**4, 2 * c * x * y**4, 4 * c * x**2 * y**3)),
            (slice(m), slice(2 * m, None), lambda x, y: (d * ratio[:m] * x * y, d * ratio[:m] * y, d * ratio[:m] * x)),
            constant=1,
        )
        return f, np.full(n, 2)

    return build


for _i, _letter in enumerate("abcdefghijkl"):
    _build = _dixmaan(_i // 4, *[(0, 0.125, 0.125), (0.0625,) * 3, (0.125,) * 3, (0.26,) * 3][_i % 4])
    _build.__name__ = f"dixmaan{_letter}"
    _family({300: 1.0}, "Dixon and Maany, A family of test problems with sparse Hessians (1988)")(_build)


@_family({10: 0.0, 100: 0.0, 1000: 0.0}, CUTE)
def dixon3dq(n):
    return sum_of_squares(
        (0, lambda x: (x - 1, 1)),
        (slice(1, -1), slice(2, None), lambda x, y: (x - y, 1, -1)),
        (-1, lambda x: (x - 1, 1)),
    ), np.full(n, -1)


@_family({10: 0.0, 100: 0.0}, SURJANOVIC)
def dixon_price(n):
    root = sqrt(one_to(n)[1:])
    return sum_of_squares(
        (0, lambda x: (x - 1, 1)), (*chain(2), lambda x, y: (root * (2 * y**2 - x), -root, 4 * root * y))
    ), np.ones(n)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def dqdrtic(n):
    return sum_of(
        (*chain(3), lambda x, y, z: (x**2 + 100 * (y**2 + z**2), 2 * x, 200 * y, 200 * z)),
    ), np.full(n, 3)


@_family({36: 219.28459202076465, 1000: 6003.284592020764}, CUTE)
def edensch(n):
    return sum_of(
        (slice(-1), lambda x: ((x - 2) ** 4, 4 * (x - 2) ** 3)),
        (*chain(2), lambda x, y: ((x - 2) ** 2 * y**2, 2 * (x - 2) * y**2, 2 * (x - 2) ** 2 * y)),
        (slice(1, None), lambda y: ((y + 1) ** 2, 2 * (y + 1))),
        constant=16,
    ), np.full(n, 8)


@_family({100: -99.5, 1000: -999.5}, CUTE)
def eg2(n):
    return sum_of(
        (
            0,
            slice(-1),
            lambda z, x: (sin(z + x**2 - 1), cos(z + x**2 - 1), 2 * x * cos(z + x**2 - 1)),
        ),
        (-1, lambda x: (sin(x**2) / 2, x * cos(x**2))),
    ), np.zeros(n)


@_family({100: 109.08813614309212, 1000: 1108.1947187850133}, CUTE)
def engval1(n):
    return sum_of(
        (*chain(2), lambda x, y: ((x**2 + y**2) ** 2, 4 * x * (x**2 + y**2), 4 * y * (x**2 + y**2))),
        (slice(-1), lambda x: (3 - 4 * x, -4)),
    ), np.full(n, 2)


@_family({50: 37.729902896605445, 500: 396.5377203823987}, LUKSAN)
def errinrsm(n):
    a = 16 * (sin(one_to(n)[1:]) + 1.5) ** 2
    return sum_of_squares(
        (*chain(2), lambda x, y: (x - a * y**2, 1, -2 * a * y)), (slice(1, None), lambda y: (1 - y, -1))
    ), np.full(n, -1)


@_family({10: 0.0, 100: 0.0}, TOINT)
def extrosnb(n):
    return sum_of_squares((0, lambda x: (x - 1, 1)), (*chain(2), lambda x, y: (10 * (y - x**2), -20 * x, 10))), np.full(
        n, -1
    )


@_family(
    {100: -0.5140067861117386, 1000: -0.5014290312675616},
    "Fletcher, An optimal positive definite update for sparse Hessian matrices (1993)",
)
def fletcbv2(n):
    h = 1 / (n + 1)
    half = 1 / sqrt(2)
    differences = sum_of_squares(
        (0, lambda x: (half * x, half)),
        (*chain(2), lambda x, y: (half * (x - y), half, -half)),
        (-1, lambda x: (half * x, half)),
    )

    def fun(x):
        f, g = differences(x)
        g += h**2 * (sin(x) - 2)
        g[-1] -= 1
        return f - (h**2 * np.sum(2 * x + cos(x)) + x[-1]).item(), g

    return fun, h * one_to(n)


@_family({10: 0.0, 100: 0.0, 1000: 0.0}, CUTE)
def fletchcr(n):
    return sum_of_squares((*chain(2), lambda x, y: (10 * (y - x + 1 - x**2), -10 - 20 * x, 10))), np.zeros(n)


@_family({100: 137.64624314468543, 1000: 1401.3137063803524}, TOINT)
def freuroth(n):
    """The least value is by dynamic programming; descent from the start ends near 121.5 n."""
    return sum_of_squares(
        (*chain(2), lambda x, y: (-13 + x + ((5 - y) * y - 2) * y, 1, (10 - 3 * y) * y - 2)),
        (*chain(2), lambda x, y: (-29 + x + ((y + 1) * y - 14) * y, 1, (3 * y + 2) * y - 14)),
    ), np.array([0.5, -2, *np.zeros(n - 2)])


@_family({10: 0.0, 100: 0.0}, CUTE)
def genhumps(n):
    def hump(x, y):
        s, t = sin(2 * x) ** 2, sin(2 * y) ** 2
        return s * t + 0.05 * (x**2 + y**2), 2 * sin(4 * x) * t + 0.1 * x, 2 * s * sin(4 * y) + 0.1 * y

    return sum_of((*chain(2), hump)), np.array([-506, *np.full(n - 1, 506.2)])


@_family({10: 1.0, 100: 1.0, 500: 1.0}, "Nash, Newton-type minimization via the Lanczos method (1984)")
def genrose(n):
    return sum_of(
        (*chain(2), lambda x, y: (100 * (y - x**2) ** 2, -400 * x * (y - x**2), 200 * (y - x**2))),
        (slice(1, None), lambda y: ((y - 1) ** 2, 2 * (y - 1))),
        constant=1,
    ), one_to(n) / (n + 1)


@_family({10: 0.0}, SURJANOVIC)
def griewank(n):
    root = sqrt(one_to(n))

    def fun(x):
        c = cos(x / root)
        before, after = np.ones_like(x), np.ones_like(x)
        before[1:] = np.cumprod(c[:-1])
        after[:-1] = np.cumprod(c[:0:-1])[::-1]
        f = 1 + np.sum(x**2) / 4000 - before[-1] * c[-1]
        return f.item(), x / 2000 + before * after * sin(x / root) / root

    return fun, np.full(n, 2)


def _hilbert(n, shift, start):
    i = one_to(n)
    matrix = 1 / (i[:, None] + i - 1) + shift * np.eye(n)

    def fun(x):
        y = matrix @ x
        return np.sum(x * y).item(), 2 * y

    return fun, np.full(n, start)


@_family({10: 0.0}, CUTE)
def hilberta(n):
    return _hilbert(n, 0, 1)


@_family({10: 0.0, 50: 0.0}, CUTE)
def hilbertb(n):
    return _hilbert(n, 5, -3)


@_family({10: 0.0}, SURJANOVIC)
def levy(n):
    def middle(x):
        w = 1 + (x - 1) / 4
        s = 1 + 10 * sin(pi * w + 1) ** 2
        return (w - 1) ** 2 * s, (w - 1) * s / 2 + 5 / 2 * pi * (w - 1) ** 2 * sin(2 * (pi * w + 1))

    def first(x):
        w = 1 + (x - 1) / 4
        return sin(pi * w) ** 2, pi / 4 * sin(2 * pi * w)

    def last(x):
        w = 1 + (x - 1) / 4
        s = 1 + sin(2 * pi * w) ** 2
        return (w - 1) ** 2 * s, (w - 1) * s / 2 + pi / 2 * (w - 1) ** 2 * sin(4 * pi * w)

    return sum_of((0, first), (slice(-1), middle), (-1, last)), np.full(n, 3)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def liarwhd(n):
    return sum_of_squares((ALL, 0, lambda x, z: (2 * (x**2 - z), 4 * x, -2)), (ALL, lambda x: (x - 1, 1))), np.full(
        n, 4
    )


@_family({20: 0.0, 50: 0.0}, "Gheri and Mancino, A significant example to test methods (1971)")
def mancino(n):
    i = one_to(n)
    ratio = i[:, None] / i
    others = 1 - np.eye(n)

    def model(x):
        v = sqrt(x**2 + ratio)
        s, c = sin(np.log(v)), cos(np.log(v))
        s4, c4 = (s**2) ** 2, (c**2) ** 2
        fifth = s4 * s + c4 * c
        r = 14 * n * x + (i - n / 2) ** 3 + np.sum(others * v * fifth, axis=1)
        slope = others * x / v * (fifth + 5 * (s4 * c - c4 * s))
        return r, lambda u: 14 * n * u + u @ slope

    low, high = 14 * n - 6 * (n - 1), 14 * n + 6 * (n - 1)
    return least_squares(model), -(low + high) / (2 * low * high) * model(np.zeros(n))[0]


@_family({100: 0.0, 900: 0.0}, CUTE)
def msqrtals(n):
    """The square root of a matrix, squared."""
    p = int(sqrt(n))
    waves = sin(one_to(n) ** 2.0)
    root = waves.reshape(p, p).copy()
    root[2, 0] = 0
    square = root @ root

    def model(x):
        matrix = x.reshape(p, p)

        def transposed(u):
            u = u.reshape(p, p)
            return (u @ matrix.T + matrix.T @ u).ravel()

        return (matrix @ matrix - square).ravel(), transposed

    return least_squares(model), root.ravel() - 0.8 * waves


@_family({100: 196.68014889928796, 1000: 1676.0112071191033}, LUKSAN)
def ncb20b(n):
    weight = 10 / one_to(n - 19)
    count = np.minimum(np.minimum(one_to(n), one_to(n)[::-1]), min(20, n - 19))

    def fun(x):
        s = _window_sums(x / (1 + x**2), 20)[: n - 19]
        f = np.sum(weight * s**2) + np.sum(100 * x**4 + 2 - 0.2 * count * x)
        u = np.concatenate([2 * weight * s, np.zeros(19)])
        back = _window_sums(u[::-1], 20)[::-1]
        return f.item(), back * (1 - x**2) / (1 + x**2) ** 2 + 400 * x**3 - 0.2 * count

    return fun, np.zeros(n)


NONCVX = 2.316808419788213  # the least of s^2 + 4 cos s


def _noncvx(n, second, third):
    def well(x, y, z):
        s = x + y + z
        slope = 2 * s - 4 * sin(s)
        return s**2 + 4 * cos(s), slope, slope, slope

    return sum_of((ALL, second % n, third % n, well)), one_to(n)


@_family({n: NONCVX * n for n in (100, 1000)}, CUTE)
def noncvxu2(n):
    i = one_to(n)
    return _noncvx(n, 3 * i - 2, 7 * i - 3)


@_family({n: NONCVX * n for n in (100, 1000)}, CUTE)
def noncvxun(n):
    i = one_to(n)
    return _noncvx(n, 2 * i - 1, 3 * i - 1)


@_family({100: 0.0, 1000: 0.0}, "Shanno, Conjugate gradient methods with inexact searches (1978)")
def nondia(n):
    return sum_of_squares(
        (0, lambda z: (z - 1, 1)), (0, slice(-1), lambda z, x: (10 * (z - x**2), 10, -20 * x))
    ), np.full(n, -1)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def nondquar(n):
    def quartic(x, y, z):
        s = x + y + z
        slope = 4 * s**2 * s
        return s**2 * s**2, slope, slope, slope

    return sum_of(
        (0, 1, lambda x, y: ((x - y) ** 2, 2 * (x - y), -2 * (x - y))),
        (-2, -1, lambda x, y: ((x + y) ** 2, 2 * (x + y), 2 * (x + y))),
        (*chain(3)[:2], -1, quartic),
    ), np.tile([1, -1], n // 2)


@_family({10: 0.0, 100: 0.0}, CUTE)
def power(n):
    i = one_to(n)

    def fun(x):
        s = np.sum(i * x**2)
        return (s**2).item(), 4 * s * i * x

    return fun, np.ones(n)


@_family({25: 0.0, 100: 0.0, 1000: 0.0}, CUTE)
def quartc(n):
    i = one_to(n)
    return sum_of((ALL, lambda x: (((x - i) ** 2) ** 2, 4 * (x - i) ** 2 * (x - i)))), np.full(n, 2)


@_family({10: 0.0}, SURJANOVIC)
def rastrigin(n):
    return sum_of((ALL, lambda x: (10 + x**2 - 10 * cos(2 * pi * x), 2 * x + 20 * pi * sin(2 * pi * x)))), np.full(
        n, 0.2
    )


@_family({n: -3.0 * (n - 2) for n in (3, 100, 1000)}, "Schmidt and Vetters (1970)")
def schmvett(n):
    def element(x, y, z):
        d, p, q = 1 + (x - y) ** 2, (pi * y + z) / 2, (x + z) / y - 2
        e = exp(-(q**2))
        f = -1 / d - sin(p) - e
        in_d, in_q = 2 * (x - y) / d**2, 2 * q * e / y
        return f, in_d + in_q, -in_d - pi / 2 * cos(p) - in_q * (x + z) / y, in_q - cos(p) / 2

    return sum_of((*chain(3), element)), np.full(n, 0.5)


@_family({n: -27 / 128 * n**2 for n in (10, 100, 1000)}, CUTE)
def sensors(n):
    """Less the sum over i, j of (sin x_i sin x_j sin(x_i - x_j))^2, which is 2 (A B - C^2)."""

    def fun(x):
        s, c = sin(x), cos(x)
        a, b, d = np.sum(s**4), np.sum(s**2 * c**2), np.sum(s**3 * c)
        in_a, in_b, in_d = 4 * s**3 * c, 2 * s * c * (c**2 - s**2), 3 * s**2 * c**2 - s**4
        return (2 * (d**2 - a * b)).item(), 4 * d * in_d - 2 * (b * in_a + a * in_b)

    return fun, one_to(n) / n


@_family({10: 0.0, 100: 0.0, 1000: 0.0}, CUTE)
def sinquad(n):
    return sum_of_squares(
        (0, lambda x: ((x - 1) ** 2, 2 * (x - 1))),
        (0, -1, lambda x, z: (z**2 - x**2, -2 * x, 2 * z)),
        (slice(1, -1), -1, 0, lambda y, z, x: (sin(y - z) - x**2 + y**2, cos(y - z) + 2 * y, -cos(y - z), -2 * x)),
    ), np.full(n, 0.1)


def _sparse(n, scale, outer, slope):
    """The sum of `scale` i (h(x_i) + h(x_2i) + h(x_3i) + h(x_5i) + h(x_7i) + h(x_11i))^2, indices modulo n."""
    i = one_to(n)
    indices = np.concatenate([(k * i - 1) % n for k in (1, 2, 3, 5, 7, 11)])
    weight = scale * i

    def fun(x):
        s = outer(x)[indices].reshape(6, n).sum(axis=0)
        g = np.zeros_like(x)
        np.add.at(g, indices, np.tile(2 * weight * s, 6))
        return np.sum(weight * s**2).item(), g * slope(x)

    return fun, np.full(n, 0.5)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def sparsine(n):
    return _sparse(n, 1 / 2, sin, cos)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def sparsqur(n):
    return _sparse(n, 1 / 8, lambda x: x**2, lambda x: 2 * x)


@_family({n: -39.16616570377141 * n for n in (10, 100)}, SURJANOVIC)
def styblinski_tang(n):
    return sum_of((ALL, lambda x: ((x**4 - 16 * x**2 + 5 * x) / 2, 2 * x**3 - 16 * x + 5 / 2))), np.zeros(n)


@_family({1000: 0.0}, CUTE)
def testquad(n):
    i = one_to(n)
    return sum_of((ALL, lambda x: (i * x**2, 2 * i * x))), np.ones(n)


@_family({n: 10 * (n - 2) / (n + 2) for n in (10, 100, 1000)}, TOINT)
def tointgss(n):
    def element(x, y, z):
        d, below = x - y, 0.1 + z**2
        e = exp(-(d**2) / below)
        scale = 10 / (n + 2) + z**2
        in_d = 2 * scale * d * e / below
        return scale * (2 - e), in_d, -in_d, 2 * z * (2 - e) - 2 * z * scale * d**2 * e / below**2

    return sum_of((*chain(3), element)), np.full(n, 3)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def tquartic(n):
    return sum_of_squares(
        (0, lambda x: (x - 1, 1)), (0, slice(1, None), lambda x, y: (x**2 - y**2, 2 * x, -2 * y))
    ), np.full(n, 0.1)


@_family({n: -n * (n + 4) * (n - 1) / 6 for n in (10, 50, 200)}, SURJANOVIC)
def trid(n):
    return sum_of((ALL, lambda x: ((x - 1) ** 2, 2 * (x - 1))), (*chain(2), lambda x, y: (-x * y, -y, -x))), np.zeros(n)


@_family({10: 0.0, 100: 0.0, 1000: 0.0}, TOINT)
def tridia(n):
    root = sqrt(one_to(n)[1:])
    return sum_of_squares(
        (0, lambda x: (x - 1, 1)), (*chain(2), lambda x, y: (root * (2 * y - x), -root, 2 * root))
    ), np.ones(n)


@_family({100: 0.0, 1000: 0.0}, CUTE)
def woods(n):
    return wood_function(*blocks(4)), np.tile([-3, -1, -3, -1], n // 4)


@_family({10: 0.0, 50: 0.0}, SURJANOVIC)
def zakharov(n):
    i = one_to(n) / 2

    def fun(x):
        s = np.sum(i * x)
        return (np.sum(x**2) + s**2 + s**4).item(), 2 * x + (2 * s + 4 * s**3) * i

    return fun, np.ones(n)
