"""L-BFGS through `minimize`: SciPy's minima, every way to stop, all that an objective may do."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize as so
from objectives import (
    PROBLEMS,
    barrier,
    downhill,
    driver1,
    exponentials,
    logistic,
    quadratic,
    rosenbrock,
    sway,
    trail,
    uphill_gradient,
)

import fastopt as fo
from fastopt._lbfgs import REASONS
from fastopt.minimize import LBFGSMinimizer, minimize
from fastopt.minimize.outcome import ENDINGS

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


@pytest.mark.parametrize(
    ("linesearch", "f", "taken"),
    [
        ("more-thuente", -1e-3, True),
        ("more-thuente", -0.9e-3, False),
        ("hager-zhang", -0.1, True),
        ("hager-zhang", -0.09, False),
        ("armijo", -1e-3, True),
        ("armijo", -0.9e-3, False),
    ],
)
def test_search_asks_for_its_share_of_the_decrease_foretold(linesearch, f, taken):
    m = LBFGSMinimizer([0.0], linesearch=linesearch)
    m.tell(0.0, [-1.0])
    assert np.array_equal(m.ask(), [1.0])
    m.tell(f, [-0.95])
    assert m.nit == taken


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


def test_steps_decrease_f_enough_and_curve_upward_or_meet_the_strong_wolfe_conditions():
    fun, seen = trail(rosenbrock)
    points = [np.full(6, -1.0)]
    minimize(fun, points[0], jac=True, tol=1e-6, callback=points.append)
    known = {x.tobytes(): (f, g) for x, f, g in seen}
    assert len(points) > 20
    for x, x2 in pairwise(points):
        (f, g), (f2, g2) = known[x.tobytes()], known[x2.tobytes()]
        s, y = x2 - x, g2 - g
        assert f2 <= f + 1e-3 * (g @ s) * (1 - 1e-12)
        curves = s @ y >= 1e-3 * np.linalg.norm(s) * np.linalg.norm(y) * (1 - 1e-9)
        assert curves or abs(g2 @ s) <= 0.9 * abs(g @ s) * (1 + 1e-12)


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
    m, strict = LBFGSMinimizer([1.0]), LBFGSMinimizer([1.0], ftol=2.2e-9)
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


# How it ends


def regression(w):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 5))
    return logistic(w, X, np.sign(X @ np.ones(5) + rng.standard_normal(50)))


@pytest.mark.parametrize(
    ("reason", "status", "fun", "x0", "options"),
    [
        ("gradient", 0, quadratic, np.zeros(5), {}),
        ("decrease", 0, rosenbrock, [-1.2, 1.0], {"ftol": 0.5}),
        ("maxiter", 1, rosenbrock, [-1.2, 1.0], {"maxiter": 3}),
        ("maxfun", 1, rosenbrock, [-1.2, 1.0], {"maxfun": 3}),
        ("unbounded", 6, downhill, [0.0, 0.0], {"maxfun": 100}),
        ("unbounded", 6, lambda x: (-float(x @ x), -2 * x), [1.0, 2.0], {"maxfun": 100}),
        ("linesearch", 2, uphill_gradient, [1.0, 2.0], {}),
        ("precision", 3, regression, np.zeros(5), {"gtol": 0}),
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
    assert result.success == (status in (0, 3))
    f, g = fun(result.x)
    assert np.array_equal(result.fun, f, equal_nan=True)
    assert np.array_equal(result.jac, g, equal_nan=True)


def test_every_way_to_stop_has_its_sentence():

    assert tuple(ENDINGS) == REASONS
    sentences = [ending.message for ending in ENDINGS.values()]
    assert len(set(sentences)) == len(sentences)
    assert [reason for reason, ending in ENDINGS.items() if ending.success] == ["gradient", "decrease", "precision"]


def test_flat_function_is_converged():
    result = minimize(lambda x: (7.0, np.zeros(3)), [1.0, 2.0, 3.0], jac=True)
    assert (result.reason, result.nfev, result.nit, result.fun) == ("gradient", 1, 0, 7.0)


def test_no_gradient_is_too_small_to_be_followed():
    """gtol = 0 and the smallest numbers there are."""
    result = minimize(lambda x: (float(1e-200 * (x @ x)), 2e-200 * x), [1.0], jac=True, options={"gtol": 0})
    assert not result.success or result.fun < 1e-200


@each_search
@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e-100, 1e-130])
def test_small_values_are_no_convergence(scale, linesearch):
    """A step of up to 1e130 takes x to where it belongs; one of 1e10, as far as any other goes, would not move it."""
    for bounds in None, [(-9, 9)] * 3:
        result = minimize(
            lambda x: tuple(scale * v for v in quadratic(x, 10)),
            [5.0, 4.0, 3.0],
            jac=True,
            bounds=bounds,
            options={"gtol": 0, "linesearch": linesearch},
        )
        assert result.success
        assert abs(result.x - 1).max() <= 1e-14


@each_search
@pytest.mark.parametrize("maxls", [1, 2])
@pytest.mark.parametrize("f", [1.0, np.nan])
def test_search_out_of_its_evaluations_is_no_convergence(f, maxls, linesearch):
    """Where all trials are too long, though the slopes foretell what f does, or outside of the domain."""
    m = LBFGSMinimizer([0.5], maxls=maxls, linesearch=linesearch)
    m.tell(0.0, [1.0])
    while not m.done:
        t = 0.5 - m.ask()[0]
        m.tell(f, [-2 * f / t - 1])
    assert m.result().reason == "linesearch"


@each_search
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edge_of_the_domain_is_no_convergence(dtype, linesearch):
    """f falls up to its edge, where the gradient is 1."""
    result = minimize(
        lambda x: (float(x[0]) if x[0] >= 1 else np.nan, np.ones(1, dtype)),
        np.full(1, 5, dtype),
        jac=True,
        options={"linesearch": linesearch},
    )
    assert result.reason == "linesearch"
    assert result.x[0] - 1 <= 4 * np.finfo(dtype).eps


def test_decrease_is_off_by_default():
    """A step that lowers f by a millionth of what is left, far from where the gradient is small."""
    fun, gtol = (lambda x: (1e12 + rosenbrock(x)[0], rosenbrock(x)[1])), 1e-3
    assert minimize(fun, [-1.2, 1.0], jac=True, options={"ftol": 1e-6}).reason == "decrease"
    assert abs(minimize(fun, [-1.2, 1.0], jac=True, options={"gtol": gtol}).jac).max() <= gtol


def test_maxiter_is_exact():
    for maxiter in range(8):
        assert minimize(rosenbrock, [0.0, 2.0], jac=True, options={"maxiter": maxiter}).nit == (maxiter)


def test_kinks_end_in_a_failure_not_in_a_success():
    result = minimize(
        lambda x: (float(abs(x).sum()), np.where(x > 0, 1.0, -1.0)), [1.0, np.pi], jac=True, options={"ftol": 0}
    )
    assert not result.success
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


def test_threads_change_no_bit():
    """Sums are joined in the order of the chunks, whoever has formed them."""
    x0 = np.tile([-1.2, 1.0], 40_000)
    runs = []
    before = fo.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fo.set_num_threads(threads)
            runs.append(minimize(rosenbrock, x0, jac=True, options={"maxiter": 15}))
    finally:
        fo.set_num_threads(before)
    assert runs[0].nit == 15
    assert len({run.x.tobytes() for run in runs}) == 1


@pytest.mark.parametrize(
    "options", [{"diagonal": False}, {"conjugate": False}, {"history_dtype": "float32"}, {"maxcor": 2}]
)
@pytest.mark.parametrize("name", PROBLEMS)
def test_minimum_does_not_depend_on_the_way_there(name, options):
    fun, x0 = PROBLEMS[name]
    ours, whole = (minimize(fun, x0, jac=True, tol=1e-8, options=o) for o in (options, {}))
    assert ours.success and whole.success
    # As above: a gradient within 1e-8 and a least curvature above 0.1.
    assert abs(ours.fun - whole.fun) <= 1e-13 * max(1, abs(whole.fun))


@each_search
@pytest.mark.parametrize("init_step", [1e-300, 1e-20, 1e20, 1e300])
@pytest.mark.parametrize("x0", [[-1.2, 1.0], [0.0, 0.0]])
def test_first_trial_that_leads_nowhere_is_guessed_anew(x0, init_step, linesearch):
    for settings in {}, {"bounds": [(-2, 2)] * 2}, {"bounds": [(-2, None), (None, None)]}, {"l1": 1e-9}:
        options = {"init_step": init_step, "linesearch": linesearch}
        result = minimize(rosenbrock, x0, jac=True, options=options, **settings)
        assert result.reason == "gradient"
        assert abs(result.x - 1).max() < 1e-3


@pytest.mark.parametrize("limit", [2**62, 1e30, np.inf])
def test_limits_may_be_beyond_all_counts(limit):
    options = {"maxiter": limit, "maxfun": limit, "maxls": limit}
    assert minimize(rosenbrock, [-1.2, 1.0], jac=True, options=options).reason == "gradient"


def test_first_trial_is_where_it_is_asked_for():
    m = LBFGSMinimizer([3.0, -4.0], init_step=0.125)
    m.tell(*quadratic(m.ask(), 2.0))
    g = quadratic(np.array([3.0, -4.0]), 2.0)[1]
    assert np.array_equal(m.ask(), [3.0, -4.0] - 0.125 * g)
