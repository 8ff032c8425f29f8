"""The schedule that looks at how training goes."""

from __future__ import annotations

import math
from typing import Any

from fastopt._validation import check_count, check_number
from fastopt.lr_scheduler.scheduler import LRScheduler, at, check_optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` epochs.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}, default "min"
        Whether a lower metric is better, or a higher one.
    factor : float, default 0.1
        In [0, 1).
    patience : int, default 10
        Epochs without improvement that are let pass.
    threshold : float, default 1e-4
        What counts as an improvement over the best: more than ``threshold * |best|``, or than `threshold`.
    threshold_mode : {"rel", "abs"}, default "rel"
    cooldown : int, default 0
        Epochs after a reduction that do not count as bad.
    min_lr : float, or list of float, default 0
        What the rate does not fall below; a list has one for each group.
    eps : float, default 1e-8
        A reduction by no more than that is not made.

    Attributes
    ----------
    best : float
        The best metric so far; of an infinite one, the worst, if there is none.
    num_bad_epochs, cooldown_counter : int

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range; from `step`, no metric.

    Notes
    -----
    The "rel" threshold is relative to ``|best|``; torch's is to best, so that of negative metrics a worse one can count
    as improvement. NaN counts as a bad epoch, as in torch. `ChainedScheduler` and `SequentialLR` take it, where torch's
    do not: their `step` passes the metric on.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep learning", 2016, section 8.1, on watching the validation error.

    Examples
    --------
    >>> opt = fo.SGD(np.zeros(3), lr=1.0)
    >>> sched = fo.lr_scheduler.ReduceLROnPlateau(opt, patience=1)
    >>> for loss in (1.0, 1.0, 1.0): sched.step(loss)
    >>> sched.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        check_number(factor, "Factor should be < 1.0.", "ReduceLROnPlateau", "factor", high=1.0)
        check_optimizer(optimizer)
        if isinstance(min_lr, list | tuple) and len(min_lr) != len(optimizer.param_groups):
            raise ValueError(f"expected {len(optimizer.param_groups)} min_lrs, got {len(min_lr)}")
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else min_lr
        for each in self.min_lrs if isinstance(self.min_lrs, list) else [self.min_lrs]:
            check_number(each, "Invalid min_lr", "ReduceLROnPlateau", "min_lr")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        check_count(patience, "ReduceLROnPlateau", "patience", low=0)
        check_count(cooldown, "ReduceLROnPlateau", "cooldown", low=0)
        for name, value in {"threshold": threshold, "eps": eps}.items():
            check_number(value, f"Invalid {name}", "ReduceLROnPlateau", name)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self._reductions: list[int] = []  # of each group, since its start; none for groups beyond
        super().__init__(optimizer)

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take in the metric of an epoch, a number, and reduce the rates if it is time."""
        if epoch is not None:
            self._check_epoch(epoch)
        self._step(self.last_epoch + 1 if epoch is None else epoch, metrics)

    def _rate(self, start: float, epoch: float, i: int) -> float:
        lowest = at(self.min_lrs, i)
        for _ in range(self._reductions[i] if i < len(self._reductions) else 0):
            reduced = max(start * self.factor, lowest)
            if not start - reduced > self.eps:
                break
            start = reduced
        return start

    def _started(self, found: float, i: int) -> float:
        self._reductions = [0 if j == i else count for j, count in enumerate(self._reductions)]
        return found

    def _observe(self, epoch: float, metrics: Any) -> None:
        if metrics is None:
            raise TypeError("step() needs metrics, the number that ReduceLROnPlateau looks at")
        current = float(metrics)
        if self._improves(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
            counts = self._reductions + [0] * (len(self.optimizer.param_groups) - len(self._reductions))
            self._reductions = [count + 1 for count in counts]

    def _improves(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        current, best = sign * current, sign * self.best
        if math.isinf(best):
            return current < best
        if self.threshold_mode == "abs":
            return current < best - self.threshold
        return current < best * (1 - math.copysign(self.threshold, best))

    def _memory(self) -> Any:
        return self.best, self.num_bad_epochs, self.cooldown_counter, self._reductions

    def _recall(self, memory: Any) -> None:
        self.best, self.num_bad_epochs, self.cooldown_counter, self._reductions = memory
