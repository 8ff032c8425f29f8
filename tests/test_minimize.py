"""minimize, LBFGSMinimizer and the SciPy method: SciPy's minima, and every way to stop."""

import copy
import pickle
import subprocess
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize as so

from fastopt._lbfgs import REASONS
from fastopt.minimize import LBFGSMinimizer, lbfgs, minimize


def rosenbrock(x):
    return float(so.rosen(x)), so.rosen_der(x)


def quadratic(x, condition=1e4):
    h = np.logspace(0, np.log10(condition), x.size).astype(x.dtype)
    return float(h @ (x - 1) ** 2) / 2, h * (x - 1)


def logistic(w, X, y, l2=1e-2):
    margin = y * (X @ w)
    f = np.logaddexp(0, -margin).mean() + l2 / 2 * (w @ w)
    return float(f), X.T @ (-y / (1 + np.exp(margin))) / len(y) + l2 * w


def sway(x):
    """Constant in f, and a gradient that leads nowhere: each step is accepted, none helps."""
    return 1.0, np.sin(1e6 * x)


def driver1(x):
    """The problem of driver1 of L-BFGS-B 3.0, n = 25."""
    t = x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[0] = (x[0] - 1) / 2
    g[:-1] -= 4 * t * x[:-1]
    g[1:] += 2 * t
    return 4 * float((x[0] - 1) ** 2 / 4 + t @ t), 4 * g


def exponentials(x):
    """The problem of the driver of ACM TOMS 851, n = 100."""
    root = np.sqrt(np.arange(1, x.size + 1))
    return float((np.exp(x) - root * x).sum()), np.exp(x) - root


def barrier(x, outside):
    if np.any(x <= 0):
        return outside, np.full_like(x, outside)
    return float((50 * x - np.log(x)).sum()), 50 - 1 / x


def downhill(x):
    return float(-x.sum()), -np.ones_like(x)


def uphill_gradient(x):
    return float(x @ x), -2 * x


def trail(fun):
    """fun and the list of all it returned."""
    seen = []

    def recorded(x):
        seen.append((x.copy(), *fun(x)))
        return seen[-1][1:]

    return recorded, seen


PROBLEMS = {
    "rosenbrock-2": (rosenbrock, [-1.2, 1.0]),
    "rosenbrock-20": (rosenbrock, np.tile([-1.2, 1.0], 10)),
    "quadratic-50": (quadratic, np.zeros(50)),
    "driver1": (driver1, np.full(25, 3.0)),
    "toms851": (exponentials, np.ones(100)),
}


each_search = pytest.mark.parametrize("linesearch", ["more-thuente", "hager-zhang", "armijo"])


# What it finds


@each_search
@pytest.mark.parametrize("name", PROBLEMS)
def test_minimum_is_that_of_scipy(name, linesearch):
    fun, x0 = PROBLEMS[name]
    ours = minimize(fun, x0, jac=True, tol=1e-8, options={"linesearch": linesearch})
    theirs = so.minimize(fun, x0, jac=True, method="L-BFGS-B", options={"gtol": 1e-8, "ftol": 0})
    assert ours.success
    assert ours.reason == "gradient"
    assert abs(ours.jac).max() <= 1e-8
    # Both gradients are within 1e-8 of zero and the least curvature is above 0.1, so that
    # f is within n 1e-16 / 0.2 of its minimum, but for rounding.
    assert ours.fun <= theirs.fun + 1e-13 * max(1, abs(theirs.fun))


def test_logistic_regression_has_the_minimum_of_scipy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 12)) * np.logspace(-1, 1, 12)
    y = np.sign(X @ rng.standard_normal(12) + rng.standard_normal(200))
    ours = minimize(logistic, np.zeros(12), (X, y), jac=True, tol=1e-8)
    theirs = so.minimize(logistic, np.zeros(12), (X, y), jac=True, method="L-BFGS-B", options={"gtol": 1e-9})
    assert ours.success
    # Strongly convex with modulus l2 = 1e-2: f - f* <= n gtol^2 / (2 l2).
    assert ours.fun - theirs.fun <= 12 * 1e-16 / 2e-2


@each_search
def test_driver1_of_lbfgsb_takes_no_more_evaluations(linesearch):
    """L-BFGS-B 3.0 with m = 5, factr = 1e7, pgtol = 1e-5: f = 1.083490083e-9 in 28 evaluations."""
    options = {"maxcor": 5, "gtol": 1e-5, "ftol": 1e7 * 2.0**-52, "linesearch": linesearch}
    result = minimize(driver1, np.full(25, 3.0), jac=True, options=options)
    assert result.success
    assert result.fun <= 1e-8
    assert result.nfev <= 28


@each_search
def test_toms851_reaches_the_published_minimum(linesearch):
    result = minimize(exponentials, np.ones(100), jac=True, tol=1e-8, options={"linesearch": linesearch})
    assert result.fun == pytest.approx(-653.07867273306, abs=5e-12 * 653)
    assert result.nfev <= 40


@pytest.mark.parametrize("outside", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("x0", [np.ones(5), np.full(5, 1e-3), np.arange(1.0, 6.0), np.array([1e-6, 1.0, 100.0])])
@each_search
def test_domain_with_an_edge_is_no_obstacle(outside, x0, linesearch):
    result = minimize(partial(barrier, outside=outside), x0, jac=True, tol=1e-4, options={"linesearch": linesearch})
    assert result.success
    # At the minimum 1/50 the curvature is 2500, so 1e-4 of gradient is 4e-8 of x.
    assert np.allclose(result.x, 1 / 50, rtol=0, atol=4.1e-8)


def test_gradient_that_is_not_finite_is_out_of_the_domain():
    def fun(x):
        return float((x - np.log(abs(x))).sum()), np.where(x > 0, 1 - 1 / x, np.nan)

    result = minimize(fun, [50.0, 0.01], jac=True, tol=1e-6)
    assert result.success
    assert np.allclose(result.x, 1, rtol=0, atol=1.1e-6)


@pytest.mark.parametrize(
    ("linesearch", "maxls"),
    [*((name, n) for name in ("more-thuente", "hager-zhang") for n in (1, 2, 3)), ("armijo", 2), ("armijo", 3)],
)
def test_search_cut_short_falls_back_on_its_lowest_trial(linesearch, maxls):
    options = {"maxls": maxls, "linesearch": linesearch}
    result = minimize(rosenbrock, [-1.2, 1.0], jac=True, tol=1e-6, options=options)
    assert result.success


def test_searches_differ_and_the_first_is_the_default():
    fun, x0 = PROBLEMS["rosenbrock-20"]
    names = (None, "more-thuente", "hager-zhang", "armijo")
    runs = [minimize(fun, x0, jac=True, options={} if name is None else {"linesearch": name}) for name in names]
    assert np.array_equal(runs[0].x, runs[1].x)
    assert len({run.fun for run in runs}) == 3


@each_search
@pytest.mark.parametrize("seed", range(10))
def test_noise_of_rounding_does_not_keep_it_from_the_minimum(seed, linesearch):
    """f is known to 1e-8 only, which is some 1e-3 in the gradient; but the slopes show the way."""
    h = np.logspace(0, 3, 20)

    def fun(x):
        return float((h * x**2 / 2 + 1e7).sum()), h * x

    x0 = np.random.default_rng(seed).standard_normal(20)
    assert minimize(fun, x0, jac=True, tol=1e-6, options={"linesearch": linesearch}).success


def test_result_does_not_depend_on_the_scale_of_f():
    runs = []
    for power in (-20, 0, 20):
        unit = 2.0**power
        runs.append(
            minimize(
                lambda x, u=unit: tuple(u * v for v in rosenbrock(x)),
                [0.5, 0.5],
                jac=True,
                options={"gtol": 1e-6 * unit, "ftol": 0, "maxiter": 12},
            )
        )
    assert runs[0].nit == runs[1].nit == runs[2].nit


def test_steps_meet_the_strong_wolfe_conditions():
    fun, seen = trail(rosenbrock)
    points = [np.full(6, -1.0)]
    minimize(fun, points[0], jac=True, tol=1e-6, callback=points.append)
    known = {x.tobytes(): (f, g) for x, f, g in seen}
    assert len(points) > 20
    for x, x2 in pairwise(points):
        (f, g), (f2, g2) = known[x.tobytes()], known[x2.tobytes()]
        s = x2 - x
        assert f2 <= f + 1e-3 * (g @ s) * (1 - 1e-12)
        assert abs(g2 @ s) <= 0.9 * abs(g @ s) * (1 + 1e-12)


@each_search
@pytest.mark.parametrize("maxfun", [1, 2, 5, 9, 14, 30, 33])
@pytest.mark.parametrize("name", PROBLEMS)
def test_answer_is_the_lowest_point_evaluated(name, maxfun, linesearch):
    fun, seen = trail(PROBLEMS[name][0])
    options = {"maxfun": maxfun, "ftol": 0, "linesearch": linesearch}
    result = minimize(fun, PROBLEMS[name][1], jac=True, options=options)
    assert result.nfev == result.njev == len(seen) <= maxfun
    if result.reason == "maxfun":
        assert len(seen) == maxfun
    x, f, g = min(seen, key=lambda point: point[1])
    assert result.fun == f
    assert np.array_equal(result.x, x)
    assert np.array_equal(result.jac, g)


def test_flatter_point_is_the_answer_where_rounding_hides_which_is_lower():
    m = LBFGSMinimizer([1.0], maxfun=2)
    m.tell(1.0, [1.0])
    m.tell(np.nextafter(1.0, 0), [5.0])
    assert (m.result().fun, m.result().jac) == (1.0, [1.0])


def test_step_that_rounding_lifts_is_taken_but_is_no_convergence():
    m, strict = LBFGSMinimizer([1.0], ftol=0), LBFGSMinimizer([1.0])
    for run in (m, strict):
        run.tell(1e6, [1.0])
        run.tell(1e6 + 1e-4, [0.5])
    assert (m.nit, m.done, strict.result().reason) == (1, False, "decrease")
    assert m.result().fun == 1e6


def test_failed_search_moves_to_its_lowest_trial():
    m = LBFGSMinimizer([0.0], maxls=1)
    m.tell(0.0, [-1.0])
    steps = [m.ask()]
    m.tell(-2.0, [-1.5])
    steps.append(m.ask())
    assert m.nit == 0
    m.tell(-1.0, [-1.0])
    assert m.nit == 1
    x, f, _ = m._core.here()
    assert (x, f) == (steps[0], -2.0)
    assert m._core.pairs()[0].shape == (0, 1)  # s'y < 0


def test_failed_search_without_a_lower_trial_drops_the_pairs():
    m = LBFGSMinimizer([3.0, -4.0], maxls=2)
    m.tell(*quadratic(m.ask(), 2.0))
    while m.nit < 2:
        m.tell(*quadratic(m.ask(), 2.0))
    assert m._core.pairs()[0].shape == (2, 2)
    x, f, g = m._core.here()
    for _ in range(2):
        m.tell(f + 1, g)
    assert m._core.pairs()[0].shape == (0, 2)
    d = m.ask() - x
    assert np.allclose(d / np.linalg.norm(d), -g / np.linalg.norm(g), rtol=1e-7, atol=0)


def test_inverse_hessian_satisfies_its_newest_pairs():
    h = np.logspace(0, 3, 30)
    result = minimize(
        lambda x: (float(h @ x**2) / 2, h * x),
        np.ones(30),
        jac=True,
        options={"maxcor": 7, "maxiter": 13, "gtol": 0, "ftol": 0},
    )
    H = result.hess_inv
    assert H.sk.shape == H.yk.shape == (7, 30)
    assert np.allclose(H.yk, h * H.sk, rtol=1e-9, atol=1e-12)
    assert np.allclose(H @ H.yk[-1], H.sk[-1], rtol=1e-9, atol=1e-15)
    dense = H.todense()
    assert np.allclose(dense, dense.T, rtol=1e-10, atol=1e-14)
    assert np.linalg.eigvalsh(dense).min() > 0
    outside = np.linalg.svd(np.vstack([H.sk, H.yk]))[2][-1]
    assert H.gamma == pytest.approx(H.sk[-1] @ H.yk[-1] / (H.yk[-1] @ H.yk[-1]), rel=1e-12)
    assert np.allclose(H @ outside, H.gamma * outside, rtol=1e-9, atol=1e-14)
    assert np.array_equal(pickle.loads(pickle.dumps(H)).todense(), dense)
    plain = so.LbfgsInvHessProduct(H.sk / np.sqrt(H.gamma), H.yk * np.sqrt(H.gamma))
    assert np.allclose(dense, H.gamma * plain.todense(), rtol=1e-9, atol=1e-14)


def test_next_direction_is_the_one_of_the_inverse_hessian():
    """The two-loop recursion in the kernel against the matrix, wrapped around the ring."""
    m = LBFGSMinimizer(np.full(9, -1.0), maxcor=3, gtol=0, ftol=0)
    while not m.done and m.nfev < 40:
        nit = m.nit
        m.tell(*rosenbrock(m.ask()))
        if m.nit > max(nit, 1):
            x, _, g = m._core.here()
            d = -(m.result().hess_inv @ g)
            assert np.allclose(m.ask() - x, d, rtol=1e-9, atol=1e-11 * abs(d).max())


# How it ends


@pytest.mark.parametrize(
    ("reason", "status", "fun", "x0", "options"),
    [
        ("gradient", 0, quadratic, np.zeros(5), {}),
        ("decrease", 0, rosenbrock, [-1.2, 1.0], {"ftol": 0.5}),
        ("maxiter", 1, rosenbrock, [-1.2, 1.0], {"maxiter": 3}),
        ("maxfun", 1, rosenbrock, [-1.2, 1.0], {"maxfun": 3}),
        ("maxfun", 1, downhill, [0.0, 0.0], {"maxfun": 200}),
        ("linesearch", 2, uphill_gradient, [1.0, 2.0], {}),
        ("precision", 3, rosenbrock, np.full(30, -1.0), {"gtol": 0, "ftol": 0}),
        ("stalled", 4, sway, np.arange(1.0, 11.0), {"ftol": 0}),
        ("nonfinite", 5, lambda x: (np.nan, 0 * x), [1.0], {}),
        ("nonfinite", 5, lambda x: (np.inf, x), [1.0], {}),
        ("nonfinite", 5, lambda x: (1.0, x * np.nan), [1.0], {}),
        ("nonfinite", 5, lambda x: (1.0, x * np.inf), [1.0], {}),
    ],
)
def test_every_way_to_stop_has_its_status(reason, status, fun, x0, options):
    result = minimize(fun, x0, jac=True, options=options)
    assert result.reason == reason
    assert result.status == status
    assert result.success == (status == 0)
    f, g = fun(result.x)
    assert np.array_equal(result.fun, f, equal_nan=True)
    assert np.array_equal(result.jac, g, equal_nan=True)


def test_every_way_to_stop_has_its_sentence():
    from fastopt.minimize import _ENDINGS

    assert tuple(_ENDINGS) == REASONS
    sentences = [message for _, message in _ENDINGS.values()]
    assert len(set(sentences)) == len(sentences)


def test_flat_function_is_converged():
    result = minimize(lambda x: (7.0, np.zeros(3)), [1.0, 2.0, 3.0], jac=True)
    assert (result.reason, result.nfev, result.nit, result.fun) == ("gradient", 1, 0, 7.0)


def test_no_gradient_is_too_small_to_be_followed():
    """gtol = 0 and the smallest numbers there are."""
    result = minimize(lambda x: (float(1e-200 * (x @ x)), 2e-200 * x), [1.0], jac=True, options={"gtol": 0})
    assert not result.success or result.fun < 1e-200


def test_decrease_of_zero_is_off():
    result = minimize(rosenbrock, [-1.2, 1.0], jac=True, options={"ftol": 0, "gtol": 1e-9})
    assert result.reason == "gradient"


def test_maxiter_is_exact():
    for maxiter in range(8):
        assert minimize(rosenbrock, [0.0, 2.0], jac=True, options={"maxiter": maxiter}).nit == (maxiter)


def test_kinks_end_in_a_failure_not_in_a_success():
    result = minimize(lambda x: (float(abs(x).sum()), np.sign(x)), [1.0, np.pi], jac=True, options={"ftol": 0})
    assert result.reason in ("linesearch", "precision")
    assert result.fun < 1e-6


# Sizes and types


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 1000, 1023, 1024, 1025, 5000])
def test_every_size_is_solved(n, dtype):
    x0 = np.zeros(n, dtype)
    result = minimize(partial(quadratic, condition=100), x0, jac=True, tol=1e-4)
    assert result.success
    assert result.x.shape == result.jac.shape == (n,)
    assert result.x.dtype == result.jac.dtype == dtype
    # gtol over the least curvature, 1, bounds the error.
    assert np.allclose(result.x, 1, rtol=0, atol=1.1e-4)


def test_single_precision_reaches_its_limit():
    def fun(x):
        return np.float32(so.rosen(x)), so.rosen_der(x).astype(np.float32)

    result = minimize(fun, np.array([-1.2, 1], np.float32), jac=True, tol=0)
    assert result.x.dtype == np.float32
    assert result.reason in ("precision", "gradient", "stalled")
    # Flattest curvature 0.4 against steepest 1000: x is known to about sqrt(2500) ulp of 1.
    assert np.allclose(result.x, 1, rtol=0, atol=50 * 2**-23)


@pytest.mark.parametrize("x0", [[3, 4], (3, 4), np.array([3, 4], np.int8), np.array([3, 4], ">f8")])
def test_start_may_be_of_any_real_type(x0):
    result = minimize(quadratic, x0, jac=True)
    assert result.x.dtype == np.float64
    assert np.allclose(result.x, 1, rtol=0, atol=2e-5)


def test_start_may_be_a_number_or_read_only():
    assert minimize(quadratic, 3.0, jac=True).x.shape == (1,)
    x0 = np.broadcast_to(3.0, 4)
    assert minimize(quadratic, x0, jac=True).success
    assert minimize(quadratic, np.array([3, 4], ">f4"), jac=True).x.dtype == np.float32


def test_start_is_never_written_to():
    x0 = np.array([-1.2, 1.0])
    minimize(rosenbrock, x0, jac=True)
    assert np.array_equal(x0, [-1.2, 1.0])


@pytest.mark.parametrize(
    "shape",
    [
        lambda f, g: (f, list(g)),
        lambda f, g: (f, g.reshape(-1, 1)),
        lambda f, g: (f, g.reshape(1, -1)),
        lambda f, g: (np.array([f]), g),
        lambda f, g: (np.array([[f]]), g),
        lambda f, g: (np.float64(f), np.repeat(g, 3)[::3]),
        lambda f, g: (f, g[::-1].copy()[::-1]),
        lambda f, g: (f, g.astype(">f8")),
        lambda f, g: (f, np.asarray(bytearray(b"x" + g.tobytes()), "u1")[1:].view("f8")),
        lambda f, g: (f, g.view(np.matrix)),
    ],
)
def test_bits_do_not_depend_on_how_the_gradient_lies(shape):
    plain = minimize(rosenbrock, np.full(7, -1.0), jac=True)
    result = minimize(lambda x: shape(*rosenbrock(x)), np.full(7, -1.0), jac=True)
    assert np.array_equal(result.x, plain.x)
    assert result.nfev == plain.nfev


def test_gradient_may_be_of_single_precision():
    result = minimize(lambda x: (rosenbrock(x)[0], rosenbrock(x)[1].astype(np.float32)), [-1.2, 1.0], jac=True)
    assert np.allclose(result.x, 1, rtol=0, atol=1e-4)


def test_integers_are_numbers():
    result = minimize(lambda x: (0, [0, 0]), [1.0, 2.0], jac=True)
    assert (result.fun, result.reason) == (0.0, "gradient")


# What the objective may do


def test_objective_may_change_and_keep_its_argument():
    kept = []

    def rude(x):
        f, g = rosenbrock(x)
        kept.append(x)
        x[:] = np.nan
        return f, g

    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    result = minimize(rude, [-1.2, 1.0], jac=True)
    assert np.array_equal(result.x, plain.x)
    assert all(np.isnan(x).all() for x in kept)


def test_objective_and_gradient_apart_may_change_their_argument():
    def rude(part):
        def run(x):
            value = rosenbrock(x)[part]
            x[:] = 0
            return value

        return run

    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    assert np.array_equal(minimize(rude(0), [-1.2, 1.0], jac=rude(1)).x, plain.x)


def test_objective_may_return_the_same_buffer_each_time():
    buffer = np.empty(2)

    def reuse(x):
        f, buffer[:] = rosenbrock(x)
        return f, buffer

    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    result = minimize(reuse, [-1.2, 1.0], jac=True)
    assert np.array_equal(result.x, plain.x)
    buffer[:] = 9
    assert np.array_equal(result.jac, plain.jac)


def test_args_reach_the_objective_and_the_gradient():
    def fun(x, a, b):
        return float(a * (x - b) @ (x - b))

    def jac(x, a, b):
        return 2 * a * (x - b)

    assert np.allclose(minimize(fun, [0.0], (3.0, 5.0), jac=jac).x, 5)
    assert np.allclose(minimize(lambda x, b: fun(x, 1, b), [0.0], 5.0, jac="2-point").x, 5)


@pytest.mark.parametrize("call", range(12))
def test_exception_leaves_the_run_as_it_was(call):
    m = LBFGSMinimizer([-1.2, 1.0])
    calls = 0

    def fragile(x):
        nonlocal calls
        calls += 1
        if calls == call + 1:
            raise KeyboardInterrupt
        return rosenbrock(x)

    while not m.done:
        x = m.ask()
        try:
            f, g = fragile(x)
        except KeyboardInterrupt:
            assert np.array_equal(m.ask(), x)
            continue
        m.tell(f, g)
    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    assert np.array_equal(m.result().x, plain.x)
    assert m.result().nfev == plain.nfev == calls - 1


def test_exception_of_the_objective_gets_through():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        minimize(broken, [1.0], jac=True)
    with pytest.raises(StopIteration):
        minimize(lambda x: next(iter(())), [1.0], jac=True)


@pytest.mark.parametrize("jac", [None, False, "2-point", "3-point", "cs"])
def test_gradient_may_be_left_to_differences(jac):
    calls = 0

    def fun(x):
        nonlocal calls
        calls += 1
        return ((x - 3) ** 2).sum() + (x[0] * x[1] - 9) ** 2

    result = minimize(fun, [2.0, 4.0], jac=jac)
    assert np.allclose(result.x, 3, rtol=0, atol=1e-4)
    assert result.nfev == calls
    assert result.njev < calls


@pytest.mark.parametrize("maxfun", [7, 20, 33])
def test_maxfun_counts_the_calls_for_differences(maxfun):
    result = minimize(so.rosen, np.full(4, -1.0), options={"maxfun": maxfun})
    assert result.reason == "maxfun"
    assert maxfun - 5 < result.nfev <= maxfun


def test_differences_stay_out_of_the_domain():
    def fun(x):
        return (50 * x - np.log(x)).sum() if np.all(x > 0) else np.nan

    assert np.allclose(minimize(fun, [1.0, 2.0]).x, 1 / 50, rtol=0, atol=1e-5)
    assert minimize(fun, [-1.0, 2.0]).reason == "nonfinite"


# Ask and tell


@pytest.mark.parametrize("name", PROBLEMS)
def test_ask_and_tell_is_minimize_bit_for_bit(name):
    fun, x0 = PROBLEMS[name]
    m = LBFGSMinimizer(x0)
    while not m.done:
        x = m.ask()
        m.tell(*fun(x))
    ours, other = m.result(), minimize(fun, x0, jac=True)
    for key in ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success", "message", "reason"):
        assert np.array_equal(ours[key], other[key]), key


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@each_search
def test_duplicate_goes_on_as_the_run_itself(duplicate, dtype, linesearch):
    x0 = np.full(6, -1, dtype)

    def fun(x):
        return rosenbrock(x)[0], rosenbrock(x)[1].astype(dtype)

    for cut in (0, 1, 2, 7, 25):
        m = LBFGSMinimizer(x0, maxcor=3, linesearch=linesearch)
        for _ in range(cut):
            m.tell(*fun(m.ask()))
        twin = duplicate(m)
        for run in (m, twin):
            while not run.done:
                run.tell(*fun(run.ask()))
        assert np.array_equal(m.result().x, twin.result().x)
        assert m.nfev == twin.nfev


def test_result_can_be_had_at_any_time():
    m = LBFGSMinimizer([-1.2, 1.0])
    before = m.result()
    assert (before.status, before.success, before.nfev) == (-1, False, 0)
    assert np.isnan(before.fun)
    assert np.array_equal(before.x, [-1.2, 1.0])
    lowest = np.inf
    while not m.done:
        f, g = rosenbrock(m.ask())
        lowest = min(lowest, f)
        m.tell(f, g)
        assert m.result().fun == lowest


def test_ended_run_takes_nothing_more():
    m = LBFGSMinimizer([0.0])
    m.tell(0.0, [0.0])
    assert m.done
    with pytest.raises(RuntimeError, match="ended"):
        m.ask()
    with pytest.raises(RuntimeError, match="ended"):
        m.tell(0.0, [0.0])


def test_asking_twice_gives_two_arrays_of_the_same_point():
    m = LBFGSMinimizer([1.0, 2.0])
    first, second = m.ask(), m.ask()
    first[:] = 0
    assert np.array_equal(second, [1.0, 2.0])
    assert np.array_equal(m.ask(), second)


# Callbacks


def test_callback_gets_each_iterate():
    points, results = [], []

    def new(intermediate_result):
        results.append(intermediate_result)

    old_style = minimize(rosenbrock, [-1.2, 1.0], jac=True, callback=points.append)
    new_style = minimize(rosenbrock, [-1.2, 1.0], jac=True, callback=new)
    assert len(points) == len(results) == old_style.nit == new_style.nit
    for i, (x, result) in enumerate(zip(points, results, strict=True)):
        assert np.array_equal(x, result.x)
        assert (result.fun, result.nit) == (rosenbrock(x)[0], i + 1)
        assert np.array_equal(result.jac, rosenbrock(x)[1])
    assert np.array_equal(points[-1], old_style.x)


def test_callback_cannot_spoil_the_run():
    plain = minimize(rosenbrock, [-1.2, 1.0], jac=True)
    result = minimize(rosenbrock, [-1.2, 1.0], jac=True, callback=lambda x: x.fill(0))
    assert np.array_equal(result.x, plain.x)


@pytest.mark.parametrize("run", [minimize, partial(so.minimize, method=lbfgs)])
def test_callback_ends_the_run_by_stop_iteration(run):
    def stop(x):
        raise StopIteration

    result = run(rosenbrock, [-1.2, 1.0], jac=True, callback=stop)
    theirs = so.minimize(rosenbrock, [-1.2, 1.0], jac=True, method="L-BFGS-B", callback=stop)
    assert (result.status, result.success, result.nit) == (99, False, 1)
    assert result.message == theirs.message
    assert result.fun == rosenbrock(result.x)[0]


def test_true_from_a_callback_does_not_end_the_run():
    """As in SciPy's L-BFGS-B."""
    assert minimize(rosenbrock, [-1.2, 1.0], jac=True, callback=lambda x: True).success


# SciPy


def test_scipy_takes_it_as_a_method():
    ours = minimize(rosenbrock, [-1.2, 1.0], jac=True, tol=1e-7)
    for jac, fun in ((True, rosenbrock), (so.rosen_der, so.rosen)):
        theirs = so.minimize(fun, [-1.2, 1.0], jac=jac, method=lbfgs, tol=1e-7)
        assert isinstance(theirs, so.OptimizeResult)
        assert np.array_equal(theirs.x, ours.x)
        assert theirs.nfev == ours.nfev


def test_scipy_and_its_memory_of_x_are_unwrapped():
    fun, seen = trail(rosenbrock)
    result = so.minimize(fun, [-1.2, 1.0], jac=True, method=lbfgs)
    assert len(seen) == result.nfev
    wrapped = so._optimize.MemoizeJac(fun)
    other = type("Other", (), {"__call__": wrapped.__call__})()
    again = lbfgs(other, [-1.2, 1.0], jac=wrapped.derivative)
    assert np.array_equal(again.x, result.x)


@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs"])
def test_scipy_differences_work(jac):
    result = so.minimize(so.rosen, [-1.2, 1.0], jac=jac, method=lbfgs)
    assert np.allclose(result.x, 1, rtol=0, atol=1e-3)


def test_scipy_args_options_and_what_is_unknown_are_taken():
    result = so.minimize(
        lambda x, a: (float((x - a) @ (x - a)), 2 * (x - a)),
        [0.0, 0.0],
        args=(4.0,),
        jac=True,
        method=lbfgs,
        bounds=[(None, None), (-np.inf, np.inf)],
        options={"maxcor": 3, "disp": True, "iprint": 1, "maxfev": 3, "novel": None},
    )
    assert np.allclose(result.x, 4)
    assert so.minimize(quadratic, [0.0], jac=True, method=lbfgs, bounds=so.Bounds()).success


def test_scipy_basinhopping_and_dual_annealing_use_it():
    def fun(x):
        return float(np.sum(x**2 - np.cos(3 * x))), 2 * x + 3 * np.sin(3 * x)

    hop = so.basinhopping(fun, [2.0, -2.0], niter=20, rng=0, minimizer_kwargs={"method": lbfgs, "jac": True})
    assert hop.fun == pytest.approx(-2, abs=1e-9)
    anneal = so.dual_annealing(
        lambda x: fun(x)[0],
        [(-3, 3)] * 2,
        maxiter=50,
        rng=0,
        minimizer_kwargs={"method": lbfgs},
    )
    assert anneal.fun == pytest.approx(-2, abs=1e-9)


# What is refused


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"Unknown method: 'bfgs' .*'lbfgs'", {"method": "bfgs"}),
        (TypeError, r"Unknown option: 'maxiters' .*'maxiter'", {"options": {"maxiters": 3}}),
        (TypeError, r"Unknown option: 'zzz' .*maxcor", {"options": {"zzz": 3}}),
        (ValueError, r"Invalid maxcor: 0 .*>= 1", {"options": {"maxcor": 0}}),
        (ValueError, r"Invalid maxfun: 0 .*>= 1", {"options": {"maxfun": 0}}),
        (ValueError, r"Invalid maxls: 2\.5 ", {"options": {"maxls": 2.5}}),
        (ValueError, r"Invalid maxiter: nan ", {"options": {"maxiter": np.nan}}),
        (TypeError, r"Invalid maxiter: True ", {"options": {"maxiter": True}}),
        (TypeError, r"Invalid maxcor: 'ten' ", {"options": {"maxcor": "ten"}}),
        (
            ValueError,
            r"Invalid linesearch: 'wolfe' .*'more-thuente', 'hager-zhang'",
            {"options": {"linesearch": "wolfe"}},
        ),
        (TypeError, r"Invalid linesearch: None .*'armijo'", {"options": {"linesearch": None}}),
        (ValueError, r"Invalid gtol: -1 .*gtol >= 0", {"options": {"gtol": -1}}),
        (ValueError, r"Invalid ftol: nan ", {"options": {"ftol": np.nan}}),
        (TypeError, r"Invalid gtol: None ", {"options": {"gtol": None}}),
        (ValueError, r"Invalid x0 of shape \(2, 2\)", {"x0": np.ones((2, 2))}),
        (TypeError, r"Invalid x0 of dtype complex128", {"x0": [1j]}),
        (TypeError, r"Invalid x0 of dtype <U1", {"x0": ["a"]}),
        (TypeError, r"Invalid fun: 3", {"fun": 3}),
        (ValueError, r"Invalid jac: 'forward'", {"jac": "forward"}),
        (TypeError, r"not a callable", {"callback": 3}),
        (NotImplementedError, r"bounds", {"bounds": [(0, None), (None, None)]}),
        (NotImplementedError, r"bounds", {"bounds": so.Bounds(0, np.inf)}),
        (NotImplementedError, r"bounds", {"bounds": np.array([[-np.inf, 1.0]] * 2)}),
        (ValueError, r"3 pairs of bounds, but x has shape \(2,\)", {"bounds": [(None, None)] * 3}),
        (NotImplementedError, r"L1", {"l1": 0.1}),
        (
            ValueError,
            r"gradient has shape \(3,\), but x has shape \(2,\)",
            {"fun": lambda x: (0.0, np.zeros(3))},
        ),
        (ValueError, r"gradient has shape \(2, 2\)", {"fun": lambda x: (0.0, np.zeros((2, 2)))}),
        (TypeError, r"gradient has dtype complex128", {"fun": lambda x: (0.0, x * 1j)}),
        (ValueError, r"value of fun has shape \(2,\)", {"fun": lambda x: (x, x)}),
        (TypeError, r"value of fun is None", {"fun": lambda x: (None, x)}),
        (TypeError, r"value of fun is 1j", {"fun": lambda x: (1j, x)}),
        (TypeError, r"must return \(f, gradient\), not 3\.0", {"fun": lambda x: 3.0}),
    ],
)
def test_bad_input_is_refused_in_words(error, match, call):
    call = {"fun": rosenbrock, "x0": [-1.2, 1.0], "jac": True, **call}
    with pytest.raises(error, match=match):
        minimize(**call)


def test_constraints_are_refused():
    with pytest.raises(ValueError, match="Invalid constraints"):
        lbfgs(rosenbrock, [1.0], jac=True, constraints=({"type": "eq", "fun": len},))


def test_refused_gradient_changes_nothing():
    m = LBFGSMinimizer([-1.2, 1.0])
    x = m.ask()
    for f, g in ((0.0, [1.0]), (None, [1.0, 1.0]), (1.0, ["a", "b"])):
        with pytest.raises((TypeError, ValueError)):
            m.tell(f, g)
    assert m.nfev == 0
    assert np.array_equal(m.ask(), x)


def test_limits_may_be_infinite_and_tolerances_zero():
    options = {"maxiter": np.inf, "maxfun": 1e6, "gtol": np.float32(1e-5), "maxcor": np.int64(4)}
    assert minimize(rosenbrock, [-1.2, 1.0], jac=True, options=options).success


def test_import_leaves_scipy_alone():
    code = "import sys, fastopt.minimize; sys.exit(any(m.startswith('scipy') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_forgotten_jac_is_named():
    with pytest.raises(TypeError, match=r"fun returned a tuple of 2: if that is \(f, gradient\), pass jac=True"):
        minimize(lambda x: (x @ x, 2 * x), np.ones(2))
