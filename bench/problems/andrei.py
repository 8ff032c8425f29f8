"""Families of Andrei, An unconstrained optimization test functions collection (2008)."""

import numpy as np
from numpy import cos, exp, sin, sqrt

from problems.families import ALL, blocks, chain, collection, one_to, sum_of, sum_of_squares

_family, problems = collection()

ANDREI = "Andrei, An unconstrained optimization test functions collection (2008)"


@_family({n: n * (n + 1) / 2 - np.sum(one_to(n) * np.log(one_to(n))).item() for n in (100,)}, ANDREI)
def diagonal_1(n):
    i = one_to(n)
    return sum_of((ALL, lambda x: (exp(x) - i * x, exp(x) - i))), np.full(n, 1 / n)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def extended_bd1(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (x**2 + y - 2, 2 * x, 1)), (odd, even, lambda x, y: (exp(x - 1) - y, exp(x - 1), -1))
    ), np.full(n, 0.1)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def extended_beale(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (1.5 - x * (1 - y), y - 1, x)),
        (odd, even, lambda x, y: (2.25 - x * (1 - y**2), y**2 - 1, 2 * x * y)),
        (odd, even, lambda x, y: (2.625 - x * (1 - y**3), y**3 - 1, 3 * x * y**2)),
    ), np.tile([1, 0.8], n // 2)


@_family({n: 0.19978661367769956 * n / 2 for n in (100, 1000)}, ANDREI)
def extended_cliff(n):
    def cliff(x, y):
        e = 20 * exp(20 * (x - y))
        return ((x - 3) / 100) ** 2 - (x - y) + e / 20, (x - 3) / 5000 - 1 + e, 1 - e

    return sum_of((*blocks(2), cliff)), np.tile([0, -1], n // 2)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def extended_himmelblau(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (x**2 + y - 11, 2 * x, 1)), (odd, even, lambda x, y: (x + y**2 - 7, 1, 2 * y))
    ), np.ones(n)


@_family({n: -1.0006242206967408 * n / 2 for n in (100, 1000)}, ANDREI)
def extended_maratos(n):
    def maratos(x, y):
        r = x**2 + y**2 - 1
        return x + 100 * r**2, 1 + 400 * x * r, 400 * y * r

    return sum_of((*blocks(2), maratos)), np.tile([1.1, 0.1], n // 2)


@_family({n: 0.7731990564929237 * n / 2 for n in (100, 1000)}, ANDREI)
def extended_psc1(n):
    def squared_cosine(x, y):
        q = x**2 + y**2 + x * y
        return q**2 + sin(x) ** 2 + cos(y) ** 2, 2 * q * (2 * x + y) + sin(2 * x), 2 * q * (2 * y + x) - sin(2 * y)

    return sum_of((*blocks(2), squared_cosine)), np.tile([3, 0.1], n // 2)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def extended_tridiagonal_1(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (x + y - 3, 1, 1)),
        (odd, even, lambda x, y: ((x - y + 1) ** 2, 2 * (x - y + 1), -2 * (x - y + 1))),
    ), np.full(n, 2)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def extended_white_holst(n):
    odd, even = blocks(2)
    return sum_of_squares(
        (odd, even, lambda x, y: (10 * (y - x**3), -30 * x**2, 10)), (odd, lambda x: (1 - x, -1))
    ), np.tile([-1.2, 1], n // 2)


@_family({10: 7.211216703291515, 100: 97.2103074859909}, ANDREI)
def generalized_tridiagonal_1(n):
    return sum_of_squares(
        (*chain(2), lambda x, y: (x + y - 3, 1, 1)),
        (*chain(2), lambda x, y: ((x - y + 1) ** 2, 2 * (x - y + 1), -2 * (x - y + 1))),
    ), np.full(n, 2)


@_family({n: np.sum(sqrt(one_to(n)) * (1 - np.log(one_to(n)) / 2)).item() for n in (100, 1000)}, ANDREI)
def hager(n):
    root = sqrt(one_to(n))
    return sum_of((ALL, lambda x: (exp(x) - root * x, exp(x) - root))), np.ones(n)


@_family({100: 0.0, 1000: 0.0}, ANDREI)
def perturbed_quadratic(n):
    i = one_to(n)

    def fun(x):
        s = np.sum(x)
        return (np.sum(i * x**2) + s**2 / 100).item(), 2 * i * x + s / 50

    return fun, np.full(n, 0.5)


@_family({n: n * (n + 1) / 20 for n in (100, 1000)}, ANDREI)
def raydan_1(n):
    i = one_to(n) / 10
    return sum_of((ALL, lambda x: (i * (exp(x) - x), i * (exp(x) - 1)))), np.ones(n)


@_family({100: 100.0, 1000: 1000.0}, ANDREI)
def raydan_2(n):
    return sum_of((ALL, lambda x: (exp(x) - x, exp(x) - 1))), np.ones(n)
