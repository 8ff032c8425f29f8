"""Time of clipping gradients by their norm, and by value, through the public call, against torch's two modes.

Each call asks for a norm a little below what the one before has left, so that all of them scale. "within" asks for more
than the norm, as most calls do in training: torch then multiplies by 1.
"""

from itertools import count

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    import torch
except ImportError:
    torch = None

PROBLEMS = {
    "1 x 1e2": [100],
    "1 x 1e4": [10_000],
    "1 x 1e6": [1_000_000],
    "100 x 100": [100] * 100,
}
MODES = {"default": None, "foreach=False": False}
JOBS = ("norm", "norm, within", "value")


def limits():
    """Norms that fall by a millionth each: enough to move a float32, and a million calls leave a third."""
    return ((1 - 1e-6) ** i for i in count(1))


def call(job, clip_norm, clip_value):
    """What is timed: `clip_norm` and `clip_value` take the limit."""
    if job == "norm":
        falling = limits()
        return lambda: clip_norm(next(falling))
    return (lambda: clip_value(0.5)) if job == "value" else (lambda: clip_norm(1e9))


def ours(job, arrays):
    grads = [array.copy() for array in arrays]
    return call(job, lambda limit: fo.clip_grad_norm_(grads, limit), lambda limit: fo.clip_grad_value_(grads, limit))


def torchs(job, arrays, foreach):
    utils = torch.nn.utils
    params = [torch.zeros(array.shape, dtype=torch.tensor(array).dtype) for array in arrays]
    for param, array in zip(params, arrays, strict=True):
        param.grad = torch.tensor(array)
    return call(
        job,
        lambda limit: utils.clip_grad_norm_(params, limit, foreach=foreach),
        lambda limit: utils.clip_grad_value_(params, limit, foreach=foreach),
    )


def run(repeats=7):
    """Time of clipping gradients through the public call, against torch's two modes."""
    table = Table(
        f"Clipping gradients, us; {fo.get_num_threads()} threads",
        ["by", "dtype", "arrays x size", "fastopt", *(f"torch {mode}" for mode in MODES), "best torch / fastopt"],
    )
    rng = np.random.default_rng(0)
    for job in JOBS:
        for dtype in ("float32", "float64"):
            for label, sizes in PROBLEMS.items():
                arrays = [rng.standard_normal(n).astype(dtype) for n in sizes]
                peers = [torchs(job, arrays, foreach) for foreach in MODES.values()] if torch else []
                own, *theirs = (1e6 * t for t in best_of(ours(job, arrays), *peers, repeats=repeats))
                missing = [None] * (len(MODES) - len(theirs))
                table.add(job, dtype, label, own, *theirs, *missing, min(theirs) / own if theirs else None)
    yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--repeats", type=int, default=7)
    main(run, options)
