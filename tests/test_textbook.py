"""Optimizers do what textbooks say of them, by closed forms; and they print as torch's do."""

import numpy as np
import pytest

import fastopt as fo

EPS = np.finfo(np.float64).eps


def path(opt, x, steps, slope=8.0):
    """x at the start and after each of `steps` steps down the parabola with that second derivative, y = (2 x)^2."""
    xs = [x.copy()]
    for _ in range(steps):
        opt.step(slope * x)
        xs.append(x.copy())
    return np.stack(xs)


def descend(steps, slope=8.0, start=1.0, **settings):
    x = np.array([start])
    return path(fo.SGD(x, **settings), x, steps, slope)[:, 0]


def test_gradient_descent_lands_in_one_step_at_one_over_the_curvature():
    assert descend(1, lr=0.125)[1] == 0


def test_gradient_descent_swings_without_damping_at_two_over_the_curvature():
    np.testing.assert_array_equal(descend(100, lr=0.25), np.resize([1.0, -1.0], 101))


def test_gradient_descent_diverges_above_that_and_converges_below():
    above, below = np.abs(descend(1000, lr=0.255)), np.abs(descend(1000, lr=0.245))
    assert (np.diff(above) > 0).all() and above[-1] > 1e15
    assert (np.diff(below) < 0).all() and below[-1] < 1e-15


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("lr", [0.002, 0.03, 0.1, 0.2])
def test_momentum_follows_its_recurrence(lr, nesterov):
    momentum, a = 0.9, 1 - 8 * lr
    if nesterov:  # x'' = (1 + momentum) a x' - momentum a x
        trace, determinant, first = (1 + momentum) * a, momentum * a, 1 - 8 * lr * (1 + momentum)
    else:  # x'' = (1 + momentum - 8 lr) x' - momentum x
        trace, determinant, first = a + momentum, momentum, a
    t = np.arange(301)
    half = np.emath.sqrt(trace**2 / 4 - determinant)
    root, other = trace / 2 + half, trace / 2 - half
    share = (first - other) / (root - other)
    expected = share * root**t + (1 - share) * other**t
    # A rounding error of one step grows or shrinks with the larger root, and by the distance of the roots.
    size = max(abs(root), abs(other)) ** t * (1 + abs(share) + abs(1 - share))
    error = descend(300, lr=lr, momentum=momentum, nesterov=nesterov) - expected
    assert (np.abs(error) <= 4 * EPS * (1 + t) * size / abs(root - other)).all()


def test_nesterov_damps_what_heavy_ball_lets_swing():
    heavy, nesterov = (descend(40, lr=0.12, momentum=0.9, nesterov=nesterov) for nesterov in (False, True))
    assert (np.diff(np.sign(heavy)) != 0).sum() > 10
    assert np.abs(heavy[-5:]).max() > 0.1
    assert np.abs(nesterov[-1]) < 1e-12


def test_momentum_pays_on_an_ill_conditioned_quadratic_as_theory_says():
    condition, steps = 1000.0, 400
    slopes = np.geomspace(1 / condition, 1, 20)
    root = np.sqrt(condition)
    ends = []
    for settings in (
        {"lr": 2 / (1 + 1 / condition)},
        {"lr": 1.0, "momentum": (root - 1) / (root + 1), "nesterov": True},
        {"lr": 4 / (1 + 1 / root) ** 2, "momentum": ((root - 1) / (root + 1)) ** 2},
    ):
        x = np.ones(20)
        xs = path(fo.SGD(x, **settings), x, steps, slopes)
        ends.append((slopes * xs**2).sum(axis=1)[-1] / 2)
    plain, nesterov, heavy = ends
    start = slopes.sum() / 2
    assert plain <= ((condition - 1) / (condition + 1)) ** (2 * steps) * start
    assert nesterov <= (1 - 1 / root) ** steps * (start + 20 / condition / 2)
    assert heavy < nesterov / 100 < plain / 10000


def test_each_group_has_its_own_rate():
    slow, fast = np.array([1.0, -2.0]), np.array([4.0])
    opt = fo.SGD([{"params": slow, "lr": 0.0625}, {"params": [fast]}], lr=0.125)
    opt.step([8 * slow, 8 * fast])
    np.testing.assert_array_equal(slow, [0.5, -1.0])
    np.testing.assert_array_equal(fast, [0.0])
    opt.param_groups[1]["lr"] = 0.5
    opt.step([np.ones(2), np.ones(1)])
    np.testing.assert_array_equal(slow, [0.4375, -1.0625])
    np.testing.assert_array_equal(fast, [-0.5])


@pytest.mark.parametrize("scale", [1e-100, 1e-5, 1.0, 1e7, 1e100])
def test_the_first_step_of_adam_is_the_rate_whatever_the_scale_of_the_gradient(scale):
    gradient = scale * np.array([-3.0, 0.5, 1.0, -1.0])
    x = np.zeros(4)
    fo.Adam(x, lr=0.1, eps=0).step(gradient)
    np.testing.assert_allclose(x, -0.1 * np.sign(gradient), rtol=8 * EPS)


def test_an_optimizer_prints_as_in_torch():
    opt = fo.SGD([{"params": np.ones(2), "lr": 0.5}, {"params": np.ones(1)}], momentum=0.9)
    assert repr(opt) == (
        "SGD (\n"
        "Parameter Group 0\n    dampening: 0\n    lr: 0.5\n    maximize: False\n    momentum: 0.9\n"
        "    nesterov: False\n    weight_decay: 0\n\n"
        "Parameter Group 1\n    dampening: 0\n    lr: 0.001\n    maximize: False\n    momentum: 0.9\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


# Lines that torch's lack, and why.
EXTRA_LINES = {
    "Muon": {"maximize", "decay_mode"},  # torch's cannot maximize, and knows no other decay
    "Rprop": {"weight_decay"},  # torch's has none
    "SparseAdam": {"weight_decay"},  # likewise
}


@pytest.mark.peers
@pytest.mark.parametrize("name", [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS"}])
def test_groups_print_as_in_torch(name):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, name):
        pytest.skip("torch has none")
    groups = [{"params": [np.ones((2, 2))], "lr": 0.5}, {"params": [np.ones((1, 3))]}]
    tensors = [group | {"params": [torch.tensor(w, requires_grad=True) for w in group["params"]]} for group in groups]
    ours, theirs = getattr(fo, name)(groups), getattr(torch.optim, name)(tensors)
    execution = {"capturable", "differentiable", "foreach", "fused"}

    def lines(opt, without):
        return [line for line in repr(opt).splitlines() if line.partition(":")[0].strip() not in without]

    extra = EXTRA_LINES.get(name, set())
    assert lines(ours, extra) == lines(theirs, execution)
    for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert mine.keys() - extra == other.keys() - execution
        for key in mine.keys() - extra - {"params"}:
            assert mine[key] == other[key] and type(mine[key]) is type(other[key])
