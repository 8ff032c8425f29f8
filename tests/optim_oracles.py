"""Reference implementations of the optimizers in plain float64 NumPy.

Each is written from its paper with torch's conventions, to be read and not to be fast. Optimizers take torch's
constructor arguments but for the parameters, which `step` receives; `lr` may be assigned between steps.
"""

from dataclasses import dataclass, field

import numpy as np


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
