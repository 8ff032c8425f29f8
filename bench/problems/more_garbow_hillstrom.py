"""The 35 sums of squares of Moré, Garbow and Hillstrom, Testing unconstrained optimization software (1981)."""

import numpy as np
from numpy import exp, sqrt

from problems.families import blocks, chain, collection, least_squares, one_to, sum_of_squares

_family, problems = collection()


def _number(number, best):
    return _family(best, f"Moré, Garbow and Hillstrom (1981), no. {number}")


@_number(1, 0.0)
def rosenbrock():
    return sum_of_squares((0, 1, lambda x, y: (10 * (y - x**2), -20 * x, 10)), (0, lambda x: (1 - x, -1))), [-1.2, 1]


@_number(2, 0.0)
def freudenstein_roth():
    return sum_of_squares(
        (0, 1, lambda x, y: (-13 + x + ((5 - y) * y - 2) * y, 1, (10 - 3 * y) * y - 2)),
        (0, 1, lambda x, y: (-29 + x + ((y + 1) * y - 14) * y, 1, (3 * y + 2) * y - 14)),
    ), [0.5, -2]


@_number(3, 0.0)
def powell_badly_scaled():
    return sum_of_squares(
        (0, 1, lambda x, y: (1e4 * x * y - 1, 1e4 * y, 1e4 * x)),
        (0, 1, lambda x, y: (exp(-x) + exp(-y) - 1.0001, -exp(-x), -exp(-y))),
    ), [0, 1]


@_number(4, 0.0)
def brown_badly_scaled():
    return sum_of_squares(
        (0, lambda x: (x - 1e6, 1)),
        (1, lambda y: (y - 2e-6, 1)),
        (0, 1, lambda x, y: (x * y - 2, y, x)),
    ), [1, 1]


@_number(5, 0.0)
def beale():
    i = np.arange(1, 4)
    c = np.array([1.5, 2.25, 2.625])
    return sum_of_squares((0, 1, lambda x, y: (c - x * (1 - y**i), y**i - 1, x * i * y ** (i - 1)))), [1, 1]


@_number(6, 124.36218235561483)
def jennrich_sampson():
    i = np.arange(1, 11)
    return sum_of_squares(
        (0, 1, lambda x, y: (2 + 2 * i - exp(i * x) - exp(i * y), -i * exp(i * x), -i * exp(i * y)))
    ), [0.3, 0.4]


@_number(7, 0.0)
def helical_valley():
    def turn(x, y, z):
        theta = np.arctan(y / x) / (2 * np.pi) + (0.5 if x.real < 0 else 0)
        scale = 50 / (np.pi * (x**2 + y**2))
        return 10 * (z - 10 * theta), scale * y, -scale * x, 10

    def radius(x, y):
        r = sqrt(x**2 + y**2)
        return 10 * (r - 1), 10 * x / r, 10 * y / r

    return sum_of_squares((0, 1, 2, turn), (0, 1, radius), (2, lambda z: (z, 1))), [-1, 0, 0]


@_number(8, 8.214877306578978e-3)
def bard():
    y = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39])
    u = np.arange(1, 16)
    v = 16 - u
    w = np.minimum(u, v)

    def residual(a, b, c):
        d = v * b + w * c
        return y - (a + u / d), -1, u * v / d**2, u * w / d**2

    return sum_of_squares((0, 1, 2, residual)), [1, 1, 1]


@_number(9, 1.127932769619088e-8)
def gaussian():
    y = np.array([0.0009, 0.0044, 0.0175, 0.054, 0.1295, 0.242, 0.3521])
    y = np.concatenate([y, [0.3989], y[::-1]])
    t = (8 - np.arange(1, 16)) / 2

    def residual(a, b, c):
        e = exp(-b * (t - c) ** 2 / 2)
        return a * e - y, e, -a * e * (t - c) ** 2 / 2, a * e * b * (t - c)

    return sum_of_squares((0, 1, 2, residual)), [0.4, 1, 0]


@_number(10, 87.94585517072865)
def meyer():
    y = np.array([34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744])
    y = np.concatenate([y, [8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]])
    t = 45 + 5 * np.arange(1, 17)

    def residual(a, b, c):
        e = exp(b / (t + c))
        return a * e - y, e, a * e / (t + c), -a * e * b / (t + c) ** 2

    return sum_of_squares((0, 1, 2, residual)), [0.02, 4000, 250]


@_number(11, 0.0)
def gulf():
    t = np.arange(1, 100) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)

    def residual(a, b, c):
        square = (y - b) ** 2
        power = square ** (c / 2)  # |y - b|^c
        e = exp(-power / a)
        return e - t, e * power / a**2, e * power * c / (a * (y - b)), -e * power * np.log(square) / (2 * a)

    return sum_of_squares((0, 1, 2, residual)), [5, 2.5, 0.15]


@_number(12, 0.0)
def box():
    t = 0.1 * np.arange(1, 11)
    c = exp(-t) - exp(-10 * t)
    return sum_of_squares(
        (0, 1, 2, lambda x, y, z: (exp(-t * x) - exp(-t * y) - z * c, -t * exp(-t * x), t * exp(-t * y), -c))
    ), [0, 10, 20]


def _powell_singular():
    a, b, c, d = blocks(4)
    return sum_of_squares(
        (a, b, lambda a, b: (a + 10 * b, 1, 10)),
        (c, d, lambda c, d: (sqrt(5) * (c - d), sqrt(5), -sqrt(5))),
        (b, c, lambda b, c: ((b - 2 * c) ** 2, 2 * (b - 2 * c), -4 * (b - 2 * c))),
        (a, d, lambda a, d: (sqrt(10) * (a - d) ** 2, 2 * sqrt(10) * (a - d), -2 * sqrt(10) * (a - d))),
    )


@_number(13, 0.0)
def powell_singular():
    return _powell_singular(), [3, -1, 0, 1]


def wood_function(a, b, c, d, constant=0):
    return sum_of_squares(
        (a, b, lambda a, b: (10 * (b - a**2), -20 * a, 10)),
        (a, lambda a: (1 - a, -1)),
        (c, d, lambda c, d: (sqrt(90) * (d - c**2), -2 * sqrt(90) * c, sqrt(90))),
        (c, lambda c: (1 - c, -1)),
        (b, d, lambda b, d: (sqrt(10) * (b + d - 2), sqrt(10), sqrt(10))),
        (b, d, lambda b, d: ((b - d) / sqrt(10), 1 / sqrt(10), -1 / sqrt(10))),
        constant=constant,
    )


@_number(14, 0.0)
def wood():
    return wood_function(0, 1, 2, 3), [-3, -1, -3, -1]


@_number(15, 3.0750560384923685e-4)
def kowalik_osborne():
    y = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
    u = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])

    def residual(a, b, c, d):
        above, below = u**2 + u * b, u**2 + u * c + d
        return y - a * above / below, -above / below, -a * u / below, a * above * u / below**2, a * above / below**2

    return sum_of_squares((0, 1, 2, 3, residual)), [0.25, 0.39, 0.415, 0.39]


@_number(16, 85822.20162635628)
def brown_dennis():
    t = np.arange(1, 21) / 5

    def residual(a, b, c, d):
        first, second = a + t * b - exp(t), c + d * np.sin(t) - np.cos(t)
        return first**2 + second**2, 2 * first, 2 * first * t, 2 * second, 2 * second * np.sin(t)

    return sum_of_squares((0, 1, 2, 3, residual)), [25, 5, -5, -1]


@_number(17, 5.464894697482621e-5)
def osborne_1():
    y = [844, 908, 932, 936, 925, 908, 881, 850, 818, 784, 751, 718, 685, 658, 628, 603, 580, 558, 538, 522, 506, 490]
    y = np.array([*y, 478, 467, 457, 448, 438, 431, 424, 420, 414, 411, 406]) / 1000
    t = 10 * np.arange(33)

    def residual(a, b, c, d, e):
        p, q = exp(-t * d), exp(-t * e)
        return y - (a + b * p + c * q), -1, -p, -q, t * b * p, t * c * q

    return sum_of_squares((0, 1, 2, 3, 4, residual)), [0.5, 1.5, -1, 0.01, 0.02]


@_number(18, 0.0)
def biggs():
    t = 0.1 * np.arange(1, 14)
    y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)

    def residual(a, b, c, d, e, f):
        p, q, r = exp(-t * a), exp(-t * b), exp(-t * e)
        return c * p - d * q + f * r - y, -t * c * p, t * d * q, p, -q, -t * f * r, r

    return sum_of_squares((0, 1, 2, 3, 4, 5, residual)), [1, 2, 1, 1, 1, 1]


@_number(19, 4.013773629354773e-2)
def osborne_2():
    y = [1366, 1191, 1112, 1013, 991, 885, 831, 847, 786, 725, 746, 679, 608, 655, 616, 606, 602, 626, 651, 724, 649]
    y += [649, 694, 644, 624, 661, 612, 558, 533, 495, 500, 423, 395, 375, 372, 391, 396, 405, 428, 429, 523, 562]
    y += [607, 653, 672, 708, 633, 668, 645, 632, 591, 559, 597, 625, 739, 710, 729, 720, 636, 581, 428, 292, 162]
    y = np.array([*y, 98, 54]) / 1000
    t = np.arange(65) / 10

    def model(x):
        height, rate, center = x[:4, None], x[4:8, None], np.array([0, *x[8:]])[:, None]
        distance = t - center
        power = distance**2
        power[0] = t  # the first is no bell but a decay
        e = exp(-power * rate)

        def transposed(u):
            in_center = -2 * height * e * distance * rate
            return np.concatenate([-e @ u, height[:, 0] * ((power * e) @ u), in_center[1:] @ u])

        return y - (height * e).sum(axis=0), transposed

    return least_squares(model), [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]


@_number(20, {6: 2.287670053552321e-3, 9: 1.3997601380915644e-6, 12: 4.722381103056383e-10})
def watson(n):
    j = np.arange(n)
    t = np.arange(1, 30)[:, None] / 29
    powers = t**j
    slopes = j * t ** np.maximum(j - 1, 0)

    def model(x):
        p = powers @ x
        r = np.concatenate([slopes @ x - p**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])

        def transposed(u):
            g = slopes.T @ u[:29] - 2 * powers.T @ (p * u[:29])
            g[0] += u[29] - 2 * x[0] * u[30]
            g[1] += u[30]
            return g

        return r, transposed

    return least_squares(model), np.zeros(n)


@_number(21, {10: 0.0, 100: 0.0, 1000: 0.0})
def extended_rosenbrock(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (10 * (y - x**2), -20 * x, 10)), (odd, lambda x: (1 - x, -1))
    ), np.tile([-1.2, 1], n // 2)


@_number(22, {100: 0.0, 1000: 0.0})
def extended_powell_singular(n):
    return _powell_singular(), np.tile([3, -1, 0, 1], n // 4)


@_number(23, {4: 2.2499775008999372e-5, 10: 7.08765146709037e-5, 100: 9.024909768042965e-4, 1000: 9.686175432445435e-3})
def penalty_1(n):
    def fun(x):
        excess = np.sum(x**2) - 0.25
        return (1e-5 * np.sum((x - 1) ** 2) + excess**2).item(), 2e-5 * (x - 1) + 4 * excess * x

    return fun, one_to(n)


@_number(24, {4: 9.376293007355442e-6, 10: 2.9366053745674594e-4, 100: 97096.083954688})
def penalty_2(n):
    i = np.arange(2, n + 1)
    y = exp(i / 10) + exp((i - 1) / 10)
    weight = np.arange(n, 0, -1)
    here, there = chain(2)
    a = sqrt(1e-5)
    smooth = sum_of_squares(
        (0, lambda x: (x - 0.2, 1)),
        (
            here,
            there,
            lambda x, z: (a * (exp(z / 10) + exp(x / 10) - y), a * exp(x / 10) / 10, a * exp(z / 10) / 10),
        ),
        (there, lambda z: (a * (exp(z / 10) - exp(-0.1)), a * exp(z / 10) / 10)),
    )

    def fun(x):
        f, g = smooth(x)
        excess = weight @ x**2 - 1
        return f + (excess**2).item(), g + 4 * excess * weight * x

    return fun, np.full(n, 0.5)


@_number(25, {10: 0.0, 100: 0.0})
def variably_dimensioned(n):
    i = one_to(n)

    def fun(x):
        s = i @ (x - 1)
        return (np.sum((x - 1) ** 2) + s**2 + s**4).item(), 2 * (x - 1) + (2 * s + 4 * s**3) * i

    return fun, 1 - i / n


@_number(26, {10: 0.0, 100: 0.0, 1000: 0.0})
def trigonometric(n):
    i = one_to(n)

    def model(x):
        c, s = np.cos(x), np.sin(x)
        return n - np.sum(c) + i * (1 - c) - s, lambda u: s * np.sum(u) + u * (i * s - c)

    return least_squares(model), np.full(n, 1 / n)


@_number(27, {10: 0.0, 100: 0.0})
def brown_almost_linear(n):
    def model(x):
        before, after = np.ones_like(x), np.ones_like(x)
        before[1:] = np.cumprod(x[:-1])
        after[:-1] = np.cumprod(x[:0:-1])[::-1]
        r = x + np.sum(x) - (n + 1)
        r[-1] = before[-1] * x[-1] - 1

        def transposed(u):
            g = before * after * u[-1] + np.sum(u[:-1])
            g[:-1] += u[:-1]
            return g

        return r, transposed

    return least_squares(model), np.full(n, 0.5)


@_number(28, {10: 0.0, 100: 0.0, 1000: 0.0})
def discrete_boundary_value(n):
    h = 1 / (n + 1)
    t = h * one_to(n)

    def model(x):
        y = x + t + 1
        r = 2 * x + h**2 * y**3 / 2
        r[1:] -= x[:-1]
        r[:-1] -= x[1:]

        def transposed(u):
            g = (2 + 1.5 * h**2 * y**2) * u
            g[1:] -= u[:-1]
            g[:-1] -= u[1:]
            return g

        return r, transposed

    return least_squares(model), t * (t - 1)


@_number(29, {10: 0.0, 100: 0.0, 1000: 0.0})
def discrete_integral_equation(n):
    h = 1 / (n + 1)
    t = h * one_to(n)

    def upto(a):
        return np.cumsum(a)

    def after(a):
        return np.cumsum(a[::-1])[::-1] - a

    def model(x):
        y = x + t + 1
        cubes = y**3
        r = x + h / 2 * ((1 - t) * upto(t * cubes) + t * after((1 - t) * cubes))

        def transposed(u):
            left, right = (1 - t) * u, t * u
            before = upto(right) - right
            return u + 1.5 * h * y**2 * (t * (after(left) + left) + (1 - t) * before)

        return r, transposed

    return least_squares(model), t * (t - 1)


@_number(30, {10: 0.0, 100: 0.0, 1000: 0.0})
def broyden_tridiagonal(n):
    def model(x):
        r = (3 - 2 * x) * x + 1
        r[1:] -= x[:-1]
        r[:-1] -= 2 * x[1:]

        def transposed(u):
            g = (3 - 4 * x) * u
            g[:-1] -= u[1:]
            g[1:] -= 2 * u[:-1]
            return g

        return r, transposed

    return least_squares(model), np.full(n, -1)


@_number(31, {10: 0.0, 100: 0.0, 1000: 0.0})
def broyden_banded(n):
    def model(x):
        r = x * (2 + 5 * x**2) + 1
        y = x * (1 + x)
        for k in range(1, 6):
            r[k:] -= y[:-k]
        r[:-1] -= y[1:]

        def transposed(u):
            g = np.zeros_like(u)
            for k in range(1, 6):
                g[:-k] -= u[k:]
            g[1:] -= u[:-1]
            return (2 + 15 * x**2) * u + (1 + 2 * x) * g

        return r, transposed

    return least_squares(model), np.full(n, -1)


@_number(32, {10: 10.0, 100: 100.0})
def linear_full_rank(n):
    """With m = 2 n residuals, so that the least value is m - n."""

    def model(x):
        r = np.full(2 * n, -np.sum(x) / n - 1)
        r[:n] += x
        return r, lambda u: u[:n] - np.sum(u) / n

    return least_squares(model), np.ones(n)


def _rank_one(rows, columns):
    def model(x):
        return rows * (columns @ x) - 1, lambda u: columns * (rows @ u)

    return least_squares(model), np.ones(columns.size)


@_number(33, {n: n * (n - 1) / (2 * (2 * n + 1)) for n in (10, 100)})
def linear_rank_1(n):
    i = one_to(n)
    return _rank_one(i, i)


@_number(34, {n: (n**2 + 3 * n - 6) / (2 * (2 * n - 3)) for n in (10, 100)})
def linear_rank_1_with_zeros(n):
    i = one_to(n)
    inner = (i > 1) & (i < n)
    return _rank_one((i - 1) * inner, i * inner)


@_number(35, {7: 0.0, 8: 3.51687372567792e-3, 9: 0.0, 10: 4.772713696375342e-3, 20: 4.572955186867832e-3})
def chebyquad(n):
    k = one_to(n)
    integral = np.where(k % 2 == 0, -1 / np.maximum(k**2 - 1, 1), 0.0)

    def model(x):
        y = 2 * x - 1
        t, slope = np.ones((n + 1, n), x.dtype), np.zeros((n + 1, n), x.dtype)
        t[1], slope[1] = y, 2
        for j in range(2, n + 1):
            t[j] = 2 * y * t[j - 1] - t[j - 2]
            slope[j] = 4 * t[j - 1] + 2 * y * slope[j - 1] - slope[j - 2]
        return t[1:].mean(axis=1) - integral, lambda u: u @ slope[1:] / n

    return least_squares(model), k / (n + 1)
