"""Problems in two or three variables."""

from numpy import cos, exp, pi, sin, sqrt

from problems.families import collection, sum_of, sum_of_squares

_family, problems = collection()

CUTE = "Bongartz, Conn, Gould and Toint, CUTE (1995)"
DENNIS = "Dennis and Schnabel, Numerical methods for unconstrained optimization (1983)"
HIMMELBLAU = "Himmelblau, Applied nonlinear programming (1972)"
SURJANOVIC = "Surjanovic and Bingham, Virtual library of simulation experiments (2013)"


@_family(0.0, SURJANOVIC)
def bohachevsky():
    return sum_of(
        (0, lambda x: (0.3 + x**2 - 0.3 * cos(3 * pi * x), 2 * x + 0.9 * pi * sin(3 * pi * x))),
        (1, lambda y: (0.4 + 2 * y**2 - 0.4 * cos(4 * pi * y), 4 * y + 1.6 * pi * sin(4 * pi * y))),
    ), [1, 1]


@_family(0.0, SURJANOVIC)
def booth():
    return sum_of_squares((0, 1, lambda x, y: (x + 2 * y - 7, 1, 2)), (0, 1, lambda x, y: (2 * x + y - 5, 2, 1))), [
        0,
        0,
    ]


@_family(5 / (4 * pi), "Branin (1972)")
def branin():
    b, c = 5.1 / (4 * pi**2), 5 / pi
    wave = 10 * (1 - 1 / (8 * pi))

    def element(x, y):
        r = y - b * x**2 + c * x - 6
        return r**2 + wave * cos(x) + 10, 2 * r * (c - 2 * b * x) - wave * sin(x), 2 * r

    return sum_of((0, 1, element)), [2.5, 7.5]


@_family(0.19978661367769956, CUTE)
def cliff():
    def element(x, y):
        e = 20 * exp(20 * (x - y))
        return ((x - 3) / 100) ** 2 - (x - y) + e / 20, (x - 3) / 5000 - 1 + e, 1 - e

    return sum_of((0, 1, element)), [0, -1]


@_family(0.0, "Leon (1966)")
def cube():
    return sum_of_squares((0, 1, lambda x, y: (10 * (y - x**3), -30 * x**2, 10)), (0, lambda x: (x - 1, 1))), [-1.2, 1]


@_family(0.0, DENNIS)
def denschna():
    return sum_of_squares(
        (0, lambda x: (x**2, 2 * x)),
        (0, 1, lambda x, y: (x + y, 1, 1)),
        (1, lambda y: (exp(y) - 1, exp(y))),
    ), [1, 1]


@_family(0.0, DENNIS)
def denschnb():
    return sum_of_squares(
        (0, lambda x: (x - 2, 1)), (0, 1, lambda x, y: ((x - 2) * y, y, x - 2)), (1, lambda y: (y + 1, 1))
    ), [1, 1]


@_family(0.0, DENNIS)
def denschnc():
    return sum_of_squares(
        (0, 1, lambda x, y: (x**2 + y**2 - 2, 2 * x, 2 * y)),
        (0, 1, lambda x, y: (exp(x - 1) + y**3 - 2, exp(x - 1), 3 * y**2)),
    ), [2, 3]


@_family(0.0, DENNIS)
def denschnd():
    return sum_of_squares(
        (0, 1, 2, lambda x, y, z: (x**2 + y**3 - z**4, 2 * x, 3 * y**2, -4 * z**3)),
        (0, 1, 2, lambda x, y, z: (2 * x * y * z, 2 * y * z, 2 * x * z, 2 * x * y)),
        (0, 1, 2, lambda x, y, z: (2 * x * y - 3 * y * z + x * z, 2 * y + z, 2 * x - 3 * z, x - 3 * y)),
    ), [10, 10, 10]


@_family(0.0, DENNIS)
def denschne():
    return sum_of_squares(
        (0, lambda x: (x, 1)), (1, lambda y: (y + y**2, 1 + 2 * y)), (2, lambda z: (exp(z) - 1, exp(z)))
    ), [2, 3, -8]


@_family(0.0, DENNIS)
def denschnf():
    return sum_of_squares(
        (0, 1, lambda x, y: (2 * (x + y) ** 2 + (x - y) ** 2 - 8, 6 * x + 2 * y, 2 * x + 6 * y)),
        (0, 1, lambda x, y: (5 * x**2 + (y - 3) ** 2 - 9, 10 * x, 2 * (y - 3))),
    ), [2, 0]


@_family(0.0, "Engvall (1966)")
def engval2():
    def last(x, y, z):
        line = 5 * z - x + 1
        return x**3 + 3 * y**2 + line**2 - 36, 3 * x**2 - 2 * line, 6 * y, 10 * line

    return sum_of_squares(
        (0, 1, 2, lambda x, y, z: (x**2 + y**2 + z**2 - 1, 2 * x, 2 * y, 2 * z)),
        (0, 1, 2, lambda x, y, z: (x**2 + y**2 + (z - 2) ** 2 - 1, 2 * x, 2 * y, 2 * (z - 2))),
        (0, 1, 2, lambda x, y, z: (x + y + z - 1, 1, 1, 1)),
        (0, 1, 2, lambda x, y, z: (x + y - z + 1, 1, 1, -1)),
        (0, 1, 2, last),
    ), [1, 2, 0]


@_family(3.0, "Goldstein and Price (1971)")
def goldstein_price():
    def element(x, y):
        s, t = x + y + 1, 2 * x - 3 * y
        p = 19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2
        q = 18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2
        a, b = 1 + s**2 * p, 30 + t**2 * q
        a_both = 2 * s * p + s**2 * (6 * (x + y) - 14)
        b_x = 4 * t * q + t**2 * (24 * x - 32 - 36 * y)
        b_y = -6 * t * q + t**2 * (48 - 36 * x + 54 * y)
        return a * b, a_both * b + a * b_x, a_both * b + a * b_y

    return sum_of((0, 1, element)), [0.5, -0.5]


@_family(20.0, CUTE)
def hairy():
    def fur(x, y):
        s, c = sin(7 * x), cos(7 * y)
        return 30 * s**2 * c**2, 210 * sin(14 * x) * c**2, -210 * s**2 * sin(14 * y)

    def ridge(d):
        root = sqrt(0.01 + d**2)
        return 100 * root, 100 * d / root

    def across(x, y):
        f, slope = ridge(x - y)
        return f, slope, -slope

    return sum_of((0, 1, fur), (0, 1, across), (0, ridge)), [-5, -7]


@_family(0.0, HIMMELBLAU)
def himmelbg():
    def element(x, y):
        e, q = exp(-x - y), 2 * x**2 + 3 * y**2
        return e * q, e * (4 * x - q), e * (6 * y - q)

    return sum_of((0, 1, element)), [0.5, 0.5]


@_family(0.0, HIMMELBLAU)
def himmelblau():
    return sum_of_squares(
        (0, 1, lambda x, y: (x**2 + y - 11, 2 * x, 1)), (0, 1, lambda x, y: (x + y**2 - 7, 1, 2 * y))
    ), [1, 1]


@_family(-1.0000000624999923, CUTE)
def maratosb():
    def element(x, y):
        r = x**2 + y**2 - 1
        return x + 1e6 * r**2, 1 + 4e6 * x * r, 4e6 * y * r

    return sum_of((0, 1, element)), [1.1, 0.1]


@_family(0.0, SURJANOVIC)
def matyas():
    return sum_of(
        (0, 1, lambda x, y: (0.26 * (x**2 + y**2) - 0.48 * x * y, 0.52 * x - 0.48 * y, 0.52 * y - 0.48 * x))
    ), [5, -5]


@_family(-0.0401, CUTE)
def mexhat():
    def element(x, y):
        d, v = x - 1, y - x**2
        r = d**2 + v**2 / 1e4 - 0.02
        return 1e4 * r**2 - 2 * d**2, 4e4 * r * d - 8 * r * v * x - 4 * d, 4 * r * v

    return sum_of((0, 1, element)), [0.86, 0.72]


@_family(0.0, "Sisser (1981)")
def sisser():
    return sum_of(
        (0, 1, lambda x, y: (3 * (x**4 + y**4) - 2 * x**2 * y**2, 12 * x**3 - 4 * x * y**2, 12 * y**3 - 4 * x**2 * y))
    ), [1, 0.1]


@_family(-1.0316284534898776, SURJANOVIC)
def six_hump_camel():
    return sum_of(
        (0, lambda x: ((4 - 2.1 * x**2 + x**4 / 3) * x**2, 8 * x - 8.4 * x**3 + 2 * x**5)),
        (0, 1, lambda x, y: (x * y, y, x)),
        (1, lambda y: (4 * y**4 - 4 * y**2, 16 * y**3 - 8 * y)),
    ), [1, 1]


@_family(0.0, SURJANOVIC)
def three_hump_camel():
    return sum_of(
        (0, lambda x: (2 * x**2 - 1.05 * x**4 + x**6 / 6, 4 * x - 4.2 * x**3 + x**5)),
        (0, 1, lambda x, y: (x * y + y**2, y, x + 2 * y)),
    ), [0.5, 1]


@_family(-0.0037912372204688977, "Zettl (1970)")
def zettl():
    def element(x, y):
        q = x**2 + y**2 - 2 * x
        return q**2 + x / 4, 4 * q * (x - 1) + 1 / 4, 4 * q * y

    return sum_of((0, 1, element)), [1, 1]
