"""Time of one optimizer step through the public call, against torch's three modes, optax and plain NumPy.

With `--optimizer all`, one table of every optimizer: how many times as long as ours its best peer takes, and our time.
The peer is torch in its fastest mode; where torch lacks the optimizer, optax under ``jax.jit``; where that lacks it or
is not installed, our own Adam. The gradient is the same at every step.
"""

import math
from functools import partial
from operator import attrgetter

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    import torch
except ImportError:
    torch = None
try:
    import jax
    import optax
    import optax.contrib
except ImportError:
    jax = None
else:
    jax.config.update("jax_enable_x64", True)

PROBLEMS = {
    "1 x 1": [1],
    "1 x 10": [10],
    "1 x 1e3": [1_000],
    "1 x 1e5": [100_000],
    "1 x 1e6": [1_000_000],
    "1 x 1e7": [10_000_000],
    "100 x 100": [100] * 100,
}
SIZES = {"10": 10, "1e3": 1_000, "1e5": 100_000, "1e6": 1_000_000, "1e7": 10_000_000}
LARGEST = {"Muon": 1_000_000}  # beyond, a step of any peer takes seconds, all of it matrix products
MODES = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
DENSE = [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS"} and getattr(fo, name)._dense]
# Steps in proportion to the parameter, or to an estimate that rises while the gradient stays, would soon overflow.
STEADY = {"Adafactor": {"lr": 1e-9}, "LAMB": {"lr": 1e-9}, "Prodigy": {"growth_rate": 1.0}}
OPTAX = {
    "AdaBelief": "adabelief",
    "AdamWScheduleFree": "contrib.schedule_free_adamw",
    "Adan": "adan",
    "LAMB": "lamb",
    "LARS": "lars",
    "Lion": "lion",
    "NAdamW": "nadamw",
    "Prodigy": "contrib.prodigy",
    "SGDScheduleFree": "contrib.schedule_free_sgd",
    "SignSGD": "sign_sgd",
    "Signum": "signum",
    "Yogi": "yogi",
}


class NumPyAdam:
    """Adam as one writes it in NumPy, with in-place operations and two scratch arrays."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.params, self.lr, self.betas, self.eps, self.t = params, lr, betas, eps, 0
        self.buffers = [[np.zeros_like(p) for _ in range(4)] for p in params]

    def step(self, grads):
        self.t += 1
        beta1, beta2 = self.betas
        size = self.lr / (1 - beta1**self.t)
        root = (1 - beta2**self.t) ** 0.5
        for p, g, (m, v, a, b) in zip(self.params, grads, self.buffers, strict=True):
            m *= beta1
            m += np.multiply(g, 1 - beta1, out=a)
            v *= beta2
            np.multiply(g, g, out=a)
            v += np.multiply(a, 1 - beta2, out=a)
            np.sqrt(v, out=a)
            a /= root
            a += self.eps
            np.divide(m, a, out=b)
            b *= size
            p -= b


def ours(name, arrays, grads):
    opt = getattr(fo, name)([array.copy() for array in arrays], **STEADY.get(name, {}))
    return lambda: opt.step(grads)


def torchs(name, arrays, grads, mode):
    """A bound torch step, or None where the optimizer or the mode does not exist."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    for tensor, grad in zip(tensors, grads, strict=True):
        tensor.grad = torch.tensor(grad)
    try:
        return getattr(torch.optim, name)(tensors, **STEADY.get(name, {}), **MODES[mode]).step
    except (AttributeError, TypeError):
        return None


def optaxs(name, arrays, grads):
    """A compiled step of optax, which reuses the memory of parameters and state."""
    rule = attrgetter(OPTAX[name])(optax)(learning_rate=STEADY.get(name, {}).get("lr", 1e-3))

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, grads):
        changes, state = rule.update(grads, state, params)
        return optax.apply_updates(params, changes), state

    params, grads = [jax.numpy.array(array) for array in arrays], [jax.numpy.array(grad) for grad in grads]
    kept = [params, jax.tree.map(jax.numpy.array, rule.init(params))]  # some states start as the parameters themselves

    def step():
        kept[:] = update(*kept, grads)
        jax.block_until_ready(kept)

    return step


def problem(name, sizes, dtype):
    """Parameters and gradients; Muon's are matrices."""
    rng = np.random.default_rng(0)
    shapes = [(math.isqrt(n), n // math.isqrt(n)) if name == "Muon" else (n,) for n in sizes]
    return [[rng.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(2)]


def microseconds(calls, repeats):
    calls = {name: call for name, call in calls.items() if call}
    return {name: 1e6 * t for name, t in zip(calls, best_of(*calls.values(), repeats=repeats), strict=True)}


def in_detail(optimizer, dtype, repeats):
    columns = ["tensors x size", "fastopt", *(f"torch {mode}" for mode in MODES), "NumPy"]
    table = Table(
        f"{optimizer} step, {dtype}, us; {fo.get_num_threads()} threads",
        [*columns, "best torch / fastopt", "NumPy / fastopt"],
    )
    for label, sizes in PROBLEMS.items():
        if max(sizes) > LARGEST.get(optimizer, math.inf):
            continue
        arrays, grads = problem(optimizer, sizes, dtype)
        calls = {"fastopt": ours(optimizer, arrays, grads)}
        for mode in MODES if torch else ():
            calls[f"torch {mode}"] = torchs(optimizer, arrays, grads, mode)
        if optimizer == "Adam":
            plain = NumPyAdam([array.copy() for array in arrays])
            calls["NumPy"] = lambda plain=plain, grads=grads: plain.step(grads)
        times = microseconds(calls, repeats)
        best = min((t for name, t in times.items() if name.startswith("torch")), default=None)
        own = times["fastopt"]
        table.add(
            label,
            *(times.get(name) for name in columns[1:]),
            best and best / own,
            times.get("NumPy") and times["NumPy"] / own,
        )
    return table


def compared(name, n, dtype, repeats):
    """Who the peer is, its time over ours, and ours."""
    arrays, grads = problem(name, [n], dtype)
    if torch and hasattr(torch.optim, name):
        peer, calls = "torch", {mode: torchs(name, arrays, grads, mode) for mode in MODES}
    elif jax and name in OPTAX:
        peer, calls = "optax", {"optax": optaxs(name, arrays, grads)}
    else:
        peer, calls = "our Adam", {"Adam": ours("Adam", arrays, grads)}
    times = microseconds({"fastopt": ours(name, arrays, grads), **calls}, repeats)
    own = times.pop("fastopt")
    return peer, min(times.values()) / own, own


def summary(dtypes, repeats):
    table = Table(
        f"Every optimizer, one tensor of n elements: peer / fastopt, and fastopt in us; {fo.get_num_threads()} threads",
        ["optimizer", "dtype", "peer", *(f"n = {label}" for label in SIZES), *(f"us, {label}" for label in SIZES)],
    )
    for name in DENSE:
        for dtype in dtypes:
            figures = [compared(name, n, dtype, repeats) for n in SIZES.values() if n <= LARGEST.get(name, math.inf)]
            (peer, *_), *_ = figures
            missing = [None] * (len(SIZES) - len(figures))
            ratios, times = ([*(figure[i] for figure in figures), *missing] for i in (1, 2))
            table.add(name, dtype, peer, *ratios, *times)
    return table


def run(optimizer="Adam", dtype=None, repeats=15):
    """Time of one optimizer step through the public call, against torch's three modes, optax and plain NumPy."""
    if optimizer == "all":
        yield summary([dtype] if dtype else ["float32", "float64"], repeats)
    else:
        yield in_detail(optimizer, dtype or "float32", repeats)


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--optimizer", default="Adam", choices=["all", *DENSE])
    options.add_argument("--dtype", choices=["float32", "float64"], help="float32; for all optimizers, both")
    options.add_argument("--repeats", type=int, default=15)
    main(run, options)
