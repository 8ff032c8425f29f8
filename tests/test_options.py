"""The options that every optimizer takes: against the oracles, against torch, at their edges."""

import inspect
import itertools
import math

import numpy as np
import optim_oracles
import pytest
from test_optim import OPTIMIZERS, advance, assert_same_state, close

import fastopt as fo

SHAPES = [(3, 5), (1,), (0,), (1030,), ()]
STEPS = 30
OPTIONS = {
    "l2": {"weight_decay": 0.1, "decay_mode": "l2"},
    "decoupled": {"weight_decay": 0.1, "decay_mode": "decoupled"},
    "l1": {"l1": 0.5},
    "bounds": {"bounds": (-0.5, None)},
    "clip_value": {"clip_value": 0.7},
    "clip_norm": {"clip_norm": 2.0},
    "both clips": {"clip_value": 0.7, "clip_norm": 2.0, "maximize": True},
    "accumulate": {"accumulate": 3},
    "ema": {"ema": 0.9},
    "swa": {"swa_start": 5, "swa_every": 3},
    "lookahead": {"lookahead": (4, 0.5)},
    "hat": {"eps_mode": "hat"},
    "root": {"eps_mode": "root"},
    "all": {
        "weight_decay": 0.01,
        "maximize": True,
        "l1": 0.1,
        "bounds": (-1.0, 1.0),
        "clip_value": 1.0,
        "clip_norm": 10.0,
        "skip_nonfinite": True,
        "accumulate": 2,
        "ema": 0.9,
        "lookahead": (3, 0.8),
    },
}


def pairs(name, option, dtype, **extra):
    """Parameters with ours and the oracle's of them; what an optimizer does not have is skipped."""
    options = {"lr": 0.01, **OPTIONS[option], **extra}
    rng = np.random.default_rng(2)
    params = [np.array(rng.standard_normal(shape), dtype) for shape in SHAPES]
    try:
        opt = getattr(fo, name)(params, **options)
    except ValueError as error:
        if "has no eps_mode" in str(error) or "contradicts" in str(error):
            pytest.skip(str(error))
        raise
    return params, opt, getattr(optim_oracles, name)(**options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_option_follows_its_oracle(name, option, dtype):
    params, opt, oracle = pairs(name, option, dtype)
    expected = [param.astype(np.float64) for param in params]
    rng = np.random.default_rng(3)
    scale = 1.0
    for step in range(STEPS):
        grads = [np.array(rng.standard_normal(shape), dtype) for shape in SHAPES]
        if step % 7 == 3:
            grads[step % len(SHAPES)] = None
        opt.step(grads)
        oracle.step(expected, grads)
        scale = max(scale, max(np.abs(param).max(initial=0) for param in expected))
    for i, (actual, wanted) in enumerate(zip(params, expected, strict=True)):
        close(actual, wanted, dtype, scale)
        if "slow" in oracle.state[i]:
            close(opt.state[i]["slow"], oracle.state[i]["slow"], dtype, scale)
        if "average" in oracle.state[i]:
            close(opt.eval_params()[i], oracle.state[i]["average"], dtype, scale)
    if "clip_norm" in OPTIONS[option]:
        assert opt.last_grad_norm == pytest.approx(oracle.last_grad_norm, rel=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("option", ["clip_norm", "all"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_give_the_same_bits_for_any_threads(name, option):
    results = []
    before = fo.get_num_threads()
    for threads in (1, 2, 3):
        fo.set_num_threads(threads)
        rng = np.random.default_rng(0)
        params = [rng.standard_normal((300, 700)), rng.standard_normal(1)]
        opt = getattr(fo, name)(params, lr=0.01, **OPTIONS[option])
        for _ in range(4):
            opt.step([rng.standard_normal(param.shape) for param in params])
        results.append(params + opt.eval_params())
    fo.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stop", [1, 3, 8])
@pytest.mark.parametrize("option", ["accumulate", "ema", "swa", "lookahead", "all"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_resume_bit_for_bit(name, option, stop, tmp_path):
    def make(params):
        return getattr(fo, name)(params, lr=0.01, **OPTIONS[option])

    whole = [np.ones((3, 5)), np.linspace(-1, 1, 7)]
    uninterrupted = make(whole)
    advance(uninterrupted, 0, 20)
    params = [np.ones((3, 5)), np.linspace(-1, 1, 7)]
    first = make(params)
    advance(first, 0, stop)
    first.eval()
    fo.save(tmp_path / "run.npz", opt=first, params=params)
    first.train()
    saved = fo.load(tmp_path / "run.npz")
    again = [np.zeros((3, 5)), np.zeros(7)]
    second = make(again)
    second.load_state_dict(saved["opt"])
    for param, value in zip(again, saved["params"], strict=True):
        param[...] = value
    second.train()
    for a, b in zip(params, again, strict=True):
        np.testing.assert_array_equal(a, b)
    advance(second, stop, 20)
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(uninterrupted.eval_params(), second.eval_params(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_clipping_by_norm_is_torchs(name):
    torch = pytest.importorskip("torch")
    params = [np.ones((3, 4)), np.zeros(7)]
    tensors = [torch.tensor(param, requires_grad=True) for param in params]
    opt = getattr(fo, name)(params, lr=0.1, clip_norm=1.5)
    peer = getattr(torch.optim, name)(tensors, lr=0.1)
    rng = np.random.default_rng(0)
    for step in range(20):
        grads = [rng.standard_normal(param.shape) * 10.0 ** (step % 3 - 1) for param in params]
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        norm = torch.nn.utils.clip_grad_norm_(tensors, 1.5)
        peer.step()
        opt.step(grads)
        assert opt.last_grad_norm == pytest.approx(float(norm), rel=1e-14)
    for param, tensor in zip(params, tensors, strict=True):
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize(("options", "maker"), [({"ema": 0.9}, "get_ema_multi_avg_fn"), ({"swa_start": 1}, None)])
def test_averages_are_torchs(options, maker):
    torch = pytest.importorskip("torch")
    from torch.optim import swa_utils

    w = np.ones(5)
    module = torch.nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.ones(1, 5))
    average = swa_utils.AveragedModel(module, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9) if maker else None)
    opt, peer = fo.SGD(w, lr=0.1, **options), torch.optim.SGD(module.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        grad = rng.standard_normal(5)
        module.weight.grad = torch.tensor(grad[None])
        peer.step()
        average.update_parameters(module)
        opt.step(grad)
        np.testing.assert_allclose(opt.eval_params()[0], average.module.weight.detach().numpy()[0], rtol=1e-13)


# Averages, and the mode.


def test_eval_and_train_swap_without_a_trace():
    w = np.array([1.0, 2.0])
    opt = fo.SGD(w, lr=0.1, ema=0.5)
    opt.step(np.array([1.0, 1.0]))
    opt.step(np.array([1.0, 1.0]))
    trained, average = w.copy(), opt.eval_params()[0]
    np.testing.assert_allclose(average, [0.85, 1.85])
    opt.eval()
    opt.eval()
    np.testing.assert_array_equal(w, average)
    np.testing.assert_array_equal(opt.eval_params()[0], average)
    with pytest.raises(RuntimeError, match="call train"):
        opt.step(np.ones(2))
    np.testing.assert_array_equal(w, average)
    opt.train()
    opt.train()
    np.testing.assert_array_equal(w, trained)
    plain = fo.SGD(np.ones(2), lr=0.1)
    plain.eval()
    plain.step(np.ones(2))


def test_an_average_that_has_not_begun_is_the_parameter():
    w = np.ones(2)
    opt = fo.SGD(w, lr=0.1, swa_start=5)
    for _ in range(3):
        opt.step(np.ones(2))
    np.testing.assert_array_equal(opt.eval_params()[0], w)


def test_an_average_switched_on_late_starts_at_the_parameter():
    w = np.ones(2)
    opt = fo.SGD(w, lr=0.1)
    for _ in range(3):
        opt.step(np.ones(2))
    before = w.copy()
    opt.param_groups[0]["ema"] = 0.75
    opt.step(np.ones(2))
    np.testing.assert_allclose(opt.eval_params()[0], 0.75 * before + 0.25 * w)


# Gradients that are not finite, or huge, or tiny.


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_is_not_finite_skips_the_whole_step(bad, dtype):
    a, b = np.ones(5000, dtype), np.ones(3, dtype)
    opt = fo.Adam([{"params": [a], "skip_nonfinite": True}, {"params": [b]}], lr=0.1)
    grads = [np.ones(5000, dtype), np.ones(3, dtype)]
    opt.step(grads)
    kept, state = [a.copy(), b.copy()], opt.state_dict()
    for i in (0, 2500, 4999):
        spoiled = grads[0].copy()
        spoiled[i] = bad
        opt.step([spoiled, grads[1]])
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    assert_same_state(opt.state_dict(), state)
    assert opt.skipped_steps == 3
    opt.step([grads[0], np.full(3, bad, dtype)])  # the other group is not guarded
    assert opt.skipped_steps == 3
    assert not np.isfinite(b).all()
    again = fo.Adam([{"params": [a.copy()], "skip_nonfinite": True}, {"params": [b.copy()]}], lr=0.1)
    again.load_state_dict(opt.state_dict())
    assert again.skipped_steps == 3


def test_a_skipped_update_drops_what_was_accumulated():
    w = np.ones(1)
    opt = fo.SGD(w, lr=1.0, accumulate=2, skip_nonfinite=True)
    for g in (math.nan, 1.0, 0.25, 0.75):
        opt.step(np.array([g]))
    assert w == 0.5
    assert opt.skipped_steps == 1


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1e300])
def test_the_norm_neither_overflows_nor_vanishes(size):
    w = np.zeros(4)
    opt = fo.SGD(w, lr=1.0, clip_norm=1.0, skip_nonfinite=True)
    opt.step(np.full(4, size))
    assert opt.last_grad_norm == pytest.approx(2 * size, rel=1e-15)
    assert opt.skipped_steps == 0
    np.testing.assert_allclose(w, -np.full(4, size) * min(1, 1 / (2 * size + 1e-6)), rtol=1e-15)


def test_clip_norm_is_per_group():
    a, b = np.zeros(1), np.zeros(1)
    opt = fo.SGD([{"params": [a], "clip_norm": 1.0}, {"params": [b], "clip_norm": 2.0}], lr=1.0)
    opt.step([np.array([30.0]), np.array([-40.0])])
    np.testing.assert_allclose([a[0], b[0]], [-1, 2], rtol=1e-6)
    assert opt.last_grad_norm == pytest.approx(50)


# Proximal steps and projections.


def test_l1_makes_exact_zeros_and_bounds_hold():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(1000).astype(np.float32)
    opt = fo.Adam(w, lr=0.01, l1=1.0, bounds=(-0.25, 0.1))
    for _ in range(100):
        opt.step(0.1 * w)
        assert w.min() >= np.float32(-0.25)
        assert w.max() <= np.float32(0.1)
    assert (w == 0).sum() > 900
    assert not np.signbit(w[w == 0]).any()


def test_l1_solves_the_lasso():
    """Proximal gradient descent: the optimality conditions of 1/2 |X w - y|^2 + l1 |w|_1."""
    rng = np.random.default_rng(0)
    features, target, l1 = rng.standard_normal((50, 10)), rng.standard_normal(50), 3.0
    w = np.zeros(10)
    opt = fo.SGD(w, lr=1 / np.linalg.norm(features, 2) ** 2, l1=l1)
    for _ in range(3000):
        opt.step(features.T @ (features @ w - target))
    slope = features.T @ (features @ w - target)
    np.testing.assert_allclose(slope[w != 0], -l1 * np.sign(w[w != 0]), rtol=1e-9)
    assert (np.abs(slope[w == 0]) <= l1).all()
    assert 0 < (w == 0).sum() < 10


def test_bounds_may_be_one_sided_or_a_point():
    w = np.array([-3.0, 0.0, 3.0])
    for bounds, wanted in (((None, 1), [-3, 0, 1]), ((-1, None), [-1, 0, 1]), ((0.5, 0.5), [0.5] * 3)):
        fo.SGD(w, lr=0.1, bounds=bounds).step(np.zeros(3))
        np.testing.assert_array_equal(w, wanted)


@pytest.mark.parametrize("options", [{"ema": 0.5}, {"swa_start": 1}])
def test_an_average_forgets_what_the_parameter_was_before_the_first_update(options):
    w = np.full(2, np.nan)
    opt = fo.SGD(w, lr=0.5, **options)
    w[:] = 1
    opt.step(np.ones(2))
    np.testing.assert_array_equal(opt.eval_params()[0], 0.5)


def test_an_average_that_a_state_lacks_starts_at_the_parameter():
    a, b = np.ones(1), np.ones(1)
    opt = fo.SGD([{"params": [("a", a)], "ema": 0.9, "lookahead": (2, 0.5)}, {"params": [("b", b)]}], lr=0)
    opt.step([a, b])
    other = fo.SGD([("a", a), ("b", b)], lr=0, ema=0.9, lookahead=(2, 0.5))
    other.load_state_dict(opt.state_dict(), match="name")
    other.step([a, b])
    assert (a, b, *other.eval_params()) == (1, 1, 1, 1)


def test_lookahead_that_goes_nowhere_goes_back():
    w = np.ones(1)
    opt = fo.SGD(w, lr=0.25, lookahead=(2, 0))
    positions = []
    for _ in range(4):
        opt.step(np.ones(1))
        positions.append(w.item())
    assert positions == [0.75, 1, 0.75, 1]


def averaging():
    params = [np.ones(2), np.ones(3)]
    opt = fo.SGD(params, lr=0.5, ema=0.5)
    for _ in range(2):
        opt.step([np.ones(2), None])
    opt.eval()
    return params, opt


def test_a_parameter_that_never_had_a_gradient_is_restored_with_the_others():
    params, opt = averaging()
    again = [np.zeros(2), np.zeros(3)]
    other = fo.SGD(again, lr=0.5, ema=0.5)
    other.load_state_dict(opt.state_dict())
    for array, saved in zip(again, params, strict=True):
        array[...] = saved
    other.train()
    assert (again[0] == 0).all()
    assert (again[1] == 1).all()


def test_a_group_added_in_eval_mode_comes_back_as_it_was():
    params, opt = averaging()
    added = np.full(1, 7.0)
    opt.add_param_group({"params": added})
    assert [array[0] for array in opt.eval_params()] == [0.25, 1, 7]
    opt.train()
    assert (params[0] == 0).all()
    assert added == 7


def test_the_trained_weights_survive_an_eval_that_fails():
    params, opt = averaging()
    opt.train()
    opt.step([None, np.ones(3)])
    opt.step([None, np.ones(3)])
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        opt.eval()
    params[1].flags.writeable = True
    opt.train()
    assert (params[0] == 0).all()
    assert (params[1] == 0).all()


# Accumulation.


def test_accumulation_is_the_mean_and_counts_one_step():
    w, v = np.zeros(3), np.zeros(3)
    opt, other = fo.Adam(w, lr=0.1, accumulate=4), fo.Adam(v, lr=0.1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        grads = rng.standard_normal((4, 3))
        for g in grads:
            opt.step(g)
        other.step(sum(grads) / 4)
    np.testing.assert_array_equal(w, v)
    assert opt.state[0]["step"] == 5


def test_accumulate_changed_by_hand_uses_what_there_is():
    w = np.zeros(1)
    opt = fo.SGD(w, lr=1.0, accumulate=4)
    for g in (1.0, 2.0):
        opt.step(np.array([g]))
    assert opt.state[0]["accumulated"] == 2
    opt.param_groups[0]["accumulate"] = 1
    opt.step(np.array([6.0]))
    assert w == -3.0
    assert "accumulated" not in opt.state[0]


def test_a_parameter_without_the_last_gradient_is_updated_with_the_others_it_had():
    a, b, c = np.zeros(1), np.zeros(1), np.zeros(1)
    opt = fo.SGD([a, b, c], lr=1.0, accumulate=2)
    opt.step([np.array([2.0]), np.array([4.0]), None])
    opt.step([np.array([2.0]), None, None])
    assert (a, b, c) == (-2, -2, 0)
    assert list(opt.state) == [0, 1]


def test_a_skipped_step_adds_nothing_to_the_sums_of_other_groups():
    a, b = np.ones(1), np.ones(1)
    opt = fo.SGD([{"params": a, "skip_nonfinite": True}, {"params": b, "accumulate": 2}], lr=1.0)
    opt.step([np.array([np.nan]), np.ones(1)])
    assert opt.skipped_steps == 1
    assert not opt.state
    for _ in range(2):
        opt.step([np.zeros(1), np.full(1, 3.0)])
    assert b == -2


def test_an_update_that_is_interrupted_keeps_what_was_accumulated(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    def run(interrupts):
        params = [np.eye(3), np.ones(2)]
        groups = [{"params": params}, {"params": [np.ones(4)], "accumulate": 4}]
        opt = fo.Muon(groups, lr=0.1, accumulate=2, clip_norm=1.0, clip_value=0.5)
        rng = np.random.default_rng(0)
        for step in range(4):
            grads = [rng.standard_normal(shape) for shape in ((3, 3), 2, 4)]
            if interrupts and step % 2:
                before, norm = opt.state_dict(), opt.last_grad_norm
                with monkeypatch.context() as patch:
                    patch.setattr(np, "matmul", interrupted)
                    with pytest.raises(KeyboardInterrupt):
                        opt.step(grads)
                assert opt.last_grad_norm == norm
                assert_same_state(opt.state_dict(), before)
            opt.step(grads)
        return [*params, *opt.eval_params()]

    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(a, b)


# Callables.


def test_hyperparameters_may_be_callables_of_the_steps_taken():
    seen = []

    def rate(taken):
        seen.append(taken)
        return 0.1 * 0.5**taken

    w, v = np.ones(2), np.ones(2)
    opt = fo.Adam(w, lr=rate, betas=(lambda taken: 0.5, 0.9), clip_norm=lambda taken: 1.0 + taken)
    other = fo.Adam(v, lr=0.1, betas=(0.5, 0.9), clip_norm=1.0)
    for step in range(5):
        other.param_groups[0].update(lr=0.1 * 0.5**step, clip_norm=1.0 + step)
        opt.step(np.array([3.0, 1.0]))
        other.step(np.array([3.0, 1.0]))
    np.testing.assert_array_equal(w, v)
    assert set(seen) == {0, 1, 2, 3, 4}
    assert "lr" not in opt.state_dict()["param_groups"][0]
    w, v = np.ones(2), np.ones(2)
    by_hand, fixed = fo.SGD(w, lr=1.0), fo.SGD(v, lr=0.25)
    by_hand.param_groups[0]["lr"] = lambda taken: 0.25
    by_hand.step(np.ones(2))
    fixed.step(np.ones(2))
    np.testing.assert_array_equal(w, v)


def test_flags_and_modes_may_be_callables():
    w, v = np.zeros(1), np.zeros(1)
    opt = fo.Adam([w], lr=1.0, maximize=lambda taken: taken > 0)
    for _ in range(2):
        opt.step(np.ones(1))
    assert -1 < w < -0.9
    opt = fo.SGD([v], lr=1.0, weight_decay=1.0, decay_mode=lambda taken: "decoupled" if taken else "l2")
    v[:] = 4
    opt.step(np.ones(1))
    assert v == -1
    opt.step(np.ones(1))
    assert v == -1


def test_a_callable_set_by_hand_reaches_the_rule_of_matrices():
    w, v = np.eye(2), np.eye(2)
    opt = fo.Muon(w)
    opt.param_groups[0]["eps"] = lambda taken: 1.0
    opt.step(np.eye(2))
    fo.Muon(v, eps=1.0).step(np.eye(2))
    np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize(("name", "option", "start"), [("Muon", "momentum", 0.9), ("Adafactor", "clip_value", 0.1)])
def test_callables_follow_the_steps_of_each_parameter(name, option, start):
    def run(params):
        opt = getattr(fo, name)(params, lr=0.1, **{option: lambda taken: start / (1 + taken)})
        rng = np.random.default_rng(0)
        for step in range(4):
            grad = rng.standard_normal((3, 3))
            opt.step([grad if step else None, grad][: len(params)])
        return params[0]

    np.testing.assert_array_equal(run([np.eye(3), np.eye(3)]), run([np.eye(3)]))


def test_a_callable_that_fails_changes_nothing():
    w = np.ones(2)
    with pytest.raises(ZeroDivisionError):
        fo.SGD(w, lr=lambda taken: 1 / taken)
    opt = fo.SGD(w, lr=lambda taken: 0.1 if taken < 1 else math.nan)
    opt.step(np.ones(2))
    before = w.copy()
    with pytest.raises(ValueError, match="not finite"):
        opt.step(np.ones(2))
    np.testing.assert_array_equal(w, before)
    assert opt.state[0]["step"] == 1


# state_dtype.


@pytest.mark.parametrize(("dtype", "state_dtype"), list(itertools.permutations([np.float32, np.float64], 2)))
def test_state_dtype_is_that_of_the_buffers(dtype, state_dtype):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(3000).astype(dtype)
    v = w.astype(np.float64)
    opt = fo.Adam([w], lr=0.01, state_dtype=state_dtype, clip_value=1.0, ema=0.9)
    other = fo.Adam([v], lr=0.01, clip_value=1.0)
    for _ in range(50):
        grad = rng.standard_normal(3000)
        opt.step([grad[::-1]])
        other.step([grad[::-1]])
    assert opt.state[0]["exp_avg"].dtype == state_dtype
    assert opt.state[0]["average"].dtype == dtype
    # Computed in double; each step rounds p or the moments once to single, the latter relative to an update of 0.01.
    np.testing.assert_allclose(
        w, v, rtol=0, atol=50 * float(np.finfo(np.float32).eps) * (4 if dtype == np.float32 else 0.05)
    )


@pytest.mark.parametrize("state_dtype", [np.float64, float, "d", np.dtype(float)])
def test_state_dtype_is_plain_data_and_stays_at_loading(state_dtype, tmp_path):
    w, v = np.ones(2, np.float32), np.ones(2, np.float32)
    opt, other = fo.Adam(w, state_dtype=state_dtype), fo.Adam(v)
    opt.step(w)
    other.step(v)
    fo.save(tmp_path / "run.npz", opt=opt, other=other)
    saved = fo.load(tmp_path / "run.npz")
    assert saved["opt"]["param_groups"][0]["state_dtype"] == "float64"
    opt.load_state_dict(saved["other"])
    other.load_state_dict(saved["opt"])
    assert opt.param_groups[0]["state_dtype"] == opt.state[0]["exp_avg"].dtype == np.float64
    assert "state_dtype" not in other.param_groups[0]
    assert other.state[0]["exp_avg"].dtype == np.float32


# What is refused.


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"l1": -1.0}, ValueError, "Invalid l1 value: -1.0"),
        ({"clip_norm": math.nan}, ValueError, "Invalid clip_norm value: nan"),
        ({"clip_value": "tight"}, TypeError, "Invalid clip_value value: 'tight'"),
        ({"bounds": 3}, ValueError, "needs a pair"),
        ({"bounds": (1, 0)}, ValueError, "needs low <= high"),
        ({"bounds": (math.nan, 1)}, ValueError, "Invalid bounds: nan"),
        ({"decay_mode": "L2"}, ValueError, "Invalid decay_mode: 'L2'"),
        ({"eps_mode": "hat"}, ValueError, "has no eps_mode"),
        ({"accumulate": 0}, ValueError, "Invalid accumulate: 0"),
        ({"accumulate": 2.5}, TypeError, "Invalid accumulate: 2.5"),
        ({"ema": 1.0}, ValueError, "Invalid ema value: 1.0"),
        ({"ema": 0.9, "swa_start": 1}, ValueError, "one average"),
        ({"swa_start": 0}, ValueError, "Invalid swa_start: 0"),
        ({"swa_every": 5}, ValueError, "needs swa_start for swa_every"),
        ({"lookahead": 5}, ValueError, "needs a pair"),
        ({"lookahead": (5, 1.5)}, ValueError, "Invalid lookahead value: 1.5"),
        ({"skip_nonfinite": 1}, TypeError, "True or False for skip_nonfinite"),
        ({"state_dtype": np.float16}, TypeError, "float32 or float64 for state_dtype"),
        ({"sparse": "yes"}, ValueError, "Invalid sparse: 'yes'"),
        ({"fused": True}, TypeError, "no argument 'fused': one implementation"),
        ({"momentun": 0.9}, TypeError, "no argument 'momentun': options are lr, momentum, .*, maximize, "),
    ],
)
def test_bad_options_are_refused_in_words(options, error, words):
    with pytest.raises(error, match=words):
        fo.SGD(np.ones(2), lr=0.1, **options)


@pytest.mark.parametrize("name", ["AdamW", "Lion", "LAMB", "LARS", "Muon", "SGD"])
def test_the_decay_mode_a_signature_shows_is_the_default(name):
    shown = inspect.signature(getattr(fo, name)).parameters["decay_mode"].default
    results = []
    for given, own in ({}, {}), ({"decay_mode": shown}, {}), ({}, {"decay_mode": shown}):
        w = np.arange(1.0, 7.0).reshape(2, 3)
        opt = getattr(fo, name)([{"params": [w], **own}], lr=0.1, weight_decay=0.5, **given)
        opt.step(w**2)
        results.append(w)
    np.testing.assert_array_equal(results[1:], results[:1] * 2)


@pytest.mark.parametrize("name", ["clip_norm", "clip_value", "l1", "ema", "bounds", "accumulate", "lookahead"])
def test_a_bad_option_set_by_hand_changes_nothing(name):
    w = np.ones(2)
    opt = fo.Adam(w, lr=0.1)
    opt.param_groups[0][name] = "no"
    with pytest.raises((TypeError, ValueError)):
        opt.step(np.ones(2))
    assert (w == 1).all()
    assert not opt.state
    del opt.param_groups[0][name]
    opt.step(np.ones(2))
    np.testing.assert_allclose(w, 0.9)


@pytest.mark.parametrize("options", [{"lookahead": (0, 0.5)}, {"swa_start": 1, "swa_every": 0}])
def test_an_interval_of_zero_set_by_hand_is_refused(options):
    w = np.ones(2)
    opt = fo.SGD(w, lr=0.1)
    opt.param_groups[0].update(options)
    with pytest.raises(ValueError, match=r"Invalid (lookahead|swa_every)"):
        opt.step(np.ones(2))
    assert (w == 1).all()


# Faults that once were.


def test_what_is_set_by_hand_is_refused_in_the_words_of_the_constructor():
    opt = fo.Adam(np.ones(2), lr=0.1)
    for name, value, words in [
        ("lr", "fast", "Invalid learning rate: 'fast'"),
        ("betas", (0.1, 0.2, 0.3), "Invalid betas"),
        ("eps", None, "Invalid epsilon value"),
        ("bounds", 3, "Invalid bounds: 3"),
        ("lookahead", 4, "Invalid lookahead: 4"),
    ]:
        opt = fo.Adam(np.ones(2), lr=0.1)
        opt.param_groups[0][name] = value
        with pytest.raises((TypeError, ValueError), match=words):
            opt.step(np.ones(2))


def test_a_misspelled_hyperparameter_of_a_group_is_refused():
    with pytest.raises(TypeError, match="no hyperparameter 'weight_deacy'; did you mean 'weight_decay'"):
        fo.AdamW([{"params": np.ones(2), "weight_deacy": 0}])
    fo.AdamW([{"params": np.ones(2), "name": "head", "lr_mult": 2.0, "initial_lr": 0.1}])


def test_an_estimate_that_is_not_finite_is_named():
    w = np.ones(2)
    opt = fo.Prodigy(w)
    opt.step(np.ones(2))
    opt.step(np.array([math.nan, 1.0]))
    with pytest.raises(ValueError, match="in the state of a parameter has become nan"):
        opt.step(np.ones(2))


def test_a_parameter_of_nan_is_no_average():
    w = np.array([math.nan])
    opt = fo.SGD(w, lr=0.1)
    opt.eval()
    opt.step(np.ones(1))
    assert math.isnan(w[0])


def test_the_flat_gradient_may_be_scaled_in_place():
    p = fo.FlatParams({"W": (2, 2)})
    p.grad.flat[...] = 2
    p.grad.flat *= 0.5
    assert (p.grad["W"] == 1).all()
    p.flat = np.arange(4)
    assert p["W"][1, 1] == 3


@pytest.mark.parametrize("name", ["SGD", "Lion", "RMSprop", "Adam"])
def test_a_change_by_hand_acts_at_once_after_any_number_of_steps(name):
    """Where the scalars depend on the group alone, they are worked out again only when it changes."""
    w, v = np.ones(3), np.ones(3)
    opt = getattr(fo, name)(w, lr=0.1, weight_decay=0.1)
    rates = [0.1] * 5 + [0.3] * 3 + [0.1] * 4
    for i, rate in enumerate(rates):
        opt.param_groups[0]["lr"] = rate if i % 2 else np.array(rate)
        opt.step(np.ones(3))
    other = getattr(fo, name)(v, lr=lambda taken: rates[taken], weight_decay=0.1)
    for _ in rates:
        other.step(np.ones(3))
    np.testing.assert_array_equal(w, v)


def test_a_list_of_hyperparameters_changed_in_place_acts_at_once():
    w, v = np.ones(3), np.ones(3)
    opt, other = fo.Lion(w, lr=0.1, betas=[0.9, 0.99]), fo.Lion(v, lr=0.1, betas=(0.9, 0.99))
    rate = np.array(0.1)
    opt.param_groups[0]["lr"] = rate
    for i in range(8):
        if i == 5:
            opt.param_groups[0]["betas"][0] = 0.1
            other.param_groups[0]["betas"] = (0.1, 0.99)
            rate[...] = 0.2
            other.param_groups[0]["lr"] = 0.2
        grad = np.array([1.0, -1.0, (-1.0) ** i])
        opt.step(grad)
        other.step(grad)
    np.testing.assert_array_equal(w, v)


def test_a_rule_of_ones_own_is_asked_at_every_step():
    asked = []

    class Mine(fo.SGD):
        """SGD that counts."""

        @staticmethod
        def _scalars(group, t):
            asked.append(t)
            return fo.SGD._scalars(group, t)

    opt = Mine(np.ones(2), lr=0.1)
    for _ in range(6):
        opt.step(np.ones(2))
    assert asked[-5:] == [2, 3, 4, 5, 6]
