"""Reference implementations in plain float64 NumPy: losses, schedules.

Each is written from its paper with torch's conventions, to be read and not to be fast, and has its public name.
The optimizers' are in optim_oracles.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp


def reduced(losses, reduction, total):
    """`losses` as they are, summed, or summed over `total` (nan when nothing was counted)."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / total if total else np.nan


def averaged(grad, reduction, total):
    """Gradient of the sum, turned into that of the mean; zero when nothing was counted."""
    if reduction != "mean":
        return grad
    return grad / total if total else np.zeros_like(grad)


def widened(array):
    """At least float64; complex stays complex, for complex-step derivatives."""
    array = np.asarray(array)
    return array.astype(np.result_type(array, np.float64))


@dataclass
class MSELoss:
    """(input - target)^2."""

    reduction: str = "mean"

    def __call__(self, input, target):
        d = widened(input) - target
        return reduced(d**2, self.reduction, d.size)

    def grad(self, input, target):
        d = widened(input) - target
        return averaged(2 * d, self.reduction, d.size)


@dataclass
class CrossEntropyLoss:
    """-sum_c w_c q_c log softmax(z)_c, where q is the smoothed target distribution.

    Classes are on axis 1, or on axis 0 of an unbatched (C,) input. The mean over class indices
    divides by the weights of the targets, the mean over probabilities by their number. 0 log 0 = 0.
    """

    weight: np.ndarray | None = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0

    def _terms(self, input, target):
        """log softmax(z) and w_c q_c, classes last, and what the mean divides by."""
        z, target = widened(input), np.asarray(target)
        z = np.moveaxis(z, min(1, z.ndim - 1), -1)
        n_classes = z.shape[-1]
        w = np.ones(n_classes) if self.weight is None else widened(self.weight)
        if target.dtype.kind in "iu":
            kept = (target != self.ignore_index)[..., None]
            q = (target[..., None] == np.arange(n_classes)) & kept
            total = (w * q).sum()
        else:
            kept = True
            q = np.moveaxis(widened(target), min(1, target.ndim - 1), -1)
            total = q[..., 0].size
        q = (1 - self.label_smoothing) * q + self.label_smoothing / n_classes
        return z - logsumexp(z, axis=-1, keepdims=True), w * q * kept, total

    def __call__(self, input, target):
        log_p, wq, total = self._terms(input, target)
        losses = -(wq * np.where(wq == 0, 0, log_p)).sum(axis=-1)
        return reduced(losses, self.reduction, total)

    def grad(self, input, target):
        log_p, wq, total = self._terms(input, target)
        grad = np.exp(log_p) * wq.sum(axis=-1, keepdims=True) - wq
        return np.moveaxis(averaged(grad, self.reduction, total), -1, min(1, grad.ndim - 1))


def StepLR(base_lr, t, step_size, gamma=0.1):
    """Learning rate of step t = 0, 1, ...: decayed by gamma every `step_size` steps."""
    return base_lr * gamma ** (t // step_size)


def CosineAnnealingLR(base_lr, t, T_max, eta_min=0.0):
    """Learning rate of step t = 0, 1, ...: Loshchilov & Hutter (2017), eq. 5 without restarts."""
    return eta_min + (base_lr - eta_min) * (1 + np.cos(np.pi * t / T_max)) / 2
