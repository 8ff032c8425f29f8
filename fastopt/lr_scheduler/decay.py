"""Schedules that scale the rate: by a function of yours, in steps, along a line or a curve, with a warm-up."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

from fastopt._validation import check_choice, check_count, check_number
from fastopt.lr_scheduler.scheduler import LRScheduler, at, per_group

__all__ = [
    "REXLR",
    "ConstantLR",
    "ExponentialLR",
    "ExponentialWarmupLR",
    "InverseSqrtLR",
    "LambdaLR",
    "LinearLR",
    "LinearWarmupLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
    "WarmupStableDecayLR",
]

Factor: TypeAlias = Callable[[int], float]


class Scaled(LRScheduler):
    """A rate that is the start times ``_factor(epoch)``."""

    def _factor(self, epoch: float) -> float:
        raise NotImplementedError

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        return start * self._factor(epoch)


def factors(optimizer: Any, lr_lambda: Factor | list[Factor]) -> Any:
    """The function of all groups, or a list with one for each."""
    if isinstance(lr_lambda, list | tuple) and len(lr_lambda) != len(getattr(optimizer, "param_groups", lr_lambda)):
        raise ValueError(f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(lr_lambda)}")
    lambdas = per_group(optimizer, "lr_lambda", lr_lambda)
    for each in lambdas if isinstance(lambdas, list) else [lambdas]:
        if not callable(each):
            raise TypeError(f"lr_lambda should be a function, but got {type(each).__name__}")
    return lambdas


class LambdaLR(LRScheduler):
    """Scale the rate by a function of the epoch: base * lr_lambda(epoch).

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or list of callable
        Takes the epoch, 0 at the start, and returns a number of at least 0; a list has one for each group.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        No function, or not as many as groups.

    Notes
    -----
    As in torch the rate is set from ``initial_lr``, whatever it was; in a `ChainedScheduler` it composes, though, where
    in torch it makes members before it forget what they did.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", 1951, on what such functions have to fulfill.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.LambdaLR(opt, lambda epoch: 1 / (1 + epoch))
    >>> sched.step(); sched.get_last_lr()
    [0.5]
    """

    _rank = 1

    def __init__(self, optimizer: Any, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        self.lr_lambdas = factors(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        return start * at(self.lr_lambdas, i)(epoch)


class MultiplicativeLR(LRScheduler):
    """Multiply the rate at each epoch by a function of it: base * lr_lambda(1) * ... * lr_lambda(epoch).

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or list of callable
        Takes the epoch, 1 at the first step, and returns a number of at least 0; a list has one for each group. It is
        called anew for all epochs when a state is loaded, so it must not depend on anything else.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        No function, or not as many as groups.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", 1951, on decreasing steps.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.MultiplicativeLR(opt, lambda epoch: 0.5)
    >>> sched.step(); sched.step(); sched.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Any, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        self.lr_lambdas = factors(optimizer, lr_lambda)
        self._products: dict[int, tuple[int, float]] = {}  # by group: an epoch, and the product up to it
        super().__init__(optimizer, last_epoch)

    def _rate(self, start: float, epoch: float, i: int) -> Any:
        factor = at(self.lr_lambdas, i)
        last, product = self._products.get(i, (0, 1.0))
        if last > epoch:
            last, product = 0, 1.0
        for t in range(last + 1, math.floor(epoch) + 1):
            product *= factor(t)
        self._products[i] = math.floor(epoch), product
        return start * product

    def _take(self, own: Any) -> None:
        super()._take(own)
        self._products = {}


class StepLR(Scaled):
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
        check_count(step_size, "StepLR", "step_size")
        check_number(gamma, "Invalid gamma", "StepLR", "gamma")
        self.step_size = int(step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class MultiStepLR(Scaled):
    """Multiply the rate by `gamma` at each milestone: base * gamma ** (number of milestones up to the epoch).

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of int
        Epochs, in any order; one that is given twice counts twice.
    gamma : float, default 0.1
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016, for the usual milestones.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.MultiStepLR(opt, milestones=[1, 3], gamma=0.5)
    >>> sched.step(); sched.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Any, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones = sorted(milestones)
        for milestone in self.milestones:
            check_count(milestone, "MultiStepLR", "milestone", low=0)
        check_number(gamma, "Invalid gamma", "MultiStepLR", "gamma")
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return self.gamma ** bisect_right(self.milestones, epoch)


class ConstantLR(Scaled):
    """Scale the rate by `factor` in the first `total_iters` epochs: base * factor, and then base.

    Parameters
    ----------
    optimizer : Optimizer
    factor : float, default 1/3
        In [0, 1]. 0 is a rate of 0 at first; in torch the rate then stays 0, or fails.
    total_iters : int, default 5
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016, on such a warm-up.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.ConstantLR(opt, factor=0.5, total_iters=2)
    >>> sched.get_last_lr(), sched.values(2)
    ([0.5], [[0.5], [1.0]])
    """

    def __init__(self, optimizer: Any, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        _check_factor(factor, "Constant multiplicative factor expected to be between 0 and 1.", "ConstantLR", "factor")
        check_number(total_iters, "Invalid total_iters", "ConstantLR", "total_iters")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(Scaled):
    """Scale the rate along a line: base * (start_factor + (end_factor - start_factor) * min(1, epoch / total_iters)).

    Parameters
    ----------
    optimizer : Optimizer
    start_factor : float, default 1/3
        In (0, 1].
    end_factor : float, default 1.0
        In [0, 1].
    total_iters : int, default 5
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    See Also
    --------
    LinearWarmupLR : a warm-up of which one need not choose the start.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
    >>> sched.get_last_lr(), sched.values(3)
    ([0.5], [[0.75], [1.0], [1.0]])
    """

    def __init__(
        self,
        optimizer: Any,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        words = "Starting multiplicative factor expected to be greater than 0 and less or equal to 1."
        _check_factor(start_factor, words, "LinearLR", "start_factor", low_open=True)
        words = "Ending multiplicative factor expected to be between 0 and 1."
        _check_factor(end_factor, words, "LinearLR", "end_factor")
        check_number(total_iters, "Invalid total_iters", "LinearLR", "total_iters")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * _share(epoch, self.total_iters)


class ExponentialLR(Scaled):
    """Multiply the rate by `gamma` every epoch: base * gamma ** epoch.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Li and Arora, "An exponential learning rate schedule for deep learning", ICLR 2020.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> sched.step(); sched.step(); sched.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        check_number(gamma, "Invalid gamma", "ExponentialLR", "gamma")
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return float(self.gamma**epoch)


class PolynomialLR(Scaled):
    """Bring the rate to 0 along a power: base * (1 - min(1, epoch / total_iters)) ** power.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int, default 5
        At least 0.
    power : float, default 1.0
        Above 0.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Chen et al., "DeepLab: semantic image segmentation with deep convolutional nets", 2017, section 4.1.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.PolynomialLR(opt, total_iters=4, power=2)
    >>> sched.step(); sched.step(); sched.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Any, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        check_number(total_iters, "Invalid total_iters", "PolynomialLR", "total_iters")
        check_number(power, "Invalid power", "PolynomialLR", "power", low_open=True)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return float((1.0 - _share(epoch, self.total_iters)) ** self.power)


class LinearWarmupLR(Scaled):
    """Bring the rate up along a line: base * min(1, (epoch + 1) / warmup_steps).

    In a `ChainedScheduler` it warms up any other schedule, `ReduceLROnPlateau` among them. For Adam without a schedule
    of its own, warmup_steps = 2 / (1 - beta2) needs no tuning.

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps : int
        At least 1: the first step has a rate of base / warmup_steps, the last of these the base.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Ma and Yarats, "On the adequacy of untuned warmup for adaptive optimization", AAAI 2021.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.LinearWarmupLR(opt, warmup_steps=4)
    >>> sched.get_last_lr(), sched.values(4)
    ([0.25], [[0.5], [0.75], [1.0], [1.0]])
    """

    def __init__(self, optimizer: Any, warmup_steps: int, last_epoch: int = -1) -> None:
        check_count(warmup_steps, "LinearWarmupLR", "warmup_steps")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return _share(epoch + 1, self.warmup_steps)


class ExponentialWarmupLR(Scaled):
    """Bring the rate up, ever more slowly: base * (1 - exp(-(epoch + 1) / warmup_steps)).

    In a `ChainedScheduler` it warms up any other schedule. For Adam, warmup_steps = 1 / (1 - beta2) needs no tuning.

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps : int
        At least 1.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Ma and Yarats, "On the adequacy of untuned warmup for adaptive optimization", AAAI 2021.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.ExponentialWarmupLR(opt, warmup_steps=10)
    >>> round(sched.get_last_lr()[0], 4), round(sched.values(49)[-1][0], 4)
    (0.0952, 0.9933)
    """

    def __init__(self, optimizer: Any, warmup_steps: int, last_epoch: int = -1) -> None:
        check_count(warmup_steps, "ExponentialWarmupLR", "warmup_steps")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return -math.expm1(-(epoch + 1) / self.warmup_steps)


class WarmupStableDecayLR(Scaled):
    """Warm up, hold the rate, and bring it down at the end: so long as it is held, training can go on for longer.

    The rate is base * min(1, (epoch + 1) / warmup_steps), then base for `stable_steps`, and then, with z from 0 to 1
    over `decay_steps`, base * (min_factor + (1 - min_factor) * d(z)), where d(z) is 1 - z, (1 + cos(pi z)) / 2 or
    1 - sqrt(z).

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps, stable_steps, decay_steps : int
        At least 0.
    min_factor : float, default 0
        What is left of the rate at the end, in [0, 1].
    decay : {"linear", "cosine", "sqrt"}, default "linear"
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations", NeurIPS 2024.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.WarmupStableDecayLR(opt, 2, 2, 2)
    >>> sched.get_last_lr(), sched.values(6)
    ([0.5], [[1.0], [1.0], [1.0], [1.0], [0.5], [0.0]])
    """

    DECAYS: ClassVar[dict[str, Callable[[float], float]]] = {
        "linear": lambda z: 1 - z,
        "cosine": lambda z: (1 + math.cos(math.pi * z)) / 2,
        "sqrt": lambda z: 1 - math.sqrt(z),
    }

    def __init__(
        self,
        optimizer: Any,
        warmup_steps: int,
        stable_steps: int,
        decay_steps: int,
        min_factor: float = 0.0,
        decay: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        steps = {"warmup_steps": warmup_steps, "stable_steps": stable_steps, "decay_steps": decay_steps}
        for name, value in steps.items():
            check_count(value, "WarmupStableDecayLR", name, low=0)
        _check_factor(min_factor, "Invalid min_factor", "WarmupStableDecayLR", "min_factor")
        check_choice(decay, self.DECAYS, "WarmupStableDecayLR", "decay")
        self.warmup_steps = warmup_steps
        self.stable_steps = stable_steps
        self.decay_steps = decay_steps
        self.min_factor = min_factor
        self.decay = decay
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        since = epoch - self.warmup_steps - self.stable_steps
        if since < 0:
            return _share(epoch + 1, self.warmup_steps)
        return self.min_factor + (1 - self.min_factor) * self.DECAYS[self.decay](_share(since, self.decay_steps))


class InverseSqrtLR(Scaled):
    """Warm up along a line, then decay as one over the square root: base * min((t + 1) / w, sqrt(w / (t + 1))).

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps : int, default 4000
        w, at least 1: the base is reached at epoch t = w - 1.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Vaswani et al., "Attention is all you need", NeurIPS 2017, eq. 3.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.InverseSqrtLR(opt, warmup_steps=2)
    >>> sched.get_last_lr(), sched.values(7)[-1]
    ([0.5], [0.5])
    """

    def __init__(self, optimizer: Any, warmup_steps: int = 4000, last_epoch: int = -1) -> None:
        check_count(warmup_steps, "InverseSqrtLR", "warmup_steps")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        return min((epoch + 1) / self.warmup_steps, math.sqrt(self.warmup_steps / (epoch + 1)))


class REXLR(Scaled):
    """Bring the rate to 0, slowly at first: with z = min(1, epoch / total_steps), base * (1 - z) / (1 - z / 2).

    Made for training within a budget; above a line all the way.

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int
        At least 1.
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Chen, Wolfe and Kyrillidis, "REX: revisiting budgeted training with an improved schedule", MLSys 2022.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.REXLR(opt, total_steps=2)
    >>> sched.step(); round(sched.get_last_lr()[0], 4)
    0.6667
    """

    def __init__(self, optimizer: Any, total_steps: int, last_epoch: int = -1) -> None:
        check_count(total_steps, "REXLR", "total_steps")
        self.total_steps = total_steps
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: float) -> float:
        z = _share(epoch, self.total_steps)
        return (1 - z) / (1 - z / 2)


def _check_factor(value: Any, words: str, owner: str, name: str, low_open: bool = False) -> None:
    check_number(value, words, owner, name, high=1.0, low_open=low_open, high_open=False)


def _share(epoch: float, total: float) -> float:
    """How much of `total` has passed, from 0 to 1."""
    return epoch / total if epoch < total else 1.0
