"""Learning-rate schedules, each a pure function of the epoch, sorted by complexity."""

# Design: torch computes most schedules from the rate before, so rounding drifts and a resumed run depends on the
# order of loading. Here a rate is `_rate(base, epoch)` and nothing else; the base stays on the group, so groups added
# later and any order of loading work.

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastopt._validation import check_number

__all__ = ["CosineAnnealingLR", "LRScheduler", "StepLR"]


class LRScheduler:
    """Base class of all schedules.

    A subclass says in ``_rate(base, epoch)`` what the learning rate of a group is.

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

    Notes
    -----
    Construction sets the rates of epoch 0. A rate set by hand holds until the next `step`.
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if not isinstance(last_epoch, int) or last_epoch < -1:
            raise ValueError(f"last_epoch must be an int of at least -1, not {last_epoch!r}")
        for i, group in enumerate(optimizer.param_groups):
            if callable(group["lr"]):
                raise TypeError(f"lr of param_groups[{i}] is a callable, which a scheduler would replace")
        if last_epoch >= 0:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an optimizer"
                    )
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        self.step()

    def _rate(self, base: float, epoch: int) -> float:
        raise NotImplementedError

    @property
    def base_lrs(self) -> list[float]:
        return [group.setdefault("initial_lr", group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The rate of each group at `last_epoch`."""
        return [self._rate(base, self.last_epoch) for base in self.base_lrs]

    def get_last_lr(self) -> list[float]:
        """The rate of each group as the scheduler last set it."""
        return list(self._last_lr)

    def step(self) -> None:
        """Go to the next epoch and set its rates; call it after the optimizer's steps."""
        rates = [self._rate(base, self.last_epoch + 1) for base in self.base_lrs]
        self.last_epoch += 1
        self._set(rates)

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates

    def print_lr(self) -> None:
        """Print the rate of each group."""
        for i, rate in enumerate(self._last_lr):
            print(f"Epoch {self.last_epoch}: learning rate of group {i} is {rate:.4e}.")

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, as plain data under torch's names."""
        own = {name: value for name, value in vars(self).items() if name != "optimizer"}
        return {
            **own,
            "base_lrs": self.base_lrs,
            "_last_lr": [group["lr"] for group in self.optimizer.param_groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, rates of the optimizer's groups included, in any order with the optimizer's own.

        Raises
        ------
        ValueError
            The state is of another schedule, or of another number of groups. Nothing has changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"a state dict is a mapping, not {type(state_dict).__name__}")
        mine = self.state_dict()
        missing = sorted(mine.keys() - state_dict.keys())
        if missing:
            raise ValueError(f"the state of a {type(self).__name__} lacks {', '.join(map(repr, missing))}")
        bases, rates = state_dict["base_lrs"], state_dict["_last_lr"]
        groups = self.optimizer.param_groups
        if not len(bases) == len(rates) == len(groups):
            raise ValueError(f"the state has {len(bases)} groups, the optimizer {len(groups)}")
        before = dict(vars(self))
        vars(self).update({name: state_dict[name] for name in mine.keys() - {"base_lrs", "_last_lr"}})
        try:
            rates = [float(rate) for rate in rates]
            for base in bases:
                self._rate(float(base), self.last_epoch)
        except (TypeError, ValueError, ArithmeticError) as error:
            vars(self).update(before)
            raise ValueError(f"the state does not fit a {type(self).__name__}: {error}") from error
        for group, base in zip(groups, bases, strict=True):
            group["initial_lr"] = base
        self._set(rates)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, lr={self._last_lr})"


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` epochs: base * gamma ** (epoch // step_size).

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        At least 1.
    gamma : float, default 0.1
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    Notes
    -----
    torch multiplies the rate it finds, so that a rate set by hand lasts; here it lasts until the next `step`.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", 1951, on decreasing steps.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    >>> sched.step(); sched.step(); sched.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if not hasattr(step_size, "__index__") or isinstance(step_size, bool):
            raise TypeError(f"StepLR needs an int for step_size, not {step_size!r}")
        check_number(step_size, "Invalid step_size", "StepLR", "step_size", low=1)
        check_number(gamma, "Invalid gamma", "StepLR", "gamma")
        self.step_size = int(step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate down to `eta_min` over `T_max` epochs.

    The rate is ``eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2``; after `T_max` it rises again, as
    in torch.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int or float
        Above 0.
    eta_min : float, default 0
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.CosineAnnealingLR(opt, T_max=2)
    >>> sched.step(); round(sched.get_last_lr()[0], 12)
    0.5
    """

    def __init__(self, optimizer: Any, T_max: float, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        check_number(T_max, "Invalid T_max", "CosineAnnealingLR", "T_max", low_open=True)
        check_number(eta_min, "Invalid eta_min", "CosineAnnealingLR", "eta_min")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, epoch: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2
