"""Every optimizer of fastopt.optim against its oracle and against torch; the three forms of step; groups; state."""

import inspect
import itertools
import math
import os
import subprocess
import sys

import numpy as np
import optim_oracles
import pytest

import fastopt as fo

# Not LBFGS, whose step is a closure's: test_lbfgs_class.py.
OPTIMIZERS = [name for name in fo.optim.__all__ if getattr(fo, name)._dense and name not in {"Optimizer", "LBFGS"}]
SIZES = (0, 1, 7, 8, 33, 1000, 5000)
STEPS = 100

# Options of each class, tested in combination; a class without a row runs on its defaults. Betas
# near 0 would make Adam a sign function, where rounding decides.
OPTIONS = {
    "SGD": {
        "momentum": (0, 0.9),
        "dampening": (0, 0.3),
        "nesterov": (False, True),
        "weight_decay": (0, 0.1),
        "maximize": (False, True),
    },
    "Adam": {
        "betas": ((0.9, 0.999), (0.5, 0.9)),
        "eps": (1e-8, 1e-2),
        "weight_decay": (0, 0.1),
        "amsgrad": (False, True),
        "maximize": (False, True),
        "decoupled_weight_decay": (False, True),
    },
    "AdamW": {"weight_decay": (0, 0.1), "amsgrad": (False, True), "maximize": (False, True)},
    "SignSGD": {"weight_decay": (0, 0.1), "decay_mode": ("l2", "decoupled"), "maximize": (False, True)},
    "Signum": {
        "momentum": (0, 0.9),
        "weight_decay": (0, 0.1),
        "decay_mode": ("l2", "decoupled"),
        "maximize": (False, True),
    },
    "Lion": {
        "betas": ((0.9, 0.99), (0.3, 0.6)),
        "weight_decay": (0, 0.1),
        "decay_mode": ("l2", "decoupled"),
        "maximize": (False, True),
    },
    "AdaBelief": {
        "eps": (1e-16, 1e-3),
        "weight_decay": (0, 0.1),
        "decay_mode": ("l2", "decoupled"),
        "eps_mode": ("torch", "hat", "root"),
    },
    "Yogi": {
        "weight_decay": (0, 0.1),
        "initial_accumulator": (1e-6, 0.1),
        "decay_mode": ("l2", "decoupled"),
        "eps_mode": ("torch", "hat", "root"),
    },
    "Adan": {
        "weight_decay": (0, 0.1),
        "decay_mode": (None, "l2", "decoupled"),
        "eps_mode": ("torch", "hat", "root"),
    },
    "FTRL": {"beta": (1.0, 0.5), "l2": (0, 0.1), "weight_decay": (0, 0.1), "l1": (0, 0.5)},
    "SGDScheduleFree": {
        "momentum": (0.9, 0.5),
        "weight_decay": (0, 0.1),
        "warmup_steps": (0, 20),
        "weight_lr_power": (2.0, 0.0),
    },
    "AdamWScheduleFree": {
        "weight_decay": (0, 0.1),
        "r": (0.0, 1.0),
        "decay_mode": (None, "l2"),
        "eps_mode": ("torch", "hat", "root"),
    },
    "ASGD": {"lambd": (1e-4, 0.1), "t0": (1e6, 10), "weight_decay": (0, 0.1), "maximize": (False, True)},
    "Rprop": {"etas": ((0.5, 1.2), (0.7, 1.1)), "step_sizes": ((1e-6, 50), (0.005, 0.02)), "maximize": (False, True)},
    "Adagrad": {
        "lr_decay": (0, 0.1),
        "weight_decay": (0, 0.1),
        "initial_accumulator_value": (0, 0.5),
        "maximize": (False, True),
    },
    "Adadelta": {"rho": (0.9, 0.5), "eps": (1e-6, 1e-2), "weight_decay": (0, 0.1), "maximize": (False, True)},
    "RMSprop": {
        "eps": (1e-8, 1e-2),
        "weight_decay": (0, 0.1),
        "momentum": (0, 0.9),
        "centered": (False, True),
        "maximize": (False, True),
    },
    "Adamax": {"betas": ((0.9, 0.999), (0.5, 0.9)), "weight_decay": (0, 0.1), "maximize": (False, True)},
    "RAdam": {
        "betas": ((0.9, 0.999), (0.5, 0.9)),
        "eps": (1e-8, 1e-2),
        "weight_decay": (0, 0.1),
        "decoupled_weight_decay": (False, True),
        "maximize": (False, True),
    },
    "NAdam": {
        "betas": ((0.9, 0.999), (0.5, 0.9)),
        "weight_decay": (0, 0.1),
        "momentum_decay": (4e-3, 0.1),
        "decoupled_weight_decay": (False, True),
    },
    "NAdamW": {"weight_decay": (0, 0.1), "maximize": (False, True)},
    "Adafactor": {
        "beta2_decay": (-0.8, -0.3),
        "eps": ((None, 1e-3), (1e-3, 0.1)),
        "d": (1.0, 2.0),
        "weight_decay": (0, 0.1),
        "maximize": (False, True),
    },
    "Muon": {"nesterov": (True, False), "adjust_lr_fn": (None, "match_rms_adamw"), "weight_decay": (0, 0.1)},
    "LAMB": {
        "betas": ((0.9, 0.999), (0.5, 0.9)),
        "weight_decay": (0, 0.1),
        "maximize": (False, True),
        "eps_mode": ("torch", "hat", "root"),
    },
    "LARS": {
        "momentum": (0, 0.9),
        "weight_decay": (0, 0.1),
        "trust_coefficient": (0.001, 1.0),
        "nesterov": (False, True),
        "maximize": (False, True),
    },
    "Prodigy": {
        "weight_decay": (0, 0.1),
        "beta3": (None, 0.9),
        "d_coef": (1.0, 0.5),
        "growth_rate": (math.inf, 1.02),
        "use_bias_correction": (False, True),
        "safeguard_warmup": (False, True),
    },
}

# Options that torch lacks, for the oracle alone.
OWN_CASES = [
    ("Rprop", {"weight_decay": 0.1}),
    *(
        (name, {"eps_mode": mode, "eps": 1e-2})
        for name in ("Adagrad", "RMSprop", "Adam", "RAdam", "NAdam")
        for mode in ("torch", "hat", "root")
    ),
]

# What torch calls a class that it has as an option of another.
TORCHS = {"NAdamW": ("NAdam", {"decoupled_weight_decay": True})}

# What torch keeps in its state, and here follows from the step count.
COMPUTED = {"ASGD": {"eta", "mu"}}


def allowed(name, options):
    return not (name == "SGD" and options["nesterov"] and (not options["momentum"] or options["dampening"]))


def combined(table):
    """Combinations of the options of a table, the usual ones first in it: up to two others at once, and all."""
    for values in itertools.product(*table.values()):
        unusual = sum(value is not usual[0] for value, usual in zip(values, table.values(), strict=True))
        if unusual <= 2 or unusual == len(table):
            yield dict(zip(table, values, strict=True))


CASES = [
    pytest.param(name, options, id=f"{name}-" + "-".join(map(str, options.values())))
    for name in OPTIMIZERS
    for options in combined(OPTIONS.get(name, {}))
    if allowed(name, options)
]
# Where torch cannot be followed, and why. The other classes that it has agree in every option that both have.
EXCEPTIONS = {
    "ASGD": "keeps eta and mu in float32, and computes them a step ahead, so that a change of lr acts late: "
    "compared in double, at a constant lr",
    "NAdam": "keeps mu_product in float32: compared in double",
    "Adafactor": "divides by zero on an empty tensor: compared without one",
    "Muon": "multiplies in bfloat16 and takes matrices only: compared in double, on matrices",
    "SparseAdam": "takes sparse gradients only: compared in test_sparse.py",
}
NOT_IN_TORCH = {
    *("AdaBelief", "AdamWScheduleFree", "Adan", "FTRL", "LAMB", "LARS", "Lion", "Prodigy", "SGDScheduleFree"),
    *("SignSGD", "Signum", "Yogi"),
}
SHARED_CASES = [case for case in CASES if case.values[0] not in NOT_IN_TORCH | {"SparseAdam"}]


def close(actual, expected, dtype, scale):
    """Each of STEPS steps rounds the parameter, at most `scale`, and some eight results no larger than the update.

    With rates up to 0.02 and momentum 0.9 an update is at most about 0.25.
    """
    bound = STEPS * float(np.finfo(dtype).eps) / 2 * (scale + 8 * 0.25)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


def test_every_optimizer_has_an_oracle():
    for name in {*fo.optim.__all__} - {"Optimizer", "LBFGS"}:
        assert hasattr(optim_oracles, name), f"tests/optim_oracles.py lacks {name}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES + OWN_CASES)
def test_optimizer_follows_its_oracle(name, options, dtype):
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(n).astype(dtype) for n in SIZES]
    expected = [param.astype(np.float64) for param in params]
    opt = getattr(fo, name)(params, lr=0.01, **options)
    oracle = getattr(optim_oracles, name)(lr=0.01, **options)
    scale = 1.0
    for step in range(STEPS):
        grads = [rng.standard_normal(n).astype(dtype) for n in SIZES]
        if step % 7 == 3:
            grads[step % len(SIZES)] = None
        opt.step(grads)
        oracle.step(expected, grads)
        scale = max(scale, max(np.abs(param).max(initial=0) for param in expected))
    for actual, wanted in zip(params, expected, strict=True):
        close(actual, wanted, dtype, scale)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), SHARED_CASES)
def test_optimizer_agrees_with_torch(name, options, dtype, torch):
    rng = np.random.default_rng(1)
    shapes = {
        "Adafactor": [(3, 4), (2, 3, 4), (), (1,), (33,)],
        "Muon": [(3, 4), (4, 3), (1, 1), (1, 5), (20, 30)],
    }.get(name, [(3, 4), (0,), (), (1,), (33,)])
    params = [np.array(rng.standard_normal(shape), dtype) for shape in shapes]
    tensors = [torch.tensor(param, requires_grad=True) for param in params]
    opt = getattr(fo, name)([{"params": params[:2]}, {"params": params[2:4], "lr": 0.003}], lr=0.01, **options)
    groups = [{"params": tensors[:2]}, {"params": tensors[2:4], "lr": 0.003}]
    theirs, fixed = TORCHS.get(name, (name, {}))
    peer = getattr(torch.optim, theirs)(groups, lr=0.01, **options, **fixed)
    count = 4
    scale = 1.0
    for step in range(STEPS):
        if step == STEPS // 2:
            opt.add_param_group({"params": params[4], "lr": 0.02})
            peer.add_param_group({"params": [tensors[4]], "lr": 0.02})
            count = 5
        grads = [np.array(rng.standard_normal(shape), dtype) for shape in shapes[:count]]
        if step % 7 == 3:
            grads[step % count] = None
        opt.step(grads)
        for tensor, grad in zip(tensors, grads, strict=False):
            tensor.grad = None if grad is None else torch.tensor(grad)
        peer.step()
        scale = max(scale, max(np.abs(param).max(initial=0) for param in params))
    for param, tensor in zip(params, tensors, strict=True):
        theirs = tensor.detach().numpy()
        if dtype == np.float64:
            # Relative to the largest value on the way where a parameter ends near zero.
            np.testing.assert_allclose(param, theirs, rtol=1e-12, atol=1e-13 * scale)
        else:
            close(param, theirs, dtype, scale)
    for i, tensor in enumerate(tensors):
        state = {key: value for key, value in peer.state[tensor].items() if value is not None}
        assert state.keys() - opt.state[i].keys() == COMPUTED.get(name, set())
        for key in state.keys() & opt.state[i].keys():
            if dtype == np.float64:
                np.testing.assert_allclose(opt.state[i][key], state[key], rtol=1e-12, atol=1e-13 * scale)


def test_signatures_are_torchs_followed_by_keywords():
    expected = {
        "SGD": "params lr momentum dampening weight_decay nesterov",
        "Adam": "params lr betas eps weight_decay amsgrad",
        "AdamW": "params lr betas eps weight_decay amsgrad",
        "ASGD": "params lr lambd alpha t0 weight_decay",
        "Rprop": "params lr etas step_sizes",
        "Adagrad": "params lr lr_decay weight_decay initial_accumulator_value eps",
        "Adadelta": "params lr rho eps weight_decay",
        "RMSprop": "params lr alpha eps weight_decay momentum centered",
        "Adamax": "params lr betas eps weight_decay",
        "RAdam": "params lr betas eps weight_decay decoupled_weight_decay",
        "NAdam": "params lr betas eps weight_decay momentum_decay decoupled_weight_decay",
        "NAdamW": "params lr betas eps weight_decay momentum_decay",
        "SparseAdam": "params lr betas eps",
        "Adafactor": "params lr beta2_decay eps d weight_decay",
        "Muon": "params lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
        "LBFGS": "params lr max_iter max_eval tolerance_grad tolerance_change history_size line_search_fn",
    }
    for name in {*fo.optim.__all__} - {"Optimizer"}:
        parameters = inspect.signature(getattr(fo, name)).parameters.values()
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert " ".join(positional) == expected.get(name, " ".join(positional))
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters if p.name not in positional)
        assert all(isinstance(p.annotation, str) for p in parameters)


# The forms of step.


def two(dtype=np.float64):
    return {"W": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.ones(3, dtype)}


def test_all_forms_of_step_are_one_step():
    grads = {"W": np.full((2, 3), 0.5), "b": np.arange(3.0)}
    flat = np.concatenate([grads["W"].ravel(), grads["b"]])
    results = []

    def run(make, *args):
        params = make()
        opt = fo.Adam(params, lr=0.1)
        loss = opt.step(*[arg(params) if callable(arg) else arg for arg in args])
        results.append([array.copy() for array in opt._arrays()])
        return loss

    def arrays():
        return list(two().values())

    def parameters():
        made = [fo.Parameter(array) for array in two().values()]
        for parameter, grad in zip(made, grads.values(), strict=True):
            parameter.grad = grad
        return made

    def flat_params():
        made = fo.FlatParams.from_arrays(two())
        made.grad["W"], made.grad["b"] = grads["W"], grads["b"]
        return made

    listed = list(grads.values())
    assert run(arrays, listed) is None
    run(arrays, tuple(listed))
    run(arrays, flat)
    run(two, grads)
    run(parameters)
    run(parameters, lambda params: lambda: 3.5)
    run(flat_params)
    run(flat_params, lambda params: params.grad)
    run(flat_params, flat)
    assert run(arrays, lambda params: lambda: (2.5, listed)) == 2.5
    assert run(flat_params, lambda params: lambda: (2.5, params.grad)) == 2.5
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_single_array_takes_a_single_gradient():
    w = np.array([1.0, 2.0])
    fo.SGD(w, lr=0.5).step(np.ones(2))
    np.testing.assert_array_equal(w, [0.5, 1.5])
    scalar = np.array(3.0)
    fo.SGD(scalar, lr=0.5).step(np.float64(2.0))
    assert scalar == 2.0


def test_a_closure_is_called_once_before_the_update():
    w = fo.Parameter(np.array([2.0]))
    opt = fo.SGD([w], lr=0.1)
    seen = []

    def closure():
        seen.append(w.data.copy())
        opt.zero_grad()
        w.grad = 2 * w.data
        return float(w.data[0] ** 2)

    assert opt.step(closure) == 4.0
    assert len(seen) == 1
    assert seen[0] == 2.0
    assert w.data[0] == pytest.approx(1.6)


def test_a_missing_gradient_skips_parameter_and_counter():
    a, b = np.ones(2), np.ones(2)
    opt = fo.Adam([a, b])
    opt.step([np.ones(2), None])
    assert (b == 1).all()
    assert list(opt.state) == [0]
    opt.step([np.ones(2), np.ones(2)])
    assert opt.state[0]["step"] == 2
    assert opt.state[1]["step"] == 1
    # The late one takes a first step: Adam's is lr whatever the gradient.
    np.testing.assert_allclose(b, 1 - 1e-3, rtol=1e-9)


def test_zero_grad_forgets_or_zeroes():
    p = fo.Parameter(np.ones(2))
    flat = fo.FlatParams({"W": 3})
    opt = fo.SGD([{"params": [p]}], lr=1.0)
    p.grad = np.ones(2)
    opt.zero_grad(set_to_none=False)
    assert (p.grad == 0).all()
    opt.zero_grad()
    assert p.grad is None
    flat.grad.flat[...] = 1
    fo.SGD(flat).zero_grad()
    assert (flat.grad.flat == 0).all()


def test_hyperparameters_are_plain_data():
    w = np.ones(1)
    opt = fo.SGD(w, lr=0.5)
    opt.param_groups[0]["lr"] = 0.25
    opt.step(np.ones(1))
    assert w[0] == 0.75
    opt.param_groups[0]["momentum"] = 0.9
    opt.step(np.ones(1))
    opt.step(np.ones(1))
    assert w[0] == pytest.approx(0.75 - 0.25 - 0.25 * 1.9)
    assert opt.state[0]["momentum_buffer"] == 1.9


def test_groups_have_their_own_options():
    a, b = np.ones(1), np.ones(1)
    opt = fo.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    opt.step([np.ones(1), np.ones(1)])
    assert (a[0], b[0]) == (0.9, 0.5)
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.5]
    assert opt.defaults["lr"] == 0.1


def test_repr_is_torchs():
    text = repr(fo.SGD(np.ones(1), lr=0.1))
    assert text == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


def test_hooks_see_and_change_the_step():
    w = np.ones(1)
    opt = fo.SGD(w, lr=0.5)
    calls = []
    pre = opt.register_step_pre_hook(lambda o, args, kwargs: ((o, [2 * args[1][0]]), kwargs))
    post = opt.register_step_post_hook(lambda o, args, kwargs: calls.append(args[1][0][0]))
    opt.step([np.ones(1)])
    assert w[0] == 0
    assert calls == [2.0]
    pre.remove()
    post.remove()
    opt.step([np.ones(1)])
    assert w[0] == -0.5
    assert len(calls) == 1
    opt.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        opt.step([np.ones(1)])
    assert w[0] == -0.5


def test_state_dict_hooks_run():
    opt = fo.SGD(np.ones(1))
    calls = []
    opt.register_state_dict_pre_hook(lambda o: calls.append("before"))
    opt.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda o, d: calls.append(d["extra"]))
    opt.register_load_state_dict_post_hook(lambda o: calls.append("after"))
    opt.load_state_dict(opt.state_dict())
    assert calls == ["before", 1, "after"]


# State.


def trained(name, params, steps, **options):
    opt = getattr(fo, name)(params, lr=0.01, **options)
    advance(opt, 0, steps)
    return opt


def advance(opt, start, stop):
    for step in range(start, stop):
        rng = np.random.default_rng(step)
        grads = [rng.standard_normal(array.shape).astype(array.dtype) for array in opt._arrays()]
        if step % 5 == 2:
            grads[0] = None
        opt.step(grads)


RESUMED = [("SGD", {}), ("SGD", {"momentum": 0.9, "dampening": 0.1}), ("Adam", {"amsgrad": True}), ("AdamW", {})]


@pytest.mark.parametrize("through_file", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 3, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), RESUMED + [(name, {}) for name in OPTIMIZERS])
def test_resumed_equals_uninterrupted(name, options, dtype, stop, through_file, tmp_path):
    def fresh():
        return [np.ones((3, 5), dtype), np.zeros(7, dtype)]

    whole = fresh()
    advance(trained(name, whole, 20, **options), 20, 40)
    first = fresh()
    before = trained(name, first, stop, **options)
    state = before.state_dict()
    if through_file:
        fo.save(tmp_path / "state.npz", opt=before)
        state = fo.load(tmp_path / "state.npz")["opt"]
    second = [param.copy() for param in first]
    after = getattr(fo, name)(second, lr=0.5, **options)
    after.load_state_dict(state)
    advance(before, stop, stop + 1)  # what the loaded one must not notice
    advance(after, stop, 40)
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_dict_shares_no_memory():
    opt = trained("Adam", [np.ones(3)], 3)
    state = opt.state_dict()
    kept = state["state"][0]["exp_avg"].copy()
    opt.step([np.ones(3)])
    np.testing.assert_array_equal(state["state"][0]["exp_avg"], kept)
    other = trained("Adam", [np.ones(3)], 1)
    other.load_state_dict(state)
    other.step([np.ones(3)])
    np.testing.assert_array_equal(state["state"][0]["exp_avg"], kept)
    assert type(state["state"][0]["step"]) is int
    assert state["param_groups"][0]["params"] == [0]


def test_state_has_torchs_names():
    assert set(trained("SGD", [np.ones(3)], 1, momentum=0.9).state[0]) == {"step", "momentum_buffer"}
    assert set(trained("Adam", [np.ones(3)], 1).state[0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert set(trained("Adam", [np.ones(3)], 1, amsgrad=True).state[0]) == {
        "step",
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
    }


def test_state_is_matched_by_name_in_any_order_and_grouping():
    saved = trained("Adam", {"a": np.ones(2), "b": np.ones(3)}, 4, betas=(0.5, 0.9))
    opt = fo.Adam([{"params": {"b": np.ones(3)}}, {"params": {"a": np.ones(2)}}], lr=1.0)
    opt.load_state_dict(saved.state_dict(), match="name")
    np.testing.assert_array_equal(opt.state[0]["exp_avg"], saved.state[1]["exp_avg"])
    np.testing.assert_array_equal(opt.state[1]["exp_avg"], saved.state[0]["exp_avg"])
    assert [group["betas"] for group in opt.param_groups] == [(0.5, 0.9)] * 2
    assert [group["param_names"] for group in opt.param_groups] == [["b"], ["a"]]
    part = fo.Adam({"a": np.ones(2), "c": np.ones(1)})
    with pytest.raises(ValueError, match=r"missing \['c'\], unexpected \['b'\]"):
        part.load_state_dict(saved.state_dict(), match="name")
    assert not part.state
    part.load_state_dict(saved.state_dict(), match="name", strict=False)
    assert list(part.state) == [0]


# What a rule promises beyond its formula.


def test_a_new_rate_of_asgd_acts_at_once():
    w = np.zeros(1)
    opt = fo.ASGD(w, lr=0.5, lambd=0)
    opt.step(np.ones(1))
    opt.param_groups[0]["lr"] = 0.25
    opt.step(np.ones(1))
    assert w[0] == -0.75


def test_asgd_averages_what_comes_after_t0():
    w = np.zeros(1)
    opt = fo.ASGD(w, lr=0.5, lambd=0, t0=2)
    for _ in range(3):
        opt.step(np.ones(1))
        assert opt.state[0]["ax"][0] == w[0]
    opt.step(np.ones(1))
    assert opt.state[0]["ax"][0] == w[0] == -2  # mu is 1 at steps up to t0 + 2
    opt.step(np.ones(1))
    assert opt.state[0]["ax"][0] == (-2 - 2.5) / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centered_rmsprop_takes_a_variance_below_zero_for_zero(dtype):
    g = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    for momentum in (0, 0.5):
        w = np.zeros(1000, dtype)
        opt = fo.RMSprop(w, lr=1e-3, alpha=0.7, eps=1, centered=True, momentum=momentum)
        for _ in range(200):
            opt.step(g)
        assert (opt.state[0]["square_avg"] < opt.state[0]["grad_avg"] ** 2).any()
        assert np.isfinite(w).all()


def test_centered_rmsprop_does_not_take_an_overflow_for_zero():
    w = np.zeros(2)
    fo.RMSprop(w, centered=True).step(np.array([1e200, 1.0]))  # both square_avg and the square of grad_avg are inf
    assert np.isnan(w).tolist() == [True, False]


def test_rprop_sees_the_sign_of_the_smallest_gradients():
    w = np.zeros(2, np.float32)
    opt = fo.Rprop(w, lr=0.5)
    opt.step(np.array([1e-30, 1e-30], np.float32))
    opt.step(np.array([1e-30, -1e-30], np.float32))
    np.testing.assert_array_equal(opt.state[0]["step_size"], np.array([0.6, 0.25], np.float32))
    np.testing.assert_array_equal(opt.state[0]["prev"], np.array([1e-30, 0], np.float32))


def test_rprop_reads_its_rate_at_the_first_step_of_a_parameter():
    a, b = np.zeros(1), np.zeros(1)
    opt = fo.Rprop([a, b], lr=0.5)
    opt.step([np.ones(1), None])
    opt.param_groups[0]["lr"] = 0.125
    opt.step([np.zeros(1), np.ones(1)])
    assert (a[0], b[0]) == (-0.5, -0.125)


# Bad input: the type, the words, and nothing changed.


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fo.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: fo.SGD(3.0), TypeError, "params argument given to the optimizer should be"),
        (lambda: fo.SGD([3.0]), TypeError, "parameter 0 must be a NumPy array, not float"),
        (lambda: fo.SGD({1.0, 2.0}), TypeError, "ordered collections"),
        (lambda: fo.SGD([np.ones(2, int)]), TypeError, "parameter 0 has dtype int64"),
        (lambda: fo.SGD([np.ones(2, ">f8")]), TypeError, "parameter 0 has dtype >f8"),
        (lambda: fo.SGD({"w": np.ones((2, 2)).T[:1]}), ValueError, "parameter 'w' is not C-contiguous"),
        (lambda: fo.SGD(np.broadcast_to(1.0, 3)), ValueError, "parameter 0 is read-only"),
        (lambda: fo.SGD(unaligned(3)), ValueError, "parameter 0 is not aligned"),
        (lambda: fo.SGD([W := np.ones(3), W]), ValueError, "parameters 0 and 1 share memory"),
        (lambda: fo.SGD([W := np.ones(4), W[3:]]), ValueError, "parameters 0 and 1 share memory"),
        (
            lambda: fo.SGD([{"params": (W := np.ones(3))}, {"params": W[:1]}]),
            ValueError,
            "some parameters appear in more than one parameter group",
        ),
        (lambda: fo.SGD([{"lr": 1.0}]), ValueError, "needs 'params'"),
        (lambda: fo.SGD([("w", np.ones(1)), np.ones(1)]), ValueError, "Some param names are missing"),
        (lambda: fo.SGD([("w", np.ones(1)), ("w", np.ones(1))]), ValueError, "parameter names must differ"),
        (
            lambda: fo.SGD([{"params": {"w": np.ones(1)}}, {"params": np.ones(1)}]),
            ValueError,
            "all optimizer param groups should be with/without names",
        ),
        (lambda: fo.SGD(np.ones(1), lr=-1), ValueError, r"Invalid learning rate: -1 \(SGD needs lr >= 0\)"),
        (lambda: fo.SGD(np.ones(1), lr=math.nan), ValueError, "Invalid learning rate: nan"),
        (lambda: fo.SGD(np.ones(1), lr=math.inf), ValueError, "Invalid learning rate: inf"),
        (lambda: fo.SGD(np.ones(1), lr=10**400), ValueError, "Invalid learning rate: 1000"),
        (lambda: fo.SGD(np.ones(1), lr="fast"), TypeError, "Invalid learning rate: 'fast'"),
        (lambda: fo.SGD(np.ones(1), momentum=-0.1), ValueError, "Invalid momentum value: -0.1"),
        (lambda: fo.SGD(np.ones(1), weight_decay=-0.1), ValueError, "Invalid weight_decay value: -0.1"),
        (lambda: fo.SGD(np.ones(1), maximize=1), TypeError, "SGD needs True or False for maximize"),
        (
            lambda: fo.SGD(np.ones(1), nesterov=True),
            ValueError,
            "Nesterov momentum requires a momentum and zero dampening",
        ),
        (lambda: fo.Adam(np.ones(1), betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda: fo.Adam(np.ones(1), betas=(0.9, -0.1)), ValueError, "Invalid beta parameter at index 1: -0.1"),
        (lambda: fo.Adam(np.ones(1), betas=0.9), ValueError, "Invalid betas: 0.9"),
        (lambda: fo.AdamW(np.ones(1), eps=-1e-8), ValueError, r"Invalid epsilon value: -1e-08 \(AdamW"),
        (lambda: fo.ASGD(np.ones(1), lambd=-1e-4), ValueError, "Invalid lambd value: -0.0001"),
        (lambda: fo.ASGD(np.ones(1), alpha=-1), ValueError, "Invalid alpha value: -1"),
        (lambda: fo.ASGD(np.ones(1), t0=math.inf), ValueError, "Invalid t0 value: inf"),
        (lambda: fo.Rprop(np.ones(1), etas=(1.0, 0.5)), ValueError, "Invalid eta values: 1.0, 0.5"),
        (lambda: fo.Rprop(np.ones(1), etas=0.5), ValueError, "Invalid etas: 0.5"),
        (lambda: fo.Rprop(np.ones(1), step_sizes=(2, 1)), ValueError, "Invalid step_sizes: 2, 1"),
        (lambda: fo.Rprop(np.ones(1), step_sizes=(0, "far")), TypeError, "Invalid step_sizes at index 1: 'far'"),
        (lambda: fo.Adagrad(np.ones(1), lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
        (
            lambda: fo.Adagrad(np.ones(1), initial_accumulator_value=-1),
            ValueError,
            "Invalid initial_accumulator_value value: -1",
        ),
        (lambda: fo.Adagrad(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: fo.Adadelta(np.ones(1), rho=1.1), ValueError, "Invalid rho value: 1.1"),
        (lambda: fo.Adadelta(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: fo.Adadelta(np.ones(1), eps_mode="hat"), ValueError, "Adadelta has no eps_mode"),
        (lambda: fo.RMSprop(np.ones(1), alpha=1.1), ValueError, "Invalid alpha value: 1.1"),
        (lambda: fo.RMSprop(np.ones(1), momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda: fo.RMSprop(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: fo.RMSprop(np.ones(1), centered=1), TypeError, "RMSprop needs True or False for centered"),
        (lambda: fo.Adamax(np.ones(1), betas=(0.9, 1.0)), ValueError, "Invalid beta parameter at index 1: 1.0"),
        (lambda: fo.Adamax(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: fo.RAdam(np.ones(1), betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda: fo.RAdam(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: fo.NAdam(np.ones(1), betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda: fo.NAdamW(np.ones(1), momentum_decay=-1), ValueError, r"Invalid momentum_decay value: -1 \(NAdamW"),
        (lambda: fo.NAdam(np.ones(1), eps=-1), ValueError, "Invalid epsilon value: -1"),
    ],
)
def test_bad_constructions_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


def unaligned(n, dtype=np.float64):
    itemsize = np.dtype(dtype).itemsize
    return np.zeros(n * itemsize + 1, np.uint8)[1:].view(dtype)


def test_beta_boundaries_from_both_sides():
    fo.Adam(np.ones(1), betas=(0.0, np.nextafter(1.0, 0)))
    with pytest.raises(ValueError, match="Invalid beta"):
        fo.Adam(np.ones(1), betas=(0.0, 1.0))
    fo.Adam(np.ones(1), lr=0, eps=0)


@pytest.mark.parametrize(
    ("grads", "error", "words"),
    [
        (None, TypeError, "step\\(\\) has no gradients"),
        ([np.ones(3)], ValueError, "1 gradients for 2 parameters"),
        ([np.ones(3), np.ones(3), np.ones(3)], ValueError, "3 gradients for 2 parameters"),
        ([np.ones(3), np.ones(3)], ValueError, r"gradient 1 has shape \(3,\), its parameter \(2, 2\)"),
        ([np.ones(3), np.ones(4)], ValueError, r"gradient 1 has shape \(4,\), its parameter \(2, 2\)"),
        ([np.ones(3), np.ones((2, 2), int)], TypeError, "gradient 1 has dtype int64"),
        ([np.ones(3), np.ones((2, 2), complex)], TypeError, "gradient 1 has dtype complex128"),
        ([np.ones(3), [[1.0, 1.0], [1.0, 1.0]]], TypeError, "gradient 1 is of type list"),
        (np.ones(3), ValueError, r"one flat array of length 7"),
        ({"a": np.ones(3)}, ValueError, "the latter have none, pass a list"),
        (lambda: 1.0, TypeError, "step\\(\\) has no gradients"),
        (lambda: (1.0, [np.ones(3)]), ValueError, "1 gradients for 2 parameters"),
        (3.0, TypeError, "gradients must be arrays or a callable, not float"),
    ],
)
def test_bad_gradients_change_nothing(grads, error, words):
    params = [np.ones(3), np.ones((2, 2))]
    opt = fo.Adam(params, weight_decay=0.1)
    opt.step([np.ones(3), np.ones((2, 2))])
    before = [param.copy() for param in params]
    state = opt.state_dict()
    with pytest.raises(error, match=words):
        opt.step(grads)
    for param, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(param, old)
    assert_same_state(opt.state_dict(), state)


def test_names_that_do_not_match_are_told_apart():
    opt = fo.SGD({name: np.ones(2) for name in "abc"})
    with pytest.raises(ValueError, match=r"missing \['a'\], unexpected \['A', 'd'\]"):
        opt.step(dict.fromkeys("Abcd", np.ones(2)))
    with pytest.raises(TypeError, match="gradients or a closure, not both"):
        opt.step([np.ones(2)] * 3, closure=lambda: 1.0)


def assert_same_state(a, b):
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for i, entry in a["state"].items():
        assert entry.keys() == b["state"][i].keys()
        for name, value in entry.items():
            np.testing.assert_array_equal(value, b["state"][i][name])


@pytest.mark.parametrize("value", [math.nan, math.inf, "fast", None])
def test_a_bad_hyperparameter_set_by_hand_changes_nothing(value):
    a, b = np.ones(3), np.ones(3)
    opt = fo.SGD([{"params": a}, {"params": b}], lr=0.1)
    opt.param_groups[1]["lr"] = value
    with pytest.raises((TypeError, ValueError)):
        opt.step([np.ones(3), np.ones(3)])
    assert (a == 1).all()
    assert (b == 1).all()
    assert not opt.state


def test_a_refused_group_changes_nothing():
    opt = fo.SGD(np.ones(3), lr=0.1)
    for group in ({"params": np.ones(2), "lr": -1}, {"params": np.ones(2, int)}, {}, []):
        with pytest.raises((TypeError, ValueError)):
            opt.add_param_group(group)
    assert len(opt.param_groups) == 1
    opt.step([np.ones(3)])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d["param_groups"].append(d["param_groups"][0]), "different number of parameter groups"),
        (lambda d: d["param_groups"][0]["params"].append(7), "doesn't match the size of optimizer's group"),
        (lambda d: d["param_groups"][0].update(lr=-1), "Invalid learning rate: -1"),
        (lambda d: d["state"][1].pop("exp_avg"), "state of parameter 1 lacks 'exp_avg'"),
        (lambda d: d["state"][1].update(exp_avg=np.ones(5)), r"has shape \(5,\), the parameter \(2, 2\)"),
        (lambda d: d.pop("state"), "mapping with 'state' and 'param_groups'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil, words):
    opt = trained("Adam", [np.ones(3), np.ones((2, 2))], 3)
    before = opt.state_dict()
    state = trained("Adam", [np.ones(3), np.ones((2, 2))], 5, betas=(0.1, 0.2)).state_dict()
    spoil(state)
    with pytest.raises((TypeError, ValueError), match=words):
        opt.load_state_dict(state)
    assert_same_state(opt.state_dict(), before)


# Faults that once were.


def test_memory_running_out_for_a_new_buffer_leaves_the_old_rule(monkeypatch):
    w = np.ones(3)
    opt = fo.SGD(w, lr=1.0)
    opt.step(np.ones(3))
    opt.param_groups[0]["momentum"] = 0.9

    def zeros(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "zeros", zeros)
        with pytest.raises(MemoryError):
            opt.step(np.ones(3))
    opt.param_groups[0]["momentum"] = 0
    opt.step(np.ones(3))
    assert (w == -1).all()


def test_a_bad_environment_stops_a_step_before_it_begins():
    code = (
        "import numpy as np, fastopt as fo\n"
        "a, b = np.zeros(3), np.zeros(100_000)\n"
        "opt = fo.SGD([{'params': [a]}, {'params': [b]}], lr=1.0)\n"
        "try: opt.step([np.ones(3), np.ones(100_000)])\n"
        "except ValueError as error: print(error, a.any(), b.any(), dict(opt.state))"
    )
    environment = {**os.environ, "FASTOPT_NUM_THREADS": "two"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "FASTOPT_NUM_THREADS must be a positive number, not 'two' False False {}\n"


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda d: d["state"][1].update(step=-1), ValueError),
        (lambda d: d["state"][1].update(step=2**70), ValueError),
        (lambda d: d["state"][1].update(step=2.5), ValueError),
        (lambda d: d["param_groups"][1].update(lr=1e300, weight_decay=1e300, decoupled_weight_decay=True), ValueError),
        (lambda d: d.update(state=[]), TypeError),
        (lambda d: d["state"].update({0: 3.0}), TypeError),
        (lambda d: d["state"][0].update(extra=np.ones(5)), ValueError),
        (lambda d: d["state"][0].update(accumulated=-1), ValueError),
        (lambda d: d["param_groups"][0].update(accumulated=2**70), ValueError),
        (lambda d: d.update(param_groups=np.zeros(3)), TypeError),
        (lambda d: d["param_groups"][1].pop("params"), TypeError),
        (lambda d: d.update(skipped_steps="x"), TypeError),
        (lambda d: d.update(state={"0": d["state"][0]}), ValueError),
        (lambda d: d["state"].update({1: 3.0}), TypeError),
        (lambda d: d["state"][1].update({3: np.ones(3)}), TypeError),
        (lambda d: d["state"][1].update(accumulated=-1), ValueError),
        (lambda d: d["state"][1].update(accumulated=math.inf), ValueError),
        (lambda d: d.update(param_groups=np.ones(2)), TypeError),
    ],
)
def test_an_odd_state_is_refused_whole(spoil, error):
    groups = [{"params": [np.ones(3)]}, {"params": [np.ones(3)]}]
    opt = fo.Adam(groups, lr=1.0)
    opt.step([np.ones(3)] * 2)
    before, state = opt.state_dict(), opt.state_dict()
    state["param_groups"][0]["lr"] = 0.5
    state["state"][0]["step"] = 7
    spoil(state)
    with pytest.raises(error):
        opt.load_state_dict(state)
    assert_same_state(opt.state_dict(), before)
    opt.step([np.ones(3)] * 2)


def test_state_under_an_unknown_name_is_refused_where_the_rule_depends_on_shapes():
    opt = fo.Adafactor(np.ones(3))
    opt.step(np.ones(3))
    state = opt.state_dict()
    state["state"][0]["exp_avg"] = np.ones(3)
    with pytest.raises(ValueError, match="'exp_avg' of parameter 0"):
        opt.load_state_dict(state)


@pytest.mark.parametrize(("cls", "name", "value"), [(fo.SGD, "momentum", 0.9), (fo.Adam, "amsgrad", True)])
def test_a_state_taken_after_a_change_by_hand_loads(cls, name, value):
    a, b = np.ones(3), np.ones(3)
    opt = cls(a, lr=0.1)
    opt.step(np.ones(3))
    b[...] = a
    opt.param_groups[0][name] = value
    again = cls(b, lr=0.1)
    again.load_state_dict(opt.state_dict())
    for _ in range(3):
        opt.step(2 * a)
        again.step(2 * b)
    np.testing.assert_array_equal(a, b)


def test_an_infinite_parameter_without_gradient_stays():
    for cls in (fo.SGD, fo.Adam):
        w = np.array([-np.inf, 1.0])
        cls(w, lr=0.1).step(np.array([0.0, 1.0]))
        assert w[0] == -np.inf
        assert w[1] == pytest.approx(0.9)


def test_a_rate_too_large_for_single_precision_is_refused():
    w = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="not finite: lr=1e"):
        fo.SGD(w, lr=1e39)
    fo.SGD(np.ones(2), lr=1e39)


def test_a_small_gradient_after_a_large_one_is_not_lost_at_beta_0():
    w = np.zeros(1)
    opt = fo.Adam(w, lr=0.1, betas=(0.0, 0.0), eps=0)
    for g in (1.0, 1e-17, 1e-17):
        opt.step(np.array([g]))
    assert w[0] == pytest.approx(-0.3, rel=1e-14)


def test_numpy_numbers_as_hyperparameters_compute_in_double():
    results = []
    for number in (float, np.float32):
        w = np.ones(3)
        opt = fo.Adam(w, lr=number(0.125), betas=(number(0.75), number(0.875)), eps=np.array(1e-8))
        for _ in range(3):
            opt.step(np.ones(3))
        assert type(opt.param_groups[0]["lr"]) is float
        results.append(w)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0)])
def test_betas_of_one_set_by_hand_are_refused_in_words(betas):
    opt = fo.Adam(np.ones(2))
    opt.param_groups[0]["betas"] = betas
    with pytest.raises(ValueError, match="Invalid beta parameter at index"):
        opt.step(np.ones(2))


def test_a_gradient_that_is_live_state_is_read_before_it_changes():
    def run(pick):
        w = [np.array([0.0]), np.array([0.0])]
        opt = fo.SGD(w, lr=1.0, momentum=1.0)
        opt.step([np.array([1.0]), np.array([10.0])])
        buffers = [opt.state[i]["momentum_buffer"] for i in (1, 0)]
        opt.step([pick(buffer) for buffer in buffers])
        return [float(x[0]) for x in w]

    assert run(lambda buffer: buffer) == run(np.copy) == [-12.0, -21.0]


def test_a_hook_registered_twice_is_removed_once_by_each_handle():
    opt = fo.SGD(np.ones(1))
    calls = []
    hooks = [opt.register_step_post_hook(lambda *args, calls=calls: calls.append(1))]
    hooks.append(opt._register("step_post", opt._hooks["step_post"][0]))
    hooks[0].remove()
    hooks[0].remove()
    opt.step(np.ones(1))
    assert calls == [1]


def test_the_closure_has_torchs_name_too():
    w = np.ones(1)
    assert fo.SGD(w, lr=0.5).step(closure=lambda: (3.0, np.ones(1))) == 3.0
    assert w == 0.5


def test_a_replaced_or_deleted_group_is_refused():
    a, b = np.ones(1), np.ones(1)
    opt = fo.SGD([{"params": a}, {"params": b}], lr=0.5)
    kept = list(opt.param_groups)
    for groups in ([dict(kept[0]), kept[1]], kept[:1], kept[::-1]):
        opt.param_groups = groups
        with pytest.raises(ValueError, match="may be edited, not replaced"):
            opt.step([np.ones(1), np.ones(1)])
    assert a == b == 1
    opt.param_groups = kept
    opt.step([np.ones(1), np.ones(1)])
    assert a == b == 0.5


def test_hooks_get_torchs_arguments():
    p = fo.Parameter(np.ones(1))
    opt = fo.SGD([p], lr=0.5)
    seen = []
    opt.register_step_pre_hook(lambda o, args, kwargs: seen.append((args, kwargs)))
    p.grad = np.ones(1)
    opt.step()
    assert seen == [((opt,), {})]
    assert p.data == 0.5
