"""The oracles, held to figures worked by hand, to numerical derivatives and to live torch."""

from itertools import product

import numpy as np
import optim_oracles
import oracles
import pytest
from numpy.testing import assert_allclose

EXACT = 1e-15
PEER = 1e-12

BETAS = ((0.9, 0.999), (0.5, 0.8))
BOTH = (False, True)
TORCH = {  # every combination of these, and the defaults, is held to torch
    "SGD": {
        "lr": (0.1,),
        "momentum": (0, 0.9),
        "dampening": (0, 0.5),
        "weight_decay": (0, 0.1),
        "nesterov": BOTH,
        "maximize": BOTH,
    },
    "ASGD": {
        "lr": (0.1,),
        "lambd": (1e-4, 0.1),
        "alpha": (0.75, 0.5),
        "t0": (1e6, 5.0),
        "weight_decay": (0, 0.1),
        "maximize": BOTH,
    },
    "Rprop": {
        "lr": (0.1,),
        "etas": ((0.5, 1.2), (0.3, 1.5)),
        "step_sizes": ((1e-6, 50), (0.05, 0.2)),
        "maximize": BOTH,
    },
    "Adagrad": {
        "lr": (0.1,),
        "lr_decay": (0, 0.1),
        "weight_decay": (0, 0.1),
        "initial_accumulator_value": (0, 0.5),
        "eps": (1e-10, 0.1),
        "maximize": BOTH,
    },
    "Adadelta": {"rho": (0.9, 0.5), "eps": (1e-6, 0.1), "weight_decay": (0, 0.1), "maximize": BOTH},
    "RMSprop": {
        "alpha": (0.99, 0.5),
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "momentum": (0, 0.9),
        "centered": BOTH,
        "maximize": BOTH,
    },
    "Adam": {
        "lr": (0.01,),
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "amsgrad": BOTH,
        "maximize": BOTH,
        "decoupled_weight_decay": BOTH,
    },
    "AdamW": {
        "lr": (0.01,),
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "amsgrad": BOTH,
        "maximize": BOTH,
    },
    "Adamax": {"betas": BETAS, "eps": (1e-8, 0.1), "weight_decay": (0, 0.1), "maximize": BOTH},
    "NAdam": {
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "momentum_decay": (4e-3, 0.1),
        "decoupled_weight_decay": BOTH,
        "maximize": BOTH,
    },
    "RAdam": {
        "betas": (*BETAS, (0.9, 0.6)),  # the last never rectifies
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "decoupled_weight_decay": BOTH,
        "maximize": BOTH,
    },
    "Adafactor": {
        "lr": (0.01, 2.0),
        "beta2_decay": (-0.8, -0.5),
        "eps": ((None, 1e-3), (1e-2, 0.5)),
        "d": (1.0, 1.2),
        "weight_decay": (0, 0.1),
        "maximize": BOTH,
    },
    "Muon": {
        "lr": (0.01,),
        "weight_decay": (0, 0.1),
        "momentum": (0.95, 0.5),
        "nesterov": BOTH,
        "ns_steps": (5, 2),
        "adjust_lr_fn": (None, "original", "match_rms_adamw"),
    },
}
OPTIMIZERS = [
    (name, options)
    for name, table in TORCH.items()
    for options in ({}, *(dict(zip(table, values, strict=True)) for values in product(*table.values())))
    if not options.get("nesterov") or (options["momentum"] and not options.get("dampening"))
]
SHAPES = {"Muon": ((3, 3), (4, 2), (2, 5))}  # torch's takes matrices only
ONE_RATE = ("ASGD",)  # torch's takes a new rate one step late
CROSS_ENTROPY_OPTIONS = [
    {"weight": w, "reduction": r, "label_smoothing": s}
    for w, r, s in product((None, [1.0, 2.0, 0.0, 0.5]), ("none", "sum", "mean"), (0.0, 0.1, 1.0))
]
CLASS_SHAPES = [(4,), (1, 4), (5, 4), (3, 4, 2), (2, 4, 3, 2)]


def targets(rng, shape, kind, ignore_index=-100):
    """Class indices, a fair share of them ignored, or probabilities, for an input of `shape`."""
    if kind == "probabilities":
        q = rng.random(shape)
        return q / q.sum(axis=min(1, len(shape) - 1), keepdims=True)
    y = rng.integers(4, size=shape[:1] + shape[2:] if len(shape) > 1 else ())
    return np.where(rng.random(y.shape) < 0.2, ignore_index, y)


def complex_step(loss, z, target):
    """Gradient of the sum of loss(z, target), by an imaginary step: no cancellation."""
    grad = np.empty_like(z)
    for i in np.ndindex(z.shape):
        step = z.astype(complex)
        step[i] += 1e-30j
        grad[i] = np.sum(loss(step, target)).imag / 1e-30
    return grad


def test_sgd_with_momentum_matches_the_sequence_worked_by_hand():
    # buffer: 1, 0.5*1 + 0.75*1 = 1.25, 0.5*1.25 + 0.75*2 = 2.125; each step subtracts half of it
    sgd, p = optim_oracles.SGD(lr=0.5, momentum=0.5, dampening=0.25), np.array([1.0])
    seen = []
    for g in (1.0, 1.0, 2.0):
        sgd.step([p], [np.array([g])])
        seen.append((sgd.state[0]["momentum_buffer"].item(), p.item()))
    assert seen == [(1.0, 0.5), (1.25, -0.125), (2.125, -1.1875)]


def test_sgd_with_nesterov_looks_ahead():
    sgd, p = optim_oracles.SGD(lr=0.5, momentum=0.5, nesterov=True), np.array([1.0])
    sgd.step([p], [np.array([1.0])])
    assert p == 1 - 0.5 * (1 + 0.5 * 1)
    sgd.step([p], [np.array([1.0])])
    assert p == 0.25 - 0.5 * (1 + 0.5 * 1.5)


def test_sgd_decays_towards_zero_whichever_way_it_goes():
    for maximize, expected in ((False, 2 - 0.5 * (1 + 0.5)), (True, 2 - 0.5 * (1 - 0.5))):
        p = np.array([2.0])
        optim_oracles.SGD(lr=0.5, weight_decay=0.5, maximize=maximize).step([p], [np.array([0.5])])
        assert p == expected


def test_first_adam_step_is_lr_against_the_sign():
    p, g = np.zeros(3), np.array([1e3, -1.0, 1e-3])
    optim_oracles.Adam(lr=0.1, eps=1e-8).step([p], [g])
    assert_allclose(p, -0.1 * g / (np.abs(g) + 1e-8), rtol=EXACT)


def test_second_adam_step_matches_the_fractions_worked_by_hand():
    # beta1 = 1/2, beta2 = 3/4, g = 1 then -2: m = -3/4, v = 19/16, corrected by 3/4 and 7/16
    adam, p = optim_oracles.Adam(lr=1.0, betas=(0.5, 0.75), eps=0.0), np.zeros(1)
    adam.step([p], [np.array([1.0])])
    adam.step([p], [np.array([-2.0])])
    assert adam.state[0]["exp_avg"] == -0.75
    assert adam.state[0]["exp_avg_sq"] == 19 / 16
    assert_allclose(p, -1 + np.sqrt(7 / 19), rtol=EXACT)


def test_amsgrad_remembers_the_largest_second_moment():
    adam, p = optim_oracles.Adam(lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=True), np.zeros(1)
    adam.step([p], [np.array([2.0])])
    adam.step([p], [np.array([1.0])])  # v = 1.5 < 2, corrected by 3/4
    assert adam.state[0]["max_exp_avg_sq"] == 2
    assert_allclose(p, -1 - 1 / np.sqrt(2 / 0.75), rtol=EXACT)


def test_adamw_decays_the_weight_and_adam_the_gradient():
    w, adam = np.array([2.0]), np.array([2.0])
    optim_oracles.AdamW(lr=0.1, weight_decay=0.5, eps=0.0).step([w], [np.array([1.0])])
    optim_oracles.Adam(lr=0.1, weight_decay=0.5, eps=0.0).step([adam], [np.array([-3.0])])
    assert_allclose(w, 2 * (1 - 0.05) - 0.1, rtol=EXACT)
    assert_allclose(adam, 2 + 0.1, rtol=EXACT)  # g = -3 + 0.5*2 < 0


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_missing_gradient_leaves_parameter_state_and_count_alone(name):
    optimizer = getattr(optim_oracles, name)(lr=0.1)
    p, q = np.ones(2), np.ones(2)
    optimizer.step([p, q], [np.ones(2), None])
    assert (q == 1).all() and optimizer.state[1] == {}
    optimizer.step([p, q], [np.ones(2), np.ones(2)])
    assert optimizer.state[1].get("step", 1) == 1


def test_mean_squared_error_by_hand():
    z, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    assert oracles.MSELoss()(z, y) == 3.5
    assert oracles.MSELoss("sum")(z, y) == 14
    assert (oracles.MSELoss("none")(z, y) == [[0, 1], [4, 9]]).all()
    assert (oracles.MSELoss().grad(z, y) == [[0, 0.5], [1, 1.5]]).all()
    assert (oracles.MSELoss("none").grad(z, y) == [[0, 2], [4, 6]]).all()
    assert np.isnan(oracles.MSELoss()(np.ones(0), np.ones(0)))


def test_cross_entropy_by_hand():
    z, y = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]]), np.array([0, 1, 1])
    a, b = np.log1p(np.e), np.log1p(np.exp(-2))
    atol = 4 * np.spacing(3.0)  # of each logsumexp, near 3; one weight is 2
    assert_allclose(oracles.CrossEntropyLoss(reduction="none")(z, y), [a, b, b], rtol=0, atol=atol)
    assert_allclose(oracles.CrossEntropyLoss()(z, y), (a + 2 * b) / 3, rtol=0, atol=atol)
    weighted = {r: oracles.CrossEntropyLoss([1, 2], reduction=r) for r in ("none", "sum", "mean")}
    assert_allclose(weighted["none"](z, y), [a, 2 * b, 2 * b], rtol=0, atol=atol)
    assert_allclose(weighted["sum"](z, y), a + 4 * b, rtol=0, atol=atol)
    assert_allclose(weighted["mean"](z, y), (a + 4 * b) / 5, rtol=0, atol=atol)
    assert_allclose(weighted["none"](z, y), [1.3133, 0.2539, 0.2539], atol=5e-5)
    assert_allclose(weighted["sum"](z, y), 1.8210, atol=5e-5)
    assert_allclose(weighted["mean"](z, y), 0.3642, atol=5e-5)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    z = np.log([[1.0, 2.0, 5.0]])
    hard = oracles.CrossEntropyLoss(label_smoothing=0.3)(z, np.array([2]))
    soft = oracles.CrossEntropyLoss()(z, np.array([[0.1, 0.1, 0.8]]))
    assert_allclose([hard, soft], -(0.1 * np.log(2 / 64) + 0.8 * np.log(5 / 8)), rtol=EXACT)


def test_ignored_targets_count_as_absent():
    rng = np.random.default_rng(5)
    z, y = rng.normal(size=(6, 3)), np.array([0, 1, 2, 1, 0, 1])
    for reduction in ("sum", "mean"):
        options = {"weight": [1, 2, 3], "reduction": reduction, "label_smoothing": 0.3}
        ignoring = oracles.CrossEntropyLoss(ignore_index=1, **options)
        absent, kept = oracles.CrossEntropyLoss(**options), y != 1
        assert_allclose(ignoring(z, y), absent(z[kept], y[kept]), rtol=1e-14)
        assert_allclose(ignoring.grad(z, y)[kept], absent.grad(z[kept], y[kept]), rtol=1e-14)
        assert not ignoring.grad(z, y)[~kept].any()


@pytest.mark.parametrize("n", [0, 3])
def test_cross_entropy_of_nothing_is_nan_with_a_zero_gradient(n):
    z, y = np.ones((n, 2)), np.full(n, -100)
    loss = oracles.CrossEntropyLoss()
    assert np.isnan(loss(z, y))
    assert loss.grad(z, y).shape == (n, 2) and not loss.grad(z, y).any()
    assert oracles.CrossEntropyLoss(reduction="sum")(z, y) == 0


def test_cross_entropy_survives_classes_ruled_out():
    z = np.array([[0.0, 0.0, -np.inf]])
    for target in (np.array([1]), np.array([[0.0, 1.0, 0.0]])):
        assert_allclose(oracles.CrossEntropyLoss()(z, target), np.log(2), rtol=EXACT)
        assert_allclose(oracles.CrossEntropyLoss().grad(z, target), [[0.5, -0.5, 0]], rtol=EXACT)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_gradient_of_mean_squared_error_is_its_derivative(reduction):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(2, 3, 4))
    loss = oracles.MSELoss(reduction)
    assert_allclose(loss.grad(z, y), complex_step(loss, z, y), rtol=1e-14)


@pytest.mark.parametrize("shape", CLASS_SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
@pytest.mark.parametrize("options", CROSS_ENTROPY_OPTIONS, ids=str)
def test_gradient_of_cross_entropy_is_its_derivative(options, kind, shape):
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=shape), targets(rng, shape, kind)
    loss = oracles.CrossEntropyLoss(**options)
    if not np.isnan(loss(z, y)).any():
        assert_allclose(loss.grad(z, y), complex_step(loss, z, y), rtol=0, atol=1e-14)


def test_schedules_by_hand():
    step = [oracles.StepLR(1.0, t, step_size=2, gamma=0.5) for t in range(6)]
    assert step == [1, 1, 0.5, 0.5, 0.25, 0.25]
    cosine = [oracles.CosineAnnealingLR(1.0, t, T_max=3, eta_min=0.2) for t in range(7)]
    assert_allclose(cosine, [1.0, 0.8, 0.4, 0.2, 0.4, 0.8, 1.0], rtol=EXACT)


@pytest.fixture
def torch(monkeypatch):
    """torch, computing in double also where it has float32 scalars (ASGD, NAdam) and bfloat16 matrices (Muon)."""
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    yield torch
    torch.set_default_dtype(torch.float32)


def assert_same_run(ours, theirs, state, peer_state):
    for p, q, mine in zip(ours, theirs, state, strict=True):
        assert_allclose(p, q.detach().numpy(), rtol=0, atol=PEER * np.abs(p).max())
        assert mine.keys() == peer_state[q].keys()
        for key, value in mine.items():
            assert_allclose(value, peer_state[q][key], rtol=0, atol=PEER * np.abs(value).max())


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_optimizer_follows_torch(torch, name, options):
    rng = np.random.default_rng(2)
    ours = [rng.normal(size=shape) for shape in SHAPES.get(name, ((), 3, (4, 5)))]
    theirs = [torch.tensor(p, requires_grad=True) for p in ours]
    optimizer = getattr(optim_oracles, name)(**options)
    peer = getattr(torch.optim, name)(theirs, **options)
    for t in range(50):
        grads = [rng.normal(size=p.shape) if rng.random() < 0.9 else None for p in ours]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = None if g is None else torch.tensor(g)
        if t == 25 and name not in ONE_RATE:
            optimizer.lr = peer.param_groups[0]["lr"] = 0.02
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.8), "eps": 0.1, "maximize": True}], ids=str)
def test_sparse_adam_follows_torch(torch, options):
    rng = np.random.default_rng(6)
    ours = [rng.normal(size=(6, 2)), rng.normal(size=4)]
    theirs = [torch.tensor(p, requires_grad=True) for p in ours]
    optimizer, peer = optim_oracles.SparseAdam(**options), torch.optim.SparseAdam(theirs, **options)
    for t in range(50):
        rows = [rng.integers(len(p), size=t % 5) for p in ours]  # some twice, and every fifth time none
        grads = [(i, rng.normal(size=(len(i), *p.shape[1:]))) for i, p in zip(rows, ours, strict=True)]
        for p, (i, values) in zip(theirs, grads, strict=True):
            p.grad = torch.sparse_coo_tensor(i[None], values, p.shape, check_invariants=True)
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
def test_adafactor_follows_torch_in_more_dimensions(torch):
    rng = np.random.default_rng(7)
    ours = [rng.normal(size=(2, 3, 4))]
    theirs = [torch.tensor(ours[0], requires_grad=True)]
    optimizer, peer = optim_oracles.Adafactor(), torch.optim.Adafactor(theirs)
    for _ in range(10):
        grads = [rng.normal(size=(2, 3, 4))]
        theirs[0].grad = torch.tensor(grads[0])
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
@pytest.mark.parametrize("shape", CLASS_SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["indices", "ignoring class 1", "probabilities"])
@pytest.mark.parametrize("options", CROSS_ENTROPY_OPTIONS, ids=str)
def test_cross_entropy_follows_torch(options, kind, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    ignore_index = 1 if kind == "ignoring class 1" else -100
    z, y = 10 * rng.normal(size=shape), targets(rng, shape, kind, ignore_index)
    options = options | {"ignore_index": ignore_index}
    loss = oracles.CrossEntropyLoss(**options)
    weight = options["weight"] and torch.tensor(options["weight"], dtype=torch.float64)
    peer = torch.nn.CrossEntropyLoss(**options | {"weight": weight})
    z_peer = torch.tensor(z, requires_grad=True)
    value = peer(z_peer, torch.tensor(y))
    value.sum().backward()
    expected = value.detach().numpy()
    rounding = 4 * np.spacing(np.abs(z).max())  # of log p = z - logsumexp(z), however small
    assert_allclose(loss(z, y), expected, rtol=PEER, atol=rounding)
    if not np.isnan(expected).any():
        assert_allclose(loss.grad(z, y), z_peer.grad.numpy(), rtol=0, atol=PEER)


@pytest.mark.peers
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_mean_squared_error_follows_torch(reduction):
    torch = pytest.importorskip("torch")
    z, y = np.random.default_rng(4).normal(size=(2, 3, 4))
    z_peer = torch.tensor(z, requires_grad=True)
    value = torch.nn.MSELoss(reduction=reduction)(z_peer, torch.tensor(y))
    value.sum().backward()
    loss = oracles.MSELoss(reduction)
    assert_allclose(loss(z, y), value.detach().numpy(), rtol=PEER)
    assert_allclose(loss.grad(z, y), z_peer.grad.numpy(), rtol=PEER)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 1}),
        ("StepLR", {"step_size": 7, "gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 1}),
        ("CosineAnnealingLR", {"T_max": 30, "eta_min": 0.01}),
        ("CosineAnnealingLR", {"T_max": 200}),
    ],
    ids=str,
)
def test_schedule_follows_torch(name, options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    for t in range(100):
        ours = getattr(oracles, name)(0.5, t, **options)
        assert_allclose(ours, scheduler.get_last_lr()[0], rtol=PEER, atol=PEER)
        optimizer.step()
        scheduler.step()
