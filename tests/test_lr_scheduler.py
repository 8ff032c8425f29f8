"""Every schedule of fastopt.lr_scheduler against its oracle and torch; resuming in any order; edits; bad input."""

import copy
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import schedule_oracles
from hypothesis import given
from hypothesis import strategies as st
from schedule_cases import (
    BASES,
    CASES,
    COMPOSITES,
    COMPOSITIONS,
    CONSTANT,
    COSINE,
    CYCLE,
    EPOCHS,
    EPS,
    EXCEPTIONS,
    EXPONENTIAL,
    EXPWARM,
    FLOOR,
    INVERSE,
    LAMBDA,
    LINEAR,
    MULTI,
    OF_ITS_OWN,
    ONE,
    PLATEAU,
    POLYNOMIAL,
    RESTARTS,
    REX,
    SINGLE,
    SINGLES,
    STEP,
    SWA,
    TIMES,
    WARM,
    Power,
    build,
    chain,
    expected,
    halves,
    in_torch,
    listed,
    members,
    metrics,
    momenta,
    sequence,
    tolerance,
    torch_optimizer,
    torch_room,
    uses,
    watched,
    wave,
)

import fastopt as fo

SCHEDULERS = [name for name in fo.lr_scheduler.__all__ if name != "LRScheduler"]
IN_TORCH = [key for key, case in CASES.items() if in_torch(case) and key not in EXCEPTIONS]
STOPS = (0, 1, 29, 33, 60)


def room(name):
    return getattr(fo.lr_scheduler, name)


def optimizer(kind="SGD"):
    groups = [{"params": np.zeros(2), "lr": BASES[0]}, {"params": np.zeros(3), "lr": BASES[1]}]
    return getattr(fo, kind)(groups)


def rates(opt, entry="lr"):
    return [group[entry] for group in opt.param_groups]


def options(opt):
    """All of the groups but their arrays."""
    return [{k: v for k, v in group.items() if k != "params"} for group in opt.param_groups]


def momentum(opt):
    return [group["betas"][0] if "betas" in group else group["momentum"] for group in opt.param_groups]


def advance(sched, case, until):
    """The steps that lead to epoch `until`."""
    while sched.last_epoch < until:
        sched.step(*metrics(case, sched.last_epoch + 1))


def test_every_schedule_has_an_oracle_and_a_grid():
    assert {*SINGLE, *COMPOSITES} == set(SCHEDULERS)
    for name in SCHEDULERS:
        assert callable(getattr(schedule_oracles, name))
        assert any(case[0] == name or uses(case, name) for case in CASES.values())


@pytest.mark.parametrize("key", CASES)
def test_schedule_follows_its_oracle(key):
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    for epoch in range(EPOCHS + 1):
        advance(sched, case, epoch)
        np.testing.assert_allclose(rates(opt, watched(case)), expected(case, epoch), **tolerance(case, epoch))
        assert sched.get_last_lr() == rates(opt, watched(case)) == sched.get_lr()
        assert sched.last_epoch == epoch
    if not uses(case, *OF_ITS_OWN, "ParamScheduler"):
        assert sched.base_lrs == list(BASES)


CYCLES = [key for key, (name, row) in SINGLES.items() if name in OF_ITS_OWN and row.get("cycle_momentum", True)]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("key", CYCLES)
def test_momentum_follows_its_oracle(key, kind):
    case = CASES[key]
    opt = optimizer(kind)
    sched = build(room, opt, case)
    for epoch in range(EPOCHS + 1):
        advance(sched, case, epoch)
        np.testing.assert_allclose(momentum(opt), momenta(case, epoch), rtol=0, atol=EPS * (4 + math.pi * epoch))
    assert kind == "SGD" or rates(opt, "betas")[0][1] == 0.999


def test_momentum_is_left_alone_unless_cycled():
    for case in (CASES["CyclicLR 6"], CASES["OneCycleLR 4"]):
        opt = fo.SGD(np.zeros(2), lr=1.0)
        advance(build(room, opt, case), case, 3)
        assert momentum(opt) == [0]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("key", IN_TORCH)
def test_schedule_agrees_with_torch(key, kind):
    pytest.importorskip("torch")
    case = CASES[key]
    opt, peer_opt = optimizer(kind), torch_optimizer(kind)
    sched, peer = build(room, opt, case), build(torch_room, peer_opt, case)
    for epoch in range(EPOCHS):
        np.testing.assert_allclose(rates(opt), rates(peer_opt), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(momentum(opt), momentum(peer_opt), rtol=1e-12)
        advance(sched, case, epoch + 1)
        peer.step(*metrics(case, epoch + 1)) if epoch + 1 < EPOCHS else None


# Edited where nothing of the start is left: the rate holds until the next step; torch goes on from it, or adds to it.
EDITED_AT_THE_END = {"PolynomialLR 0", "PolynomialLR 3", "CosineAnnealingLR 0", "CosineAnnealingLR 2"}
EDITS = {3: (0, 0.5, 0.0), 12: (1, 3.0, 0.05), 33: (0, 1.5, 0.01), 34: (1, 0.25, 0.0)}  # epoch: group, factor, term


def edit(opt, group, factor, term=0.0):
    opt.param_groups[group]["lr"] = factor * opt.param_groups[group]["lr"] + term


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize(
    "key", [key for key in IN_TORCH if CASES[key][0] != "SequentialLR" and key not in EDITED_AT_THE_END]
)
def test_edits_by_hand_last_as_in_torch(key):
    pytest.importorskip("torch")
    case = CASES[key]
    opt, peer_opt = optimizer(), torch_optimizer()
    sched, peer = build(room, opt, case), build(torch_room, peer_opt, case)
    for epoch in range(1, 60):
        advance(sched, case, epoch)
        peer.step(*metrics(case, epoch))
        np.testing.assert_allclose(rates(opt), rates(peer_opt), rtol=1e-9, atol=1e-12, err_msg=f"epoch {epoch}")
        if epoch in EDITS:
            edit(opt, *EDITS[epoch])
            edit(peer_opt, *EDITS[epoch])


SCALING = [LINEAR, STEP, MULTI, CONSTANT, TIMES, EXPONENTIAL, POLYNOMIAL, COSINE, WARM, EXPWARM, INVERSE]


@pytest.mark.parametrize("key", [key for key, case in COMPOSITIONS.items() if all(m in SCALING for m in members(case))])
def test_an_edit_in_a_composite_scales_all_that_follows(key):
    """Beyond a milestone too, where torch forgets it."""
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    bases = list(BASES)
    for epoch in range(60):
        advance(sched, case, epoch)
        rtol = tolerance(case, epoch)["rtol"] + 12 * EPS  # of two edits
        np.testing.assert_allclose(rates(opt), expected(case, epoch, bases), rtol=rtol, err_msg=f"epoch {epoch}")
        if epoch in (3, 33):
            edit(opt, epoch % 2, 0.7)
            bases[epoch % 2] *= 0.7


def test_an_edit_in_a_sequence_lasts_whatever_is_to_come():
    opt, without = optimizer(), optimizer()
    scheds = build(room, opt, sequence([20], STEP, CYCLE)), build(room, without, STEP)
    edit(opt, 0, 0.5)
    edit(without, 0, 0.5)
    for sched in scheds:
        advance(sched, STEP, 19)
    assert rates(opt) == rates(without)


def test_an_edit_where_nothing_of_the_start_is_left_holds_until_the_next_step():
    for case, end in (
        (("PolynomialLR", {"total_iters": 5}), 6),
        (("LinearLR", {"end_factor": 0.0}), 6),
        (("ExponentialLR", {"gamma": 0.1}), 330),
        (("ExponentialLR", {"gamma": 0.1}), 312),
        (("StepLR", {"step_size": 2, "gamma": 0.0}), 4),
    ):
        opt, without = optimizer(), optimizer()
        scheds = build(room, opt, case), build(room, without, case)
        for sched in scheds:
            sched.step(end)
        opt.param_groups[0]["lr"] = 0.5
        for sched in scheds:
            sched.step()
        assert rates(opt) == rates(without), case


def test_an_edit_below_the_floor_of_a_cosine_rises_to_it():
    opt = optimizer()
    sched = fo.lr_scheduler.CosineAnnealingLR(opt, 33, 0.01)
    sched.step(30)
    opt.param_groups[0]["lr"] = 0.005
    for _ in range(3):
        sched.step()
        assert 0.005 < rates(opt)[0] <= 0.01
    for _ in range(33):
        sched.step()
    assert rates(opt)[0] == pytest.approx(1.0, rel=1e-14)


TURNS = [
    (EXPONENTIAL, STEP),
    (EXPONENTIAL, FLOOR),
    (FLOOR, MULTI),
    (LINEAR, COSINE),
    (CONSTANT, TIMES),
    (POLYNOMIAL, TIMES),
    (EXPONENTIAL, ("CosineAnnealingLR", {"T_max": 20})),
    (STEP, SWA),
    (SWA, FLOOR),
    (LAMBDA, EXPONENTIAL),
    (EXPONENTIAL, LAMBDA),
    (RESTARTS, STEP),
    (CYCLE, MULTI),
    (STEP, ONE),
    (LINEAR, PLATEAU),
    (PLATEAU, FLOOR),
]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")
@pytest.mark.parametrize("pair", TURNS, ids=str)
def test_schedulers_in_turn_compose_as_in_torch(pair):
    pytest.importorskip("torch")
    opt, peer_opt = optimizer(), torch_optimizer()
    ours, theirs = [build(room, opt, case) for case in pair], [build(torch_room, peer_opt, case) for case in pair]
    for epoch in range(1, 80):
        np.testing.assert_allclose(rates(opt), rates(peer_opt), rtol=1e-9, atol=1e-12, err_msg=f"epoch {epoch}")
        for case, sched, peer in zip(pair, ours, theirs, strict=True):
            sched.step(*metrics(case, epoch))
            peer.step(*metrics(case, epoch))
            np.testing.assert_allclose(sched.get_last_lr(), peer.get_last_lr(), rtol=1e-9, atol=1e-12)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_the_last_epochs_may_be_left_to_swa_as_in_torch():
    pytest.importorskip("torch")
    opt, peer_opt = optimizer(), torch_optimizer()
    ours, theirs = (
        [build(room, opt, case) for case in (TIMES, SWA)],
        [build(torch_room, peer_opt, case) for case in (TIMES, SWA)],
    )
    for epoch in range(60):
        ours[epoch > 30].step()
        theirs[epoch > 30].step()
        np.testing.assert_allclose(rates(opt), rates(peer_opt), rtol=1e-9)


CLOSED = [key for key, case in SINGLES.items() if case[0] != "ReduceLROnPlateau"]


@pytest.mark.parametrize("key", CLOSED)
def test_a_step_may_go_to_any_epoch(key):
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    for epoch in (5, 40, 39, 0, 7):
        sched.step(epoch)
        assert sched.last_epoch == epoch
        np.testing.assert_allclose(rates(opt, watched(case)), expected(case, epoch), **tolerance(case, epoch))
    sched.step()
    np.testing.assert_allclose(rates(opt, watched(case)), expected(case, 8), **tolerance(case, 8))


@pytest.mark.parametrize("key", [key for key, case in SINGLES.items() if case[0] == "CosineAnnealingWarmRestarts"])
def test_warm_restarts_take_fractions_of_an_epoch(key):
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    for epoch in (0.25, 0.999, 6.75, 10.5, 9.5, 63.25, 49, 4, 3**4, 0):  # 63 and 49 are ends of runs of 7 * 2**n
        sched.step(epoch)
        assert sched.last_epoch == math.floor(epoch)
        np.testing.assert_allclose(rates(opt), expected(case, epoch), **tolerance(case, epoch))


def test_only_warm_restarts_take_fractions_of_an_epoch():
    for key in CLOSED:
        if CASES[key][0] != "CosineAnnealingWarmRestarts":
            opt = optimizer()
            sched = build(room, opt, CASES[key])
            before = options(opt)
            for epoch in (0.5, -1, "1"):
                with pytest.raises((TypeError, ValueError)):
                    sched.step(epoch)
            assert options(opt) == before and sched.last_epoch == 0


def resumed(case, states, order, kind):
    """An optimizer and its scheduler, built and loaded in the given order of 'optimizer', 'build', 'scheduler'."""
    opt = optimizer(kind)
    sched = None
    for stage in order:
        if stage == "optimizer":
            opt.load_state_dict(states[0])
        elif stage == "build":
            sched = build(room, opt, case)
        else:
            sched.load_state_dict(states[1])
    return opt, sched


ORDERS = [
    order
    for order in itertools.permutations(("optimizer", "build", "scheduler"))
    if order.index("build") < order.index("scheduler")
]


@pytest.mark.parametrize("order", [*ORDERS, ("build", "scheduler")], ids=" ".join)
@pytest.mark.parametrize("key", CASES)
def test_resumed_in_any_order_equals_uninterrupted(key, order):
    case = CASES[key]
    for stop, edited, kind in itertools.product(STOPS, (False, True), ("SGD", "Adam")):
        if kind == "Adam" and not (uses(case, *OF_ITS_OWN) and stop == 29):
            continue
        opt = optimizer(kind)
        sched = build(room, opt, case)
        advance(sched, case, stop // 2)
        if edited and watched(case) == "lr":
            edit(opt, 1, 0.5)
        advance(sched, case, stop)
        if edited and watched(case) == "lr":
            edit(opt, 0, 3.0)
        states = opt.state_dict(), sched.state_dict()
        saved = copy.deepcopy(states[1])
        again, resumed_sched = resumed(case, states, order, kind)
        assert resumed_sched.last_epoch == stop
        for epoch in range(stop, stop + 40):
            assert rates(again, watched(case)) == rates(opt, watched(case)), (stop, epoch, edited)
            assert momentum(again) == momentum(opt)
            assert resumed_sched.get_last_lr() == sched.get_last_lr()
            advance(sched, case, epoch + 1)
            advance(resumed_sched, case, epoch + 1)
        assert states[1] == saved


@pytest.mark.parametrize("key", CASES)
def test_a_state_survives_a_file(tmp_path, key):
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    advance(sched, case, 17)
    fo.save(tmp_path / "state.npz", opt=opt, sched=sched)
    states = fo.load(tmp_path / "state.npz")
    again = optimizer()
    other = build(room, again, case)
    other.load_state_dict(states["sched"])
    again.load_state_dict(states["opt"])
    for epoch in range(17, 57):
        assert rates(again, watched(case)) == rates(opt, watched(case))
        advance(sched, case, epoch + 1)
        advance(other, case, epoch + 1)


def test_a_state_brings_its_arguments():
    sched = fo.lr_scheduler.CosineAnnealingLR(optimizer(), T_max=10)
    sched.step()
    other = fo.lr_scheduler.CosineAnnealingLR(optimizer(), T_max=99)
    other.load_state_dict(sched.state_dict())
    assert other.T_max == 10
    assert other.get_last_lr() == sched.get_last_lr()


def test_a_state_brings_its_bases():
    sched = build(room, optimizer(), STEP)
    again = fo.SGD([{"params": np.zeros(2), "lr": 5.0}, {"params": np.zeros(3), "lr": 6.0}])
    other = build(room, again, STEP)
    other.load_state_dict(sched.state_dict())
    assert other.base_lrs == list(BASES)
    advance(other, STEP, 7)
    again.add_param_group({"params": np.zeros(4), "lr": 1.0})
    assert rates(again)[:2] == [0.5, 0.15]


def test_a_state_shares_nothing_with_its_schedule():
    for case in (MULTI, ("LambdaLR", {"lr_lambda": [Power(0.5), Power(0.9)]}), chain(MULTI, PLATEAU)):
        sched, other = build(room, optimizer(), case), build(room, optimizer(), case)
        state = sched.state_dict()
        kept = copy.deepcopy(state)
        other.load_state_dict(state)
        advance(sched, case, 5)
        advance(other, case, 5)
        for member in (sched, other, *getattr(sched, "_schedulers", ())):
            for value in vars(member).values():
                value.clear() if isinstance(value, dict | list) else None
        assert state == kept


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
def test_a_state_holds_what_callable_objects_hold(name):
    opt = optimizer()
    sched = room(name)(opt, [Power(0.5), halves])
    sched.step()
    state = sched.state_dict()
    assert state["lr_lambdas"] == [{"rate": 0.5}, None]
    again = optimizer()
    other = room(name)(again, [Power(0.9), halves])
    other.load_state_dict(state)
    sched.step()
    other.step()
    assert rates(again) == rates(opt)


@pytest.mark.parametrize("stop", STOPS[1:])
@pytest.mark.parametrize("key", CLOSED)
def test_built_on_a_loaded_optimizer_at_last_epoch_equals_uninterrupted(key, stop):
    case = CASES[key]
    opt, again = optimizer(), optimizer()
    sched = build(room, opt, case)
    advance(sched, case, stop)
    again.load_state_dict(opt.state_dict())
    other = build(room, again, case, last_epoch=stop - 1)  # as in torch: construction steps to the epoch after
    assert other.last_epoch == stop
    for epoch in range(stop, stop + 40):
        assert rates(again, watched(case)) == rates(opt, watched(case))
        assert momentum(again) == momentum(opt)
        advance(sched, case, epoch + 1)
        advance(other, case, epoch + 1)


@pytest.mark.parametrize("key", CASES)
def test_groups_added_later_are_scheduled_from_their_own_rate(key):
    case = CASES[key]
    opt = optimizer()
    sched = build(room, opt, case)
    advance(sched, case, 1)
    opt.add_param_group({"params": np.zeros(4), "lr": BASES[0]})
    if not listed(case):
        for epoch in range(2, 60):
            advance(sched, case, epoch)
            assert rates(opt, watched(case))[2] == rates(opt, watched(case))[0]
            assert momentum(opt)[2] == momentum(opt)[0] or case[0] in COMPOSITES
        if not uses(case, *OF_ITS_OWN, "ParamScheduler"):
            assert sched.base_lrs == [*BASES, BASES[0]]
        return
    groups = [{**group, "initial_lr": None} for group in options(opt)]
    for _ in range(2):
        with pytest.raises(ValueError, match="group 2"):
            advance(sched, case, 2)
        assert [{**group, "initial_lr": None} for group in options(opt)] == groups
        assert sched.last_epoch == 1


def test_a_list_that_was_short_of_a_group_may_grow():
    opt = optimizer()
    sched = fo.lr_scheduler.LambdaLR(opt, [halves, wave])
    opt.add_param_group({"params": np.zeros(4), "lr": 2.0})
    with pytest.raises(ValueError, match="append"):
        sched.step()
    sched.lr_lambdas.append(wave)
    sched.step()
    assert rates(opt) == [1.0, 0.3 * wave(1), 2.0 * wave(1)]


def test_a_rate_set_by_hand_lasts_and_is_saved():
    opt = optimizer()
    sched = fo.lr_scheduler.StepLR(opt, 2, 0.5)
    opt.param_groups[0]["lr"] = 7.0
    assert sched.get_last_lr()[0] == 1.0
    fresh = fo.lr_scheduler.StepLR(optimizer(), 2, 0.5)
    fresh.load_state_dict(sched.state_dict())
    assert rates(fresh.optimizer)[0] == 7.0
    sched.step()
    assert rates(opt) == [7.0, 0.3]
    sched.step()
    assert rates(opt) == [3.5, 0.15]


@pytest.mark.parametrize("key", CASES)
def test_values_are_what_steps_will_say(key):
    case = CASES[key]
    if uses(case, "ReduceLROnPlateau"):
        return
    opt = optimizer()
    sched = build(room, opt, case)
    advance(sched, case, 7)
    if case[0] != "ParamScheduler":
        edit(opt, 1, 0.5)
    groups, state = options(opt), copy.deepcopy(sched.state_dict())
    said = sched.values(60)
    assert options(opt) == groups
    assert sched.state_dict() == state
    assert sched.values(0) == []
    for values in said:
        advance(sched, case, sched.last_epoch + 1)
        assert sched.get_last_lr() == values


def test_to_look_at_a_schedule_does_not_change_what_it_set_last():
    for look in (lambda sched: sched.values(3), lambda sched: sched.get_lr(), lambda sched: sched.state_dict()):
        opt = optimizer()
        sched = build(room, opt, STEP)
        edit(opt, 0, 0.5)
        look(sched)
        assert sched.get_last_lr() == list(BASES)


@pytest.mark.parametrize("key", CASES)
def test_plot_draws_a_line_a_group(key):
    case = CASES[key]
    if uses(case, "ReduceLROnPlateau"):
        return
    figure = pytest.importorskip("matplotlib.figure").Figure()
    sched = build(room, optimizer(), case)
    state = copy.deepcopy(sched.state_dict())
    ax = figure.subplots()
    assert sched.plot(20, ax=ax) is ax
    assert sched.state_dict() == state
    drawn = zip(*(line.get_ydata() for line in ax.lines), strict=True)
    assert [list(rates) for rates in drawn] == [sched.get_last_lr(), *sched.values(20)]


def test_plot_makes_its_own_axes():
    pytest.importorskip("matplotlib")
    assert len(build(room, optimizer(), COSINE).plot().lines) == 2


def test_a_schedule_may_step_before_its_optimizer():
    opt = optimizer()  # torch warns
    sched = build(room, opt, STEP)
    sched.step()
    opt.step([np.ones(2), np.ones(3)])
    sched.step()


def test_print_lr_prints_each_group(capsys):
    fo.lr_scheduler.StepLR(optimizer(), 2).print_lr()
    assert capsys.readouterr().out == (
        "Epoch 0: learning rate of group 0 is 1.0000e+00.\nEpoch 0: learning rate of group 1 is 3.0000e-01.\n"
    )


# Composition.

ALONE = {name: (name, rows[0]) for name, rows in SINGLE.items() if name != "ParamScheduler"}


def assert_follows(case, epochs=60):
    opt = optimizer()
    sched = build(room, opt, case)
    for epoch in range(epochs):
        advance(sched, case, epoch)
        np.testing.assert_allclose(rates(opt), expected(case, epoch), **tolerance(case, epoch), err_msg=f"{epoch}")


@pytest.mark.parametrize("warmup", [WARM, EXPWARM, LINEAR, INVERSE], ids=lambda case: case[0])
@pytest.mark.parametrize("name", ALONE)
def test_warmups_compose_with_everything(name, warmup):
    assert_follows(chain(warmup, ALONE[name]))
    assert_follows(chain(ALONE[name], warmup))
    assert_follows(sequence([5], warmup, ALONE[name]))
    assert_follows(sequence([40], ALONE[name], warmup))


@pytest.mark.parametrize("name", ALONE)
def test_composites_of_one_are_that_one(name):
    case = ALONE[name]
    for same in (chain(case), sequence([], case), chain(sequence([], chain(case))), sequence([0], STEP, case)):
        opts = optimizer(), optimizer()
        scheds = build(room, opts[0], case), build(room, opts[1], same)
        for epoch in range(60):
            for sched in scheds:
                advance(sched, case, epoch)
            assert rates(opts[0]) == rates(opts[1])
            assert momentum(opts[0]) == momentum(opts[1])


TEN = ("CosineAnnealingLR", {"T_max": 10})


@pytest.mark.parametrize(
    ("whole", "pieces"),
    [
        (
            ("CosineAnnealingWarmRestarts", {"T_0": 10}),
            sequence([10, 20, 30], *4 * [("CosineAnnealingLR", {"T_max": 10})]),
        ),
        (
            ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 3, "eta_min": 0.1}),
            sequence([4, 16], *(("CosineAnnealingLR", {"T_max": T, "eta_min": 0.1}) for T in (4, 12, 36))),
        ),
        (CYCLE, sequence([12, 24, 36], CYCLE, CYCLE, CYCLE, CYCLE)),
        (
            ("CosineAnnealingLR", {"T_max": 5}),
            sequence([10, 20], *3 * [("CosineAnnealingLR", {"T_max": 5})]),
        ),
        (
            ("WarmupStableDecayLR", {"warmup_steps": 5, "stable_steps": 10, "decay_steps": 20, "min_factor": 0.5}),
            sequence(
                [5, 15],
                ("LinearWarmupLR", {"warmup_steps": 5}),
                ("ConstantLR", {"factor": 1.0}),
                ("LinearLR", {"start_factor": 1.0, "end_factor": 0.5, "total_iters": 20}),
            ),
        ),
        (
            ("WarmupStableDecayLR", {"warmup_steps": 0, "stable_steps": 0, "decay_steps": 20, "decay": "cosine"}),
            sequence([20], ("CosineAnnealingLR", {"T_max": 20}), ("ConstantLR", {"factor": 0.0, "total_iters": 99})),
        ),
        (LINEAR, chain(sequence([0], STEP, sequence([10], LINEAR, ("ConstantLR", {"factor": 1.0}))))),
        (("ExponentialLR", {"gamma": 0.81}), chain(*2 * [("ExponentialLR", {"gamma": 0.9})])),
        (("PolynomialLR", {"total_iters": 30, "power": 3.0}), chain(*3 * [("PolynomialLR", {"total_iters": 30})])),
        (STEP, ("MultiStepLR", {"milestones": [*range(7, 60, 7)], "gamma": 0.5})),
    ],
    ids=str,
)
def test_a_schedule_is_the_sequence_of_its_pieces(whole, pieces):
    opts = optimizer(), optimizer()
    scheds = build(room, opts[0], whole), build(room, opts[1], pieces)
    for epoch in range(40):
        for sched in scheds:
            advance(sched, whole, epoch)
        np.testing.assert_allclose(rates(opts[0]), rates(opts[1]), rtol=1e-13, atol=(4 + math.pi * epoch) * EPS)


LEAVES = [
    LAMBDA,
    TIMES,
    STEP,
    MULTI,
    CONSTANT,
    LINEAR,
    EXPONENTIAL,
    COSINE,
    RESTARTS,
    PLATEAU,
    WARM,
    INVERSE,
    REX,
    CYCLE,
]


def composites(inner):
    chains = st.lists(inner, min_size=1, max_size=3).map(lambda cases: chain(*cases))
    sequences = st.lists(st.tuples(inner, st.integers(0, 12)), min_size=1, max_size=3).map(
        lambda drawn: sequence(sorted(at for _, at in drawn[1:]), *(case for case, _ in drawn))
    )
    return chains | sequences


@given(st.recursive(st.sampled_from(LEAVES), composites, max_leaves=6))
def test_any_composition_follows_its_oracle_and_resumes(case):
    assert_follows(case, 25)
    opt, again = optimizer(), optimizer()
    sched, other = build(room, opt, case), build(room, again, case)
    advance(sched, case, 9)
    other.load_state_dict(sched.state_dict())
    for epoch in range(9, 25):
        assert rates(again) == rates(opt)
        advance(sched, case, epoch + 1)
        advance(other, case, epoch + 1)


def test_metrics_are_asked_for_only_while_a_plateau_is_active():
    for case, idle, active in (
        (chain(STEP, PLATEAU), (), (1, 9)),
        (sequence([4], STEP, PLATEAU), (1, 3), (5, 9)),
        (sequence([4], PLATEAU, STEP), (5, 9), (1, 3)),
        (sequence([4], STEP, chain(WARM, sequence([2], PLATEAU, STEP))), (1, 3, 7, 9), (5,)),
    ):
        for epoch in (*idle, *active):
            opt = optimizer()
            sched = build(room, opt, case)
            advance(sched, case, epoch - 1)
            groups, state = options(opt), sched.state_dict()
            if epoch in active:
                with pytest.raises(TypeError):
                    sched.step()
                assert options(opt) == groups
                assert sched.state_dict() == state
            else:
                sched.step()
                assert sched.last_epoch == epoch


# Plateaus.


def torch_plateau(lr, metrics, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps):
    """torch's loop: lr, best, bad epochs and cooldown left after each metric."""
    best, bad, cooling = (math.inf if mode == "min" else -math.inf), 0, 0
    for metric in metrics:
        if mode == "min":
            better = metric < (best * (1 - threshold) if threshold_mode == "rel" else best - threshold)
        else:
            better = metric > (best * (1 + threshold) if threshold_mode == "rel" else best + threshold)
        best, bad = (metric, 0) if better else (best, bad + 1)
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            reduced = max(lr * factor, min_lr)
            lr, cooling, bad = reduced if lr - reduced > eps else lr, cooldown, 0
        yield lr, best, bad, cooling


PLATEAUS = {
    "mode": st.sampled_from(["min", "max"]),
    "factor": st.floats(0.05, 0.95),
    "patience": st.integers(0, 4),
    "threshold": st.sampled_from([0.0, 1e-4, 0.1, 0.5]),
    "threshold_mode": st.sampled_from(["rel", "abs"]),
    "cooldown": st.integers(0, 3),
    "min_lr": st.sampled_from([0.0, 0.01, 0.4]),
    "eps": st.sampled_from([0.0, 1e-8, 0.1]),
}
POSITIVE = st.lists(st.floats(1e-3, 1e3) | st.sampled_from([0.5, 0.9, 1.0]), min_size=1, max_size=40)


@given(st.fixed_dictionaries(PLATEAUS), POSITIVE)
def test_plateau_goes_as_torch_for_positive_metrics(arguments, metrics):
    opt = optimizer()
    sched = fo.lr_scheduler.ReduceLROnPlateau(opt, **arguments)
    runs = [torch_plateau(base, metrics, **arguments) for base in BASES]
    for t, (metric, seen) in enumerate(zip(metrics, zip(*runs, strict=True), strict=True), start=1):
        sched.step(metric)
        assert rates(opt) == [lr for lr, *_ in seen]
        assert (sched.best, sched.num_bad_epochs, sched.cooldown_counter) == seen[0][1:]
        for lr, base in zip(rates(opt), BASES, strict=True):
            assert lr == schedule_oracles.ReduceLROnPlateau(base, t, metrics, **arguments)


@given(st.fixed_dictionaries(PLATEAUS), POSITIVE)
def test_plateau_of_negated_metrics_is_the_other_mode(arguments, metrics):
    opts = optimizer(), optimizer()
    other = {**arguments, "mode": "max" if arguments["mode"] == "min" else "min"}
    scheds = [fo.lr_scheduler.ReduceLROnPlateau(opt, **a) for opt, a in zip(opts, (arguments, other), strict=True)]
    if arguments["threshold_mode"] == "abs":
        metrics = [round(1024 * metric) / 1024 for metric in metrics]
    for metric in metrics:
        scheds[0].step(metric)
        scheds[1].step(-metric)
        assert scheds[0].best == -scheds[1].best
        assert scheds[0].num_bad_epochs == scheds[1].num_bad_epochs
        assert rates(opts[0]) == rates(opts[1])


def test_plateau_sees_that_a_negative_metric_got_worse():
    sched = fo.lr_scheduler.ReduceLROnPlateau(optimizer(), threshold=0.1)
    for metric, best in ((-1.0, -1.0), (-0.95, -1.0), (-1.05, -1.0), (-1.2, -1.2)):  # torch takes -0.95 for better
        sched.step(metric)
        assert sched.best == best


def test_plateau_counts_nan_as_bad():
    opt = optimizer()
    sched = fo.lr_scheduler.ReduceLROnPlateau(opt, patience=1, factor=0.5)
    for metric in (math.nan, 1.0, math.nan, np.float32(math.nan), math.inf, 0.5):
        sched.step(metric)
    assert rates(opt) == [0.5, 0.15]
    assert (sched.best, sched.num_bad_epochs) == (0.5, 0)


def test_plateau_makes_no_reduction_of_eps():
    for eps, rate in ((0.5, 1.0), (0.4999999, 0.5)):
        opt = optimizer()
        sched = fo.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=0, eps=eps)
        sched.step(1.0)
        sched.step(1.0)
        assert rates(opt)[0] == rate


def test_plateau_after_a_milestone_starts_with_the_metric_after_it():
    opt = optimizer()
    sched = build(room, opt, sequence([1], CONSTANT, ("ReduceLROnPlateau", {"patience": 0})))
    for metric in (0.0, 1.0):
        sched.step(metric)
    assert rates(opt) == list(BASES)
    sched.step(1.0)
    assert rates(opt)[0] == 0.1


def test_a_step_that_is_refused_takes_no_metric_in():
    spoiled = ("LambdaLR", {"lr_lambda": lambda epoch: math.nan if epoch == 2 else 1.0})
    sched = build(room, optimizer(), chain(PLATEAU, spoiled))
    sched.step(1.0)
    state = copy.deepcopy(sched.state_dict())
    with pytest.raises(ValueError, match="at epoch 2"):
        sched.step(0.5)
    assert sched.state_dict() == state


# Bad input.


def refused_untouched(make, opt, error, words):
    groups = options(opt)
    with pytest.raises(error, match=words):
        make(opt)
    assert options(opt) == groups


@pytest.mark.parametrize(
    ("name", "arguments", "error", "words"),
    [
        ("StepLR", {"step_size": 0}, ValueError, "step_size"),
        ("StepLR", {"step_size": 2.0}, TypeError, "step_size"),
        ("StepLR", {"step_size": 2, "gamma": -0.1}, ValueError, "gamma"),
        ("StepLR", {"step_size": 2, "gamma": math.nan}, ValueError, "gamma"),
        ("StepLR", {"step_size": 2, "last_epoch": 3}, KeyError, "param 'initial_lr' is not specified"),
        ("StepLR", {"step_size": 2, "last_epoch": -2}, ValueError, "last_epoch must be"),
        ("MultiStepLR", {"milestones": [1.5]}, TypeError, "milestone: 1.5"),
        ("MultiStepLR", {"milestones": 3}, TypeError, "int"),
        ("MultiStepLR", {"milestones": [3], "gamma": -1}, ValueError, "gamma"),
        ("ExponentialLR", {"gamma": -0.5}, ValueError, "gamma"),
        ("ExponentialLR", {"gamma": "a"}, TypeError, "gamma"),
        ("ConstantLR", {"factor": math.nan}, ValueError, "factor"),
        ("LinearLR", {"total_iters": -1}, ValueError, "total_iters"),
        ("PolynomialLR", {"total_iters": -1}, ValueError, "total_iters"),
        ("PolynomialLR", {"power": math.nan}, ValueError, "power"),
        ("CosineAnnealingLR", {"T_max": 0}, ValueError, "T_max"),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": -1.0}, ValueError, "eta_min"),
        ("CosineAnnealingWarmRestarts", {"T_0": 5, "eta_min": -1.0}, ValueError, "eta_min"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 0}, ValueError, "step_size_up"),
        ("CyclicLR", {"base_lr": -0.1, "max_lr": 1.0}, ValueError, "base_lr"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "div_factor": 0}, ValueError, "div_factor"),
        ("OneCycleLR", {"max_lr": -1.0, "total_steps": 9}, ValueError, "max_lr"),
        ("SWALR", {"swa_lr": -1.0}, ValueError, "swa_lr"),
        ("ReduceLROnPlateau", {"patience": -1}, ValueError, "patience"),
        ("ReduceLROnPlateau", {"factor": -0.1}, ValueError, "factor"),
        ("ReduceLROnPlateau", {"threshold": math.nan}, ValueError, "threshold"),
        ("LambdaLR", {"lr_lambda": 3.0}, TypeError, "float"),
        ("LinearWarmupLR", {"warmup_steps": 0}, ValueError, "warmup_steps"),
        ("LinearWarmupLR", {"warmup_steps": 1.5}, TypeError, "warmup_steps"),
        ("ExponentialWarmupLR", {"warmup_steps": 0}, ValueError, "warmup_steps"),
        ("InverseSqrtLR", {"warmup_steps": 0}, ValueError, "warmup_steps"),
        ("REXLR", {"total_steps": 0}, ValueError, "total_steps"),
        ("WarmupStableDecayLR", {"warmup_steps": -1, "stable_steps": 1, "decay_steps": 1}, ValueError, "warmup_steps"),
        ("WarmupStableDecayLR", {"warmup_steps": 1, "stable_steps": -1, "decay_steps": 1}, ValueError, "stable_steps"),
        ("WarmupStableDecayLR", {"warmup_steps": 1, "stable_steps": 1, "decay_steps": -1}, ValueError, "decay_steps"),
        (
            "WarmupStableDecayLR",
            {"warmup_steps": 1, "stable_steps": 1, "decay_steps": 1, "min_factor": 1.5},
            ValueError,
            "min_factor",
        ),
        (
            "WarmupStableDecayLR",
            {"warmup_steps": 1, "stable_steps": 1, "decay_steps": 1, "decay": "exp"},
            ValueError,
            "decay",
        ),
        ("ParamScheduler", {"name": "nothing", "schedule": halves}, (KeyError, ValueError), "nothing"),
        ("ParamScheduler", {"name": "momentum", "schedule": 0.5}, TypeError, "schedule|float"),
        ("ParamScheduler", {"name": "momentum", "schedule": [halves]}, ValueError, "1"),
    ],
)
def test_bad_arguments_are_refused_in_words(name, arguments, error, words):
    refused_untouched(lambda opt: room(name)(opt, **arguments), optimizer(), error, words)


def test_a_callable_rate_is_not_replaced():
    refused_untouched(
        lambda opt: fo.lr_scheduler.StepLR(opt, 2),
        fo.SGD(np.zeros(2), lr=lambda taken: 0.1),
        TypeError,
        r"lr of param_groups\[0\] is a callable",
    )


CALLS = [  # what torch checks in a constructor, s being its schedules or ours
    lambda s, opt: s.StepLR(3.0, 2),
    lambda s, opt: s.StepLR(opt, 2, last_epoch=3),
    lambda s, opt: s.OneCycleLR(3.0, 1.0, 9),
    lambda s, opt: s.CyclicLR(3.0, 0.1, 1.0),
    lambda s, opt: s.ReduceLROnPlateau(3.0),
    lambda s, opt: s.LambdaLR(opt, [halves]),
    lambda s, opt: s.MultiplicativeLR(opt, (halves, halves, halves)),
    lambda s, opt: s.MultiplicativeLR(opt, 3.0),
    lambda s, opt: s.MultiplicativeLR(opt, [halves, "a"]),
    lambda s, opt: s.ConstantLR(opt, 1.0000001),
    lambda s, opt: s.ConstantLR(opt, -0.1),
    lambda s, opt: s.LinearLR(opt, 0.0),
    lambda s, opt: s.LinearLR(opt, 1.0000001),
    lambda s, opt: s.LinearLR(opt, 0.5, -0.1),
    lambda s, opt: s.LinearLR(opt, 0.5, 1.0000001),
    lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 0),
    lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 1.5),
    lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 5, 0),
    lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 5, 1.5),
    lambda s, opt: s.CosineAnnealingWarmRestarts(opt, 5, 1, "a"),
    lambda s, opt: s.ReduceLROnPlateau(opt, factor=1.0),
    lambda s, opt: s.ReduceLROnPlateau(opt, min_lr=[0.1]),
    lambda s, opt: s.ReduceLROnPlateau(opt, "best"),
    lambda s, opt: s.ReduceLROnPlateau(opt, threshold_mode="best"),
    lambda s, opt: s.CyclicLR(opt, [0.1], 1.0),
    lambda s, opt: s.CyclicLR(opt, 0.1, [1.0, 2.0, 3.0]),
    lambda s, opt: s.CyclicLR(opt, 0.1, 1.0, mode="square"),
    lambda s, opt: s.CyclicLR(opt, 0.1, 1.0, base_momentum=[0.5]),
    lambda s, opt: s.CyclicLR(opt, 0.1, 1.0, max_momentum=[0.5]),
    lambda s, opt: s.OneCycleLR(opt, 1.0),
    lambda s, opt: s.OneCycleLR(opt, 1.0, epochs=3),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 0),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9.5),
    lambda s, opt: s.OneCycleLR(opt, 1.0, epochs=0, steps_per_epoch=3),
    lambda s, opt: s.OneCycleLR(opt, 1.0, epochs=3, steps_per_epoch=0),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, pct_start=1.0000001),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, pct_start=-0.1),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, pct_start=1),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, anneal_strategy="square"),
    lambda s, opt: s.OneCycleLR(opt, [1.0], 9),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, base_momentum=[0.5]),
    lambda s, opt: s.OneCycleLR(opt, 1.0, 9, max_momentum=[0.5]),
    lambda s, opt: s.SWALR(opt, [0.1]),
    lambda s, opt: s.SWALR(opt, 0.1, anneal_strategy="square"),
    lambda s, opt: s.SWALR(opt, 0.1, anneal_epochs=-1),
    lambda s, opt: s.SWALR(opt, 0.1, anneal_epochs=1.5),
    lambda s, opt: s.SequentialLR(opt, [], []),
    lambda s, opt: s.SequentialLR(opt, [3.0], []),
    lambda s, opt: s.ChainedScheduler([]),
    lambda s, opt: s.ChainedScheduler([3.0], opt),
]
WITHOUT_MOMENTUM = [lambda s, opt: s.CyclicLR(opt, 0.1, 1.0), lambda s, opt: s.OneCycleLR(opt, 1.0, 9)]
MEMBERS = [  # the same with schedulers that are right by themselves
    lambda s, opt, other: s.SequentialLR(opt, [s.StepLR(opt, 2)], [3]),
    lambda s, opt, other: s.SequentialLR(opt, [s.StepLR(opt, 2), s.StepLR(opt, 3)], []),
    lambda s, opt, other: s.SequentialLR(opt, [s.StepLR(opt, 2), s.StepLR(other, 3)], [3]),
    lambda s, opt, other: s.ChainedScheduler([s.StepLR(opt, 2), s.StepLR(other, 3)]),
    lambda s, opt, other: s.ChainedScheduler([s.StepLR(opt, 2)], other),
    lambda s, opt, other: s.CosineAnnealingWarmRestarts(opt, 2).step(-1),
    lambda s, opt, other: [s.OneCycleLR(opt, 1.0, 3)] and [sched.step() for sched in 5 * [s.OneCycleLR(opt, 1.0, 3)]],
    lambda s, opt, other: s.ReduceLROnPlateau(opt).step("a"),
]


def assert_same_error(call, peer_call):
    with pytest.raises((KeyError, TypeError, ValueError)) as theirs:
        peer_call()
    with pytest.raises((KeyError, TypeError, ValueError)) as ours:
        call()
    assert ours.type is theirs.type
    assert str(ours.value)[:20] == str(theirs.value)[:20]


def peer_schedules():
    torch = pytest.importorskip("torch")
    return SimpleNamespace(**vars(torch.optim.lr_scheduler), SWALR=torch.optim.swa_utils.SWALR)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("call", CALLS)
def test_bad_calls_are_refused_as_in_torch(call, kind):
    peers, opt = peer_schedules(), optimizer(kind)
    groups = options(opt)
    assert_same_error(lambda: call(fo.lr_scheduler, opt), lambda: call(peers, torch_optimizer(kind)))
    assert options(opt) == groups


@pytest.mark.peers
@pytest.mark.parametrize("call", WITHOUT_MOMENTUM)
def test_cycles_need_a_momentum_as_in_torch(call):
    peers, opt = peer_schedules(), optimizer("Adagrad")
    groups = options(opt)
    assert_same_error(lambda: call(fo.lr_scheduler, opt), lambda: call(peers, torch_optimizer("Adagrad")))
    assert options(opt) == groups


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")
@pytest.mark.parametrize("call", MEMBERS)
def test_bad_members_and_steps_are_refused_as_in_torch(call):
    peers = peer_schedules()
    assert_same_error(
        lambda: call(fo.lr_scheduler, optimizer(), optimizer()),
        lambda: call(peers, torch_optimizer(), torch_optimizer()),
    )


def test_one_cycle_ends():
    opt = optimizer()
    sched = fo.lr_scheduler.OneCycleLR(opt, 1.0, 10)
    for _ in range(9):
        sched.step()
    last = options(opt)
    sched.step()  # torch's rate goes up again
    assert options(opt) == last
    with pytest.raises(ValueError, match="Tried to step 11 times"):
        sched.step()
    assert options(opt) == last
    assert sched.last_epoch == 10
    assert sched.values(1) == [sched.get_last_lr()]


SPOILED = (math.nan, math.inf, -math.inf, -1.0, "a", None, 1j, [0.5], 1e308)
CYCLING = {"base_lr": 0.1, "max_lr": 10.0, "step_size_up": 9, "scale_mode": "iterations"}


@pytest.mark.parametrize("spoiled", SPOILED, ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda f: ("LambdaLR", {"lr_lambda": f}),
        lambda f: ("LambdaLR", {"lr_lambda": [halves, f]}),
        lambda f: ("MultiplicativeLR", {"lr_lambda": f}),
        lambda f: ("CyclicLR", {**CYCLING, "scale_fn": f}),
        lambda f: ("ParamScheduler", {"name": "lr", "schedule": f}),
    ],
)
def test_a_rate_that_is_none_is_refused_and_changes_nothing(make, spoiled):
    alone = make(lambda epoch: spoiled if epoch >= 3 else 1.0)
    if alone[0] == "ParamScheduler" and spoiled == 1e308:
        return
    for case in (alone, chain(alone), chain(STEP, alone), sequence([1], STEP, alone)):
        opt = fo.SGD([{"params": np.zeros(2), "lr": 10.0}, {"params": np.zeros(3), "lr": 30.0}], momentum=0.9)
        sched = build(room, opt, case)
        last = 3 if case[0] == "SequentialLR" else 2
        advance(sched, case, last)
        groups, state = options(opt), copy.deepcopy(sched.state_dict())
        for _ in range(2):
            if alone[0] == "ParamScheduler":  # what the optimizer says of its hyperparameter
                words, error = "Invalid learning rate", (TypeError, ValueError)
            else:
                words, error = rf"({case[0]}|{alone[0]}) at epoch (3|{last + 1})", ValueError
            with pytest.raises(error, match=words):
                sched.step()
            assert options(opt) == groups
            assert sched.state_dict() == state
            assert sched.last_epoch == last


def test_a_rate_that_overflows_leaves_the_epoch():
    for case in (
        ("StepLR", {"step_size": 1, "gamma": 1e200}),
        ("ExponentialLR", {"gamma": 1e200}),
        ("MultiStepLR", {"milestones": [2, 2, 1, 1], "gamma": 1e100}),
    ):
        opt = optimizer()
        sched = build(room, opt, case)
        sched.step()
        before = options(opt)
        with pytest.raises(ValueError, match=case[0]):
            sched.step()
        assert sched.last_epoch == 1
        assert options(opt) == before


def test_a_rate_that_is_none_from_the_start_builds_nothing():
    opt = optimizer()
    refused_untouched(lambda opt: fo.lr_scheduler.LambdaLR(opt, lambda epoch: math.nan), opt, ValueError, "LambdaLR")
    advance(build(room, opt, STEP), STEP, 7)
    assert rates(opt) == [0.5, 0.15]


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
        assert sched.state_dict() == state
    with pytest.raises(TypeError, match="a state dict is a mapping, not int"):
        sched.load_state_dict(3)
    assert sched.last_epoch == 0
    assert sched.state_dict() == state


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (chain(STEP, LINEAR), chain(STEP)),
        (chain(STEP, LINEAR), chain(LINEAR, STEP)),
        (sequence([5], STEP, LINEAR), sequence([3, 5], STEP, LINEAR, COSINE)),
        (sequence([5], STEP, LINEAR), chain(STEP, LINEAR)),
        (sequence([5], STEP, chain(LINEAR)), sequence([5], STEP, chain(COSINE))),
        (PLATEAU, STEP),
        (COSINE, PLATEAU),
    ],
    ids=str,
)
def test_a_state_of_another_composition_changes_nothing(mine, theirs):
    opt = optimizer()
    sched, other = build(room, opt, mine), build(room, optimizer(), theirs)
    advance(sched, mine, 2)
    advance(other, theirs, 7)
    groups, state = options(opt), copy.deepcopy(sched.state_dict())
    with pytest.raises(ValueError, match="state"):
        sched.load_state_dict(other.state_dict())
    assert options(opt) == groups
    assert sched.state_dict() == state
