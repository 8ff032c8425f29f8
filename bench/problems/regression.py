"""Published fits of curves to data: the sum of the squared residuals, over the parameters of the curve.

A model takes the data, y and what it depends on, and the parameters, and returns the residuals and their derivatives
by each parameter. `regression.json` holds, by name, the published starts and data, the least sum of squares, `best`,
and the `solution`, where it is taken.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy import arctan, cos, exp, log, pi, sin
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.polynomial import polyvander

from problems.families import sum_of_squares
from problems.problem import Problem

CUTE = "Bongartz, Conn, Gould and Toint, CUTE (1995), data of M. Palmer"
NIST = "NIST, Statistical reference datasets: nonlinear regression (1998)"


def problems():
    """Every fit from each of its starts; MISRA1A-2 is Misra1a from the second."""
    found = []
    for name, fit in json.loads(Path(__file__).with_suffix(".json").read_text()).items():
        model, source = MODELS[name]
        starts = np.array(fit["starts"], dtype=float)
        residuals = partial(model, *np.array(fit["data"], dtype=float))
        fun = np.errstate(all="ignore")(sum_of_squares((*range(starts.shape[1]), residuals)))
        for k, x0 in enumerate(starts, 1):
            label = f"{name}-{k}" if len(starts) > 1 else name
            found.append(Problem(label, fun, x0, fit["best"], source, unit=0.0))
    return found


def linear(basis, y, x, *a):
    powers = basis(x, len(a) - 1).T
    return np.dot(a, powers) - y, *powers


def even_powers(x, n):
    return polyvander(x**2, n)


def even_chebyshev(x, n):
    """T_0, T_2, T_4, ... over [-max x, max x]."""
    return chebvander(2 * (x / x.max()) ** 2 - 1, n)


def saturation(y, x, a, b):
    e = exp(-b * x)
    return a * (1 - e) - y, 1 - e, a * x * e


def power_saturation(c, y, x, a, b):
    """Which tends to `saturation` as c goes to zero."""
    base = 1 + c * b * x
    fall = base ** (-1 / c)
    return a * (1 - fall) - y, 1 - fall, a * x * fall / base


def power(y, x, a, b):
    p = x**b
    return a * p - y, p, a * p * log(x)


def shifted_power(y, x, a, b, c):
    base = b + x
    p = base ** (-1 / c)
    return a * p - y, p, -a * p / (c * base), a * p * log(base) / c**2


def damped_hyperbola(y, x, a, b, c):
    q = b + c * x
    r = exp(-a * x) / q
    return r - y, -x * r, -r / q, -x * r / q


def exponentials(y, x, *b):
    e = [exp(-rate * x) for rate in b[1::2]]
    pairs = list(zip(b[::2], e, strict=True))
    slopes = [slope for a, fall in pairs for slope in (fall, -a * x * fall)]
    return sum(a * fall for a, fall in pairs) - y, *slopes


def two_exponentials(y, x, a, b, c, p, q):
    e, f = exp(-p * x), exp(-q * x)
    return a + b * e + c * f - y, 1, e, f, -b * x * e, -c * x * f


def exponential_of_reciprocal(y, x, a, b, c):
    s = x + c
    e = exp(b / s)
    return a * e - y, e, a * e / s, -a * b * e / s**2


def aging(y, time, temperature, a, b, c):
    """The logarithm of y is fitted."""
    e = exp(-c * temperature)
    return a - b * time * e - log(y), 1, -time * e, b * time * temperature * e


def bell(y, x, a, b, c):
    z = (x - c) / b
    r = a / b * exp(-(z**2) / 2)
    return r - y, r / a, r * (z**2 - 1) / b, r * z / b


def two_peaks(y, x, a, b, *peaks):
    fall = exp(-b * x)
    value, slopes = a * fall, [fall, -a * x * fall]
    for height, center, width in (peaks[:3], peaks[3:]):
        z = (x - center) / width
        e = exp(-(z**2))
        value = value + height * e
        slopes += [e, 2 * height * e * z / width, 2 * height * e * z**2 / width]
    return value - y, *slopes


def rational(y, x, *b):
    """Polynomials of one degree: the lower one begins with 1."""
    n = len(b) // 2
    powers = [x**i for i in range(n + 1)]
    bottom = 1 + sum(c * p for c, p in zip(b[n + 1 :], powers[1:], strict=True))
    r = sum(c * p for c, p in zip(b[: n + 1], powers, strict=True)) / bottom
    return r - y, *(p / bottom for p in powers), *(-r * p / bottom for p in powers[1:])


def kinetics(y, x, a, b, c, d):
    top, bottom = x**2 + b * x, x**2 + c * x + d
    r = top / bottom
    return a * r - y, r, a * x / bottom, -a * r * x / bottom, -a * r / bottom


def line_and_arctangent(y, x, a, b, c, d):
    s = x - d
    slope = 1 / (pi * (s**2 + c**2))
    return a - b * x - arctan(c / s) / pi - y, 1, -x, -s * slope, -c * slope


def cycles(y, x, mean, a, b, *others):
    """A yearly cycle, and two whose periods are sought too."""
    c, s = cos(2 * pi * x / 12), sin(2 * pi * x / 12)
    value, slopes = mean + a * c + b * s, [1, c, s]
    for period, a, b in (others[:3], others[3:]):
        angle = 2 * pi * x / period
        c, s = cos(angle), sin(angle)
        value = value + a * c + b * s
        slopes += [(a * s - b * c) * angle / period, c, s]
    return value - y, *slopes


def logistic(y, x, a, b, c):
    e = exp(b - c * x)
    r = a / (1 + e)
    return r - y, 1 / (1 + e), -r * e / (1 + e), r * x * e / (1 + e)


def richards(y, x, a, b, c, d):
    e = exp(b - c * x)
    fall = (1 + e) ** (-1 / d)
    r = a * fall
    return r - y, fall, -r * e / (d * (1 + e)), r * x * e / (d * (1 + e)), r * log(1 + e) / d**2


MODELS = {
    "MISRA1A": (saturation, NIST),
    "MISRA1B": (partial(power_saturation, 0.5), NIST),
    "MISRA1C": (partial(power_saturation, 2), NIST),
    "MISRA1D": (partial(power_saturation, 1), NIST),
    "CHWIRUT1": (damped_hyperbola, NIST),
    "CHWIRUT2": (damped_hyperbola, NIST),
    "LANCZOS1": (exponentials, NIST),
    "LANCZOS2": (exponentials, NIST),
    "LANCZOS3": (exponentials, NIST),
    "GAUSS1": (two_peaks, NIST),
    "GAUSS2": (two_peaks, NIST),
    "GAUSS3": (two_peaks, NIST),
    "DANWOOD": (power, NIST),
    "KIRBY2": (rational, NIST),
    "HAHN1": (rational, NIST),
    "NELSON": (aging, NIST),
    "MGH09": (kinetics, NIST),
    "MGH10": (exponential_of_reciprocal, NIST),
    "MGH17": (two_exponentials, NIST),
    "THURBER": (rational, NIST),
    "ROSZMAN1": (line_and_arctangent, NIST),
    "ENSO": (cycles, NIST),
    "RAT42": (logistic, NIST),
    "RAT43": (richards, NIST),
    "ECKERLE4": (bell, NIST),
    "BOXBOD": (saturation, NIST),
    "BENNETT5": (shifted_power, NIST),
    "PALMER1C": (partial(linear, even_powers), CUTE),
    "PALMER1D": (partial(linear, even_powers), CUTE),
    "PALMER2C": (partial(linear, even_powers), CUTE),
    "PALMER3C": (partial(linear, even_powers), CUTE),
    "PALMER4C": (partial(linear, even_powers), CUTE),
    "PALMER5C": (partial(linear, even_chebyshev), CUTE),
    "PALMER5D": (partial(linear, even_powers), CUTE),
    "PALMER6C": (partial(linear, even_powers), CUTE),
    "PALMER7C": (partial(linear, even_powers), CUTE),
    "PALMER8C": (partial(linear, even_powers), CUTE),
}
