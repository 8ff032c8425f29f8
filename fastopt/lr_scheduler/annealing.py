"""Schedules that bring the rate to a level: along a cosine, with restarts or for weight averaging."""

from __future__ import annotations

import math
from typing import Any

from fastopt._validation import check_number
from fastopt.lr_scheduler.scheduler import LRScheduler, at, is_int, per_group

__all__ = ["SWALR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts"]


def cosine(z: float) -> float:
    """From 1 at z = 0 to 0 at z = 1."""
    return (1 + math.cos(math.pi * z)) / 2


def check_strategy(anneal_strategy: Any) -> None:
    if anneal_strategy not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")


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

    def _start(self, epoch: float, i: int) -> Any:
        """At the bottom nothing of a changed rate is left, and it rises to the base."""
        falls = (self.last_epoch + self.T_max) // (2 * self.T_max)
        if self.last_epoch < 0 or (epoch + self.T_max) // (2 * self.T_max) == falls:
            return self._starts[i]
        return self._initial(i, self.optimizer.param_groups[i])

    def _rate(self, start: float, epoch: float, i: int) -> float:
        share = cosine(epoch / self.T_max)
        return max(start * share + self.eta_min * (1 - share), 0.0)  # below 0 if a changed rate was below eta_min


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the base rate down to `eta_min`, again and again, each `T_mult` times as long as the last.

    The rate is ``eta_min + (base - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2``, `T_cur` epochs after the last restart
    and `T_i - T_cur` before the next.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Epochs to the first restart, at least 1.
    T_mult : int, default 1
        At least 1.
    eta_min : float, default 0
        At least 0.
    last_epoch : int, default -1

    Raises
    ------
    ValueError
        An argument of the wrong type or out of range.

    Notes
    -----
    ``step(epoch)`` takes fractions, as in ``sched.step(epoch + i / batches)``; the next ``step()`` goes to the next
    whole epoch, where torch adds 1 to the fraction.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=1, T_mult=2)
    >>> sched.values(3)
    [[1.0], [0.5], [1.0]]
    """

    _rank = 1

    def __init__(self, optimizer: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if not is_int(T_0) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not is_int(T_mult) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if isinstance(eta_min, bool) or not hasattr(eta_min, "__float__"):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        check_number(eta_min, "Invalid eta_min", "CosineAnnealingWarmRestarts", "eta_min")
        self.T_0 = int(T_0)
        self.T_mult = int(T_mult)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _check_epoch(self, epoch: Any) -> None:
        check_number(epoch, "Expected non-negative epoch, but got", "CosineAnnealingWarmRestarts", "epoch")

    def _rate(self, start: float, epoch: float, i: int) -> float:
        length = self.T_0
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        share = cosine(epoch / length)
        return start * share + self.eta_min * (1 - share)


class SWALR(LRScheduler):
    """Bring the rate to `swa_lr` within `anneal_epochs`, and keep it: for averaging weights, with ``swa_start``.

    The rate is ``swa_lr + (base - swa_lr) * a``, where a goes from 1 to 0 along a cosine or a line. Step it instead of
    the main schedule when averaging begins: its base is the rate that it finds then.

    Parameters
    ----------
    optimizer : Optimizer
    swa_lr : float, or list of float
        At least 0; a list has one for each group.
    anneal_epochs : int, default 10
        At least 0.
    anneal_strategy : {"cos", "linear"}, default "cos"
    last_epoch : int, default -1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0, swa_start=4)
    >>> sched = fo.lr_scheduler.SWALR(opt, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> sched.values(3)
    [[0.75], [0.5], [0.5]]
    """

    def __init__(
        self,
        optimizer: Any,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self.swa_lrs = per_group(optimizer, "swa_lr", swa_lr)
        for each in self.swa_lrs if isinstance(self.swa_lrs, list) else [self.swa_lrs]:
            check_number(each, "Invalid swa_lr", "SWALR", "swa_lr")
        check_strategy(anneal_strategy)
        if not is_int(anneal_epochs) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = int(anneal_epochs)
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _rate(self, start: float, epoch: float, i: int) -> float:
        z = epoch / self.anneal_epochs if epoch < self.anneal_epochs else 1.0
        share = cosine(z) if self.anneal_strategy == "cos" else 1 - z
        return float(start * share + at(self.swa_lrs, i) * (1 - share))
