"""Copies and pickles of optimizers with parameters and schedulers: the same bits from there on, nothing shared."""

import copy
import pickle

import numpy as np
import pytest

import fastopt as fo
from fastopt.optim.optimizer import OPTIONS

OPTIMIZERS = [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS"}]
SHAPES = {"W": (3, 5), "b": (7,), "empty": (0, 2)}
SETS = {
    "plain": {},
    "changed": {
        "maximize": True,
        "weight_decay": 0.1,
        "decay_mode": "decoupled",
        "l1": 0.01,
        "bounds": (-2.0, None),
        "clip_value": 1.5,
        "clip_norm": 3.0,
        "skip_nonfinite": True,
        "eps_mode": "root",
        "lookahead": (3, 0.5),
        "ema": 0.9,
    },
    "kept": {"accumulate": 3, "swa_start": 2, "swa_every": 2, "lookahead": (2, 0.5)},
    "wide": {"state_dtype": np.float64, "sparse": "dense"},
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda one: pickle.loads(pickle.dumps(one))}


def allowed(name, options):
    """Those of `options` that this optimizer has a use for."""
    cls = getattr(fo, name)
    refused = set() if cls._eps_modes else {"eps_mode"}
    if cls._by_shape:
        refused |= {"state_dtype"}
    if cls is fo.FTRL:
        refused |= {"decay_mode"}
    if not cls._dense:
        refused |= {"accumulate", "ema", "swa_start", "swa_every", "lookahead", "sparse"}
    return {key: value for key, value in options.items() if key not in refused}


def arrays(dtype=np.float32):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def listed():
    return list(arrays().values())


def parameters():
    return [fo.Parameter(array) for array in listed()]


def flat():
    return fo.FlatParams.from_arrays(arrays())


FORMS = {"arrays": listed, "parameters": parameters, "named": arrays, "flat": flat}


def values(params):
    """The arrays of parameters in any form."""
    if isinstance(params, fo.FlatParams):
        assert all(np.shares_memory(view, params.flat) for view in params.values() if view.size)
    return [getattr(param, "data", param) if isinstance(param, fo.Parameter) else param for param in members(params)]


def members(params):
    return list(params.values()) if hasattr(params, "values") else list(params)


def advance(opt, start, stop):
    for step in range(start, stop):
        rng = np.random.default_rng(step)
        grads = [rng.standard_normal(array.shape).astype(array.dtype) for array in opt._arrays()]
        if not opt._dense:
            grads = [fo.RowSparse(np.arange(len(grad)), grad, grad.shape) for grad in grads]
        if step % 5 == 2:
            grads[0] = None
        opt.step(grads)


def bits(opt):
    """All that an optimizer is made of."""
    return copy.deepcopy((opt._arrays(), opt.state_dict(), opt.defaults, opt.skipped_steps))


def assert_continues_alike(opt, twin, evaluating=False):
    """The copy goes on as the original would, each leaving the other alone."""
    before = bits(opt)
    np.testing.assert_equal(bits(twin), before)
    if evaluating:
        for one in (twin, opt):
            np.testing.assert_equal(bits(one), before)
            one.train()
        before = bits(opt)
    advance(twin, 7, 12)
    np.testing.assert_equal(bits(opt), before)
    after = bits(twin)
    advance(opt, 7, 12)
    np.testing.assert_equal(bits(opt), after)
    np.testing.assert_equal(bits(twin), after)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("evaluating", [False, True])
@pytest.mark.parametrize("options", SETS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copied_optimizer_continues_alike(name, options, evaluating, way):
    opt = getattr(fo, name)(listed(), lr=0.01, **allowed(name, SETS[options]))
    advance(opt, 0, 7)
    if evaluating:
        opt.eval()
    assert_continues_alike(opt, WAYS[way](opt), evaluating)


def test_all_options_are_copied():
    given = {key for options in SETS.values() for key in options}
    assert given >= OPTIONS.keys()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("form", FORMS)
def test_a_copy_works_on_the_parameters_copied_with_it(form, order, way):
    params = FORMS[form]()
    opt = fo.AdamW([{"params": params, "lr": 0.1}], ema=0.5) if form != "named" else fo.AdamW(params, lr=0.1, ema=0.5)
    advance(opt, 0, 7)
    pair = (params, opt)
    copied = WAYS[way]([pair[i] for i in order])
    params_twin, twin = (copied[order.index(i)] for i in (0, 1))
    assert type(params_twin) is type(params)
    for ours, theirs in zip(twin._arrays(), values(params_twin), strict=True):
        assert ours is theirs
    for ours, theirs in zip(opt._arrays(), twin._arrays(), strict=True):
        assert not np.shares_memory(ours, theirs)
    assert twin.param_groups[0].get("param_names") == opt.param_groups[0].get("param_names")
    assert_continues_alike(opt, twin)
    for a, b in zip(values(params), values(params_twin), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_copy_works_on_the_flat_buffer_copied_with_it(order, way):
    p = flat()
    opt = fo.Adam(p.flat, lr=0.1)
    advance(opt, 0, 3)
    pair = (p, opt)
    copied = WAYS[way]([pair[i] for i in order])
    q, twin = (copied[order.index(i)] for i in (0, 1))
    assert twin._arrays()[0] is q.flat
    before = q["W"].copy()
    advance(twin, 3, 4)
    assert (q["W"] != before).all()
    np.testing.assert_array_equal(p["W"], before)


def test_flat_parameters_from_buffers_out_of_band_are_writeable():
    buffers = []
    pickled = pickle.dumps((p := flat(), fo.Adam(p)), protocol=5, buffer_callback=buffers.append)
    assert buffers
    q, twin = pickle.loads(pickled, buffers=[bytes(buffer) for buffer in buffers])
    q.grad["b"] = 1
    twin.step()
    assert (q["b"] != p["b"]).all()


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_found_by_a_copy(way):
    for params in (parameters(), flat()):
        opt = fo.SGD(params, lr=1.0)
        twin_params, twin = WAYS[way]((params, opt))
        if isinstance(params, fo.FlatParams):
            twin_params.grad.flat[...] = 1
        else:
            for parameter in twin_params:
                parameter.grad = np.ones_like(parameter.data)
        before = [array.copy() for array in opt._arrays()]
        twin.step()
        twin.zero_grad()
        for ours, theirs, old in zip(opt._arrays(), twin._arrays(), before, strict=True):
            np.testing.assert_array_equal(ours, old)
            np.testing.assert_array_equal(theirs, old - np.float32(1))


def test_an_optimizer_copied_alone_has_parameters_of_its_own():
    for form in FORMS.values():
        params = form()
        opt = fo.SGD(params, lr=1.0)
        for way in WAYS.values():
            twin = way(opt)
            before = [array.copy() for array in values(params)]
            twin.step([np.ones_like(array) for array in before])
            for old, here, there in zip(before, values(params), twin._arrays(), strict=True):
                np.testing.assert_array_equal(here, old)
                np.testing.assert_array_equal(there, old - np.float32(1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda opt: fo.lr_scheduler.StepLR(opt, 3, gamma=0.5),
        lambda opt: fo.lr_scheduler.CosineAnnealingLR(opt, 20, eta_min=1e-4),
    ],
)
def test_a_copied_scheduler_drives_the_copied_optimizer(make, alone, way):
    opt = fo.Adam([{"params": listed()[:1]}, {"params": listed()[1:], "lr": 0.3}], lr=0.1)
    scheduler = make(opt)

    def run(opt, scheduler, start, stop):
        for step in range(start, stop):
            advance(opt, step, step + 1)
            scheduler.step()

    run(opt, scheduler, 0, 7)
    if alone:
        other = WAYS[way](scheduler)
        twin = other.optimizer
    else:
        twin, other = WAYS[way]((opt, scheduler))
    assert other.optimizer is twin
    before = bits(opt)
    run(twin, other, 7, 15)
    np.testing.assert_equal(bits(opt), before)
    assert scheduler.last_epoch == 7
    run(opt, scheduler, 7, 15)
    np.testing.assert_equal(bits(opt), bits(twin))
    np.testing.assert_equal(other.state_dict(), scheduler.state_dict())
    assert other.get_last_lr() == scheduler.get_last_lr()


def test_a_shallow_copy_shares_the_parameters_alone():
    w = np.ones(3)
    opt = fo.Adam(w, lr=0.1)
    opt.step(np.ones(3))
    twin = copy.copy(opt)
    twin.param_groups[0]["lr"] = 0.5
    before = opt.state_dict()
    twin.step(np.ones(3))
    np.testing.assert_equal(opt.state_dict(), before)
    assert twin._arrays()[0] is w


# Faults that once were.


def test_an_option_taken_from_a_group_by_hand_stays_away():
    opt = fo.SGD(np.ones(3), lr=0.1, momentum=0.9, l1=0.5)
    del opt.param_groups[0]["l1"]
    for way in WAYS.values():
        twin = way(opt)
        assert "l1" not in twin.param_groups[0]
        assert twin.defaults == opt.defaults


def test_a_copy_does_not_go_through_the_hooks_of_the_state_dict():
    opt = fo.SGD(np.ones(3), lr=0.1, momentum=0.9)
    opt.step(np.ones(3))
    calls = []
    opt.register_state_dict_pre_hook(lambda o: calls.append("before"))
    opt.register_state_dict_post_hook(lambda o, d: {"mine": d})
    twin = copy.deepcopy(opt)
    assert not calls
    np.testing.assert_array_equal(twin.state[0]["momentum_buffer"], [1, 1, 1])
    assert twin.state_dict().keys() == {"state", "param_groups"}


def test_the_norm_of_the_last_gradients_is_copied():
    opt = fo.SGD(np.ones(4), lr=0.1, clip_norm=1.0)
    opt.step(np.ones(4))
    for way in WAYS.values():
        assert way(opt).last_grad_norm == 2.0
