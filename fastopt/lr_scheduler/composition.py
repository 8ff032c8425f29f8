"""Schedules of schedules, one upon the other or one after the other, and those of any hyperparameter."""

from __future__ import annotations

import difflib
import inspect
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from fastopt._engine import resolved
from fastopt._validation import check_count
from fastopt.lr_scheduler.scheduler import LRScheduler, at, check_optimizer, per_group

__all__ = ["ChainedScheduler", "ParamScheduler", "SequentialLR"]


class Composite(LRScheduler):
    """A schedule made of others, which it takes over: they start from the base again, and are not to be stepped."""

    def __init__(self, optimizer: Any, schedulers: Sequence[LRScheduler], last_epoch: int = -1) -> None:
        owner = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{owner} at index {i} should have `optimizer` as its attribute.")
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{owner} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(scheduler).__name__} at index {i} has another"
                )
            if scheduler._key != "lr":
                raise ValueError(f"{owner} is of learning rates, and the one at index {i} of {scheduler._key}")
        self._schedulers = list(schedulers)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        super().__init__(optimizer, last_epoch)

    @property
    def _rank(self) -> int:  # type: ignore[override]
        return min(scheduler._rank for scheduler in self._schedulers)

    def _started(self, found: float, i: int) -> float:
        return max(super()._started(found, i), 0.0)

    def step(self, metrics: Any = None) -> None:
        """Go to the next epoch and set its rates; `metrics` is for `ReduceLROnPlateau`."""
        self._step(self.last_epoch + 1, metrics)

    def _memory(self) -> Any:
        return [scheduler._memory() for scheduler in self._schedulers]

    def _recall(self, memory: Any) -> None:
        for scheduler, each in zip(self._schedulers, memory, strict=True):
            scheduler._recall(each)

    def _own(self) -> dict[str, Any]:
        return {**super()._own(), "_schedulers": [scheduler._own() for scheduler in self._schedulers]}

    def _take(self, own: Mapping[str, Any]) -> None:
        states = own.get("_schedulers", ())
        if len(states) != len(self._schedulers):
            raise ValueError(f"the state of a {type(self).__name__} has {len(states)} schedulers, not as many as it")
        super()._take(own)
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler._take(state)


class ChainedScheduler(Composite):
    """Schedules one upon the other: each starts from the rate that those before it give.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        At least one, all of one optimizer. Those that are set from rates of their own or from ``initial_lr``
        (`LambdaLR`, `CosineAnnealingWarmRestarts`, `CyclicLR`, `OneCycleLR`) are applied first, the others in order.
    optimizer : Optimizer, optional
        That of the schedulers.

    Raises
    ------
    TypeError, ValueError
        No schedulers, or not of one optimizer.

    Notes
    -----
    The chain is a function of the epoch: ``s2(s1(base, t), t)``. torch applies each member to the last rate instead.
    That is the same where members scale by a factor. It is not where a member before or after sets its rate anew (the
    four above: one partner has no effect, or its last factor only), nor where a cosine has an `eta_min` or rises again.
    `ReduceLROnPlateau` may be a member, unlike in torch: pass its metric to `step`.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, for a warm-up upon a schedule.

    Examples
    --------
    >>> opt, lr = fo.SGD(np.zeros(3), lr=1.0), fo.lr_scheduler
    >>> sched = lr.ChainedScheduler([lr.LinearWarmupLR(opt, 2), lr.ReduceLROnPlateau(opt, patience=0)])
    >>> sched.step(1.0); sched.step(2.0); sched.get_last_lr()
    [0.1]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Any = None) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.")
        self._offsets = [getattr(scheduler, "last_epoch", 0) for scheduler in schedulers]
        super().__init__(getattr(schedulers[0], "optimizer", None) if optimizer is None else optimizer, schedulers)

    def _members(self, epoch: float) -> list[tuple[LRScheduler, float]]:
        members = [(s, epoch + offset) for s, offset in zip(self._schedulers, self._offsets, strict=True)]
        return sorted(members, key=lambda member: member[0]._rank)

    def _rate(self, start: float, epoch: float, i: int) -> float:
        for scheduler, t in self._members(epoch):
            start = scheduler._rate(start, t, i)
        return start

    def _others(self, epoch: float, i: int) -> dict[str, Any]:
        return {name: value for s, t in self._members(epoch) for name, value in s._others(t, i).items()}

    def _observe(self, epoch: float, metrics: Any) -> None:
        for scheduler, t in self._members(epoch):
            scheduler._observe(t, metrics)


class SequentialLR(Composite):
    """Schedules one after the other: at each milestone the next begins, from the base rate and at its epoch 0.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : sequence of LRScheduler
        At least one, all of `optimizer`.
    milestones : sequence of int
        The epochs at which the second, the third, ... begins; at least 0, and none below the one before.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        No schedulers, not of `optimizer`, or milestones that do not fit.

    Notes
    -----
    Any schedule may be a member, other sequences and chains at any place too; in torch these can only come first, and
    `ReduceLROnPlateau` cannot come at all: pass its metric to `step` once it is its turn. A `MultiplicativeLR` begins
    from the base rate as all do; in torch, from the rate that it finds.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, for a warm-up before a schedule.

    Examples
    --------
    >>> opt, lr = fo.SGD(np.zeros(3), lr=1.0), fo.lr_scheduler
    >>> sched = lr.SequentialLR(opt, [lr.LinearLR(opt, 0.5, total_iters=2), lr.ExponentialLR(opt, 0.5)], milestones=[2])
    >>> sched.get_last_lr(), sched.values(3)
    ([0.5], [[0.75], [1.0], [0.5]])
    """

    def __init__(
        self, optimizer: Any, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        for milestone in milestones:
            check_count(milestone, "SequentialLR", "milestone", low=0)
        if any(later < earlier for earlier, later in zip(milestones, milestones[1:], strict=False)):
            raise ValueError(f"Invalid milestones: {list(milestones)} (SequentialLR needs none below the one before)")
        self._milestones = [int(milestone) for milestone in milestones]
        super().__init__(optimizer, schedulers, last_epoch)

    def _member(self, epoch: float) -> tuple[LRScheduler, float]:
        turn = bisect_right(self._milestones, epoch)
        return self._schedulers[turn], epoch - ([0, *self._milestones][turn])

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        scheduler, t = self._member(epoch)
        return scheduler._rate(start, t, i)

    @property
    def _chainable(self) -> bool:
        return self._member(self.last_epoch)[0]._chainable

    def _others(self, epoch: float, i: int) -> dict[str, Any]:
        """Those of the member whose turn it is, and what the ones before have left."""
        ends = [until - 1 for until in self._milestones if 0 < until <= epoch]
        turns = [self._member(until) for until in [*ends, epoch]]
        return {name: value for scheduler, t in turns for name, value in scheduler._others(t, i).items()}

    def _observe(self, epoch: float, metrics: Any) -> None:
        scheduler, t = self._member(epoch)
        if t:  # as everywhere, epoch 0 has no metric
            scheduler._observe(t, metrics)


class ParamScheduler(LRScheduler):
    """Any hyperparameter as a function of the epoch: group[name] = schedule(epoch).

    Parameters
    ----------
    optimizer : Optimizer
    name : str
        Of a hyperparameter or an option: ``"weight_decay"``, ``"momentum"``, ``"betas"``, ``"clip_norm"``, ...
    schedule : callable, or list of callable
        Takes the epoch, 0 at the start, and returns what the optimizer takes; a list has one for each group.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        No such hyperparameter, no function, or a value that the optimizer refuses. Nothing has changed then.

    Notes
    -----
    `get_last_lr` and `values` are of the hyperparameter. Where it should depend on the optimizer's own count of updates
    rather than on calls of `step`, pass the function itself: ``fo.SGD(params, weight_decay=lambda t: 0.01 * 0.9**t)``.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, on scheduling the decay.

    Examples
    --------
    >>> opt = fo.AdamW(np.zeros(3))
    >>> sched = fo.lr_scheduler.ParamScheduler(opt, "weight_decay", lambda epoch: 0.5**epoch)
    >>> sched.step(); opt.param_groups[0]["weight_decay"]
    0.5
    """

    _rank = 1

    def __init__(self, optimizer: Any, name: str, schedule: Any, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        known = inspect.signature(type(optimizer)).parameters.keys() - {"params"}
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f": there are {', '.join(sorted(known))}"
            raise ValueError(f"{type(optimizer).__name__} has no hyperparameter {name!r}{hint}")
        self._key = name
        self.schedules = per_group(optimizer, "schedule", schedule)
        for each in self.schedules if isinstance(self.schedules, list) else [self.schedules]:
            if not callable(each):
                raise TypeError(f"schedule should be a function, but got {type(each).__name__}")
        super().__init__(optimizer, last_epoch)

    def _initial(self, i: int, group: dict[str, Any]) -> Any:
        return super()._initial(i, group) if self._key == "lr" else group.get(self._key)

    def _rate(self, start: Any, epoch: float, i: int) -> Any:
        return at(self.schedules, i)(epoch)

    def _checked(self, rate: Any, epoch: float, i: int) -> Any:
        if hasattr(self.optimizer, "_check"):
            self.optimizer._check(resolved({**self.optimizer.param_groups[i], self._key: rate}, 0))
        return rate
