"""L-BFGS within bounds and with L1: minima by their optimality conditions, and every point that is evaluated."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.optimize as so
from objectives import PROBLEMS, barrier, downhill, driver1, exponentials, logistic, quadratic, rosenbrock, sway, trail

import fastopt as fo
from fastopt._linesearch import MoreThuente
from fastopt.minimize import LBFGSMinimizer, minimize

INF = np.inf


def convex(n, condition=100.0, seed=0):
    """A rotated quadratic with eigenvalues from 1 to the condition: its matrix and linear part."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (Q * np.logspace(0, np.log10(condition), n)) @ Q.T, rng.standard_normal(n)


def parabola(x, A, b):
    return float(x @ A @ x / 2 - b @ x), A @ x - b


def wood(x):
    """Hock and Schittkowski 38."""
    a, b, c, d = x
    f = 100 * (b - a * a) ** 2 + (1 - a) ** 2 + 90 * (d - c * c) ** 2 + (1 - c) ** 2
    f += 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)
    return f, np.array(
        [
            -400 * a * (b - a * a) - 2 * (1 - a),
            200 * (b - a * a) + 20.2 * (b - 1) + 19.8 * (d - 1),
            -360 * c * (d - c * c) - 2 * (1 - c),
            180 * (d - c * c) + 20.2 * (d - 1) + 19.8 * (b - 1),
        ]
    )


def sine(x):
    """Hock and Schittkowski 5."""
    a, b = x
    slope = np.cos(a + b) + 2 * (a - b) * np.array([1, -1]) + np.array([-1.5, 2.5])
    return np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1, slope


def obstacle(x):
    """A string between two nails under a load, over the floor."""
    y = np.concatenate([[0.0], x, [0.0]])
    t = np.diff(y)
    return float(t @ t / 2 + 0.02 * x.sum()), t[:-1] - t[1:] + 0.02


def residuals(x):
    """Those of a curve a exp(b t) + c."""
    t = np.linspace(0, 2, 15)
    e = np.exp(x[1] * t)
    r = x[0] * e + x[2] - 2 * np.exp(-0.8 * t) - 0.1 * np.cos(9 * t)
    return float(r @ r) / 2, np.array([r @ e, r @ (x[0] * t * e), r.sum()])


BOUNDED = {
    "rosenbrock, active": (rosenbrock, [-1.2, 1.0], (-2, [0.5, 2])),
    "rosenbrock, not active": (rosenbrock, [-1.2, 1.0], (-2, 2)),
    "rosenbrock-20": (rosenbrock, np.tile([-1.2, 1.0], 10), (-1.5, np.tile([INF, 0.8], 10))),
    "quadratic-50": (quadratic, np.zeros(50), (-INF, np.linspace(0.5, 1.5, 50))),
    "driver1": (driver1, np.full(25, 3.0), (np.tile([1.0, -100.0], 13)[:25], 100)),
    "toms851": (exponentials, np.ones(100), (np.linspace(-1, 1.5, 100), INF)),
    "wood": (wood, [-3.0, -1.0, -3.0, -1.0], (-10, 10)),
    "wood, active": (wood, [-3.0, -1.0, -3.0, -1.0], (-10, [10, 10, 0.5, 10])),
    "hs5": (sine, [0.0, 0.0], ([-1.5, -3], [4, 3])),
    "convex-100": (partial(parabola, A=convex(100)[0], b=convex(100)[1]), np.zeros(100), (-0.01, 0.05)),
    "obstacle": (obstacle, np.zeros(40), (-0.5, INF)),
    "curve": (residuals, [1.0, 0.0, 0.0], ([0, -5, 0.05], [5, 0, 1])),
    "sphere, cornered": (lambda x: (float(x @ x), 2 * x), np.full(7, 5.0), (np.arange(7.0), 9)),
}


def residual(x, g, low, high):
    """x - P(x - g), without rounding a small g away."""
    return np.maximum(np.minimum(g, x - low), x - high)


def watched(fun, low, high):
    """fun, which fails outside of the bounds, and the list of where it was called."""
    seen = []

    def inside(x):
        assert np.all(x >= low)
        assert np.all(x <= high)
        seen.append(x.copy())
        return fun(x)

    return inside, seen


@pytest.mark.parametrize("name", BOUNDED)
def test_minimum_is_that_of_scipy_and_every_point_is_feasible(name):
    fun, x0, (low, high) = BOUNDED[name]
    inside, seen = watched(fun, low, high)
    ours = minimize(inside, x0, jac=True, tol=1e-8, bounds=so.Bounds(low, high))
    settings = {"gtol": 1e-9, "ftol": 0, "maxls": 50}
    theirs = so.minimize(fun, x0, jac=True, method="L-BFGS-B", bounds=so.Bounds(low, high), options=settings)
    assert ours.reason == "gradient"
    assert ours.nfev == len(seen)
    assert abs(residual(ours.x, ours.jac, low, high)).max() <= 1e-8
    f, g = fun(ours.x)
    assert (f, g.tolist()) == (ours.fun, ours.jac.tolist())
    # With a least curvature above 2e-3, n 1e-16 / 4e-3 is the most that is left of f, n being 100 at most.
    assert ours.fun <= theirs.fun + 3e-12 * max(1, abs(theirs.fun))


@pytest.mark.parametrize("seed", range(12))
def test_quadratic_with_a_known_active_set_is_solved(seed):
    """Its minimum is chosen beforehand, and multipliers of at least 0.1 where it lies at a bound."""
    n, condition, gtol = 60, 10.0 ** (1 + seed % 3), 1e-9
    A, _ = convex(n, condition, seed)
    rng = np.random.default_rng(seed)
    low, high = -rng.uniform(0.5, 2, n), rng.uniform(0.5, 2, n)
    at = rng.choice([-1, 0, 1], n, p=[0.3, 0.4, 0.3] if seed % 2 else [0.05, 0.9, 0.05])
    solution = np.where(at < 0, low, np.where(at > 0, high, rng.uniform(low, high)))
    b = A @ solution + at * rng.uniform(0.1, 1, n)
    inside, _ = watched(partial(parabola, A=A, b=b), low, high)
    result = minimize(inside, rng.uniform(low, high), jac=True, tol=gtol, bounds=np.column_stack([low, high]))
    assert result.success
    # Strongly convex with modulus 1: the error is at most (1 + condition) that of x - P(x - g).
    assert np.linalg.norm(result.x - solution) <= (1 + condition) * np.sqrt(n) * gtol
    assert np.array_equal(result.x[at != 0], solution[at != 0])


@pytest.mark.parametrize("seed", range(5))
def test_nonnegative_least_squares_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((50, 25)), rng.standard_normal(50)

    def fun(x):
        r = A @ x - b
        return float(r @ r) / 2, A.T @ r

    result = minimize(fun, np.ones(25), jac=True, tol=1e-9, bounds=so.Bounds(0, INF))
    x, _ = so.nnls(A, b)
    curvature = np.linalg.svd(A, compute_uv=False) ** 2
    assert np.linalg.norm(result.x - x) <= (1 + curvature[0]) / curvature[-1] * 5 * 1e-9
    assert np.array_equal(result.x == 0, x == 0)


# What bounds change in the algorithm


@pytest.mark.parametrize("bounds", [(-1e4, INF), (-INF, 1e4), (-1e4, 1e4), ([-1e4, -INF], 1e4)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_bounds_that_are_never_met_change_no_bit(name, bounds):
    fun, x0 = PROBLEMS[name]
    if np.ndim(bounds[0]):
        bounds = np.resize(bounds[0], len(x0)), bounds[1]
    runs = []
    for settings in ({}, {"bounds": so.Bounds(*bounds)}):
        traced, seen = trail(fun)
        result = minimize(traced, x0, jac=True, tol=1e-8, **settings)
        runs.append((np.array([x for x, _, _ in seen]), result.nit, result.reason, result.hess_inv.diag()))
    for plain, within in zip(*runs, strict=True):
        assert np.array_equal(plain, within)


def bent_search(**settings):
    """A run at its first trial, of which the first variable met its bound after a tenth of the way."""
    m = LBFGSMinimizer([0.1, 0.0], [(0, None), (None, None)], init_step=1.0, **settings)
    m.tell(0.0, [1.0, -10.0])
    assert m.ask().tolist() == [0, 10]
    return m


def test_bent_path_asks_for_a_decrease_only():
    m = bent_search()
    # 1e-3 g'(x2 - x) = 1e-3 (1 * -0.1 - 10 * 10) = -0.1001
    m.tell(-0.1002, [1.0, -10.0])
    assert (m.nit, m._core.pairs()[0].shape) == (1, (0, 2))
    m = bent_search()
    m.tell(-0.1, [1.0, 10.0])
    assert m.nit == 0


def test_refused_path_is_left_for_the_first_bound_where_that_promises_more():
    """Through f, g'(x2 - x) = -100.1 and f2 the parabola falls by 100.1^2 / 4 (f2 + 100.1); straight on, by 9.6."""
    for f, slope in ((1000.0, 10.0), (161.0, 10.0), (np.nan, 0.0), (0.0, np.nan)):
        m = bent_search()
        m.tell(f, [1.0, slope])
        assert m.ask()[0] == 0
        assert m.ask()[1] == pytest.approx(1, rel=1e-14)
    m, search = bent_search(), MoreThuente(0.0, -101.0, 1.0, stpmax=1.0)
    m.tell(160.0, [-3.0, 10.0])
    search.advance(160.0, 100.0)
    assert np.allclose(m.ask(), [max(0, 0.1 - search.step), 10 * search.step], rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_way_to_the_first_bound_ends_exactly_there(dtype):
    rng = np.random.default_rng(0)
    for _ in range(300):
        low, room, g = rng.uniform(-3, 3), rng.uniform(0.01, 0.1), rng.uniform(0.5, 2)
        low = float(dtype(low))
        m = LBFGSMinimizer(np.array([low + room, 0], dtype), [(low, None), (None, None)], init_step=1.0)
        m.tell(0.0, [g, -10.0])
        m.tell(1e6, [g, 10.0])
        assert m.ask()[0] == low
        assert 0 < m.ask()[1] < 2.1


def test_slope_on_the_bent_path_is_that_of_what_still_moves():
    """dcsrch sees f = 0 and slope -101 at 0, f = 1 and 10 g2 at 1, whatever the first variable's gradient is."""
    trials = []
    for g in (0.0, 1e6, -1e6):
        m = bent_search()
        m.tell(1.0, [g, 20.0])
        trials.append(m.ask().tolist())
    assert trials[0] == trials[1] == trials[2]


def test_bent_search_that_finds_nothing_takes_its_lowest_trial():
    m = bent_search(maxls=1)  # twice as many where there are no pairs
    m.tell(-0.01, [1.0, 10.0])
    m.tell(5.0, [1.0, 10.0])
    assert m.nit == 1
    assert m._core.here()[0].tolist() == [0, 10]


def test_gradient_leads_past_bounds_that_block_the_way_one_by_one():
    """Nonnegative least squares with a matrix of one sign: Newton's direction meets all bounds, and each soon."""
    rng = np.random.default_rng(1)
    A = rng.uniform(size=(150, 100))
    b = A @ np.maximum(rng.standard_normal(100), 0) + 0.1 * rng.standard_normal(150)

    def fun(x):
        r = A @ x - b
        return float(r @ r), 2 * (A.T @ r)

    m = LBFGSMinimizer(np.ones(100), so.Bounds(0, INF), gtol=1e-2)
    turns = 0
    while not m.done:
        m.tell(*fun(m.ask()))
        x, _, g = m._core.here()
        S, Y, h0 = m._core.pairs()
        if m.done or not len(S):
            continue
        d, _, _ = step_of(x, g, np.zeros(100), np.full(100, INF), S, Y, h0)
        free = d != 0
        s, y = S[-1] * free, Y[-1] * free
        scale = h0 if np.ndim(h0) or free.all() else s @ y / (y @ y)
        projected = np.maximum(x - scale * g * free, 0)
        if np.allclose(m.ask(), projected, rtol=1e-10, atol=1e-12):
            turns += 1
            p = projected - x
            promised = -g @ p - p @ (p / scale) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                hit = np.where(d < 0, -x / d, INF).min()
            assert promised > 10 * -(g @ d) * hit * (1 - hit / 2)
            assert np.sum((projected == 0) & (x > 0)) > 0
    assert turns > 0
    settings = {"gtol": 1e-2, "ftol": 0}
    theirs = so.minimize(fun, np.ones(100), jac=True, method="L-BFGS-B", bounds=so.Bounds(0, INF), options=settings)
    assert m.nfev <= theirs.nfev


def step_of(x, g, low, high, S, Y, h0):
    """The direction and first trial step by the definition: dense, in NumPy."""
    free = ~((low == high) | ((x <= low) & (g > 0)) | ((x >= high) & (g < 0)))
    for last in range(6):
        mask = free.astype(float)
        pairs = [(s * mask, y * mask) for s, y in zip(S, Y, strict=True) if (s * mask) @ y > 1e-8 * (s @ y)]
        d, alpha = -g * mask, []
        for s, y in reversed(pairs):
            alpha.append(s @ d / (s @ y))
            d = d - alpha[-1] * y
        if np.ndim(h0):
            d = h0 * d
        elif pairs:
            s, y = pairs[-1]
            d = (h0 if free.all() else s @ y / (y @ y)) * d
        for (s, y), a in zip(pairs, reversed(alpha), strict=True):
            d = d + (a - y @ d / (s @ y)) * s
        out = ((x <= low) & (d < 0)) | ((x >= high) & (d > 0))
        if last == 5:
            d[out] = 0
        if not out.any():
            break
        free &= ~out
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(d == 0, INF, (np.where(d > 0, high, low) - x) / d)
    hit = room.min()
    foretold = g @ (np.clip(x + d, low, high) - x)
    straight = hit < 1 and not (foretold < 0 and foretold <= 0.1 * hit * (g @ d))
    return d, (hit if straight else 1.0), bool(pairs)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("name", ["rosenbrock-20", "quadratic-50", "driver1", "wood, active", "convex-100", "obstacle"])
def test_direction_and_first_trial_are_those_of_the_definition(name, diagonal):
    fun, x0, (low, high) = BOUNDED[name]
    low, high = (np.broadcast_to(side, len(x0)).astype(float) for side in (low, high))
    m = LBFGSMinimizer(x0, so.Bounds(low, high), conjugate=False, diagonal=diagonal, gtol=1e-4)
    compared = held = 0
    while not m.done:
        nit = m.nit
        m.tell(*fun(m.ask()))
        S, Y, h0 = m._core.pairs()
        if m.done or m.nit == nit or len(S) == 0:
            continue
        x, _, g = m._core.here()
        d, t, usable = step_of(x, g, low, high, S, Y, h0)
        if usable:
            # Some fifty pairs of a condition of up to 1e4.
            np.testing.assert_allclose(m.ask(), np.clip(x + t * d, low, high), rtol=1e-9, atol=1e-9)
            compared += 1
            held += (d == 0).any()
    assert compared > 5
    assert held > 2


def test_diagonal_is_learned_from_what_moves():
    fun, x0, (low, high) = BOUNDED["quadratic-50"]
    m = LBFGSMinimizer(x0, so.Bounds(low, high), conjugate=False, maxcor=100, gtol=1e-9)
    n, p, q, lessons, compared = len(x0), 0.0, 0.0, 0, 0
    while not m.done:
        count = len(m._core.pairs()[0])
        m.tell(*fun(m.ask()))
        S, Y, h0 = m._core.pairs()
        if len(S) == count:
            continue
        s, y = S[-1], Y[-1]
        moved = s != 0
        sy, keep = s @ y, max(0.9, lessons / (lessons + 2)) if lessons else 0
        mean_p, mean_q = (keep * np.mean(z) + v @ v / sy / n for z, v in ((p, s), (q, y * moved)))
        p = np.where(moved, keep, 1) * p + s**2 / sy
        q = np.where(moved, keep, 1) * q + (y * moved) ** 2 / sy
        lessons += 1
        D = np.sqrt((p + 1e-6 * mean_p) / (q + 1e-6 * mean_q))
        if np.ndim(h0):
            np.testing.assert_allclose(h0, D * sy / ((y * moved) @ (D * y)), rtol=1e-12)
            compared += not moved.all()
    assert compared > 3


@pytest.mark.parametrize(("name", "least"), [("convex-100", 5), ("quadratic-50", 3)])
def test_newest_pair_is_conjugate_to_the_one_before_where_it_moved(name, least):
    fun, x0, (low, high) = BOUNDED[name]
    m = LBFGSMinimizer(x0, so.Bounds(low, high), gtol=1e-9)
    partly = 0
    while not m.done:
        x, nit = m._core.here()[0], m.nit
        m.tell(*fun(m.ask()))
        S, Y, _ = m._core.pairs()
        if m.nit == nit or len(S) < 2:
            continue
        step = m._core.here()[0] - x
        moved = step != 0
        assert not S[-1][~moved].any()
        if not np.array_equal(S[-1], step):
            cosine = Y[-1][moved] @ S[-2][moved] / (np.linalg.norm(Y[-1]) * np.linalg.norm(S[-2]))
            assert abs(cosine) <= 1e-14
            partly += not moved.all()
    assert partly > least


def test_scale_is_that_of_what_moved():
    fun, x0, (low, high) = BOUNDED["convex-100"]
    m = LBFGSMinimizer(x0, so.Bounds(low, high), conjugate=False, diagonal=False, gtol=1e-4)
    partly = 0
    while not m.done:
        nit = m.nit
        m.tell(*fun(m.ask()))
        S, Y, gamma = m._core.pairs()
        if m.nit > nit and len(S):
            moved = S[-1] != 0
            assert gamma == pytest.approx(S[-1] @ Y[-1] / (Y[-1][moved] @ Y[-1][moved]), rel=1e-13)
            partly += not moved.all()
    assert partly > 5


def test_large_x_hides_no_gradient():
    m = LBFGSMinimizer([1e10], [(0, None)], gtol=1e-8)
    m.tell(1.0, [1e-7])
    assert not m.done
    assert m._core.gnorm == 1e-7


def test_gradient_into_a_bound_is_converged_next_to_it():
    for x, gnorm in ((0.0, 0.0), (1e-6, 1e-6), (1.0, 1.0), (9.0, 3.0)):
        m = LBFGSMinimizer([x], [(0, 10)])
        m.tell(1.0, [3.0])
        assert m._core.gnorm == gnorm
        assert m.done == (gnorm <= 1e-5)


# Special cases


def test_start_is_projected_and_never_written_to():
    x0 = np.array([5.0, -5.0, 0.5])
    m = LBFGSMinimizer(x0, [(0, 1)] * 3)
    assert m.ask().tolist() == [1, 0, 0.5]
    minimize(lambda x: (float(x @ x), 2 * x), x0, jac=True, bounds=[(0.25, 1)] * 3)
    assert x0.tolist() == [5, -5, 0.5]


def test_fixed_variables_never_move():
    low, high = np.full(10, -2.0), np.full(10, 2.0)
    low[3:6] = high[3:6] = [0.1, 0.7, 1 / 3]
    inside, seen = watched(rosenbrock, low, high)
    result = minimize(inside, np.zeros(10), jac=True, tol=1e-8, bounds=so.Bounds(low, high))
    assert result.success
    assert len(seen) > 5


@pytest.mark.parametrize("n", [1, 20])
def test_all_fixed_is_solved_by_one_evaluation(n):
    result = minimize(rosenbrock if n > 1 else quadratic, np.zeros(n), jac=True, bounds=[(0.5, 0.5)] * n)
    assert (result.success, result.nfev, result.nit, result.x.tolist()) == (True, 1, 0, [0.5] * n)


def test_start_in_a_corner_is_left():
    fun, _, (low, high) = BOUNDED["convex-100"]
    for corner in (low, high):
        result = minimize(fun, np.full(100, corner), jac=True, tol=1e-8, bounds=so.Bounds(low, high))
        assert result.success
        assert result.fun == pytest.approx(
            minimize(fun, np.zeros(100), jac=True, tol=1e-8, bounds=so.Bounds(low, high)).fun, rel=1e-14
        )


@pytest.mark.parametrize(
    ("bounds", "x"), [((None, 0.25), 0.25), ((2, None), 2), ((-1, 3), 1), ((1, 1), 1), ((1, 2), 1)]
)
def test_one_variable(bounds, x):
    result = minimize(lambda x: (float((x[0] - 1) ** 4), 4 * (x - 1) ** 3), [0.0], jac=True, tol=1e-9, bounds=[bounds])
    assert result.success
    # 4 (x - 1)^3 is at most 1e-9.
    assert result.x[0] == pytest.approx(x, abs=1e-3 if bounds == (-1, 3) else 0)


@pytest.mark.parametrize("outside", [np.nan, INF, -INF])
@pytest.mark.parametrize("x0", [np.ones(5), np.full(5, 1e-3), np.arange(1.0, 6.0), np.array([1e-6, 1.0, 100.0])])
def test_domain_with_its_edge_on_the_bounds_is_no_obstacle(outside, x0):
    for high, edge in ((INF, 1 / 50), (1e3, 1 / 50), (0.01, 0.01)):
        result = minimize(partial(barrier, outside=outside), x0, jac=True, tol=1e-4, bounds=so.Bounds(0, high))
        assert result.success
        # At the minimum 1/50 the curvature is 2500.
        assert np.allclose(result.x, edge, rtol=0, atol=4.1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 1023, 1024, 1025, 5000])
def test_every_size_is_solved(n, dtype):
    x0, high = np.zeros(n, dtype), np.resize([0.5, 3.0, 0.1], n).astype(dtype)
    inside, _ = watched(partial(quadratic, condition=100), -1, high)
    for settings in ({}, {"history_dtype": "float32"}):
        result = minimize(inside, x0, jac=True, tol=1e-4, bounds=so.Bounds(-1, high), options=settings)
        assert result.success
        assert result.x.dtype == dtype
        assert np.array_equal(result.x[high < 1], high[high < 1])
        assert np.allclose(result.x[high > 1], 1, rtol=0, atol=1.1e-4)


def test_single_precision_stays_within_bounds_it_cannot_hold():
    inside, _ = watched(quadratic, 0.1, 1 / 3)
    result = minimize(inside, np.zeros(9, np.float32), jac=True, tol=1e-4, bounds=[(0.1, 1 / 3)] * 9)
    assert result.success
    assert np.all(1 / 3 - result.x.astype(float) < 2.0**-25)


def test_threads_change_no_bit():
    n = 1 << 17
    rng = np.random.default_rng(0)
    target, h = rng.standard_normal(n), rng.uniform(1, 10, n)

    def fun(x):
        return float(h @ (x - target) ** 2 / 2 + (x**4).sum() / 4), h * (x - target) + x**3

    before = fo.get_num_threads()
    runs = []
    try:
        for threads in (1, 2, 3):
            fo.set_num_threads(threads)
            runs.append(minimize(fun, np.zeros(n), jac=True, bounds=so.Bounds(-0.5, 1), l1=0.5))
    finally:
        fo.set_num_threads(before)
    assert runs[0].success
    assert runs[0].nfev > 3
    assert all(np.array_equal(run.x, runs[0].x) and run.nfev == runs[0].nfev for run in runs)


@pytest.mark.parametrize(
    ("reason", "fun", "x0", "bounds", "options"),
    [
        ("unbounded", downhill, [0.0, 0.0], (0, [1, INF]), {}),
        ("gradient", downhill, np.zeros(9), (-INF, 2.0 ** np.arange(9)), {}),
        ("linesearch", lambda x: (float(x @ x), -2 * x), [1.0, 2.0], (0.5, 9), {}),
        (
            "precision",
            lambda x: (rosenbrock(x)[0] + 1e3, rosenbrock(x)[1]),
            np.zeros(30),
            (-3, np.tile([3, 0.9], 15)),
            {"gtol": 0},
        ),
        ("stalled", sway, np.arange(1.0, 11.0), (-99, 99), {}),
        ("nonfinite", lambda x: (np.nan, x), [1.0], (0, 1), {}),
        ("nonfinite", lambda x: (1.0, x * np.nan), [1.0], (0, 1), {}),
        ("nonfinite", lambda x: (1.0, x * np.inf), [1.0], (1, 1), {}),
        ("maxiter", rosenbrock, [-1.2, 1.0], (-2, 2), {"maxiter": 3}),
        ("decrease", rosenbrock, [-1.2, 1.0], (-2, 2), {"ftol": 0.5}),
    ],
)
def test_ways_to_stop_are_those_without_bounds(reason, fun, x0, bounds, options):
    inside, _ = watched(fun, *bounds)
    assert minimize(inside, x0, jac=True, bounds=so.Bounds(*bounds), options=options).reason == reason


@pytest.mark.parametrize("maxfun", [1, 2, 5, 9, 14])
@pytest.mark.parametrize("name", BOUNDED)
def test_answer_is_the_lowest_point_evaluated(name, maxfun):
    fun, seen = trail(BOUNDED[name][0])
    result = minimize(fun, BOUNDED[name][1], jac=True, bounds=so.Bounds(*BOUNDED[name][2]), options={"maxfun": maxfun})
    assert result.nfev == len(seen) <= maxfun
    if result.reason == "maxfun":
        assert len(seen) == maxfun
    x, f, g = min(seen, key=lambda point: point[1])
    assert (result.fun, result.x.tolist(), result.jac.tolist()) == (f, x.tolist(), g.tolist())


def test_differences_are_taken_within_the_bounds():
    fun, x0, (low, high) = BOUNDED["rosenbrock, active"]
    inside, seen = watched(lambda x: fun(x)[0], low, high)
    result = minimize(inside, x0, bounds=so.Bounds(low, high), options={"gtol": 1e-5})
    assert result.success
    assert result.nfev == len(seen)
    assert result.x[0] == 0.5


def test_history_and_callback_see_the_projected_gradient():
    fun, x0, (low, high) = BOUNDED["rosenbrock-20"]
    result = minimize(fun, x0, jac=True, bounds=so.Bounds(low, high), options={"history": True})
    assert result.history["grad_norm"][-1] == abs(residual(result.x, result.jac, low, high)).max() <= 1e-5
    assert abs(result.jac).max() > 1e-2


# Interrupted

RUNS = {
    "bounds": (BOUNDED["rosenbrock-20"][:2], {"bounds": so.Bounds(*BOUNDED["rosenbrock-20"][2])}),
    "l1": (BOUNDED["driver1"][:2], {"l1": 0.5}),
    "both": (BOUNDED["driver1"][:2], {"l1": np.linspace(0, 2, 25), "bounds": so.Bounds(*BOUNDED["driver1"][2])}),
}


def finished(m, fun):
    while not m.done:
        m.tell(*fun(m.ask()))
    result = m.result()
    return result.x.tolist(), result.fun, result.jac.tolist(), result.nfev, result.hess_inv.diag().tolist()


@pytest.mark.parametrize("run", RUNS)
def test_pickled_at_any_evaluation_and_continued_it_is_the_same_run(run):
    (fun, x0), settings = RUNS[run]
    whole = finished(LBFGSMinimizer(x0, **settings), fun)
    m = LBFGSMinimizer(x0, **settings)
    while not m.done:
        twin = pickle.loads(pickle.dumps(m))
        assert finished(twin, fun) == whole
        m.tell(*fun(m.ask()))
    assert finished(pickle.loads(pickle.dumps(m)), fun) == whole


@pytest.mark.parametrize("run", RUNS)
def test_exception_at_any_evaluation_leaves_the_run_as_it_was(run):
    (fun, x0), settings = RUNS[run]
    calls = 0

    def fragile(x):
        nonlocal calls
        calls += 1
        if calls % 2:
            x[:] = np.nan
            raise ConnectionError
        return fun(x)

    m = LBFGSMinimizer(x0, **settings)
    while not m.done:
        try:
            m.tell(*fragile(m.ask()))
        except ConnectionError:
            with pytest.raises(ValueError, match="shape"):
                m.tell(0.0, np.zeros(3))
    assert finished(m, fun) == finished(LBFGSMinimizer(x0, **settings), fun)


# L1


def lasso(n=80, rows=120, correlation=0.0, seed=0):
    """The mean square of the residuals, halved, and the weight from which on all is zero."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((rows, n)) + correlation * rng.standard_normal((rows, 1))
    b = A @ np.where(rng.random(n) < 0.15, rng.standard_normal(n), 0) + 0.1 * rng.standard_normal(rows)

    def fun(x):
        r = A @ x - b
        return float(r @ r) / 2 / rows, A.T @ r / rows

    return fun, abs(A.T @ b).max() / rows, A, b


def l1_residual(x, g, weight, low=-INF, high=INF):
    """x - P(soft(x - g, weight))."""
    return residual(x, np.clip(x, g - weight, g + weight), low, high)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("correlation", [0, 1])
def test_lasso_meets_its_optimality_conditions_in_fewer_evaluations_than_fista(correlation, share):
    fun, largest, _, _ = lasso(correlation=correlation)
    traced, seen = trail(fun)
    weight, gtol = share * largest, 1e-8
    ours = minimize(traced, np.zeros(80), jac=True, tol=gtol, l1=weight)
    assert ours.reason == "gradient"
    assert ours.nfev == len(seen)
    f, g = fun(ours.x)
    assert np.array_equal(ours.jac, g)
    assert ours.fun == pytest.approx(f + weight * abs(ours.x).sum(), rel=1e-15)
    zero = ours.x == 0
    assert 0 < zero.sum() < 80
    assert np.all(abs(g[zero]) <= weight + gtol)
    assert np.all(abs(g + weight * np.sign(ours.x))[~zero] <= gtol)
    theirs = minimize(fun, np.zeros(80), jac=True, tol=gtol, l1=weight, method="fista")
    assert ours.fun <= theirs.fun + 1e-14 * (1 + theirs.fun)
    assert np.array_equal(zero, theirs.x == 0)
    assert ours.nfev < theirs.nfev / 2


@pytest.mark.peers
def test_lasso_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    fun, largest, A, b = lasso()
    for share in (0.3, 0.03):
        ours = minimize(fun, np.zeros(80), jac=True, tol=1e-9, l1=share * largest)
        theirs = linear_model.Lasso(share * largest, fit_intercept=False, tol=1e-12, max_iter=100000).fit(A, b)
        # The least curvature of f is some 0.03.
        np.testing.assert_allclose(ours.x, theirs.coef_, rtol=0, atol=1e-6)
        assert np.array_equal(ours.x == 0, theirs.coef_ == 0)


def test_everything_is_zero_from_the_largest_weight_on():
    fun, largest, _, _ = lasso()
    x0 = np.random.default_rng(1).standard_normal(80)
    assert not minimize(fun, x0, jac=True, l1=1.001 * largest).x.any()
    assert minimize(fun, x0, jac=True, l1=0.99 * largest).x.any()
    assert minimize(fun, np.zeros(80), jac=True, l1=1.001 * largest).nfev == 1


def test_each_variable_may_have_its_weight_and_none():
    fun, largest, _, _ = lasso()
    weights = largest * np.resize([0.0, 0.05, 0.5], 80)
    result = minimize(fun, np.ones(80), jac=True, tol=1e-8, l1=weights)
    assert result.success
    assert abs(l1_residual(result.x, result.jac, weights)).max() <= 1e-8
    assert np.all(result.x[::3] != 0)
    assert 0 < (result.x[1::3] == 0).sum() < (result.x[2::3] == 0).sum()


@pytest.mark.parametrize(
    "bounds", [(0, INF), (-0.1, 0.2), (-INF, -0.05), (0.05, 0.3), (np.resize([0, -0.1, 0.3], 80), 0.3)]
)
@pytest.mark.parametrize("share", [0.3, 0.03])
def test_l1_and_bounds_hold_together(bounds, share):
    fun, largest, _, _ = lasso()
    inside, _ = watched(fun, *bounds)
    weight = share * largest
    result = minimize(inside, np.ones(80), jac=True, tol=1e-8, l1=weight, bounds=so.Bounds(*bounds))
    assert result.reason == "gradient"
    assert abs(l1_residual(result.x, result.jac, weight, *bounds)).max() <= 1e-8
    theirs = minimize(fun, np.ones(80), jac=True, tol=1e-8, l1=weight, bounds=so.Bounds(*bounds), method="fista")
    assert result.fun == pytest.approx(theirs.fun, rel=1e-14)


def test_logistic_regression_with_l1():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30)) * np.logspace(-1, 1, 30)
    y = np.sign(X @ np.where(rng.random(30) < 0.3, 1 / np.logspace(-1, 1, 30), 0) + rng.standard_normal(200))
    result = minimize(logistic, np.zeros(30), (X, y, 0.0), jac=True, tol=1e-7, l1=0.02)
    assert result.success
    assert abs(l1_residual(result.x, result.jac, 0.02)).max() <= 1e-7
    assert 5 < (result.x == 0).sum() < 30


@pytest.mark.parametrize("x0", [1e-6, 1e-12, 1.0, -1e-6, 0.0, -9.0])
def test_zero_is_crossed(x0):
    """Next to 0, on the wrong side of it, nothing is converged."""
    result = minimize(lambda x: (float((x[0] + 5) ** 2 / 2), x + 5), [x0], jac=True, l1=1.0)
    assert result.success
    assert result.x[0] == pytest.approx(-4, abs=1e-5)
    assert result.fun == pytest.approx(4.5, abs=1e-10)


def test_no_trial_leaves_the_orthant_that_its_search_began_in():
    fun, largest, _, _ = lasso()
    m = LBFGSMinimizer(np.random.default_rng(0).standard_normal(80), l1=0.1 * largest)
    while not m.done:
        x, _, _ = m._core.here()
        assert np.all(m.ask() * x >= 0)
        m.tell(*fun(m.ask()))


def test_smooth_part_alone_makes_the_pairs():
    fun, largest, _, _ = lasso()
    m = LBFGSMinimizer(np.ones(80), l1=0.1 * largest, conjugate=False, maxcor=100)
    points = []
    while not m.done:
        nit = m.nit
        m.tell(*fun(m.ask()))
        if m.nit > nit or not points:
            points.append(m._core.here())
    S, Y, _ = m._core.pairs()
    assert len(S) == len(points) - 1
    for s, y, (x, _, g), (x2, _, g2) in zip(S, Y, points, points[1:], strict=False):
        assert np.array_equal(s, x2 - x)
        assert np.array_equal(y, g2 - g)


def test_weights_of_zero_change_no_bit():
    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    for l1 in (0, 0.0, np.zeros(2), None):
        assert minimize(rosenbrock, [-1.2, 1.0], jac=True, l1=l1).x.tolist() == plain.x.tolist()


def test_l1_in_single_precision():
    fun, largest, _, _ = lasso()
    x0 = np.zeros(80, np.float32)
    result = minimize(lambda x: fun(x.astype(float)), x0, jac=True, tol=1e-4, l1=0.1 * largest, bounds=[(-1, 0.5)] * 80)
    assert result.success
    assert result.x.dtype == np.float32
    assert abs(l1_residual(result.x, result.jac, np.float32(0.1 * largest), -1, 0.5)).max() <= 1e-4


def test_penalty_without_method_stays_with_fista():
    assert minimize(quadratic, np.zeros(3), jac=True, penalty=fo.Box(0, 0.5)).x.tolist() == [0.5] * 3
    with pytest.raises(ValueError, match=r"Box, which is not smooth.*pass l1 and bounds"):
        minimize(quadratic, np.zeros(3), jac=True, penalty=fo.Box(0, 0.5), method="lbfgs")
