"""Time of a sparse step against the number of rows it touches, in a table of a million rows, against torch's.

The first gradient has values for k rows drawn at random, of which a few repeat. The second has them in order and once,
as a caller leaves them who sums them, or torch's ``coalesce()``. The last column shows what the time follows. For
momentum there is no peer: torch's buffer is then a sparse tensor that grows with every step.
"""

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    import torch
except ImportError:
    torch = None

SHAPE = (1_000_000, 16)
COUNTS = (10, 100, 1_000, 10_000, 100_000)
OPTIMIZERS = [("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adagrad", {}), ("SparseAdam", {})]


def steps(name, options, gradients):
    """A step with each of `gradients`, pairs of rows and values."""
    opt = getattr(fo, name)(np.zeros(SHAPE, np.float32), lr=1e-3, **options)
    made = [fo.RowSparse(rows, values, SHAPE) for rows, values in gradients]
    return [lambda gradient=gradient: opt.step([gradient]) for gradient in made]


def peers(name, options, gradients):
    """The same for torch, which knows that the second is coalesced."""
    tensor = torch.zeros(SHAPE, requires_grad=True)
    opt = getattr(torch.optim, name)([tensor], lr=1e-3, **options)
    made = [torch.sparse_coo_tensor(rows[None], values, SHAPE) for rows, values in gradients]
    made[1] = made[1].coalesce()

    def step(gradient):
        tensor.grad = gradient
        opt.step()

    return [lambda gradient=gradient: step(gradient) for gradient in made]


def run(repeats=7, threads=None):
    """Time of a sparse step against the number of rows it touches, in a table of a million rows, against torch's."""
    fo.set_num_threads(threads or fo.get_num_threads())
    if torch:
        torch.set_num_threads(fo.get_num_threads())
        torch.sparse.check_sparse_tensor_invariants.disable()  # said, so that torch does not warn of it
    rng = np.random.default_rng(0)
    for name, options in OPTIMIZERS:
        if not hasattr(fo, name):
            continue
        label = ", ".join([name, *(f"{key}={value}" for key, value in options.items())])
        table = Table(
            f"{label}: a step that touches k of {SHAPE[0]:,} rows of {SHAPE[1]} float32, us; threads: "
            f"{fo.get_num_threads()}",
            ["k", "fastopt", "torch", "torch / fastopt", "in order", "torch", "torch / fastopt", "ns a row"],
        )
        for count in COUNTS:
            rows = rng.integers(0, SHAPE[0], count)
            values = rng.standard_normal((count, SHAPE[1]), np.float32)
            unique, first = np.unique(rows, return_index=True)
            gradients = [(rows, values), (unique, values[first])]
            calls = steps(name, options, gradients)
            if torch and not options:
                calls += peers(name, options, gradients)
            times = [1e6 * time for time in best_of(*calls, repeats=repeats)] + [None] * (4 - len(calls))
            ours, in_order, theirs, theirs_in_order = times
            ratio, ratio_in_order = theirs and theirs / ours, theirs_in_order and theirs_in_order / in_order
            table.add(
                count, ours, theirs, ratio, in_order, theirs_in_order, ratio_in_order, 1e3 * in_order / len(unique)
            )
        yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--threads", type=int, help="of both sides; as many as CPUs if not given")
    main(run, options)
