"""Schedules that go up and down between rates of their own, and with them, the other way, the momentum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastopt._validation import check_choice, check_flag, check_number
from fastopt.lr_scheduler.annealing import check_strategy, cosine
from fastopt.lr_scheduler.scheduler import LRScheduler, at, check_optimizer, is_int, per_group

__all__ = ["CyclicLR", "OneCycleLR"]


class Cycle(LRScheduler):
    """A rate, and if `cycle_momentum` a momentum (the first of `betas`, where there are), given by arguments alone."""

    _rank = 0

    def _set_momentum(self, optimizer: Any, cycle_momentum: bool, base_momentum: Any, max_momentum: Any) -> None:
        check_flag(cycle_momentum, type(self).__name__, "cycle_momentum")
        defaults = getattr(optimizer, "defaults", {})
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.base_momentums = self._numbers(optimizer, "base_momentum", base_momentum, high=1.0)
        self.max_momentums = self._numbers(optimizer, "max_momentum", max_momentum, high=1.0)

    def _numbers(self, optimizer: Any, name: str, value: Any, high: float = math.inf) -> Any:
        numbers = per_group(optimizer, name, value)
        for each in numbers if isinstance(numbers, list) else [numbers]:
            check_number(each, f"Invalid {name}", type(self).__name__, name, high=high)
        return numbers

    def _momentum(self, epoch: float, i: int) -> float:
        raise NotImplementedError

    def _others(self, epoch: float, i: int) -> dict[str, Any]:
        if not self.cycle_momentum:
            return {}
        momentum = self._momentum(epoch, i)
        if self.use_beta1:
            return {"betas": (momentum, *self.optimizer.param_groups[i]["betas"][1:])}
        return {"momentum": momentum}


class CyclicLR(Cycle):
    """Up and down between `base_lr` and `max_lr`, along lines; a momentum goes down and up.

    With s from 0 to 1 and back in each cycle, the rate is ``base_lr + (max_lr - base_lr) * s * scale``, the momentum
    ``max_momentum - (max_momentum - base_momentum) * s * scale``; scale is 1, ``1 / 2**(cycle - 1)`` or
    ``gamma**epoch``.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float, or list of float
        At least 0; a list has one for each group.
    step_size_up : int, default 2000
        Epochs, usually batches, up.
    step_size_down : int, optional
        And down; `step_size_up` if None.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
    gamma : float, default 1.0
        Of "exp_range", at least 0.
    scale_fn : callable, optional
        In the place of `mode`: takes what `scale_mode` says, returns the scale.
    scale_mode : {"cycle", "iterations"}, default "cycle"
        Whether `scale_fn` takes the cycle, 1 at first, or the epoch.
    cycle_momentum : bool, default True
        Whether to cycle the momentum, or the first of the betas.
    base_momentum, max_momentum : float, or list of float, default 0.8 and 0.9
        In [0, 1).
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range, or no momentum to cycle.

    Notes
    -----
    Its rates are its own: what others do to a rate holds until the next step. In a `ChainedScheduler` it is applied
    first, and the other members scale what it says; in torch those before it have no effect, and those after it scale
    by their last factor only.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", WACV 2017.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0, momentum=0.9)
    >>> sched = fo.lr_scheduler.CyclicLR(opt, base_lr=0.0, max_lr=1.0, step_size_up=2)
    >>> sched.get_last_lr(), sched.values(4)
    ([0.0], [[0.5], [1.0], [0.5], [0.0]])
    """

    def __init__(
        self,
        optimizer: Any,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.lows = self._numbers(optimizer, "base_lr", base_lr)
        self.max_lrs = self._numbers(optimizer, "max_lr", max_lr)
        check_number(step_size_up, "Invalid step_size_up", "CyclicLR", "step_size_up", low_open=True)
        if step_size_down is not None:
            check_number(step_size_down, "Invalid step_size_down", "CyclicLR", "step_size_down", low_open=True)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        check_number(gamma, "Invalid gamma", "CyclicLR", "gamma")
        check_choice(scale_mode, ("cycle", "iterations"), "CyclicLR", "scale_mode")
        self.step_size_up = float(step_size_up)
        self.step_size_down = self.step_size_up if step_size_down is None else float(step_size_down)
        self.mode = mode
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        self._set_momentum(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _initial(self, i: int, group: dict[str, Any]) -> Any:
        super()._initial(i, group)  # for others: what it was before
        return at(self.lows, i)

    def _height(self, epoch: float) -> Any:
        done, x = divmod(epoch, self.step_size_up + self.step_size_down)
        up = x / self.step_size_up if x <= self.step_size_up else 1 - (x - self.step_size_up) / self.step_size_down
        if self.scale_fn is not None:
            return up * self.scale_fn(done + 1 if self.scale_mode == "cycle" else epoch)
        if self.mode == "triangular2":
            return float(up / 2.0**done)
        return float(up * (self.gamma**epoch if self.mode == "exp_range" else 1.0))

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        low = at(self.lows, i)
        return low + (at(self.max_lrs, i) - low) * self._height(epoch)

    def _momentum(self, epoch: float, i: int) -> float:
        high = at(self.max_momentums, i)
        return float(high - (high - at(self.base_momentums, i)) * self._height(epoch))


class OneCycleLR(Cycle):
    """Up from ``max_lr / div_factor`` to `max_lr` and down to next to nothing, once; a momentum goes down and up.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float, or list of float
        At least 0; a list has one for each group.
    total_steps : int, optional
        Steps of the whole cycle, at least 1; if None, `epochs` times `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
    pct_start : float, default 0.3
        The share of the steps that go up, in [0, 1].
    anneal_strategy : {"cos", "linear"}, default "cos"
    cycle_momentum : bool, default True
        Whether to cycle the momentum, or the first of the betas.
    base_momentum, max_momentum : float, or list of float, default 0.85 and 0.95
        In [0, 1).
    div_factor : float, default 25.0
        Above 0.
    final_div_factor : float, default 1e4
        The last rate is ``max_lr / div_factor / final_div_factor``.
    three_phase : bool, default False
        Whether to go down to the first rate as fast as up, and to the last one only then.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range, or no momentum to cycle; from `step`, one step too many.

    Notes
    -----
    A loop calls `step` once more than there are rates left. The last rate then holds; in torch it jumps up again.
    After that both raise. Its rates are its own, as those of `CyclicLR`.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0, momentum=0.9)
    >>> sched = fo.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=5, pct_start=0.4, anneal_strategy="linear")
    >>> sched.get_last_lr(), sched.values(1)
    ([0.04], [[1.0]])
    """

    def __init__(
        self,
        optimizer: Any,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        given: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        for name, value in given.items() if total_steps is None else [("total_steps", total_steps)]:
            if not is_int(value) or value <= 0:
                raise ValueError(f"Expected positive integer {name}, but got {value}")
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        check_strategy(anneal_strategy)
        for name, number in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            check_number(number, f"Invalid {name}", "OneCycleLR", name, low_open=True)
        check_flag(three_phase, "OneCycleLR", "three_phase")
        self.max_lrs = self._numbers(optimizer, "max_lr", max_lr)
        self.total_steps = int((epochs or 0) * (steps_per_epoch or 0) if total_steps is None else total_steps)
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        self._set_momentum(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _initial(self, i: int, group: dict[str, Any]) -> Any:
        super()._initial(i, group)  # for others: what it was before
        return at(self.max_lrs, i) / self.div_factor

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or the one given, and set its rates; ValueError beyond `total_steps`."""
        self._observe(self.last_epoch + 1 if epoch is None else epoch, None)
        super().step(epoch)

    def _observe(self, epoch: float, metrics: Any) -> None:
        if epoch > self.total_steps:
            raise ValueError(f"Tried to step {epoch} times. The specified number of total steps is {self.total_steps}")

    def _between(self, epoch: float, corners: tuple[float, ...]) -> float:
        """On the way from one corner to the next."""
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        ends = (top, 2 * top, last) if self.three_phase else (top, last)
        epoch, since, leg = min(epoch, last), 0.0, 0
        while epoch > ends[leg]:
            since = ends[leg]
            leg += 1
        z = (epoch - since) / (ends[leg] - since) if ends[leg] != since else 1.0
        share = cosine(z) if self.anneal_strategy == "cos" else 1 - z
        return corners[leg] * share + corners[leg + 1] * (1 - share)

    def _rate(self, start: float, epoch: float, i: int) -> float:
        high = at(self.max_lrs, i)
        low = high / self.div_factor
        end = low / self.final_div_factor
        return self._between(epoch, (low, high, low, end) if self.three_phase else (low, high, end))

    def _momentum(self, epoch: float, i: int) -> float:
        high = at(self.max_momentums, i)
        return self._between(epoch, (high, at(self.base_momentums, i), high, high))
