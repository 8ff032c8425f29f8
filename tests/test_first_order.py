"""The optimizers of `fastopt.optim` as methods of `minimize`."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
from objectives import downhill, quadratic, rosenbrock, trail

import fastopt as fo
from fastopt.minimize import minimize
from fastopt.minimize.first_order import FIRST_ORDER_ENDINGS, OPTIMIZERS, FirstOrder, pseudo_gradient
from fastopt.minimize.outcome import ENDINGS

# Rates that suit a well conditioned quadratic from 0 to 1; where steps have a size of their own, they shrink.
SHRINKING = {name: {"lr": lambda t: 0.1 * 0.97**t} for name in ("lion", "lamb", "signsgd", "signum")}
RATES = {
    "adadelta": {"lr": 10.0}, "adafactor": {"lr": lambda t: 0.3 * 0.97**t}, "adagrad": {"lr": 0.5}, "adan": {"lr": 0.1},
    "asgd": {"lr": 0.5}, "ftrl": {"lr": 1.0}, "lars": {"lr": 1.0}, "prodigy": {}, "rprop": {},
    "sgd": {"lr": 0.5}, "sgdschedulefree": {"lr": 0.9}, **SHRINKING,
}  # fmt: skip


def bowl(x):
    return float((x - 1) @ (x - 1)) / 2, x - 1


def settings(name):
    chosen = {"gtol": 2e-2, **RATES.get(name, {"lr": 0.05})}
    return chosen | ({"weight_decay": 0} if name in ("adamw", "lamb", "muon", "nadamw") else {})


def stepped(name, x0, fun, steps, **options):
    """The points of the optimizer itself, without minimize."""
    x = np.array(x0, float)
    opt, points = OPTIMIZERS[name](x, **options), [x.copy()]
    for _ in range(steps):
        opt.step(fun(x)[1])
        points.append(x.copy())
    return points


def test_methods_are_the_optimizers_that_take_a_dense_gradient():
    named = {name.lower(): getattr(fo.optim, name) for name in fo.optim.__all__}
    assert {"adam", "sgd", "adamw", "rmsprop", "prodigy"} <= OPTIMIZERS.keys() <= named.keys()
    assert named.keys() - OPTIMIZERS.keys() <= {"optimizer", "sparseadam", "lbfgs"}
    assert all(OPTIMIZERS[name] is named[name] for name in OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_minimizes(name):
    fit = minimize(bowl, np.zeros(3), jac=True, method=name, options=settings(name))
    assert fit.success and fit.reason == "gradient"
    assert abs(fit.jac).max() <= 2e-2
    np.testing.assert_allclose(fit.x, 1, rtol=0, atol=2e-2)
    assert fit.nit < 2000
    again = minimize(bowl, np.zeros(3), jac=True, method=OPTIMIZERS[name], options=settings(name))
    assert np.array_equal(again.x, fit.x)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "adamw", "lion", "muon"])
def test_steps_are_those_of_the_optimizer(name):
    fun, seen = trail(rosenbrock)
    options = {"lr": 1e-3} | ({"betas": (0.8, 0.95)} if name == "adam" else {})
    fit = minimize(fun, [-1.2, 1.0], jac=True, method=name, options={"maxiter": 25, **options})
    points = stepped(name, [-1.2, 1.0], rosenbrock, 25, **options)
    assert np.array_equal([x for x, _, _ in seen], points)
    assert (fit.nit, fit.nfev, fit.reason) == (25, 26, "maxiter")
    lowest = min(seen, key=lambda point: point[1])
    assert (fit.fun, fit.x.tolist(), fit.jac.tolist()) == (lowest[1], lowest[0].tolist(), lowest[2].tolist())


@pytest.mark.parametrize(
    ("reason", "fun", "x0", "options"),
    [
        ("gradient", quadratic, np.zeros(1), {}),
        ("gradient", lambda x: (7.0, np.zeros(3)), np.zeros(3), {}),
        ("decrease", bowl, np.zeros(3), {"ftol": 0.1}),
        ("maxiter", bowl, np.zeros(3), {"maxiter": 0}),
        ("maxiter", downhill, np.zeros(3), {"maxiter": 7}),
        ("maxfun", bowl, np.zeros(3), {"maxfun": 1}),
        ("maxfun", downhill, np.zeros(3), {"maxfun": 7}),
        ("nonfinite", lambda x: (np.nan, x), np.zeros(2), {}),
        ("nonfinite", lambda x: (1.0, x + np.inf), np.zeros(2), {}),
        ("nonfinite", lambda x: (1.0, x + np.inf), np.zeros(2), {"skip_nonfinite": True}),
        ("diverged", lambda x: quadratic(x, 1e9), np.zeros(3), {"lr": 1.0}),
        ("diverged", lambda x: (1.0, np.where(x > 0.2, np.nan, x - 1)), np.zeros(2), {}),
    ],
)
def test_every_way_to_stop_has_its_status(reason, fun, x0, options):
    with np.errstate(over="ignore", invalid="ignore"):
        fit = minimize(fun, x0, jac=True, method="sgd", options={"lr": 0.1, "gtol": 1e-3, **options})
    assert fit.reason == reason
    assert (fit.status, fit.success, fit.message) == FIRST_ORDER_ENDINGS[reason]
    assert fit.success == (reason in ("gradient", "decrease"))
    f, g = fun(fit.x)
    assert np.array_equal(fit.fun, f, equal_nan=True) and np.array_equal(fit.jac, g, equal_nan=True)
    assert np.isfinite(fit.fun) or reason == "nonfinite"
    assert fit.nfev == fit.njev == fit.nit + 1
    if reason in options:
        assert {"maxiter": fit.nit, "maxfun": fit.nfev}[reason] == options[reason]


def test_sentences_and_codes_are_distinct():
    assert ENDINGS.keys() < FIRST_ORDER_ENDINGS.keys()
    ends = [end for end in FIRST_ORDER_ENDINGS.values() if end.status > 1]
    assert len({end.status for end in ends}) == len({end.message for end in ends}) == len(ends)


def test_skip_nonfinite_goes_on_where_the_next_call_may_do_better():
    calls = 0

    def flaky(x):
        nonlocal calls
        calls += 1
        return (np.nan, x * np.nan) if calls % 3 == 0 else bowl(x)

    fit = minimize(flaky, np.zeros(2), jac=True, method="sgd", options={"lr": 0.5, "skip_nonfinite": True})
    assert fit.success and abs(fit.jac).max() <= 1e-5
    calls = 0
    assert minimize(flaky, np.zeros(2), jac=True, method="sgd", options={"lr": 0.5}).reason == "diverged"


@pytest.mark.parametrize(
    "options", [{"ema": 0.5}, {"swa_start": 3}, {"lookahead": (4, 0.5)}, {"method": "sgdschedulefree", "lr": 0.5}]
)
@pytest.mark.parametrize("limit", ["maxiter", "maxfun"])
def test_average_is_the_last_point_evaluated(options, limit):
    """Around 0 in turns, where the average is nearer."""
    fun, seen = trail(lambda x: (float(x @ x) / 2, x.copy()))
    options = {"lr": 1.9, "gtol": 0, limit: 11, **options}
    name = options.pop("method", "sgd")
    fit = minimize(fun, [1.0, -2.0], jac=True, method=name, options=options)
    x, settings = np.array([1.0, -2.0]), {k: v for k, v in options.items() if k not in ("gtol", limit)}
    opt = OPTIMIZERS[name](x, **settings)
    for _ in range(fit.nit):
        opt.step(x.copy())
    assert fit.reason == limit
    assert fit.nfev == len(seen) == (13 if limit == "maxiter" else 11)
    assert fit.nit == fit.nfev - 2
    np.testing.assert_array_equal(seen[-1][0], opt.eval_params()[0])
    assert fit.fun == min(f for _, f, _ in seen)


@pytest.mark.parametrize("weights", [0.3, np.array([0.3, 0.0, 5.0, 0.3, 0.3])])
@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd", "rprop", "adan", "adagrad"])
def test_l1_has_its_minimum_whatever_the_rule_makes_of_the_gradient(name, weights):
    """Of each element alone: c shrunk by its weight, then projected."""
    c = np.array([1.0, -2.0, 2.0, 0.1, -0.2])
    low, high = np.full(5, -1.5), np.full(5, np.inf)

    def fun(x):
        return float((x - c) @ (x - c)) / 2, x - c

    lr = {"lr": 0.5 if name in ("sgd", "adagrad") else lambda t: 0.05 * 0.99**t}
    fit = minimize(
        fun, np.full(5, 0.5), jac=True, method=name, l1=weights, bounds=np.column_stack([low, high]),
        options={"gtol": 1e-3, **(lr if name != "rprop" else {})},
    )  # fmt: skip
    exact = np.clip(np.sign(c) * np.maximum(abs(c) - weights, 0), low, high)
    assert fit.success
    np.testing.assert_allclose(fit.x, exact, rtol=0, atol=1.1e-3)
    assert np.array_equal(fit.x == 0, exact == 0)
    assert fit.fun == pytest.approx(fun(fit.x)[0] + (weights * abs(fit.x)).sum(), rel=1e-14)
    assert np.array_equal(fit.jac, fun(fit.x)[1])


def test_pseudo_gradient_is_the_subgradient_of_least_size():
    x = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    g = np.array([0.5, 0.5, 3.0, -3.0, 1.0, 0.5])
    assert pseudo_gradient(x, g, 1.0).tolist() == [1.5, -0.5, 2.0, -2.0, 0.0, 0.0]
    assert pseudo_gradient(x.astype("f"), g.astype("f"), 1.0).dtype == np.float32


def test_gradient_test_is_on_what_the_bounds_let_through():
    seen = []
    fit = minimize(
        bowl, np.zeros(2), jac=True, method="sgd", bounds=[(None, 0.5), (0.75, 2)],
        options={"lr": 0.5, "history": True}, callback=lambda intermediate_result: seen.append(intermediate_result),
    )  # fmt: skip
    assert fit.success and fit.x[0] == 0.5 and fit.x[1] == pytest.approx(1, abs=1e-5)
    assert fit.jac[0] == -0.5 and fit.history["grad_norm"][-1] <= 1e-5
    assert fit.history["grad_norm"][0] == 0.5  # as far as the first variable may go


def test_smooth_penalties_are_added():
    ridge = minimize(bowl, np.zeros(3), jac=True, method="adam", penalty=fo.L2(1.0), options={"lr": 0.05, "gtol": 1e-3})
    np.testing.assert_allclose(ridge.x, 0.5, rtol=0, atol=1e-3)
    assert abs(ridge.jac).max() <= 1e-3


def test_rate_may_be_a_schedule():
    rates = []
    fit = minimize(
        bowl, np.zeros(2), jac=True, method="sgd", options={"lr": lambda t: 0.5 / (t + 1), "maxiter": 5},
        callback=lambda intermediate_result: rates.append(intermediate_result.step),
    )  # fmt: skip
    assert rates == [0.5 / (t + 1) for t in range(5)]
    x = np.prod([1 - rate for rate in rates])
    np.testing.assert_allclose(fit.x, 1 - x, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 17, 1000])
def test_every_size_and_dtype_is_solved_and_x0_left_alone(n, dtype):
    x0 = np.zeros(n, dtype)
    fit = minimize(
        lambda x: (float((x - 1) @ (x - 1)) / 2, x - 1), x0, jac=True, method="adam",
        bounds=[(None, 0.7)] * n, l1=0.1, options={"lr": 0.05},
    )  # fmt: skip
    assert fit.success
    assert fit.x.dtype == fit.jac.dtype == dtype and fit.x.shape == (n,)
    assert (fit.x <= 0.7).all() and np.allclose(fit.x, 0.7, rtol=1e-6)
    assert not x0.any()


@pytest.mark.parametrize("cut", [0, 1, 5, 30])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda solver: pickle.loads(pickle.dumps(solver))])
def test_duplicate_goes_on_as_the_run_itself(duplicate, cut):
    solver = FirstOrder(
        np.full(3, -1.0), fo.Adam, {"lr": 0.05, "ema": 0.9}, fo.L1(0.1), (np.full(3, -1.0), np.full(3, 0.5)),
        gtol=1e-3, ftol=0.0, maxiter=60, maxfun=70,
    )  # fmt: skip
    for _ in range(cut):
        solver.tell(*rosenbrock(solver.ask()))
    twin = duplicate(solver)
    for run in (solver, twin):
        while not run.done:
            run.tell(*rosenbrock(run.ask()))
    assert np.array_equal(solver.best()[0], twin.best()[0])
    assert (solver.nfev, solver.reason) == (twin.nfev, twin.reason)


def test_asking_changes_nothing_and_hands_out_copies():
    solver = FirstOrder(np.ones(2), fo.SGD, {"lr": 0.5}, gtol=0.0, ftol=0.0, maxiter=9, maxfun=9)
    solver.ask()[:] = 9
    assert solver.ask().tolist() == [1, 1]
    solver.tell(*bowl(np.zeros(2)))
    for point in (solver.here(), solver.best()):
        point[0][:] = point[2][:] = 9
    assert solver.here()[0].tolist() == solver.best()[0].tolist() == [1, 1]
    assert solver.ask().tolist() == [1.5, 1.5]


def test_differences_stand_in_for_the_gradient():
    fit = minimize(lambda x: bowl(x)[0], np.zeros(2), method="adam", options={"lr": 0.05, "gtol": 1e-4, "eps": 1e-10})
    assert fit.success and fit.nfev == 3 * fit.njev
    fit = minimize(
        lambda x: bowl(x)[0], np.zeros(2), method="sgd", options={"maxfun": 10, "finite_diff_rel_step": 1e-6}
    )
    assert (fit.reason, fit.nfev) == ("maxfun", 9)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"Unknown method: 'sparseadam'", {"method": "sparseadam"}),
        (ValueError, r"Unknown method: <class 'fastopt.optim.optimizer.Optimizer'>", {"method": fo.Optimizer}),
        (ValueError, r"Unknown method: <class .*SparseAdam'>", {"method": fo.SparseAdam}),
        (TypeError, r"Unknown option: 'beta' \(did you mean 'betas'", {"options": {"beta": 0.9}}),
        (TypeError, r"Unknown option: 'maxcor'", {"options": {"maxcor": 10}}),
        (TypeError, r"Unknown option: 'maximize'", {"options": {"maximize": True}}),
        (TypeError, r"Unknown option: 'bounds'", {"options": {"bounds": (0, 1)}}),
        (TypeError, r"Unknown option: 'l1'", {"options": {"l1": 0.1}}),
        (TypeError, r"Unknown option: 'eps'", {"method": "sgd", "options": {"eps": 0.1}}),
        (ValueError, r"Invalid learning rate: -1 \(Adam needs lr >= 0\)", {"options": {"lr": -1}}),
        (ValueError, r"Invalid maxiter: -1", {"options": {"maxiter": -1}}),
        (ValueError, r"Adam cannot handle L1, which is not smooth: use method='fista'", {"penalty": fo.L1()}),
        (ValueError, r"alpha has shape \(3,\).*x of shape \(2,\)", {"l1": np.ones(3)}),
        (ValueError, r"Invalid alpha value: -1", {"l1": -1}),
        (ValueError, r"gradient has shape \(3,\)", {"fun": lambda x: (0.0, np.ones(3))}),
        (ValueError, r"3 pairs of bounds", {"bounds": [(0, 1)] * 3}),
    ],
)
def test_bad_calls_are_refused_in_words(error, match, call):
    call = {"fun": rosenbrock, "x0": [-1.2, 1.0], "jac": True, "method": "adam", **call}
    with pytest.raises(error, match=match):
        minimize(**call)


def test_options_of_others_are_never_touched():
    options = {"lr": 0.5, "history": False, "disp": True}
    minimize(bowl, np.zeros(2), jac=True, method="sgd", options=options)
    assert options == {"lr": 0.5, "history": False, "disp": True}
    run = partial(minimize, bowl, np.zeros(2), jac=True, method="SGD".lower())
    assert run(tol=0.5, options={"lr": 0.5}).nfev < run(tol=1e-3, options={"lr": 0.5}).nfev
