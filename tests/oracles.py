"""Reference implementations in plain float64 NumPy: optimizers, losses, schedules.

Each is written from its paper with torch's conventions, to be read and not to be fast. Optimizers
take torch's constructor arguments but for the parameters, which `step` receives; `lr` may be
assigned between steps. Losses and schedules have the public names.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp


@dataclass(kw_only=True)
class Optimizer:
    """Visits the parameters that have a gradient; `update` is what an algorithm adds."""

    maximize: bool = False
    state: list[dict] = field(default_factory=list)

    def step(self, params, grads):
        self.state = self.state or [{} for _ in params]
        for p, g, state in zip(params, grads, self.state, strict=True):
            if g is not None:
                g = np.asarray(g, np.float64)
                self.update(p, -g if self.maximize else g, state)


@dataclass
class SGD(Optimizer):
    """Polyak's heavy ball (1964); Nesterov's form as in Sutskever et al. (2013)."""

    lr: float = 1e-3
    momentum: float = 0
    dampening: float = 0
    weight_decay: float = 0
    nesterov: bool = False

    def update(self, p, g, state):
        g = g + self.weight_decay * p
        d = g
        if self.momentum:
            if "momentum_buffer" in state:
                b = self.momentum * state["momentum_buffer"] + (1 - self.dampening) * g
            else:
                b = g.copy()  # torch leaves the first gradient undampened
            state["momentum_buffer"] = b
            d = g + self.momentum * b if self.nesterov else b
        p[...] = p - self.lr * d


@dataclass
class Adam(Optimizer):
    """Kingma & Ba (2015), algorithm 1; AMSGrad of Reddi et al. (2018) on the uncorrected v."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    amsgrad: bool = False
    decoupled_weight_decay: bool = field(kw_only=True, default=False)

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = state["step"] = state.get("step", 0) + 1
        if self.decoupled_weight_decay:
            p[...] = p - self.lr * self.weight_decay * p
        else:
            g = g + self.weight_decay * p
        m = state["exp_avg"] = beta1 * state.get("exp_avg", 0) + (1 - beta1) * g
        v = state["exp_avg_sq"] = beta2 * state.get("exp_avg_sq", 0) + (1 - beta2) * g**2
        if self.amsgrad:
            v = state["max_exp_avg_sq"] = np.maximum(v, state.get("max_exp_avg_sq", 0))
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        p[...] = p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


@dataclass
class AdamW(Adam):
    """Loshchilov & Hutter (2019): Adam whose decay bypasses the moments."""

    weight_decay: float = 1e-2
    decoupled_weight_decay: bool = field(kw_only=True, default=True)


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
