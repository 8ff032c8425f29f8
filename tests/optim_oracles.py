"""Reference implementations of the optimizers in plain float64 NumPy: what they share, torch's own, those beyond torch.

Each is written from its paper with torch's conventions, to be read and not to be fast. Optimizers take the public
constructor's arguments but for the parameters, which `step` receives; numbers only, no callables. `lr` and the other
arguments may be assigned between steps.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np


def tick(state, name="step"):
    """Count one more; the count."""
    state[name] = state.get(name, 0) + 1
    return state[name]


def moving(state, name, beta, x):
    """The exponential moving average `name` of all x so far, from zero."""
    state[name] = beta * state.get(name, 0) + (1 - beta) * x
    return state[name]


def norm(*arrays):
    """Euclidean norm over all entries of all arrays."""
    return np.sqrt(sum(np.sum(x**2) for x in arrays))


def rms(x):
    """Root of the mean square; 0 for an empty array."""
    return norm(x) / np.sqrt(max(1, x.size))


@dataclass(kw_only=True)
class Optimizer:
    """The common options around `update`, which is what an algorithm adds.

    A parameter without a gradient is left alone: its weights, its state, its counts. Of several accumulated calls it
    misses those, the mean still being over all of them. `prepare` is for what depends on all tensors at once.
    """

    maximize: bool = False
    decay_mode: str | None = None  # "l2" or "decoupled"; None leaves it to the class
    l1: float = 0
    bounds: tuple[float | None, float | None] = (None, None)
    clip_value: float | None = None
    clip_norm: float | None = None
    skip_nonfinite: bool = False
    accumulate: int = 1
    eps_mode: str = "torch"  # or "hat" or "root"
    ema: float | None = None
    swa_start: int | None = None
    swa_every: int = 1
    lookahead: tuple[int, float] | None = None
    state: list[dict] = field(default_factory=list)
    last_grad_norm: float | None = None
    skipped_steps: int = 0
    calls: list = field(init=False, default_factory=list)

    decoupled_weight_decay: ClassVar[bool] = False
    decays_itself: ClassVar[bool] = False  # in its update, by own_decay, unless decay_mode says otherwise
    thresholds_itself: ClassVar[bool] = False  # by l1
    torch_eps_mode: ClassVar[str] = "torch"

    def step(self, params, grads):
        self.state = self.state or [{} for _ in params]
        self.calls.append(deepcopy(grads))
        if len(self.calls) < self.accumulate:
            return
        columns = [[g for g in column if g is not None] for column in zip(*self.calls, strict=True)]
        self.calls.clear()
        active = [(p, gs, state) for p, gs, state in zip(params, columns, self.state, strict=True) if gs]
        grads = [self.mean(p, gs) for p, gs, _ in active]
        if self.skip_nonfinite and not all(np.isfinite(g).all() for g in grads):
            self.skipped_steps += 1
            return
        if self.clip_value is not None:
            grads = [np.clip(g, -self.clip_value, self.clip_value) for g in grads]
        if self.clip_norm is not None:
            self.last_grad_norm = norm(*grads)
            grads = [g * min(1, self.clip_norm / (self.last_grad_norm + 1e-6)) for g in grads]
        if self.maximize:
            grads = [-g for g in grads]
        l2 = self.weight_decay if self.decay == "l2" else 0
        group = [(p, g + l2 * p, state) for (p, _, state), g in zip(active, grads, strict=True)]
        self.prepare(group)
        for p, g, state in group:
            if self.lookahead:
                state.setdefault("slow", p.copy())
            self.move(p, g, state)
            self.smooth(p, state)

    def mean(self, p, grads):
        return sum(np.asarray(g, np.float64) for g in grads) / self.accumulate

    @property
    def decay(self):
        default = "own" if self.decays_itself else "decoupled" if self.decoupled_weight_decay else "l2"
        return self.decay_mode or default

    @property
    def own_decay(self):
        return self.weight_decay if self.decay == "own" else 0

    @property
    def decay_rate(self):
        return self.lr

    def prepare(self, group):
        """See (parameter, gradient, state) of all tensors, before any of them moves."""

    def move(self, p, g, state):
        if self.decay == "decoupled":
            p[...] = p * (1 - self.decay_rate * self.weight_decay)
        self.update(p, g, state)
        if self.l1 and not self.thresholds_itself:
            p[...] = np.sign(p) * np.maximum(np.abs(p) - self.lr * self.l1, 0)
        if self.bounds != (None, None):
            p[...] = np.clip(p, *self.bounds)

    def smooth(self, p, state):
        """Lookahead, then the moving or the plain average of the weights."""
        t = tick(state, "updates") if self.lookahead or self.swa_start is not None else None
        if self.lookahead and t % self.lookahead[0] == 0:
            p[...] = state["slow"] = state["slow"] + self.lookahead[1] * (p - state["slow"])
        if self.ema is not None:
            state["average"] = self.ema * state.get("average", p) + (1 - self.ema) * p
        if self.swa_start is not None and t >= self.swa_start and (t - self.swa_start) % self.swa_every == 0:
            average = state.get("average", 0)
            state["average"] = average + (p - average) / tick(state, "averaged")

    def root(self, v, correction=1):
        """The denominator sqrt(v / correction), eps where eps_mode puts it."""
        mode = self.torch_eps_mode if self.eps_mode == "torch" else self.eps_mode
        if mode == "root":
            return np.sqrt(v / correction + self.eps)
        if mode == "hat":
            return (np.sqrt(v) + self.eps) / np.sqrt(correction)
        return np.sqrt(v / correction) + self.eps


@dataclass
class SGD(Optimizer):
    """Polyak's heavy ball (1964); Nesterov's form as in Sutskever et al. (2013)."""

    lr: float = 1e-3
    momentum: float = 0
    dampening: float = 0
    weight_decay: float = 0
    nesterov: bool = False

    def update(self, p, g, state):
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
class ASGD(Optimizer):
    """Polyak & Juditsky (1992) with the rates of Bottou (2010); a new lr acts at once, in torch one step late."""

    lr: float = 1e-2
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6
    weight_decay: float = 0

    def rates(self, t):
        return self.lr / (1 + self.lambd * self.lr * (t - 1)) ** self.alpha, 1 / max(1, t - 1 - self.t0)

    def update(self, p, g, state):
        t = tick(state)
        eta, mu = self.rates(t)
        p[...] = p * (1 - self.lambd * eta) - eta * g
        state["ax"] = (1 - mu) * state.get("ax", 0) + mu * p
        state["eta"], state["mu"] = self.rates(t + 1)  # torch keeps those of the step to come


@dataclass
class Rprop(Optimizer):
    """Riedmiller & Braun (1993); where the sign turns, no move is made and the next one takes the smaller size."""

    lr: float = 1e-2
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50)
    weight_decay: float = field(kw_only=True, default=0)

    def update(self, p, g, state):
        tick(state)
        turn = np.sign(g * state.get("prev", 0))
        factor = np.select([turn < 0, turn > 0], self.etas, 1.0)
        size = state["step_size"] = np.clip(state.get("step_size", self.lr) * factor, *self.step_sizes)
        state["prev"] = np.where(turn < 0, 0, g)
        p[...] = p - size * np.sign(state["prev"])


@dataclass
class Adagrad(Optimizer):
    """Duchi et al. (2011)."""

    lr: float = 1e-2
    lr_decay: float = 0
    weight_decay: float = 0
    initial_accumulator_value: float = 0
    eps: float = 1e-10

    def update(self, p, g, state):
        lr = self.lr / (1 + (tick(state) - 1) * self.lr_decay)
        state["sum"] = state.get("sum", self.initial_accumulator_value) + g**2
        p[...] = p - lr * g / self.root(state["sum"])


@dataclass
class Adadelta(Optimizer):
    """Zeiler (2012), algorithm 1."""

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0

    def update(self, p, g, state):
        tick(state)
        v = moving(state, "square_avg", self.rho, g**2)
        delta = np.sqrt(state.get("acc_delta", 0) + self.eps) / np.sqrt(v + self.eps) * g
        moving(state, "acc_delta", self.rho, delta**2)
        p[...] = p - self.lr * delta


@dataclass
class RMSprop(Optimizer):
    """Hinton (2012); centered as in Graves (2013), its variance held at zero where rounding makes it negative."""

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0
    momentum: float = 0
    centered: bool = False

    def update(self, p, g, state):
        tick(state)
        v = moving(state, "square_avg", self.alpha, g**2)
        if self.centered:
            v = np.maximum(v - moving(state, "grad_avg", self.alpha, g) ** 2, 0)
        d = g / self.root(v)
        if self.momentum:
            d = state["momentum_buffer"] = self.momentum * state.get("momentum_buffer", 0) + d
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
        t = tick(state)
        m = moving(state, "exp_avg", beta1, g)
        v = moving(state, "exp_avg_sq", beta2, g**2)
        if self.amsgrad:
            v = state["max_exp_avg_sq"] = np.maximum(v, state.get("max_exp_avg_sq", 0))
        p[...] = p - self.lr * m / (1 - beta1**t) / self.root(v, 1 - beta2**t)


@dataclass
class AdamW(Adam):
    """Loshchilov & Hutter (2019): Adam whose decay bypasses the moments."""

    weight_decay: float = 1e-2
    decoupled_weight_decay: bool = field(init=False, default=True)


@dataclass
class SparseAdam(Optimizer):
    """Adam on the rows that the gradient names, the step count being the whole array's; eps at the uncorrected root.

    A gradient is a pair (rows, values), rows named twice being summed, or a dense array, which names every row. Rows
    not named keep weights and moments; decay, l1 and bounds pass them by as well.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = field(kw_only=True, default=0)
    named: dict = field(init=False, default_factory=dict)

    torch_eps_mode: ClassVar[str] = "hat"

    def mean(self, p, grads):
        total = np.zeros_like(p)
        named = self.named[id(p)] = np.zeros(p.shape, bool)
        for g in grads:
            rows, values = g if isinstance(g, tuple) else (..., g)
            np.add.at(total, rows, values)
            named[rows] = True
        return total / self.accumulate

    def move(self, p, g, state):
        named = self.named[id(p)]
        moments = {name: state.setdefault(name, np.zeros_like(p)) for name in ("exp_avg", "exp_avg_sq")}
        row = {name: moment[named] for name, moment in moments.items()} | {"step": tick(state)}
        q = p[named]
        super().move(q, g[named], row)
        p[named] = q
        for name, moment in moments.items():
            moment[named] = row[name]

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = state["step"]
        m = moving(state, "exp_avg", beta1, g)
        v = moving(state, "exp_avg_sq", beta2, g**2)
        p[...] = p - self.lr * m / (1 - beta1**t) / self.root(v, 1 - beta2**t)


@dataclass
class Adamax(Optimizer):
    """Kingma & Ba (2015), algorithm 2; eps inside the maximum."""

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        m = moving(state, "exp_avg", beta1, g)
        u = state["exp_inf"] = np.maximum(beta2 * state.get("exp_inf", 0), np.abs(g) + self.eps)
        p[...] = p - self.lr / (1 - beta1**t) * m / u


@dataclass
class NAdam(Optimizer):
    """Dozat (2016), algorithm 8, with the momentum schedule of its section 2.3."""

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (i * self.momentum_decay)) for i in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1) * mu
        m = moving(state, "exp_avg", beta1, g)
        v = moving(state, "exp_avg_sq", beta2, g**2)
        d = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
        p[...] = p - self.lr * d / self.root(v, 1 - beta2**t)


@dataclass
class RAdam(Optimizer):
    """Liu et al. (2020), algorithm 2, rectifying from rho > 5; eps at the uncorrected root."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    decoupled_weight_decay: bool = False

    torch_eps_mode: ClassVar[str] = "hat"

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        d = moving(state, "exp_avg", beta1, g) / (1 - beta1**t)
        v = moving(state, "exp_avg_sq", beta2, g**2)
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            rectifier = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            d = rectifier * d / self.root(v, 1 - beta2**t)
        p[...] = p - self.lr * d


@dataclass
class Adafactor(Optimizer):
    """Shazeer & Stern (2018), algorithms 4 to 6 with relative steps; `lr` bounds those, and scales the decay."""

    lr: float = 1e-2
    beta2_decay: float = -0.8
    eps: tuple[float | None, float] = (None, 1e-3)  # None: the eps of `dtype`
    d: float = 1.0
    weight_decay: float = 0
    dtype: type = field(kw_only=True, default=np.float64)

    decoupled_weight_decay: ClassVar[bool] = True

    def move(self, p, g, state):
        self.scale = max(self.eps[1], rms(p))  # before the decay, as torch
        super().move(p, g, state)

    def update(self, p, g, state):
        t = tick(state)
        eps = np.finfo(self.dtype).eps if self.eps[0] is None else self.eps[0]
        beta2 = 1 - t**self.beta2_decay
        if p.ndim > 1:
            row = moving(state, "row_var", beta2, np.mean(g**2, axis=-1, keepdims=True))
            col = moving(state, "col_var", beta2, np.mean(g**2, axis=-2, keepdims=True))
            v = row * col / np.maximum(np.mean(row, axis=-2, keepdims=True), eps)
        else:
            v = moving(state, "variance", beta2, g**2)
        u = g / np.sqrt(np.maximum(v, eps**2))
        rate = self.scale * min(self.lr, 1 / np.sqrt(t))
        p[...] = p - rate * u / max(1, rms(u) / self.d)


@dataclass
class Muon(Optimizer):
    """Jordan et al. (2024): momentum made orthogonal, in float64; AdamW for what is not a matrix."""

    lr: float = 1e-3
    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315)
    eps: float = 1e-7
    ns_steps: int = 5
    adjust_lr_fn: str | None = None  # "original" or "match_rms_adamw"; None is the first

    decoupled_weight_decay: ClassVar[bool] = True

    def update(self, p, g, state):
        if p.ndim != 2:
            AdamW(self.lr).update(p, g, state)
            return
        m = moving(state, "momentum_buffer", self.momentum, g)
        x = self.orthogonal(self.momentum * m + (1 - self.momentum) * g if self.nesterov else m)
        rows, cols = p.shape
        match_rms = self.adjust_lr_fn == "match_rms_adamw"
        ratio = 0.2 * np.sqrt(max(rows, cols)) if match_rms else np.sqrt(max(1, rows / cols))
        p[...] = p - self.lr * ratio * x

    def orthogonal(self, x):
        """Newton-Schulz: pushes the singular values of x towards 1."""
        a, b, c = self.ns_coefficients
        if x.shape[0] > x.shape[1]:
            return self.orthogonal(x.T).T
        x = x / max(norm(x), self.eps)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x


@dataclass
class Lion(Optimizer):
    """Chen et al. (2023), algorithm 2."""

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0

    decoupled_weight_decay: ClassVar[bool] = True

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        p[...] = p - self.lr * np.sign(beta1 * state.get("exp_avg", 0) + (1 - beta1) * g)
        moving(state, "exp_avg", beta2, g)


@dataclass
class Signum(Optimizer):
    """Bernstein et al. (2018), algorithm 2."""

    lr: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 0

    decoupled_weight_decay: ClassVar[bool] = True

    def update(self, p, g, state):
        m = moving(state, "momentum_buffer", self.momentum, g) if self.momentum else g
        p[...] = p - self.lr * np.sign(m)


@dataclass
class SignSGD(Optimizer):
    """Bernstein et al. (2018), algorithm 1."""

    lr: float = 1e-2
    weight_decay: float = 0

    decoupled_weight_decay: ClassVar[bool] = True

    def update(self, p, g, state):
        p[...] = p - self.lr * np.sign(g)


@dataclass
class AdaBelief(Optimizer):
    """Zhuang et al. (2020), algorithm 2: the second moment is about the first."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-16
    weight_decay: float = 0

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        m = moving(state, "exp_avg", beta1, g)
        s = state["exp_avg_var"] = beta2 * state.get("exp_avg_var", 0) + (1 - beta2) * (g - m) ** 2 + self.eps
        p[...] = p - self.lr * m / (1 - beta1**t) / self.root(s, 1 - beta2**t)


@dataclass
class Yogi(Optimizer):
    """Zaheer et al. (2018), algorithm 2, with Adam's corrections as in optax; only v starts at the initial value."""

    lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-3
    weight_decay: float = 0
    initial_accumulator: float = 1e-6

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        m = moving(state, "exp_avg", beta1, g)
        v = state.get("exp_avg_sq", self.initial_accumulator)
        v = state["exp_avg_sq"] = v - (1 - beta2) * np.sign(v - g**2) * g**2
        p[...] = p - self.lr * m / (1 - beta1**t) / self.root(v, 1 - beta2**t)


@dataclass
class Adan(Optimizer):
    """Xie et al. (2024), algorithm 1, its betas counted from 1 as in the reference implementation."""

    lr: float = 1e-3
    betas: tuple[float, float, float] = (0.98, 0.92, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0

    decays_itself: ClassVar[bool] = True

    def update(self, p, g, state):
        beta1, beta2, beta3 = self.betas
        t = tick(state)
        change = g - state.get("previous_grad", g)
        m = moving(state, "exp_avg", beta1, g)
        d = moving(state, "exp_avg_diff", beta2, change)
        n = moving(state, "exp_avg_sq", beta3, (g + beta2 * change) ** 2)
        u = (m / (1 - beta1**t) + beta2 * d / (1 - beta2**t)) / self.root(n, 1 - beta3**t)
        p[...] = (p - self.lr * u) / (1 + self.lr * self.own_decay)
        state["previous_grad"] = g


@dataclass
class NAdamW(NAdam):
    """NAdam whose decay bypasses the moments."""

    weight_decay: float = 1e-2
    decoupled_weight_decay: bool = field(init=False, default=True)


@dataclass
class FTRL(Optimizer):
    """McMahan et al. (2013), algorithm 1; z starts where a zero gradient leaves the weights as they are."""

    lr: float = 0.1
    beta: float = 1.0
    l2: float = 0.0
    weight_decay: float = field(kw_only=True, default=0)

    thresholds_itself: ClassVar[bool] = True

    def update(self, p, g, state):
        n = state.get("n", 0)
        z = state.get("z", -(p * (self.beta / self.lr + self.l2) + np.sign(p) * self.l1))
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / self.lr
        z, n = state["z"], state["n"] = z + g - sigma * p, n + g**2
        away = -(z - np.sign(z) * self.l1) / ((self.beta + np.sqrt(n)) / self.lr + self.l2)
        p[...] = np.where(np.abs(z) <= self.l1, 0, away)


@dataclass
class LAMB(Optimizer):
    """You et al. (2020), algorithm 2: each tensor moves in proportion to its norm."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    weight_decay: float = 1e-2

    decays_itself: ClassVar[bool] = True

    def update(self, p, g, state):
        beta1, beta2 = self.betas
        t = tick(state)
        m = moving(state, "exp_avg", beta1, g) / (1 - beta1**t)
        v = moving(state, "exp_avg_sq", beta2, g**2)
        u = m / self.root(v, 1 - beta2**t) + self.own_decay * p
        trust = norm(p) / norm(u) if norm(p) > 0 and norm(u) > 0 else 1
        p[...] = p - self.lr * trust * u


@dataclass
class LARS(Optimizer):
    """You et al. (2017), algorithm 1: each tensor has its own rate, kept in the momentum."""

    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0
    trust_coefficient: float = 1e-3
    eps: float = 1e-8
    nesterov: bool = False

    decays_itself: ClassVar[bool] = True

    def update(self, p, g, state):
        size, slope = norm(p), norm(g)
        decay = self.own_decay
        local = self.trust_coefficient * size / (slope + decay * size + self.eps) if size > 0 and slope > 0 else 1
        d = self.lr * local * (g + decay * p)
        b = state["momentum_buffer"] = self.momentum * state.get("momentum_buffer", 0) + d
        p[...] = p - (d + self.momentum * b if self.nesterov else b)


@dataclass
class Prodigy(Optimizer):
    """Mishchenko & Defazio (2024), algorithm 4: Adam with the distance d to the solution estimated on the way.

    As in the reference package: of a step, the moments and the rate take the d before it, eps the one after it.
    """

    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    beta3: float | None = None
    d0: float = 1e-6
    d_coef: float = 1.0
    growth_rate: float = np.inf
    use_bias_correction: bool = False
    safeguard_warmup: bool = False

    decoupled_weight_decay: ClassVar[bool] = True

    def __post_init__(self):
        self.d = self.d_max = self.d0
        self.d_numerator = self.steps = self.dlr = 0

    @property
    def decay_rate(self):
        return self.dlr

    def prepare(self, group):
        beta1, beta2 = self.betas
        beta3 = np.sqrt(beta2) if self.beta3 is None else self.beta3
        d, t = self.d, self.steps + 1
        self.dlr = d * self.lr
        if self.use_bias_correction:
            self.dlr *= np.sqrt(1 - beta2**t) / (1 - beta1**t)
        weight = d / self.d0 * (d if self.safeguard_warmup else self.dlr)
        numerator, denominator = beta3 * self.d_numerator, 0
        for p, g, state in group if self.lr else ():
            numerator += d / self.d0 * self.dlr * np.sum(g * (state.setdefault("p0", p.copy()) - p))
            moving(state, "exp_avg", beta1, d * g)
            moving(state, "exp_avg_sq", beta2, (d * g) ** 2)
            state["s"] = beta3 * state.get("s", 0) + weight * g
            denominator += np.sum(np.abs(state["s"]))
        if denominator == 0:  # nothing seen yet
            self.dlr = 0
            return
        self.d_numerator, self.steps = numerator, t
        d_hat = self.d_coef * numerator / denominator
        self.d_max = max(self.d_max, d_hat)
        self.d = min(self.d_max, (max(d, d_hat) if d == self.d0 else d) * self.growth_rate)

    def update(self, p, g, state):
        if self.dlr:
            m = state["exp_avg"] if self.betas[0] else self.d * g
            p[...] = p - self.dlr * m / (np.sqrt(state["exp_avg_sq"]) + self.d * self.eps)


@dataclass(kw_only=True)
class ScheduleFree(Optimizer):
    """Defazio et al. (2024): p holds y, where gradients are taken, between z, which moves, and x, the average of z.

    The average weighs step t by t^r times a power of the largest rate so far. A parameter counts the steps in which it
    has a gradient; the reference package counts all.
    """

    @property
    def decay(self):  # at y in any mode, since shrinking y alone would leave z behind
        return "own" if self.decays_itself and self.decay_mode != "l2" else "l2"

    def descend(self, p, direction, state):
        rate = self.lr * min(1, state["step"] / max(1, self.warmup_steps))
        state["lr_max"] = max(state.get("lr_max", 0), rate)
        weight = state["step"] ** self.r * state["lr_max"] ** self.weight_lr_power
        state["weight_sum"] = state.get("weight_sum", 0) + weight
        c = weight / state["weight_sum"] if weight else 0
        z = state.get("z", p)
        state["z"] = z - rate * direction
        p[...] = (1 - c) * p + c * z - rate * (1 - self.beta * (1 - c)) * direction

    def smooth(self, p, state):
        super().smooth(p, state)
        if self.beta and self.ema is None and self.swa_start is None:
            state["average"] = (p - (1 - self.beta) * state["z"]) / self.beta


@dataclass
class SGDScheduleFree(ScheduleFree):
    """Schedule-free SGD."""

    lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0
    warmup_steps: int = 0
    r: float = 0.0
    weight_lr_power: float = 2.0

    @property
    def beta(self):
        return self.momentum

    def update(self, p, g, state):
        tick(state)
        self.descend(p, g, state)


@dataclass
class AdamWScheduleFree(ScheduleFree):
    """Schedule-free AdamW; beta1 is the place of y between z and x, and the decay is taken at y."""

    lr: float = 2.5e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0
    warmup_steps: int = 0
    r: float = 0.0
    weight_lr_power: float = 2.0

    decays_itself: ClassVar[bool] = True

    @property
    def beta(self):
        return self.betas[0]

    def update(self, p, g, state):
        beta2 = self.betas[1]
        t, v = tick(state), moving(state, "exp_avg_sq", beta2, g**2)
        self.descend(p, g / self.root(v, 1 - beta2**t) + self.own_decay * p, state)
