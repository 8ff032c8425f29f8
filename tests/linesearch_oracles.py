"""Line searches as their papers put them, recursive, in plain floats: phi(t) -> (f, slope) to (accepted, trials)."""

from math import nan, sqrt
from typing import NamedTuple


class Point(NamedTuple):
    t: float
    f: float
    slope: float


class Ended(Exception):
    """The search is over, with or without success."""


def run(phi, accepts, go, most):
    """go(evaluate), where evaluate(t) -> Point notes the trial and ends the search at an acceptable or the last one."""
    trials = []

    def evaluate(t):
        trials.append(t)
        point = Point(t, *phi(t))
        if accepts(point):
            raise Ended(True)
        if len(trials) == most:
            raise Ended(False)
        return point

    try:
        go(evaluate)
    except Ended as end:
        return end.args[0], trials


def hager_zhang(phi, c, c1=0.1, c2=0.9, slack=1e-6, most=50):
    """Section 4 of Hager and Zhang (2006) with rho = 5, theta = 1/2, gamma = 2/3.

    As in the authors' program, B2 halves from the last c_i, not from 0, and a cubic replaces the secant where it has a
    minimizer. Midpoints, secants and cubics are in the form that rounds least.
    """
    start = Point(0.0, *phi(0.0))
    limit = start.f + slack * abs(start.f)

    def accepts(p):
        wolfe = p.f <= start.f + c1 * p.t * start.slope and p.slope >= c2 * start.slope
        return wolfe or (p.f <= limit and -0.8 * start.slope >= p.slope >= c2 * start.slope)

    def go(evaluate):
        def bracket(a, t):
            c = evaluate(t)
            if c.slope >= 0:
                return a, c
            if c.f > limit:
                return halve(a, c)
            return bracket(c, 5 * t)

        def halve(a, b):
            t = middle(a, b)
            if t in (a.t, b.t):
                raise Ended(False)
            d = evaluate(t)
            if d.slope >= 0:
                return a, d
            return halve(d, b) if d.f <= limit else halve(a, d)

        def update(a, b, t):
            if not a.t < t < b.t:
                return a, b
            c = evaluate(t)
            if c.slope >= 0:
                return a, c
            return (c, b) if c.f <= limit else halve(a, c)

        def secant2(a, b):
            c = bottom(a, b)
            low, high = update(a, b, c)
            if c == high.t:
                return update(low, high, bottom(b, high))
            if c == low.t:
                return update(low, high, bottom(a, low))
            return low, high

        def narrow(a, b):
            low, high = secant2(a, b)
            if high.t - low.t > 2 * (b.t - a.t) / 3:
                low, high = update(low, high, middle(low, high))
            if (low, high) == (a, b):
                raise Ended(False)
            narrow(low, high)

        narrow(*bracket(start, c))

    return run(phi, accepts, go, most)


def middle(a, b):
    return a.t + 0.5 * (b.t - a.t)


def bottom(a, b):
    theta = 3 * (a.f - b.f) / (b.t - a.t) + a.slope + b.slope
    scale = max(abs(theta), abs(a.slope), abs(b.slope))
    square = (theta / scale) * (theta / scale) - (a.slope / scale) * (b.slope / scale)
    if square <= 0:
        return a.t + a.slope / (a.slope - b.slope) * (b.t - a.t) if a.slope != b.slope else nan
    root = scale * sqrt(square) if b.t > a.t else -scale * sqrt(square)
    up, down = root - a.slope + theta, root - a.slope + root + b.slope
    return a.t + up / down * (b.t - a.t) if down else nan


def armijo(phi, t, c1=1e-3, most=20):
    """Backtracking to the minimizer of the cubic that has the values and slopes at 0 and t, kept within [t/10, t/2]."""
    f0, slope0 = phi(0.0)

    def go(evaluate):
        def back(t):
            p = evaluate(t)
            chord = (p.f - f0) / t
            b = (3 * chord - 2 * slope0 - p.slope) / t
            c = (slope0 + p.slope - 2 * chord) / t**2
            square = b * b - 3 * c * slope0
            step = -slope0 / 2 / (chord - slope0) * t  # the quadratic of f0, slope0 and p.f
            if square > 0:
                root = sqrt(square)
                cubic = -slope0 / (b + root) if b > 0 else (root - b) / (3 * c)
                step = cubic if cubic > 0 else step
            back(max(0.1 * t, min(0.5 * t, step)))

        back(t)

    return run(phi, lambda p: p.f <= f0 + c1 * p.t * slope0, go, most)
