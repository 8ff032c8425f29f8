"""States carried over between torch and fastopt: either side continues as if the run had never stopped."""

import copy

import numpy as np
import pytest

import fastopt as fo

SHAPES = [(3, 4), (5, 2), (1, 1)]
OPTIONS = {
    "SGD": [{"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True}],
    "Adam": [{"amsgrad": True, "weight_decay": 0.1, "maximize": True}],
    "RMSprop": [{"centered": True, "momentum": 0.9}],
    "Adagrad": [{"initial_accumulator_value": 0.1, "lr_decay": 0.1}],
    "ASGD": [{"lambd": 0.1, "t0": 3}],
    "NAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.1}],
}

# torch keeps ASGD's eta and mu and NAdam's product of momenta in single precision.
TOLERANCE = {"ASGD": 1e-6, "NAdam": 1e-6}

torch = pytest.importorskip("torch")
CASES = [
    pytest.param(name, options, id="-".join([name, *options]))
    for name in fo.optim.__all__
    if name not in {"Optimizer", "LBFGS"} and hasattr(torch.optim, name)
    for options in [{}, *OPTIONS.get(name, [])]
]
pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def _muon_in_double(monkeypatch):
    """torch multiplies Muon's matrices in bfloat16."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def pair(name, options, params):
    """Both sides at `params`, in two groups."""
    params = [param.copy() for param in params]
    tensors = [torch.tensor(param, requires_grad=True) for param in params]
    ours = getattr(fo, name)([{"params": params[:2]}, {"params": params[2:], "lr": 0.003}], **options)
    theirs = getattr(torch.optim, name)([{"params": tensors[:2]}, {"params": tensors[2:], "lr": 0.003}], **options)
    return params, ours, tensors, theirs


def advance(opt, params, start, stop):
    """Steps on either side; the gradients depend on the step alone, and the second parameter misses some."""
    for step in range(start, stop):
        rng = np.random.default_rng(step)
        grads = [rng.standard_normal(shape) for shape in SHAPES]
        if step % 4 == 1:
            grads[1] = None
        if isinstance(opt, fo.Optimizer):
            opt.step([None if grad is None else dressed(opt, grad) for grad in grads])
            continue
        for tensor, grad in zip(params, grads, strict=True):
            tensor.grad = None if grad is None else torch.tensor(grad)
            if grad is not None and type(opt) is torch.optim.SparseAdam:
                tensor.grad = tensor.grad.to_sparse(1)
        opt.step()


def dressed(opt, grad):
    return grad if opt._dense else fo.RowSparse(np.arange(len(grad)), grad, grad.shape)


def assert_near(ours, theirs, name):
    tolerance = TOLERANCE.get(name, 1e-12)
    for param, tensor in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def _muon_in_double(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def start():
    rng = np.random.default_rng(99)
    return [rng.standard_normal(shape) for shape in SHAPES]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_run_begun_in_torch_continues_here(name, options):
    _, _, tensors, theirs = pair(name, {"lr": 0.01} | options, start())
    advance(theirs, tensors, 0, 10)
    params, ours, *_ = pair(name, {}, [tensor.detach().numpy() for tensor in tensors])
    state = theirs.state_dict()
    ours.load_state_dict(fo.from_torch_state_dict(state))
    advance(ours, params, 10, 20)
    advance(theirs, tensors, 10, 20)
    assert_near(params, tensors, name)


@pytest.mark.parametrize("tensors", [True, False])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_run_begun_here_continues_in_torch(name, options, tensors):
    params, ours, *_ = pair(name, {"lr": 0.01} | options, start())
    advance(ours, params, 0, 10)
    _, _, continued, theirs = pair(name, {}, params)
    state = fo.to_torch_state_dict(ours.state_dict(), tensors=tensors)
    if not tensors:
        assert not any(isinstance(value, torch.Tensor) for entry in state["state"].values() for value in entry.values())
        for entry in state["state"].values():
            entry |= {k: torch.from_numpy(v) for k, v in entry.items() if isinstance(v, np.ndarray)}
    theirs.load_state_dict(state)
    advance(theirs, continued, 10, 20)
    advance(ours, params, 10, 20)
    assert_near(params, continued, name)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_state_looks_like_torchs(name, options):
    params, ours, tensors, theirs = pair(name, options, start())
    advance(ours, params, 0, 3)
    advance(theirs, tensors, 0, 3)
    converted, native = fo.to_torch_state_dict(ours.state_dict(), tensors=True), theirs.state_dict()
    assert converted["state"].keys() == native["state"].keys()
    for i, entry in native["state"].items():
        entry = {key: value for key, value in entry.items() if value is not None}
        assert converted["state"][i].keys() == entry.keys()
        for key, value in entry.items():
            assert type(converted["state"][i][key]) is type(value)
            if isinstance(value, torch.Tensor):
                assert (converted["state"][i][key].dtype, converted["state"][i][key].shape) == (
                    value.dtype,
                    value.shape,
                )
    back = fo.from_torch_state_dict(native)
    assert all(type(entry["step"]) is int for entry in back["state"].values())
    assert not any(
        {"foreach", "fused", "capturable", "differentiable"} & group.keys() for group in back["param_groups"]
    )


def test_names_are_carried_over():
    w = {"a": torch.ones(2, requires_grad=True), "b": torch.ones(3, requires_grad=True)}
    theirs = torch.optim.Adam(list(w.items()), lr=0.1)
    for tensor in w.values():
        tensor.grad = torch.ones_like(tensor)
    theirs.step()
    ours = fo.Adam({"b": np.ones(3, np.float32), "a": np.ones(2, np.float32)})
    ours.load_state_dict(fo.from_torch_state_dict(theirs.state_dict()), match="name")
    assert ours.state[0]["exp_avg"].shape == (3,)
    assert ours.param_groups[0]["lr"] == 0.1
    state = theirs.state_dict()
    named = {
        "state": {"b": state["state"][1], "a": state["state"][0]},
        "param_groups": [{**state["param_groups"][0], "params": ["a", "b"]}],
    }
    del named["param_groups"][0]["param_names"]
    again = fo.Adam({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)})
    for match in ("name", "position"):
        again.load_state_dict(fo.from_torch_state_dict(named), match=match)
        assert again.state[0]["exp_avg"].shape == (2,)
    assert fo.to_torch_state_dict(again.state_dict())["param_groups"][0]["param_names"] == ["a", "b"]


def test_nothing_is_shared():
    params, ours, tensors, theirs = pair("Adam", {}, start())
    advance(ours, params, 0, 2)
    advance(theirs, tensors, 0, 2)
    state = theirs.state_dict()
    here = fo.from_torch_state_dict(state)
    kept = copy.deepcopy(here)
    theirs.param_groups[0]["betas"] = (0.5, 0.5)
    advance(theirs, tensors, 2, 4)
    np.testing.assert_equal(here, kept)
    state = ours.state_dict()
    for as_tensors in (False, True):
        there = fo.to_torch_state_dict(state, tensors=as_tensors)
        for i, entry in there["state"].items():
            for name, value in entry.items():
                assert not np.shares_memory(value, state["state"][i][name])
        there["param_groups"][0]["lr"] = 7
        assert state["param_groups"][0]["lr"] == 1e-3


def test_what_torch_lacks_is_left_out():
    w = np.ones(3)
    opt = fo.Adam(w, lr=0.1, ema=0.9, clip_norm=1.0, l1=0.01, decay_mode="decoupled", weight_decay=0.1, accumulate=2)
    for _ in range(3):
        opt.step(np.ones(3))
    opt.eval()
    state = fo.to_torch_state_dict(opt.state_dict(), tensors=True)
    assert state["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    (group,) = state["param_groups"]
    assert group.pop("decoupled_weight_decay") is True
    theirs = torch.optim.Adam([torch.ones(3, requires_grad=True)])
    assert group.keys() <= theirs.param_groups[0].keys()
    assert state.keys() == {"state", "param_groups"}
    fresh = fo.Adam(np.ones(3), accumulate=2)
    fresh.step(np.ones(3))
    assert fo.to_torch_state_dict(fresh.state_dict())["state"] == {}


def test_hyperparameters_that_are_tensors_become_numbers():
    theirs = torch.optim.Adam([torch.ones(2, requires_grad=True)], lr=torch.tensor(0.25))
    group = fo.from_torch_state_dict(theirs.state_dict())["param_groups"][0]
    assert group["lr"] == 0.25
    assert type(group["lr"]) is float
    assert group["betas"] == (0.9, 0.999)


def test_what_is_no_state_dict_is_refused():
    for convert in (fo.from_torch_state_dict, fo.to_torch_state_dict):
        with pytest.raises(TypeError, match="mapping with 'state' and 'param_groups'"):
            convert({"state": {}})
        with pytest.raises(TypeError, match="not list"):
            convert({"state": [], "param_groups": []})
