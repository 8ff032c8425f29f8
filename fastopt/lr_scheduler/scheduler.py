"""What all schedules share: the epoch, the groups and their rates, the state."""

# Design: torch computes most schedules from the rate before, so rounding drifts and a resumed run depends on the order
# of loading. Here a schedule is a function `_rate(start, epoch, i)` of the rate that group i starts from, and nothing
# else. What others do to a rate meanwhile, by hand or by another schedule, is found by comparing the group with what
# was set last, and becomes another start, such that the schedule would have led to the rate that was found: the numbers
# of torch's recursion, without its drift.

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from numbers import Integral
from types import FunctionType
from typing import Any

from fastopt._validation import check_count

__all__ = ["LRScheduler", "at", "check_optimizer", "is_int", "per_group"]

UNSAVED = {"optimizer", "last_epoch", "_starts", "_found", "_last_lr", "_schedulers", "_products"}


class LRScheduler:
    """Base class of all schedules.

    A subclass says in ``_rate(start, epoch, i)`` what the learning rate of group i is at an epoch, if it is `start` at
    the beginning.

    Parameters
    ----------
    optimizer : Optimizer
        The rate ``initial_lr`` of each group, which is its `lr` when a scheduler first sees it, is the base.
    last_epoch : int, default -1
        The epoch before the first one; -1 starts afresh.

    Attributes
    ----------
    last_epoch : int
        Epochs since the start; 0 after construction.
    base_lrs : list of float

    Raises
    ------
    TypeError
        `optimizer` is none, or has a callable for a rate.
    ValueError, KeyError
        `last_epoch` is out of range, or above -1 where a group lacks ``initial_lr``.

    Notes
    -----
    Construction sets the rates of epoch 0. A rate that is changed by hand, or by another scheduler, is scaled from then
    on, as in torch; under `LambdaLR`, `CosineAnnealingWarmRestarts`, `CyclicLR` and `OneCycleLR` it holds until the
    next step, as there, and under the others where nothing of the start is left, as at the end of `PolynomialLR`. Left
    alone, a rate is a pure function of the epoch.

    A group that is added later is scheduled from its own rate.
    """

    _key: str = "lr"  # what it schedules
    _rank: int = 2  # 2: starts from the rate that it finds; 1: from initial_lr; 0: has rates of its own
    optimizer: Any
    last_epoch: int
    _starts: list[Any]
    _found: list[Any]
    _last_lr: list[Any]

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        if not is_int(last_epoch) or last_epoch < -1:
            raise ValueError(f"last_epoch must be an int of at least -1, not {last_epoch!r}")
        groups = optimizer.param_groups
        for i, group in enumerate(groups):
            if callable(group.get(self._key)):
                raise TypeError(f"{self._key} of param_groups[{i}] is a callable, which a scheduler would replace")
            if last_epoch >= 0 and self._key == "lr" and "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an optimizer")
        self.optimizer = optimizer
        self.last_epoch = int(last_epoch)
        fresh = [group for group in groups if "initial_lr" not in group]
        try:
            self._starts = self.base_lrs
            self._found = [group.get(self._key) for group in groups] if last_epoch >= 0 else self.base_lrs
            self._go(self.last_epoch + 1)
        except BaseException:
            for group in fresh:
                group.pop("initial_lr", None)
            raise

    # What a subclass says.

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        """The rate of group i at an epoch."""
        raise NotImplementedError

    def _others(self, epoch: float, i: int) -> dict[str, Any]:
        """What else to set in group i, such as a momentum."""
        return {}

    def _initial(self, i: int, group: dict[str, Any]) -> Any:
        """The base rate of group i."""
        return group.setdefault("initial_lr", group["lr"])

    def _observe(self, epoch: float, metrics: Any) -> None:
        """Take in what `step` was given, before the rates of the epoch; for schedules that depend on more than it."""

    def _started(self, found: float, i: int) -> float:
        """The start from which the rate of group i would be the one that was found; schedules are affine in it."""
        if self.last_epoch < 0:
            return found
        rest = self._rate(0.0, self.last_epoch, i)
        slope = self._rate(1.0, self.last_epoch, i) - rest
        start = (found - rest) / slope if slope else math.inf
        return start if math.isfinite(start) else self._starts[i]

    def _start(self, epoch: float, i: int) -> Any:
        """The start of group i as of an epoch, this one or later."""
        return self._starts[i]

    @property
    def _chainable(self) -> bool:
        return self._rank == 2

    # Rates.

    @property
    def base_lrs(self) -> list[float]:
        return [self._initial(i, group) for i, group in enumerate(self.optimizer.param_groups)]

    def get_lr(self) -> list[float]:
        """The rate of each group at `last_epoch`."""
        self._absorb()
        return self._rates(self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The rate of each group as the scheduler last set it."""
        return list(self._last_lr)

    def values(self, n: int) -> list[list[float]]:
        """What `get_last_lr` will return after each of the next n steps; nothing is changed.

        A schedule that depends on metrics goes on without another reduction; one that ends holds its last rate.
        """
        check_count(n, type(self).__name__, "n", low=0)
        self._absorb()
        return [self._rates(epoch) for epoch in range(self.last_epoch + 1, self.last_epoch + 1 + n)]

    def plot(self, n: int = 100, ax: Any = None) -> Any:
        """Draw the present rates and those of the next n epochs; needs matplotlib, returns its axes."""
        rates = [[group.get(self._key) for group in self.optimizer.param_groups], *self.values(n)]
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError as error:
                raise ImportError("plot() needs matplotlib: pip install 'fastopt[demo]'") from error
            ax = pyplot.gca()
        epochs = range(self.last_epoch, self.last_epoch + n + 1)
        for i, column in enumerate(zip(*rates, strict=True)):
            ax.plot(epochs, column, label=f"group {i}" if len(rates[0]) > 1 else None)
        ax.set(xlabel="epoch", ylabel={"lr": "learning rate"}.get(self._key, self._key), title=type(self).__name__)
        if len(rates[0]) > 1:
            ax.legend()
        return ax

    def print_lr(self) -> None:
        """Print the rate of each group."""
        for i, rate in enumerate(self._last_lr):
            print(f"Epoch {self.last_epoch}: learning rate of group {i} is {rate:.4e}.")

    # The step.

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or the one given, and set its rates; call it after the optimizer's steps.

        Raises
        ------
        ValueError, TypeError
            No epoch, or a rate that is no finite number of at least 0. Nothing has changed then.
        """
        if epoch is None:
            epoch = self.last_epoch + 1
        else:
            self._check_epoch(epoch)
        self._go(epoch)

    def _check_epoch(self, epoch: Any) -> None:
        check_count(epoch, type(self).__name__, "epoch", low=0)

    def _go(self, epoch: float) -> None:
        """Set the rates of an epoch: all, or none."""
        self._absorb()
        rates = self._rates(epoch)
        others = [self._others(epoch, i) for i in range(len(rates))]
        self._starts = [self._start(epoch, i) for i in range(len(rates))]
        self.last_epoch = int(epoch)
        self._set(rates, others)

    def _rates(self, epoch: float) -> list[Any]:
        return [self._rate_of(epoch, i) for i in range(len(self._starts))]

    def _rate_of(self, epoch: float, i: int) -> Any:
        try:
            return self._checked(self._rate(self._start(epoch, i), epoch, i), epoch, i)
        except (TypeError, OverflowError) as error:
            raise ValueError(self._refusal(error, epoch, i)) from error

    def _checked(self, rate: Any, epoch: float, i: int) -> Any:
        if type(rate) is not float:
            try:
                rate = float(rate)
            except (TypeError, ValueError):
                raise ValueError(self._refusal(rate, epoch, i)) from None
        if not 0 <= rate < math.inf:
            raise ValueError(self._refusal(rate, epoch, i))
        return rate

    def _refusal(self, rate: Any, epoch: float, i: int) -> str:
        return f"Invalid learning rate: {rate!r} ({type(self).__name__} at epoch {epoch}, group {i})"

    def _set(self, rates: list[Any], others: list[dict[str, Any]]) -> None:
        for group, rate, other in zip(self.optimizer.param_groups, rates, others, strict=True):
            group[self._key] = rate
            group.update(other)
        self._found, self._last_lr = list(rates), rates

    def _absorb(self) -> None:
        """Take new groups, and rates that others have changed, for what they are."""
        groups, key = self.optimizer.param_groups, self._key
        if [group.get(key) for group in groups] == self._found:
            return
        for i, group in enumerate(groups[len(self._starts) :], len(self._starts)):
            self._starts.append(self._initial(i, group))
            self._found.append(group.get(key))
        for i, (group, last) in enumerate(zip(groups, self._found, strict=True)):
            found = group.get(key)
            if found != last:
                self._starts[i] = self._started(found, i) if self._chainable else self._initial(i, group)
                self._found[i] = found

    def _step(self, epoch: float, metrics: Any = None) -> None:
        """Observe, and go on; or neither."""
        self._absorb()
        memory = self._memory()
        try:
            self._observe(epoch, metrics)
            self._go(epoch)
        except BaseException:
            self._recall(memory)
            raise

    # State.

    def _memory(self) -> Any:
        """What `_observe` changes, as a copy."""

    def _recall(self, memory: Any) -> None:
        """Go back to such a copy."""

    def _own(self) -> dict[str, Any]:
        """Arguments and memory as plain data."""
        return {name: _saved(value) for name, value in vars(self).items() if name not in UNSAVED}

    def _take(self, own: Mapping[str, Any]) -> None:
        """Go over to the arguments and the memory of another."""
        names = [name for name in vars(self) if name not in UNSAVED]
        missing = sorted(set(names) - own.keys())
        if missing:
            raise ValueError(f"the state of a {type(self).__name__} lacks {', '.join(map(repr, missing))}")
        for name in names:
            setattr(self, name, _loaded(getattr(self, name), own[name]))

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, as plain data under torch's names.

        Functions are code, not state, and left out: the scheduler that loads keeps its own. Of other callables the
        attributes are saved.
        """
        self._absorb()
        bases = [group.get("initial_lr") for group in self.optimizer.param_groups]
        rates = {name: list(getattr(self, name)) for name in ("_starts", "_found", "_last_lr")}
        return {**self._own(), "last_epoch": self.last_epoch, "base_lrs": bases, **rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, rates of the optimizer's groups included, in any order with the optimizer's own.

        Raises
        ------
        TypeError, ValueError
            The state is of another schedule, or of another number of groups. Nothing has changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"a state dict is a mapping, not {type(state_dict).__name__}")
        mine = self.state_dict()
        missing = sorted(mine.keys() - state_dict.keys())
        if missing:
            raise ValueError(f"the state of a {type(self).__name__} lacks {', '.join(map(repr, missing))}")
        names = ("base_lrs", "_starts", "_found", "_last_lr")
        bases, starts, rates, last = (list(state_dict[name]) for name in names)
        groups = self.optimizer.param_groups
        if not len(bases) == len(starts) == len(rates) == len(last) == len(groups):
            raise ValueError(f"the state has {len(bases)} groups, the optimizer {len(groups)}")
        try:
            self._take(state_dict)
            check_count(state_dict["last_epoch"], type(self).__name__, "last_epoch", low=0)
            epoch = int(state_dict["last_epoch"])
            rates, last = ([self._checked(rate, epoch, i) for i, rate in enumerate(each)] for each in (rates, last))
            for i, start in enumerate(starts):
                self._checked(self._rate(start, epoch, i), epoch, i)
            others = [self._others(epoch, i) for i in range(len(rates))]
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            self._take(mine)
            raise ValueError(f"the state does not fit a {type(self).__name__}: {error}") from error
        for group, base in zip(groups, bases, strict=True):
            group |= {} if base is None else {"initial_lr": base}
        self.last_epoch, self._starts = epoch, starts
        self._set(rates, others)
        self._last_lr = last

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, {self._key}={self._last_lr})"


def check_optimizer(optimizer: Any) -> None:
    """Refuse what has no groups."""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def per_group(optimizer: Any, name: str, value: Any) -> Any:
    """One value for all groups as it is, or a list with one for each."""
    check_optimizer(optimizer)
    if not isinstance(value, list | tuple):
        return value
    if len(value) != len(optimizer.param_groups):
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {len(optimizer.param_groups)}."
        )
    return list(value)


def at(value: Any, i: int) -> Any:
    """What `per_group` has for group i."""
    if not isinstance(value, list):
        return value
    if i >= len(value):
        raise ValueError(f"group {i} was added later, and the scheduler has a list of {len(value)} values: append one")
    return value[i]


def _saved(value: Any) -> Any:
    if isinstance(value, list):
        return [_saved(item) for item in value]
    if callable(value):
        return None if isinstance(value, FunctionType) else copy.deepcopy(getattr(value, "__dict__", None))
    return copy.deepcopy(value)


def _loaded(mine: Any, saved: Any) -> Any:
    """`mine` if it is code, with the attributes that were saved; else a copy of what was saved."""
    if isinstance(mine, list) and any(map(callable, mine)):
        if not isinstance(saved, list) or len(saved) != len(mine):
            raise ValueError(f"{saved!r} is not the state of {len(mine)} callables")
        return [_loaded(*pair) for pair in zip(mine, saved, strict=True)]
    if not callable(mine):
        return copy.deepcopy(saved)
    if saved is not None:
        vars(mine).update(copy.deepcopy(saved))
    return mine
