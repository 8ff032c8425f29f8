"""The doors to the solvers: ask and tell, callbacks and histories, SciPy's method, options; and what they refuse."""

import copy
import pickle
import subprocess
import sys
from functools import partial
from importlib import import_module

import numpy as np
import pytest
import scipy.optimize as so
from objectives import PROBLEMS, quadratic, rosenbrock, trail

from fastopt.minimize import LBFGSMinimizer, lbfgs, minimize

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
def test_duplicate_goes_on_as_the_run_itself(duplicate, dtype):
    x0 = np.full(6, -1, dtype)

    def fun(x):
        return rosenbrock(x)[0], rosenbrock(x)[1].astype(dtype)

    for cut in (0, 1, 2, 7, 25):
        m = LBFGSMinimizer(x0, maxcor=3)
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


# Callbacks and histories


METHODS = {"lbfgs": {}, "fista": {}, "adam": {"lr": 0.02, "gtol": 1e-2}}


@pytest.mark.parametrize("method", METHODS)
def test_callback_gets_each_iterate_in_the_style_it_is_written_for(method):
    points, results, states = [], [], []

    def new(intermediate_result):
        results.append(intermediate_result)

    def constrained(xk, state):
        states.append((xk, state))

    def optional(xk, verbose=False):
        assert verbose is False

    options = METHODS[method]
    run = partial(minimize, rosenbrock, [-1.2, 1.0], jac=True, method=method, options=options)
    result = run(callback=points.append)
    assert run(callback=new).nit == run(callback=constrained).nit == run(callback=optional).nit == result.nit
    assert len(points) == len(results) == len(states) == result.nit
    for i, (x, seen, (xk, state)) in enumerate(zip(points, results, states, strict=True)):
        assert np.array_equal(x, seen.x) and np.array_equal(x, xk) and np.array_equal(x, state.x)
        assert (seen.fun, seen.nit) == (rosenbrock(x)[0], i + 1)
        assert np.array_equal(seen.jac, rosenbrock(x)[1])
        assert i + 2 <= seen.nfev <= result.nfev
        assert seen.step > 0
        if method != "fista":  # whose mapping is rounded
            assert seen.grad_norm == abs(seen.jac).max()
        assert seen.keys() == state.keys() == {"x", "fun", "jac", "nit", "nfev", "grad_norm", "step"}
    assert results[-1].grad_norm <= options.get("gtol", 1e-5)
    assert np.array_equal(points[-1], result.x)


@pytest.mark.parametrize("method", METHODS)
def test_callback_cannot_spoil_the_run(method):
    def spoil(intermediate_result):
        intermediate_result.x.fill(0)
        intermediate_result.jac.fill(np.nan)

    run = partial(minimize, rosenbrock, [-1.2, 1.0], jac=True, method=method, options=METHODS[method])
    plain = run()
    assert np.array_equal(run(callback=lambda x: x.fill(0)).x, plain.x)
    assert np.array_equal(run(callback=spoil).x, plain.x)


@pytest.mark.parametrize(
    "run", [partial(minimize, method=method) for method in METHODS] + [partial(so.minimize, method=lbfgs)]
)
def test_callback_ends_the_run_by_stop_iteration_or_true(run):
    def stop(x):
        raise StopIteration

    result = run(rosenbrock, [-1.2, 1.0], jac=True, callback=stop)
    theirs = so.minimize(rosenbrock, [-1.2, 1.0], jac=True, method="L-BFGS-B", callback=stop)
    assert (result.status, result.success, result.nit, result.reason) == (99, False, 1, "stopped")
    assert result.message == theirs.message
    assert result.fun == rosenbrock(result.x)[0]
    again = run(rosenbrock, [-1.2, 1.0], jac=True, callback=lambda x: True)
    assert (again.status, again.success, again.nit) == (99, False, 1)
    assert again.message == "`callback` returned `True`."
    assert np.array_equal(again.x, result.x)
    assert run(rosenbrock, [-1.2, 1.0], jac=True, callback=lambda x: 1, options={"maxiter": 2}).nit == 2


@pytest.mark.parametrize("method", METHODS)
def test_history_has_each_iterate_from_the_start_on(method):
    seen = []
    run = partial(minimize, rosenbrock, [-1.2, 1.0], jac=True, method=method)
    result = run(
        callback=lambda intermediate_result: seen.append(intermediate_result),
        options={**METHODS[method], "history": True},
    )
    history = result.history
    assert history.keys() == {"fun", "grad_norm", "step", "nfev"}
    for name, column in history.items():
        assert column.shape == (result.nit + 1,)
        assert np.array_equal(column[1:], [point[name] for point in seen])
    assert (history["fun"][0], history["nfev"][0]) == (rosenbrock(np.array([-1.2, 1.0]))[0], 1)
    assert np.isnan(history["step"][0])
    assert history["nfev"].dtype == np.intp
    assert "history" not in run(options=METHODS[method])
    ended = run(options={"history": True, "maxfun": 1})
    assert all(column.shape == (1,) for column in ended.history.values())


def test_history_is_had_through_scipy_too():
    assert so.minimize(rosenbrock, [-1.2, 1.0], jac=True, method=lbfgs, options={"history": True}).history["fun"].size
    assert lbfgs(rosenbrock, [-1.2, 1.0], jac=True, history=True).history["fun"].size


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


# What is refused


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"Unknown method: 'bfgs' .*'lbfgs'.*'adam'", {"method": "bfgs"}),
        (ValueError, r"Unknown method: <class 'dict'>", {"method": dict}),
        (TypeError, r"Unknown option: 'maxiters' .*'maxiter'", {"options": {"maxiters": 3}}),
        (TypeError, r"Unknown option: 'zzz' .*maxcor", {"options": {"zzz": 3}}),
        (ValueError, r"Invalid maxcor: 0 .*>= 1", {"options": {"maxcor": 0}}),
        (ValueError, r"Invalid maxfun: 0 .*>= 1", {"options": {"maxfun": 0}}),
        (ValueError, r"Invalid maxls: 2\.5 ", {"options": {"maxls": 2.5}}),
        (ValueError, r"Invalid maxiter: nan ", {"options": {"maxiter": np.nan}}),
        (TypeError, r"Invalid maxiter: True ", {"options": {"maxiter": True}}),
        (TypeError, r"Invalid maxcor: 'ten' ", {"options": {"maxcor": "ten"}}),
        (ValueError, r"Invalid maxcor: 0\.5 ", {"options": {"maxcor": 0.5}}),
        (
            ValueError,
            r"Invalid linesearch: 'wolfe' .*'more-thuente', 'hager-zhang', 'armijo'",
            {"options": {"linesearch": "wolfe"}},
        ),
        (ValueError, r"Invalid init_step: 0 .*init_step > 0", {"options": {"init_step": 0}}),
        (ValueError, r"Invalid init_step: inf ", {"options": {"init_step": np.inf}}),
        (TypeError, r"Invalid init_step: 'auto' ", {"options": {"init_step": "auto"}}),
        (TypeError, r"True or False for diagonal, not 1", {"options": {"diagonal": 1}}),
        (TypeError, r"True or False for conjugate, not 'no'", {"options": {"conjugate": "no"}}),
        (TypeError, r"Invalid history_dtype: 'float16' ", {"options": {"history_dtype": "float16"}}),
        (TypeError, r"Invalid history_dtype: 'single precision' ", {"options": {"history_dtype": "single precision"}}),
        (TypeError, r"Invalid history: 1 ", {"options": {"history": 1}}),
        (ValueError, r"Invalid gtol: -1 .*gtol >= 0", {"options": {"gtol": -1}}),
        (ValueError, r"Invalid ftol: nan ", {"options": {"ftol": np.nan}}),
        (TypeError, r"Invalid gtol: None ", {"options": {"gtol": None}}),
        (ValueError, r"Invalid x0 of shape \(2, 2\)", {"x0": np.ones((2, 2))}),
        (TypeError, r"Invalid x0 of dtype complex128", {"x0": [1j]}),
        (TypeError, r"Invalid x0 of dtype <U1", {"x0": ["a"]}),
        (TypeError, r"Invalid fun: 3", {"fun": 3}),
        (ValueError, r"Invalid jac: 'forward'", {"jac": "forward"}),
        (TypeError, r"not a callable", {"callback": 3}),
        (ValueError, r"3 pairs of bounds, but x has shape \(2,\)", {"bounds": [(None, None)] * 3}),
        (ValueError, r"Invalid l1: -0\.1 .*l1 >= 0", {"l1": [0.1, -0.1]}),
        (ValueError, r"Invalid l1: nan ", {"l1": np.nan}),
        (ValueError, r"Invalid l1: inf ", {"l1": [0, np.inf]}),
        (ValueError, r"Invalid l1: 1e\+39 ", {"l1": 1e39, "x0": np.ones(2, np.float32)}),
        (ValueError, r"l1 has shape \(3,\), but x has shape \(2,\)", {"l1": np.ones(3)}),
        (ValueError, r"l1 has shape \(2, 1\), ", {"l1": np.ones((2, 1))}),
        (TypeError, r"Invalid l1: 'lasso' ", {"l1": "lasso"}),
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


@pytest.mark.parametrize(
    ("n", "pairs"), [(0, 10), (1, 10), (4, 12), (17, 50), (20_000, 50), (50_000, 20), (100_000, 10), (10**7, 10)]
)
def test_memory_fits_the_size(n, pairs):
    assert import_module("fastopt.minimize.lbfgs")._memory("auto", n) == pairs


@pytest.mark.parametrize(
    "options",
    [{"maxcor": "auto"}, {"linesearch": "hager-zhang"}, {"linesearch": "armijo"}, {"init_step": 0.01},
     {"diagonal": False, "conjugate": False}, {"history_dtype": "float32"}, {"history_dtype": np.float64}],
)  # fmt: skip
def test_every_option_leads_to_the_minimum(options):
    for run in (minimize, partial(so.minimize, method=lbfgs)):
        assert np.allclose(run(rosenbrock, np.zeros(5), jac=True, tol=1e-7, options=options).x, 1, rtol=0, atol=1e-5)


def test_tol_is_the_gradient_s_but_for_options_that_say_more():
    assert abs(minimize(rosenbrock, [-1.2, 1.0], jac=True, tol=1e-9).jac).max() <= 1e-9
    loose = minimize(rosenbrock, [-1.2, 1.0], jac=True, tol=1e-9, options={"gtol": 1.0})
    assert 1e-9 < abs(loose.jac).max() <= 1
    assert minimize(rosenbrock, [-1.2, 1.0], jac=True, tol=0, options={"ftol": 0.5}).reason == "decrease"


def test_import_leaves_scipy_alone():
    code = "import sys, fastopt.minimize; sys.exit(any(m.startswith('scipy') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_forgotten_jac_is_named():
    with pytest.raises(TypeError, match=r"fun returned a tuple of 2: if that is \(f, gradient\), pass jac=True"):
        minimize(lambda x: (x @ x, 2 * x), np.ones(2))


def test_step_is_the_length_of_the_search_in_units_of_its_direction():
    m = LBFGSMinimizer(np.full(6, -1.0), gtol=1e-6)
    former = direction = None
    steps = 0
    while not m.done:
        nit = m.nit
        x = m.ask()
        m.tell(*rosenbrock(x))
        if m.nit > nit and direction is not None and steps > 1:
            here = m._core.here()[0]
            assert np.allclose(here - former, m._core.step * direction, rtol=1e-12, atol=1e-14)
        if m.nit > nit:
            steps += 1
            former, _, g = m._core.here()
            direction = -(m.result().hess_inv @ g)
    assert steps > 20
