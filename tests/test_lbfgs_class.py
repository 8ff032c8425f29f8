"""LBFGS, torch's class on the core of `minimize`: against live torch, over mini-batches, interrupted, resumed."""

import copy
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from problems import PROBLEMS

import fastopt as fo

SEARCHES = [None, "strong_wolfe"]


def bowl(n=30, condition=100.0, seed=0):
    """Half of (w - 1)^T A (w - 1)."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = vectors * np.geomspace(1 / condition, 1, n) @ vectors.T
    return lambda w: (float((w - 1) @ matrix @ (w - 1)) / 2, matrix @ (w - 1))


def regression(n=10, samples=100, seed=0):
    """Logistic regression with a ridge."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, n))
    y = np.sign(x @ rng.standard_normal(n) + rng.standard_normal(samples))

    def fun(w):
        z = -y * (x @ w)
        slope = -y / (1 + np.exp(-z)) / samples
        return float(np.logaddexp(0, z).mean() + 0.005 * w @ w), x.T @ slope + 0.01 * w

    return fun


def rosenbrock(w):
    valley, slope = w[1:] - w[:-1] ** 2, 1 - w[:-1]
    gradient = np.zeros_like(w)
    gradient[:-1] = -400 * w[:-1] * valley - 2 * slope
    gradient[1:] += 200 * valley
    return float((100 * valley**2 + slope**2).sum()), gradient


class Closure:
    """A function as a closure on `params`; keeps the points and values it was called at. Fails at call `fails`."""

    def __init__(self, fun, *params, fails=None):
        self.fun, self.params, self.fails = fun, params, fails
        self.points, self.values = [], []

    def __call__(self):
        if len(self.points) == self.fails:
            self.fails = None
            raise ZeroDivisionError
        self.points.append(np.concatenate([param.ravel() for param in self.params]))
        value, gradient = self.fun(self.points[-1].copy())
        self.values.append(value)
        return value, gradient.astype(self.params[0].dtype)


def descend(fun, w, steps=1, **settings):
    closure = Closure(fun, w)
    opt = fo.LBFGS(w, **settings)
    for _ in range(steps):
        opt.step(closure)
    return opt, closure


def pairs(opt):
    """The stored pairs (s, y), over all parameters."""
    entries = opt.state.values()
    s, y = (
        np.concatenate(
            [entry[name].reshape(len(entry["ro"]), math.prod(entry[name].shape[1:])) for entry in entries], 1
        )
        for name in ("old_stps", "old_dirs")
    )
    return list(zip(s, y, strict=True))


# Against torch.


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def peer(torch, fun, w, **settings):
    """torch's optimizer, its closure and the values that it saw."""
    tensor = torch.tensor(w, requires_grad=True)
    values = []

    def closure():
        value, gradient = fun(tensor.detach().numpy())
        values.append(value)
        tensor.grad = torch.tensor(gradient)
        return torch.tensor(value, dtype=torch.float64)

    return tensor, torch.optim.LBFGS([tensor], **settings), closure, values


FIXED = [
    ({}, 10),
    ({"lr": 0.1, "max_iter": 1}, 100),
    ({"lr": 0.1, "max_iter": 2}, 100),  # torch's max_eval for 2 and 3 lets it make 1 and 2 iterations
    ({"lr": 0.1, "max_iter": 3, "history_size": 4}, 100),
    ({"lr": 0.05, "max_iter": 4, "tolerance_change": 0}, 100),
    ({"lr": 0.05, "max_iter": 6, "max_eval": 4, "history_size": 3}, 100),
    ({"lr": 0.1, "max_iter": 100, "tolerance_change": 0}, 1),
    ({"lr": 0.1, "tolerance_grad": 1e-3}, 100),
    ({"lr": 0.1, "tolerance_change": 1e-4}, 100),
    ({"lr": 0.5, "max_iter": 1, "max_eval": 1}, 20),
    ({"lr": 2.1, "max_iter": 3}, 5),  # climbs
    ({"max_iter": 0}, 2),
]


# Of small condition: on others torch itself, half a unit added in the last place of gradients, leaves its own path.
CURVED = {
    "bowl": (bowl(30, 10.0), 30),
    "regression": (regression(10), 10),
    "steep": (lambda w: tuple(1e6 * part for part in bowl(20, 3.0)(w)), 20),  # small steps before small changes
}


@pytest.mark.peers
@pytest.mark.parametrize(("settings", "steps"), FIXED)
@pytest.mark.parametrize(("fun", "n"), CURVED.values(), ids=CURVED)
def test_fixed_steps_have_torchs_numbers(fun, n, settings, steps, torch):
    w = np.zeros(n)
    tensor, theirs, their_closure, their_values = peer(torch, fun, w, **settings)
    ours, closure = fo.LBFGS(w, **settings), Closure(fun, w)
    start = fun(w)[0]
    for _ in range(steps):
        before, calls = len(closure.values), len(their_values)
        loss, their_loss = ours.step(closure), theirs.step(their_closure)
        assert loss == closure.values[before]
        assert loss == pytest.approx(float(their_loss), rel=1e-12, abs=1e-15 * start)
        expected = tensor.detach().numpy()
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
        # One call more where torch leaves its last point without a gradient.
        calls = len(their_values) - calls
        more = len(closure.values) - before - calls
        assert more == 0 or (more == 1 and calls == ours.param_groups[0]["max_iter"])


@pytest.mark.peers
def test_the_call_more_than_torchs_is_one_a_step_that_ends_by_max_iter(torch):
    w = np.zeros(10)
    settings = {"lr": 0.01, "max_iter": 5, "tolerance_grad": 0, "tolerance_change": 0}
    _, theirs, their_closure, their_values = peer(torch, regression(), w, **settings)
    opt, closure = descend(regression(), w, 20, **settings)
    for _ in range(20):
        theirs.step(their_closure)
    assert (len(closure.values), len(their_values)) == (120, 100)
    assert opt.state[0]["n_iter"] == theirs.state_dict()["state"][0]["n_iter"] == 100
    assert opt.state[0]["func_evals"] == 120


@pytest.mark.peers
def test_fixed_steps_in_single_precision_are_torchs_to_some_ulp(torch):
    fun = regression()
    w = np.zeros(10, np.float32)
    tensor = torch.tensor(w, requires_grad=True)
    theirs = torch.optim.LBFGS([tensor], lr=0.1, max_iter=2)

    def closure():
        value, gradient = fun(tensor.detach().numpy())
        tensor.grad = torch.tensor(gradient.astype(np.float32))
        return torch.tensor(value)

    ours = fo.LBFGS(w, lr=0.1, max_iter=2)
    for _ in range(30):
        ours.step(Closure(fun, w))
        theirs.step(closure)
    # Each step is a tenth of the way, so that former errors shrink: some ten roundings of each of 30 steps.
    np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=0, atol=300 * 2.0**-24 * np.abs(w).max())


SEARCHED = {
    "bowl": (bowl(20, 1e3), np.zeros(20)),
    "wide bowl": (bowl(200, 1e4), np.zeros(200)),
    "rosenbrock 2": (rosenbrock, np.array([-1.2, 1.0])),
    "rosenbrock 10": (rosenbrock, np.tile([-1.2, 1.0], 5)),
    "regression 10": (regression(), np.zeros(10)),
    "regression 60": (regression(60, 300, 1), np.zeros(60)),
}


@pytest.mark.peers
def test_the_search_takes_fewer_calls_than_torchs_to_the_same_minima(torch):
    ratios = {}
    for name, (fun, start) in SEARCHED.items():
        settings = {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-15}
        tensor, theirs, their_closure, their_values = peer(torch, fun, start, **settings)
        w = start.copy()
        ours, closure = fo.LBFGS(w, **settings), Closure(fun, w)
        for _ in range(30):
            ours.step(closure)
            theirs.step(their_closure)
        np.testing.assert_allclose(w, tensor.detach().numpy(), atol=1e-3)
        goal = fun(w)[0] + 1e-6 * (fun(start)[0] - fun(w)[0])
        calls = [next(i for i, value in enumerate(seen, 1) if value <= goal) for seen in (closure.values, their_values)]
        ratios[name] = calls[0] / calls[1]
    assert max(ratios.values()) <= 1.1, ratios
    assert math.prod(ratios.values()) ** (1 / len(ratios)) < 0.85, ratios


@pytest.mark.peers
def test_a_group_is_torchs(torch):
    ours, theirs = fo.LBFGS(np.ones(2)), torch.optim.LBFGS([torch.ones(2)])
    assert ours.param_groups[0].keys() - theirs.param_groups[0].keys() == {"maximize"}
    for key in theirs.param_groups[0].keys() - {"params"}:
        assert ours.param_groups[0][key] == theirs.param_groups[0][key]
    with pytest.raises(ValueError, match="state of LBFGS cannot be carried over"):
        fo.from_torch_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="state of LBFGS cannot be carried over"):
        fo.to_torch_state_dict(ours.state_dict())


# The minimum.


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_it_reaches_the_goal_of_every_problem(problem):
    params = [array.copy() for array in problem.start]
    opt = fo.LBFGS(params, line_search_fn="strong_wolfe")
    first = opt.step(lambda: problem.value_and_gradient(params))
    for _ in range(4):
        opt.step(lambda: problem.value_and_gradient(params))
    assert first == problem.value_and_gradient(problem.start)[0]
    assert problem.value_and_gradient(params)[0] < problem.goal * first


def test_it_is_the_solver_of_minimize():
    w = np.tile([-1.2, 1.0], 10)
    result = fo.minimize(
        rosenbrock, w, jac=True, options={"maxcor": 100, "maxiter": 50, "gtol": 0, "ftol": 0, "maxfun": 1000}
    )
    settings = {"max_iter": 50, "max_eval": 1000, "tolerance_grad": 0, "tolerance_change": 0}
    opt, closure = descend(rosenbrock, w, line_search_fn="more-thuente", **settings)
    np.testing.assert_array_equal(w, result.x)
    assert len(closure.values) == result.nfev == opt.state[0]["func_evals"]
    assert opt.state[0]["n_iter"] == 50


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("search", SEARCHES)
def test_parameters_are_updated_in_place(search, dtype):
    base = np.zeros((4, 10), dtype)
    matrix, vector = base[1:3], base[3]
    opt = fo.LBFGS([matrix, vector], line_search_fn=search)
    closure = Closure(bowl(30), matrix, vector)
    for _ in range(10):
        opt.step(closure)
    assert opt.param_groups[0]["params"][0] is matrix and matrix.base is base
    assert (base[0] == 0).all()
    np.testing.assert_allclose(base[1:], 1, atol=1e-2 if dtype == np.float32 else 1e-3)
    assert opt.state[0]["old_stps"].dtype == dtype
    assert opt.state[0]["old_stps"].shape[1:] == (2, 10) and opt.state[1]["old_dirs"].shape[1:] == (10,)


def test_parameters_of_both_dtypes_move_together():
    narrow, wide = np.zeros(10, np.float32), np.zeros(20)
    opt = fo.LBFGS([narrow, wide], line_search_fn="strong_wolfe")
    fun = bowl(30)

    def closure():
        value, gradient = fun(np.concatenate([narrow, wide]))
        return value, [gradient[:10], gradient[10:]]

    for _ in range(10):
        opt.step(closure)
    np.testing.assert_allclose(np.concatenate([narrow, wide]), 1, atol=1e-3)
    # Steps are between the very points that the closure saw.
    hessian = np.array([fun(1 + row)[1] for row in np.eye(30)])
    for s, y in pairs(opt):
        np.testing.assert_allclose(y, hessian @ s, rtol=0, atol=1e-12)


FORMS = ["flat vector", "list", "mapping", "parameters", "FlatParams", "sparse", "other dtype", "strided"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("search", SEARCHES)
def test_gradients_in_all_forms_make_the_same_steps(search, form):
    fun = bowl(12)
    flat = fo.FlatParams({"W": (3, 3), "b": 3}, np.float64)
    w = flat.flat
    params = {
        "mapping": flat,
        "FlatParams": flat,
        "parameters": [fo.Parameter(flat["W"]), fo.Parameter(flat["b"])],
    }.get(form, list(flat.values()))

    def closure():
        value, g = fun(w.copy())
        split = [g[:9].reshape(3, 3), g[9:]]
        match form:
            case "flat vector":
                return value, g
            case "mapping":
                return value, dict(zip(flat, split, strict=True))
            case "parameters":
                params[0].grad, params[1].grad = split
                return value
            case "FlatParams":
                flat.grad.flat[:] = g
                return value
            case "sparse":
                return value, [fo.RowSparse([2, 0, 1], split[0][[2, 0, 1]], (3, 3)), scipy.sparse.csr_array([split[1]])]
            case "other dtype":
                return value, [split[0].astype(np.longdouble), split[1]]
            case "strided":
                return value, [np.asfortranarray(split[0]), np.repeat(split[1], 2)[::2]]
        return value, split

    opt = fo.LBFGS(params, line_search_fn=search, max_iter=5)
    expected = np.zeros(12)
    reference = fo.LBFGS(expected, line_search_fn=search, max_iter=5)
    for _ in range(3):
        assert opt.step(closure) == reference.step(Closure(fun, expected))
        np.testing.assert_array_equal(w, expected)


def test_a_gradient_of_none_is_zero():
    a, b = np.ones(3), np.ones(2)
    opt = fo.LBFGS([a, b], line_search_fn="strong_wolfe")
    opt.step(lambda: (b @ b, [None, 2 * b]))
    np.testing.assert_allclose(b, 0, atol=1e-7)
    assert (a == 1).all()
    before = b.copy()
    opt.step(lambda: (a @ a, [2 * a, None]))
    np.testing.assert_allclose(a, 0, atol=1e-7)
    np.testing.assert_array_equal(b, before)


def test_losses_in_all_forms():
    for loss in (float, np.float32, np.array, lambda x: np.array([[x]])):
        w = np.ones(2)
        opt = fo.LBFGS(w)
        first = opt.step(lambda w=w, loss=loss: (loss(w @ w), 2 * w))
        assert first == 2 and type(first) is type(loss(2.0))
        assert abs(w).max() < 1e-6


# Groups and hyperparameters.


@pytest.mark.parametrize("search", SEARCHES)
def test_groups_move_together(search):
    fun = bowl(12)
    w, expected = np.zeros(12), np.zeros(12)
    opt = fo.LBFGS([{"params": w[:5]}, {"params": [w[5:7], w[7:]]}], line_search_fn=search)
    opt.step(Closure(fun, w))
    descend(fun, expected, line_search_fn=search)
    np.testing.assert_array_equal(w, expected)


def test_groups_that_disagree_are_refused():
    a, b = np.ones(2), np.ones(3)
    for name, value in {"lr": 0.5, "max_iter": 3, "tolerance_grad": 0, "line_search_fn": "strong_wolfe"}.items():
        with pytest.raises(ValueError, match=f"must agree: {name} is"):
            fo.LBFGS([{"params": a}, {"params": b, name: value}])
    opt = fo.LBFGS([{"params": a}, {"params": b}])
    opt.param_groups[1]["lr"] = 0.5
    with pytest.raises(ValueError, match=r"must agree: lr is 1 and 0.5"):
        opt.step(lambda: (0.0, np.ones(5)))
    assert (a == 1).all() and not opt.state
    opt.param_groups[0]["lr"] = 0.5
    opt.step(lambda: (0.0, [np.ones(2), np.ones(3)]))


def test_a_group_that_is_added_begins_anew():
    fun = bowl(12)
    w = np.zeros(12)
    opt = fo.LBFGS(w[:8], max_iter=4)
    opt.step(lambda: (fun(w)[0], fun(w)[1][:8]))
    assert opt.state[0]["n_iter"] == 4
    opt.add_param_group({"params": w[8:]})
    assert not opt.state
    other = w.copy()
    opt.step(Closure(fun, w))
    fo.LBFGS(other, max_iter=4).step(Closure(fun, other))
    np.testing.assert_array_equal(w, other)
    with pytest.raises(ValueError, match="share memory"):
        opt.add_param_group({"params": w[:2]})
    assert opt.state[0]["n_iter"] == 4


def test_the_rate_is_read_at_each_step():
    fun = regression()
    w, other = np.zeros(10), np.zeros(10)
    opt = fo.LBFGS(w, lr=0.5, max_iter=1)
    sched = fo.lr_scheduler.StepLR(opt, 2, gamma=0.1)
    called = fo.LBFGS(other, lr=lambda t: 0.5 * 0.1 ** (t // 2), max_iter=1)
    for step in range(4):
        before = w.copy()
        opt.step(Closure(fun, w))
        called.step(Closure(fun, other))
        if step == 0:
            gradient = fun(before)[1]
            np.testing.assert_allclose(w - before, -0.5 * min(1, 1 / abs(gradient).sum()) * gradient, rtol=1e-14)
        sched.step()
        np.testing.assert_allclose(w, other, rtol=1e-14)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_rate_of_zero_changes_nothing(search):
    fun, w = bowl(30), np.zeros(30)
    opt = fo.LBFGS(w, max_iter=5, line_search_fn=search)
    opt.step(Closure(fun, w))
    opt.param_groups[0]["lr"] = 0
    before, kept = w.copy(), pairs(opt)
    closure = Closure(fun, w)
    opt.step(closure)
    np.testing.assert_array_equal(w, before)
    np.testing.assert_array_equal(pairs(opt), kept)
    assert len(closure.values) == 1


def test_the_rate_scales_the_first_trial_of_the_search():
    points = []
    for lr in (1.0, 0.25):
        w = np.zeros(10)
        points.append(descend(regression(), w, lr=lr, line_search_fn="strong_wolfe")[1].points)
    np.testing.assert_allclose(points[1][1], 0.25 * points[0][1], rtol=1e-15)


def test_a_smaller_history_keeps_the_newest_pairs():
    w = np.zeros(30)
    opt, closure = descend(bowl(), w, max_iter=10, lr=0.1)
    before = pairs(opt)
    assert len(before) == 10
    opt.param_groups[0]["history_size"] = 3
    opt.param_groups[0]["max_iter"] = 0
    opt.step(closure)
    for ours, theirs in zip(pairs(opt), before[-3:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    opt.param_groups[0].update(lr=1, line_search_fn="strong_wolfe", history_size=20, max_iter=20)
    for _ in range(5):
        opt.step(closure)
    np.testing.assert_allclose(w, 1, atol=1e-3)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("max_eval", [1, 2, 3, 7])
def test_the_budget_of_calls_is_kept(max_eval, search):
    w = np.array([-1.2, 1.0])
    opt = fo.LBFGS(w, lr=1e-3 if search is None else 1, max_iter=50, max_eval=max_eval, line_search_fn=search)
    for _ in range(3):
        closure = Closure(rosenbrock, w)
        opt.step(closure)
        assert len(closure.values) == max(2, max_eval)
        assert rosenbrock(w)[0] == min(closure.values)


@pytest.mark.parametrize(
    ("error", "words", "settings"),
    [
        (ValueError, "Invalid learning rate: -1", {"lr": -1}),
        (TypeError, "Invalid max_iter: 2.5", {"max_iter": 2.5}),
        (ValueError, "Invalid max_iter: -1", {"max_iter": -1}),
        (ValueError, "Invalid max_eval: 0", {"max_eval": 0}),
        (ValueError, "Invalid tolerance_grad: -1", {"tolerance_grad": -1}),
        (ValueError, "Invalid tolerance_change: nan", {"tolerance_change": math.nan}),
        (ValueError, "Invalid history_size: 0", {"history_size": 0}),
        (ValueError, "Invalid line_search_fn: 'wolfe'.*'strong_wolfe', 'more-thuente'", {"line_search_fn": "wolfe"}),
        (TypeError, "unexpected keyword argument 'weight_decay'", {"weight_decay": 0.1}),
    ],
)
def test_hyperparameters_out_of_range_are_refused(error, words, settings):
    with pytest.raises(error, match=words):
        fo.LBFGS(np.ones(2), **settings)


@pytest.mark.parametrize("option", [{"weight_decay": 0.1}, {"l1": 0.1}, {"clip_norm": 1.0}, {"maximize": True}])
def test_options_that_would_spoil_the_pairs_are_refused(option):
    with pytest.raises(ValueError, match=f"LBFGS has no {next(iter(option))}: what it minimizes"):
        fo.LBFGS([{"params": np.ones(2), **option}])
    opt = fo.LBFGS(np.ones(2))
    opt.param_groups[0].update(option)
    with pytest.raises(ValueError, match="LBFGS has no"):
        opt.step(lambda: (1.0, np.ones(2)))


# Closures that change, and parameters that were moved.


def batches(n=12, size=6, count=5, seed=0):
    """Noisy least squares: functions of mini-batches, and their Hessians."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(n)
    funs, hessians = [], []
    for _ in range(count):
        x = rng.standard_normal((2 * size, n))
        y = x @ truth + 0.1 * rng.standard_normal(2 * size)
        funs.append(lambda w, x=x, y=y: (float(((x @ w - y) ** 2).mean() / 2), x.T @ (x @ w - y) / len(y)))
        hessians.append(x.T @ x / (2 * size))
    return funs, hessians


def assert_each_pair_is_of_one(hessians, opt):
    for s, y in pairs(opt):
        errors = [np.linalg.norm(y - hessian @ s) / np.linalg.norm(y) for hessian in hessians]
        assert min(errors) < 1e-10


@pytest.mark.parametrize("max_iter", [1, 3, 10])
@pytest.mark.parametrize("search", SEARCHES)
def test_every_pair_is_of_one_batch(search, max_iter):
    funs, hessians = batches()
    w = np.zeros(12)
    opt = fo.LBFGS(w, lr=0.1 if search is None else 1, max_iter=max_iter, line_search_fn=search)
    for step in range(40):
        opt.step(Closure(funs[step % len(funs)], w))
        assert_each_pair_is_of_one(hessians, opt)
    assert len(pairs(opt)) >= 30


@pytest.mark.parametrize("search", SEARCHES)
def test_no_pair_is_learned_where_the_user_moved(search):
    (fun,), (hessian,) = batches(size=20, count=1)
    w = np.zeros(12)
    opt = fo.LBFGS(w, lr=0.1 if search is None else 1, max_iter=3, line_search_fn=search)
    closure = Closure(fun, w)
    rng = np.random.default_rng(1)
    for _ in range(10):
        opt.step(closure)
        kept = pairs(opt)
        w += rng.standard_normal(12)
        opt.param_groups[0]["max_iter"] = 0
        opt.step(closure)
        np.testing.assert_array_equal(closure.points[-1], w)
        np.testing.assert_array_equal(pairs(opt), kept)
        opt.param_groups[0]["max_iter"] = 3
    assert_each_pair_is_of_one([hessian], opt)


@pytest.mark.parametrize("search", SEARCHES)
def test_steps_on_batches_go_where_their_mean_is_least(search):
    funs, _ = batches(size=30, count=8)
    w = np.zeros(12)
    opt = fo.LBFGS(w, lr=0.2, max_iter=1 if search is None else 3, history_size=10, line_search_fn=search)
    rng = np.random.default_rng(2)
    start = np.mean([fun(w)[0] for fun in funs])
    for _ in range(200):
        opt.step(Closure(funs[rng.integers(len(funs))], w))
    assert np.mean([fun(w)[0] for fun in funs]) < 0.02 * start


def test_a_value_of_a_former_closure_is_not_compared_with():
    w = np.zeros(3)
    opt = fo.LBFGS(w, max_eval=2, line_search_fn="strong_wolfe")
    opt.step(lambda: (float(-w.sum() - 1000), -np.ones(3)))  # down a slope, and the budget ends in mid-search
    assert (w > 0).all()
    w[:] = 0
    opt.param_groups[0].update(max_iter=2, max_eval=20)
    closure = Closure(bowl(3), w)
    opt.step(closure)
    assert bowl(3)(w)[0] == min(closure.values) < closure.values[0]


def test_fixed_steps_go_on_however_low_and_level_the_loss():
    w = np.zeros(3)
    opt = fo.LBFGS(w, max_iter=60, tolerance_change=0)
    opt.step(lambda: (-1e200, np.ones(3)))
    assert opt.state[0]["n_iter"] == 60


# Where the loss is not finite.


def barrier(w):
    """Finite for w < 1 only, with the minimum at 0.98."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((-np.log(1 - w) - 50 * w).sum()), 1 / (1 - w) - 50


def test_the_search_comes_back_from_outside_of_the_domain():
    w = np.array([0.5, 0.0, -1.0])
    _, closure = descend(barrier, w, 5, line_search_fn="strong_wolfe")
    assert not np.isfinite(closure.values).all()
    np.testing.assert_allclose(w, 0.98, atol=1e-6)  # where f'' = 2500, f changes by 1e-9 over that


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_fixed_step_goes_back_to_the_last_finite_point(bad):
    def fun(w):
        value, gradient = float((w**2).sum()) / 2, w.copy()
        if abs(w[0] - 3) > 0.6:
            value, gradient = (math.inf, gradient) if bad == "loss" else (value, np.array([math.nan, 0.0]))
        return value, gradient

    w = np.array([3.0, 1.0])
    opt = fo.LBFGS(w, lr=0.1)
    for _ in range(4):
        closure = Closure(fun, w)
        opt.step(closure)
        assert np.isfinite(fun(w)[1]).all() and np.isfinite(fun(w)[0])
        np.testing.assert_array_equal(w, closure.points[-2])
    assert np.isfinite(pairs(opt)).all()
    opt.param_groups[0]["lr"] = 1e-3
    closure = Closure(lambda w: (float(w @ w) / 2, w), w)
    opt.step(closure)
    assert closure.values[-1] < closure.values[0]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("bad", [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, -math.inf)])
def test_a_start_that_is_not_finite_changes_nothing(bad, search):
    w = np.ones(3)
    opt = fo.LBFGS(w, line_search_fn=search)
    opt.step(lambda: (float(w @ w), 2 * w))
    before, kept = w.copy(), pairs(opt)
    calls = []

    def closure():
        calls.append(1)
        return bad[0], np.full(3, bad[1])

    loss = opt.step(closure)
    assert len(calls) == 1
    np.testing.assert_equal(loss, bad[0])
    np.testing.assert_array_equal(w, before)
    np.testing.assert_array_equal(pairs(opt), kept)
    w += 1
    opt.step(lambda: (float(w @ w), 2 * w))
    np.testing.assert_allclose(w, 0, atol=1e-6)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_gradient_that_overflows_spoils_no_later_step(search):
    w = np.ones(3)
    opt = fo.LBFGS(w, line_search_fn=search)
    opt.step(lambda: (1.0, np.full(3, 1e308)))
    assert (w == 1).all()
    opt.step(lambda: (float(25 * w @ w), 50 * w))
    np.testing.assert_allclose(w, 0, atol=1e-6)


# Exceptions.


@pytest.mark.parametrize("search", SEARCHES)
def test_an_exception_leaves_the_last_iterate(search):
    settings = {"lr": 1e-3} if search is None else {"line_search_fn": search}
    whole = np.array([-1.2, 1.0])
    _, path = descend(rosenbrock, whole, **settings)
    for fails in range(len(path.points)):
        w = np.array([-1.2, 1.0])
        opt, closure = fo.LBFGS(w, **settings), Closure(rosenbrock, w, fails=fails)
        with pytest.raises(ZeroDivisionError):
            opt.step(closure)
        np.testing.assert_array_equal(closure.points, path.points[:fails])
        best = np.argmin(path.values[:fails]) if fails else 0
        np.testing.assert_array_equal(w, path.points[best if search else max(0, fails - 1)])
        assert bool(opt.state) == (fails > 0)
        for s, y in pairs(opt) if fails else ():
            assert s @ y > 0
        opt.step(closure)
        assert closure.values[-1] < 24.2


@pytest.mark.parametrize(
    ("error", "words", "answer"),
    [
        (TypeError, "returns the loss, a number, not NoneType", None),
        (TypeError, "returns the loss, a number, not ndarray", (np.ones(2), np.ones(3))),
        (TypeError, "returns the loss, a number, not complex", (1j, np.ones(3))),
        (TypeError, "plain arrays carry no .grad", 1.0),
        (ValueError, r"a closure returns loss or \(loss, gradients\)", (1.0, np.ones(3), 2)),
        (ValueError, "2 gradients for 1 parameters", (1.0, [np.ones(3), np.ones(3)])),
        (ValueError, r"gradient 0 has shape \(2,\), its parameter \(3,\)", (1.0, [np.ones(2)])),
        (TypeError, "gradient 0 has dtype complex128", (1.0, [np.ones(3, complex)])),
        (TypeError, "gradient 0 is of type str", (1.0, ["abc"])),
    ],
)
def test_what_a_closure_returns_is_checked(error, words, answer):
    w = np.ones(3)
    opt = fo.LBFGS(w)
    with pytest.raises(error, match=words):
        opt.step(lambda: answer)
    assert (w == 1).all() and not opt.state
    opt.step(lambda: (float(w @ w), 2 * w))
    assert abs(w).max() < 1e-6


def test_a_step_needs_a_closure():
    w = np.ones(3)
    opt = fo.LBFGS(w)
    for given in ([np.ones(3)], np.ones(3), None):
        with pytest.raises(TypeError, match=r"LBFGS needs step\(closure\)"):
            opt.step(given)
    with pytest.raises(TypeError, match="not both"):
        opt.step([np.ones(3)], closure=lambda: 1.0)
    assert (w == 1).all()
    assert opt.step(closure=lambda: (float(w @ w), 2 * w)) == 3


def test_a_step_within_a_step_is_refused():
    w = np.ones(3)
    opt = fo.LBFGS(w)
    for inner in (
        lambda: opt.step(lambda: (1.0, w)),
        lambda: opt.add_param_group({"params": np.ones(1)}),
        lambda: opt.load_state_dict(opt.state_dict()),
    ):
        with pytest.raises(RuntimeError, match="this optimizer is"):
            opt.step(inner)
    opt.step(lambda: (float(w @ w), 2 * w))
    assert abs(w).max() < 1e-6


def test_hooks_see_the_closure():
    w = np.ones(3)
    opt = fo.LBFGS(w)
    seen = []
    opt.register_step_pre_hook(lambda opt, args, kwargs: seen.append(args[1]))
    opt.register_step_post_hook(lambda opt, args, kwargs: seen.append(w.copy()))
    closure = Closure(bowl(3), w)
    opt.step(closure)
    assert seen[0] is closure
    np.testing.assert_array_equal(seen[1], w)
    with pytest.raises(TypeError, match=r"LBFGS needs step\(closure\)"):
        opt.step([np.ones(3)])


# State.

WAYS = {
    "state_dict": None,
    "file": None,
    "deepcopy": copy.deepcopy,
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stop", [0, 1, 5])
@pytest.mark.parametrize("max_iter", [0, 1, 5])
@pytest.mark.parametrize("search", SEARCHES)
def test_resumed_equals_uninterrupted(search, max_iter, stop, way, dtype, tmp_path):
    settings = {"lr": 1e-3, "history_size": 7} if search is None else {"line_search_fn": search, "history_size": 7}
    fun = rosenbrock

    def make():
        base = np.tile([-1.2, 1.0], 10).astype(dtype)
        return base, fo.LBFGS([base[:8].reshape(4, 2), base[8:]], max_iter=max_iter, **settings)

    whole, opt = make()
    for _ in range(10):
        opt.step(Closure(fun, whole))
    first, before = make()
    for _ in range(stop):
        before.step(Closure(fun, first))
    if WAYS[way]:
        params, after = WAYS[way]((list(before._arrays()), before))
        assert all(ours is theirs for ours, theirs in zip(params, after._arrays(), strict=True))
    else:
        state = before.state_dict()
        if way == "file":
            fo.save(tmp_path / "state.npz", opt=before)
            state = fo.load(tmp_path / "state.npz")["opt"]
        second = first.copy()
        params = [second[:8].reshape(4, 2), second[8:]]
        after = fo.LBFGS(params, lr=0.5)
        after.load_state_dict(state)
    np.testing.assert_equal(after.state_dict(), before.state_dict())
    before.step(Closure(fun, first))  # what the other must not notice
    for _ in range(stop, 10):
        after.step(Closure(fun, *params))
    np.testing.assert_array_equal(np.concatenate([param.ravel() for param in params]), whole)
    np.testing.assert_equal(after.state_dict(), opt.state_dict())


def test_the_state_is_a_copy():
    w = np.zeros(30)
    opt, closure = descend(bowl(), w, max_iter=4, lr=0.1)
    state = opt.state_dict()
    kept = copy.deepcopy(state)
    opt.step(closure)
    np.testing.assert_equal(state, kept)
    assert set(state["state"][0]) == {"step", "n_iter", "func_evals", "H_diag", "ro", "old_stps", "old_dirs"}
    assert state["state"][0]["step"] == 1 and state["state"][0]["n_iter"] == 4
    s, y = pairs(opt)[-1]
    assert opt.state[0]["H_diag"] == pytest.approx(s @ y / (y @ y), rel=1e-12)
    np.testing.assert_allclose(opt.state[0]["ro"][-1], 1 / (s @ y), rtol=1e-12)


def test_states_are_matched_by_name_in_any_order_and_grouping():
    fun = bowl(9)
    p = fo.FlatParams({"a": (2, 3), "b": 3}, np.float64)
    opt = fo.LBFGS(p, line_search_fn="strong_wolfe", max_iter=6)
    opt.step(lambda: (fun(p.flat)[0], fun(p.flat)[1]))
    other = fo.LBFGS([{"params": {"b": np.zeros(3)}}, {"params": {"a": np.zeros((2, 3))}}])
    other.load_state_dict(opt.state_dict(), match="name")
    assert other.param_groups[1]["max_iter"] == 6
    np.testing.assert_equal(dict(other.state[0]), dict(opt.state[1]))
    np.testing.assert_equal(dict(other.state[1]), dict(opt.state[0]))
    stranger = fo.LBFGS({"a": np.zeros((2, 3)), "c": np.zeros(3)})
    stranger.load_state_dict(opt.state_dict(), match="name", strict=False)
    assert not stranger.state  # half a pair is none


def test_states_that_do_not_fit_are_refused():
    w = np.zeros(30)
    opt, _ = descend(bowl(), w, max_iter=4, lr=0.1)
    before = opt.state_dict()
    for change, words in [
        (lambda entry: entry.pop("ro"), "lacks 'ro'"),
        (lambda entry: entry.update(old_stps=np.ones((4, 7))), r"'old_stps' of parameter 0 has shape \(4, 7\)"),
        (lambda entry: entry.update(ro=np.ones(3)), r"'old_dirs' of parameter 0 has shape \(4, 30\): 3 times"),
        (lambda entry: entry.update(n_iter=-1), "Invalid n_iter: -1"),
        (lambda entry: entry.update(scaling=np.ones((3, 30))), "lacks 'doubt', 'lessons', 'mean_p', 'mean_q', 'scale'"),
    ]:
        state = opt.state_dict()
        change(state["state"][0])
        with pytest.raises(ValueError, match=words):
            opt.load_state_dict(state)
        np.testing.assert_equal(opt.state_dict(), before)
    two = fo.LBFGS([np.zeros(2), np.zeros(3)], max_iter=3)
    two.step(lambda: (1.0, [np.full(2, 0.1), np.ones(3)]))
    state = two.state_dict()
    state["state"][1]["n_iter"] += 1
    with pytest.raises(ValueError, match="'n_iter' of parameter 1 is"):
        two.load_state_dict(state)


@pytest.mark.parametrize("search", SEARCHES)
def test_same_bits_for_any_number_of_threads(search):
    ends = []
    before = fo.get_num_threads()
    for threads in (1, 3):
        fo.set_num_threads(threads)
        w = np.linspace(-1, 1, 300_000)
        opt = fo.LBFGS(w, lr=0.1, max_iter=4, line_search_fn=search)
        opt.step(lambda w=w: (float(np.cos(w).sum() + w @ w), 2 * w - np.sin(w)))
        ends.append(w)
    fo.set_num_threads(before)
    np.testing.assert_array_equal(*ends)


def test_an_empty_parameter_is_at_its_minimum():
    opt = fo.LBFGS([np.zeros(0)])
    assert opt.step(lambda: (1.0, [np.zeros(0)])) == 1.0


def test_losses_fall_over_calls_of_step():
    w = np.tile([-1.2, 1.0], 10)
    opt, losses = fo.LBFGS(w, line_search_fn="strong_wolfe"), []
    for _ in range(8):
        losses.append(opt.step(Closure(rosenbrock, w)))
    assert all(after < before for before, after in pairwise(losses[:5]))
    assert rosenbrock(w)[0] < 1e-9
