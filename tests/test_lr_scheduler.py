"""Every schedule of fastopt.lr_scheduler against its oracle and torch; resuming in any order; groups added later."""

import itertools

import numpy as np
import oracles
import pytest

import fastopt as fo

SCHEDULERS = [name for name in fo.lr_scheduler.__all__ if name != "LRScheduler"]
ARGUMENTS = {
    "StepLR": [{"step_size": 1}, {"step_size": 7, "gamma": 0.5}, {"step_size": 30, "gamma": 1.5}],
    "CosineAnnealingLR": [{"T_max": 1}, {"T_max": 50}, {"T_max": 33, "eta_min": 0.01}, {"T_max": 200}],
}
CASES = [(name, arguments) for name in SCHEDULERS for arguments in ARGUMENTS[name]]


def optimizer():
    return fo.SGD([{"params": np.zeros(2)}, {"params": np.zeros(3), "lr": 0.3}], lr=1.0)


def schedule(name, opt, arguments):
    return getattr(fo.lr_scheduler, name)(opt, **arguments)


def rates(opt):
    return [group["lr"] for group in opt.param_groups]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_schedule_follows_its_oracle(name, arguments):
    opt = optimizer()
    sched = schedule(name, opt, arguments)
    arguments = {"gamma": 0.1, **arguments} if name == "StepLR" else {"eta_min": 0.0, **arguments}
    for epoch in range(101):
        expected = [getattr(oracles, name)(base, epoch, **arguments) for base in (1.0, 0.3)]
        np.testing.assert_allclose(rates(opt), expected, rtol=1e-14, atol=1e-16)
        assert sched.get_last_lr() == rates(opt) == sched.get_lr()
        assert sched.last_epoch == epoch
        sched.step()
    assert sched.base_lrs == [1.0, 0.3]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_schedule_agrees_with_torch(name, arguments):
    torch = pytest.importorskip("torch")
    opt = optimizer()
    sched = schedule(name, opt, arguments)
    groups = [{"params": [torch.zeros(2)]}, {"params": [torch.zeros(3)], "lr": 0.3}]
    peer_opt = torch.optim.SGD(groups, lr=1.0)
    peer = getattr(torch.optim.lr_scheduler, name)(peer_opt, **arguments)
    for _ in range(100):
        np.testing.assert_allclose(rates(opt), rates(peer_opt), rtol=1e-9, atol=1e-12)
        sched.step()
        peer.step()


def resumed(name, arguments, states, order):
    """An optimizer and its scheduler, built and loaded in the given order of 'optimizer', 'build', 'scheduler'."""
    opt = optimizer()
    sched = None
    for stage in order:
        if stage == "optimizer":
            opt.load_state_dict(states[0])
        elif stage == "build":
            sched = schedule(name, opt, arguments)
        else:
            sched.load_state_dict(states[1])
    return opt, sched


ORDERS = [
    order
    for order in itertools.permutations(("optimizer", "build", "scheduler"))
    if order.index("build") < order.index("scheduler")
]


@pytest.mark.parametrize("order", [*ORDERS, ("build", "scheduler")])
@pytest.mark.parametrize("stop", [0, 1, 29, 33, 60])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_resumed_in_any_order_equals_uninterrupted(name, arguments, stop, order):
    opt = optimizer()
    sched = schedule(name, opt, arguments)
    for _ in range(stop):
        sched.step()
    states = opt.state_dict(), sched.state_dict()
    again, resumed_sched = resumed(name, arguments, states, order)
    assert resumed_sched.last_epoch == stop
    for _ in range(40):
        assert rates(again) == rates(opt)
        assert resumed_sched.get_last_lr() == sched.get_last_lr()
        sched.step()
        resumed_sched.step()


def test_a_state_survives_a_file(tmp_path):
    opt = optimizer()
    sched = fo.lr_scheduler.CosineAnnealingLR(opt, T_max=10)
    sched.step()
    fo.save(tmp_path / "state.npz", sched=sched)
    other = fo.lr_scheduler.CosineAnnealingLR(optimizer(), T_max=99)
    other.load_state_dict(fo.load(tmp_path / "state.npz")["sched"])
    assert other.T_max == 10
    assert other.get_last_lr() == sched.get_last_lr()


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_groups_added_later_are_scheduled_from_their_own_rate(name, arguments):
    opt = optimizer()
    sched = schedule(name, opt, arguments)
    sched.step()
    opt.add_param_group({"params": np.zeros(4), "lr": 1.0})
    sched.step()
    assert rates(opt)[2] == rates(opt)[0]
    assert sched.base_lrs == [1.0, 0.3, 1.0]


def test_a_rate_set_by_hand_holds_until_the_next_step():
    opt = optimizer()
    sched = fo.lr_scheduler.StepLR(opt, 2, 0.5)
    opt.param_groups[0]["lr"] = 7.0
    assert sched.get_last_lr()[0] == 1.0
    state = sched.state_dict()
    fresh = fo.lr_scheduler.StepLR(optimizer(), 2, 0.5)
    fresh.load_state_dict(state)
    assert rates(fresh.optimizer)[0] == 7.0
    sched.step()
    assert rates(opt)[0] == 1.0


def test_print_lr_prints_each_group(capsys):
    fo.lr_scheduler.StepLR(optimizer(), 2).print_lr()
    assert capsys.readouterr().out == (
        "Epoch 0: learning rate of group 0 is 1.0000e+00.\nEpoch 0: learning rate of group 1 is 3.0000e-01.\n"
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fo.lr_scheduler.StepLR(3.0, 2), TypeError, "float is not an Optimizer"),
        (lambda: fo.lr_scheduler.StepLR(optimizer(), 0), ValueError, "Invalid step_size: 0"),
        (lambda: fo.lr_scheduler.StepLR(optimizer(), 2.0), TypeError, "needs an int for step_size, not 2.0"),
        (lambda: fo.lr_scheduler.StepLR(optimizer(), 2, -0.1), ValueError, "Invalid gamma: -0.1"),
        (lambda: fo.lr_scheduler.StepLR(optimizer(), 2, last_epoch=3), KeyError, "param 'initial_lr' is not specified"),
        (lambda: fo.lr_scheduler.StepLR(optimizer(), 2, last_epoch=-2), ValueError, "last_epoch must be"),
        (
            lambda: fo.lr_scheduler.StepLR(fo.SGD(np.zeros(2), lr=lambda taken: 0.1), 2),
            TypeError,
            r"lr of param_groups\[0\] is a callable",
        ),
        (lambda: fo.lr_scheduler.CosineAnnealingLR(optimizer(), 0), ValueError, "Invalid T_max: 0"),
        (lambda: fo.lr_scheduler.CosineAnnealingLR(optimizer(), 5, -1.0), ValueError, "Invalid eta_min"),
    ],
)
def test_bad_arguments_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_state_that_does_not_fit_changes_nothing():
    opt = optimizer()
    sched = fo.lr_scheduler.StepLR(opt, 2)
    state = sched.state_dict()
    with pytest.raises(ValueError, match="lacks 'T_max'"):
        fo.lr_scheduler.CosineAnnealingLR(optimizer(), 5).load_state_dict(state)
    with pytest.raises(ValueError, match="the state has 1 groups, the optimizer 2"):
        sched.load_state_dict({**state, "last_epoch": 9, "base_lrs": [1.0], "_last_lr": [1.0]})
    for spoiled in ({"step_size": 0}, {"last_epoch": "a"}, {"_last_lr": ["a", "b"]}):
        with pytest.raises(ValueError, match="the state does not fit a StepLR"):
            sched.load_state_dict({**state, **spoiled})
    with pytest.raises(TypeError, match="a state dict is a mapping, not int"):
        sched.load_state_dict(3)
    assert sched.last_epoch == 0
    assert sched.state_dict() == state


def test_a_rate_that_overflows_leaves_the_epoch():
    sched = fo.lr_scheduler.StepLR(optimizer(), np.int64(1), gamma=1e200)
    sched.step()
    with pytest.raises(OverflowError):
        sched.step()
    assert sched.last_epoch == 1
