"""Time of one optimizer step through the public call, against torch's three modes and plain NumPy."""

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    import torch
except ImportError:
    torch = None

PROBLEMS = {
    "1 x 1": [1],
    "1 x 10": [10],
    "1 x 1e3": [1_000],
    "1 x 1e5": [100_000],
    "1 x 1e6": [1_000_000],
    "1 x 1e7": [10_000_000],
    "100 x 100": [100] * 100,
}
MODES = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


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


def peer(name, arrays, grads, mode):
    """A bound torch step, or None where the optimizer or the mode does not exist."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    for tensor, grad in zip(tensors, grads, strict=True):
        tensor.grad = torch.tensor(grad)
    try:
        return getattr(torch.optim, name)(tensors, **MODES[mode]).step
    except (AttributeError, TypeError):
        return None


def run(optimizer="Adam", dtype="float32", repeats=15):
    """Time of one optimizer step through the public call, against torch's three modes and plain NumPy."""
    columns = ["tensors x size", "fastopt", *(f"torch {mode}" for mode in MODES), "NumPy"]
    table = Table(
        f"{optimizer} step, {dtype}, us; {fo.get_num_threads()} threads",
        [*columns, "best torch / fastopt", "NumPy / fastopt"],
    )
    for label, sizes in PROBLEMS.items():
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(n).astype(dtype) for n in sizes]
        grads = [rng.standard_normal(n).astype(dtype) for n in sizes]
        opt = getattr(fo, optimizer)([array.copy() for array in arrays])
        calls = {"fastopt": lambda opt=opt, grads=grads: opt.step(grads)}
        for mode in MODES if torch else ():
            calls[f"torch {mode}"] = peer(optimizer, arrays, grads, mode)
        if optimizer == "Adam":
            plain = NumPyAdam([array.copy() for array in arrays])
            calls["NumPy"] = lambda plain=plain, grads=grads: plain.step(grads)
        calls = {name: call for name, call in calls.items() if call}
        times = {name: 1e6 * t for name, t in zip(calls, best_of(*calls.values(), repeats=repeats), strict=True)}
        best = min((t for name, t in times.items() if name.startswith("torch")), default=None)
        ours = times["fastopt"]
        table.add(
            label,
            *(times.get(name) for name in columns[1:]),
            best and best / ours,
            times.get("NumPy") and times["NumPy"] / ours,
        )
    yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    dense = [name for name in fo.optim.__all__ if getattr(fo, name)._dense and name != "Optimizer"]
    options.add_argument("--optimizer", default="Adam", choices=dense)
    options.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    options.add_argument("--repeats", type=int, default=15)
    main(run, options)
