"""Value and gradient of every loss together, against torch and scikit-learn.

torch runs forward and backward; where it lacks the loss, its gradient is that of the formula as one writes it in torch.
scikit-learn's losses fill arrays that are there already, then comes the mean; its squared error is halved. Ours makes a
new gradient at each call, unless ``out=`` is given. 1e3 and 1e6 count the elements of an input; NT-Xent's are its
similarities. Both values are compared before. Run it on an idle machine: where another process has one of the CPUs,
OpenMP's threads wait milliseconds for each other, and the peers are slow without fault.

With `--memory`, what a call of the two large losses adds to the memory of a fresh process at its peak; Linux only.
"""

import math
import re
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
try:
    from sklearn._loss import loss as sklearn_loss
    from threadpoolctl import threadpool_limits
except ImportError:
    sklearn_loss = None

SIZES = {"1e3": 1_000, "1e6": 1_000_000}
C, D = 10, 32  # classes, features of a vector
SKLEARN = {"HuberLoss": {"delta": 1}, "HalfMultinomialLoss": {"n_classes": C}}


def sets(rng, rows):
    """Three classes in each row, then -1."""
    return np.where(np.arange(C) < 3, rng.random((rows, C)).argsort(1), -1)


def alignments(rng, frames, samples, symbols):
    """Log-probabilities and targets of a fifth of their length."""
    lengths = [np.full(samples, length) for length in (frames, frames // 5)]
    y = rng.integers(1, symbols, (samples, frames // 5))
    return np.log(rng.dirichlet(np.ones(symbols), (frames, samples))), y, *lengths


def embeddings(rng, rows, features, classes):
    return rng.normal(size=(rows, features)), rng.integers(0, classes, rows)


# What a loss is called with: the places of what it differentiates, and a draw of n elements.
INPUTS = {
    "numbers": ((0,), lambda r, n: r.normal(size=(2, n))),
    "positive": ((0,), lambda r, n: (r.normal(size=n), 0.1 + r.exponential(size=n))),
    "variances": ((0, 2), lambda r, n: (*r.normal(size=(2, n)), r.uniform(0.5, 2, n))),
    "fractions": ((0,), lambda r, n: (r.uniform(0.01, 0.99, n), r.choice([0.0, 1.0], n))),
    "masks": ((0,), lambda r, n: (r.uniform(size=(10, n // 10)), r.choice([0.0, 1.0], (10, n // 10)))),
    "bits": ((0,), lambda r, n: (r.normal(size=n), r.choice([0.0, 1.0], n))),
    "signs": ((0,), lambda r, n: (r.normal(size=n), r.choice([-1.0, 1.0], n))),
    "ranks": ((0, 1), lambda r, n: (*r.normal(size=(2, n)), r.choice([-1.0, 1.0], n))),
    "classes": ((0,), lambda r, n: (r.normal(size=(n // C, C)), r.integers(0, C, n // C))),
    "log classes": ((0,), lambda r, n: (-r.exponential(size=(n // C, C)), r.integers(0, C, n // C))),
    "log images": ((0,), lambda r, n: (-r.exponential(size=(n // C**3, C, C, C)), r.integers(0, C, (n // C**3, C, C)))),
    "log shares": ((0,), lambda r, n: (-r.exponential(size=(n // C, C)), r.dirichlet(np.ones(C), n // C))),
    "sets": ((0,), lambda r, n: (r.normal(size=(n // C, C)), sets(r, n // C))),
    "set bits": ((0,), lambda r, n: (r.normal(size=(n // C, C)), r.choice([0.0, 1.0], (n // C, C)))),
    "pairs": ((0, 1), lambda r, n: (*r.normal(size=(2, n // D, D)), r.choice([-1.0, 1.0], n // D))),
    "triplets": ((0, 1, 2), lambda r, n: r.normal(size=(3, n // D, D))),
    "views": ((0, 1), lambda r, n: r.normal(size=(2, math.isqrt(n) // 2, D))),
    "alignments": ((0,), lambda r, n: alignments(r, 50, n // 500, C)),
    "embeddings": ((0,), lambda r, n: embeddings(r, n // D, D, C)),
    "words": ((0,), lambda r, n: embeddings(r, n // D, D, 1_000)),
}


def focal(z, y):
    entropy = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-entropy)) ** 2 * entropy).mean()


def sigmoid_focal(z, y):
    """torchvision's."""
    p = torch.sigmoid(z)
    p_t = p * y + (1 - p) * (1 - y)
    value = F.binary_cross_entropy_with_logits(z, y, reduction="none") * (1 - p_t) ** 2
    return ((0.25 * y + 0.75 * (1 - y)) * value).mean()


def nt_xent(a, b):
    z = F.normalize(torch.cat([a, b]), dim=1)
    similarities = (z @ z.T / 0.07).fill_diagonal_(-math.inf)
    return F.cross_entropy(similarities, torch.arange(len(z)).roll(len(a)))


class Row(NamedTuple):
    """The inputs of a loss; its formula where torch.nn lacks it; scikit-learn's name; arguments of ours and torch's."""

    inputs: str
    formula: Callable | None = None
    sklearn: str = ""
    args: tuple = ()


LOSSES = {
    "L1Loss": Row("numbers", sklearn="AbsoluteError"),
    "MSELoss": Row("numbers", sklearn="HalfSquaredError"),
    "SmoothL1Loss": Row("numbers", sklearn="HuberLoss"),
    "HuberLoss": Row("numbers", sklearn="HuberLoss"),
    "PinballLoss": Row("numbers", lambda z, y: (F.relu(d := y - z) / 2 + F.relu(-d) / 2).mean(), "PinballLoss"),
    "LogCoshLoss": Row("numbers", lambda z, y: ((d := z - y) + F.softplus(-2 * d) - math.log(2)).mean()),
    "CauchyLoss": Row("numbers", lambda z, y: torch.log1p((z - y) ** 2).mean() / 2),
    "EpsilonInsensitiveLoss": Row("numbers", lambda z, y: F.relu((z - y).abs() - 0.1).mean()),
    "PoissonNLLLoss": Row("positive", sklearn="HalfPoissonLoss"),
    "HalfPoissonLoss": Row("positive", lambda z, y: F.poisson_nll_loss(z, y), "HalfPoissonLoss"),
    "HalfGammaLoss": Row("positive", lambda z, y: (z + y * (-z).exp()).mean(), "HalfGammaLoss"),
    "HalfTweedieLoss": Row("positive", lambda z, y: 2 * ((z / 2).exp() + y * (-z / 2).exp()).mean(), "HalfTweedieLoss"),
    "GaussianNLLLoss": Row("variances"),
    "BCELoss": Row("fractions"),
    "BCEWithLogitsLoss": Row("bits", sklearn="HalfBinomialLoss"),
    "SigmoidFocalLoss": Row("bits", sigmoid_focal),
    "DiceLoss": Row("masks", lambda p, y: (1 - (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()),
    "SoftMarginLoss": Row("signs"),
    "HingeLoss": Row("signs", lambda z, y: F.relu(1 - y * z).mean()),
    "SquaredHingeLoss": Row("signs", lambda z, y: (F.relu(1 - y * z) ** 2).mean()),
    "ModifiedHuberLoss": Row("signs", lambda z, y: (F.relu(1 - (m := y * z)) ** 2 - F.relu(-1 - m) ** 2).mean()),
    "HingeEmbeddingLoss": Row("signs"),
    "MarginRankingLoss": Row("ranks"),
    "CrossEntropyLoss": Row("classes", sklearn="HalfMultinomialLoss"),
    "FocalLoss": Row("classes", focal),
    "NLLLoss": Row("log classes"),
    "NLLLoss2d": Row("log images", lambda z, y: F.nll_loss(z, y)),
    "KLDivLoss": Row("log shares"),
    "MultiMarginLoss": Row("classes"),
    "MultiLabelMarginLoss": Row("sets"),
    "MultiLabelSoftMarginLoss": Row("set bits"),
    "CosineEmbeddingLoss": Row("pairs"),
    "TripletMarginLoss": Row("triplets"),
    "TripletMarginWithDistanceLoss": Row("triplets"),
    "NTXentLoss": Row("views", nt_xent),
    "CTCLoss": Row("alignments"),
    "LinearCrossEntropyLoss": Row("embeddings", args=(D, C)),
    "AdaptiveLogSoftmaxWithLoss": Row("words", args=(D, 1_000, (100, 500))),
}
PROBLEMS = [
    ("CTCLoss", alignments, "frames, samples, symbols", (800, 32, 32)),
    ("CTCLoss", alignments, "frames, samples, symbols", (400, 8, 5_000)),
    ("LinearCrossEntropyLoss", embeddings, "rows, features, classes", (1_024, 256, 8_000)),
    ("LinearCrossEntropyLoss", embeddings, "rows, features, classes", (4_096, 512, 32_000)),
]


def set_num_threads(n):
    fo.set_num_threads(n)
    if torch:
        torch.set_num_threads(n)
    if sklearn_loss:
        threadpool_limits(n, "blas")  # NumPy's matrix products


def drawn(draw, dtype, *sizes):
    arrays = draw(np.random.default_rng(0), *sizes)
    return [array.astype(dtype) if array.dtype.kind == "f" else array for array in arrays]


def ours(name, args, dtype):
    return getattr(fo, name)(*args, **({"dtype": np.dtype(dtype)} if args else {}))


def torchs(name, args, dtype, **options):
    return getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))


def backward(loss, arrays, places):
    """A call of torch's loss, which returns its value, and of the gradients of all that can have one."""
    tensors = [torch.tensor(array) for array in arrays]
    leaves = [tensors[i].requires_grad_() for i in places]
    if isinstance(loss, torch.nn.Module):
        leaves += loss.parameters()
    named = isinstance(loss, torch.nn.AdaptiveLogSoftmaxWithLoss)

    def call():
        for leaf in leaves:
            leaf.grad = None
        value = loss(*tensors).loss if named else loss(*tensors)
        value.backward()
        return value

    return call


def sklearns(name, z, y):
    """A call of scikit-learn's loss."""
    loss, threads = getattr(sklearn_loss, name)(**SKLEARN.get(name, {})), fo.get_num_threads()
    values, gradient, y = np.empty(len(z), z.dtype), np.empty_like(z), y.astype(z.dtype)

    def call():
        loss.loss_gradient(y, z, None, values, gradient, threads)
        return values.mean()

    return call


def measured(name, n, dtype, repeats):
    """Our time in us, without and with ``out=``; the time of torch and of scikit-learn over ours."""
    if not hasattr(fo, name):
        return [None] * 4
    inputs, formula, sklearn, args = LOSSES[name]
    places, draw = INPUTS[inputs]
    arrays, loss = drawn(draw, dtype, n), ours(name, args, dtype)
    peers = [None, None]
    if torch:
        peer = formula or torchs(name, args, dtype)
        for key, tensor in peer.named_parameters() if args else ():
            loss.parameters()[key][...] = tensor.detach()
        peers[0] = backward(peer, arrays, places)
    if sklearn and sklearn_loss:
        peers[1] = sklearns(sklearn, *arrays)
    value, out = loss.value_and_grad(*arrays)
    if torch and not math.isclose(value, theirs := peers[0]().item(), rel_tol=1e-3):
        raise ArithmeticError(f"{name} of {n} {dtype}: {value}, torch {theirs}")
    calls = [lambda: loss.value_and_grad(*arrays), lambda: loss.value_and_grad(*arrays, out=out), *filter(None, peers)]
    plain, in_place, *times = best_of(*calls, repeats=repeats)
    return 1e6 * plain, 1e6 * in_place, *(call and times.pop(0) / plain for call in peers)


def resident(figure):
    """The memory of this process in MB: VmRSS is now, VmHWM the most since it was last forgotten."""
    return int(re.search(rf"{figure}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024e-6


def peak(name, draw, sizes, options, repeats, threads):
    """MB that a call adds to the memory at its peak, and its time in ms: of torch's loss with `options`, or of ours.

    The most that a process ever held, ``ru_maxrss``, would count what drew the arguments and initialized the weights.
    """
    set_num_threads(threads)

    def prepared(*sizes):
        arrays, args = drawn(draw, "float32", *sizes), sizes[1:] if LOSSES[name].args else ()
        if options is not None:
            return backward(torchs(name, args, "float32", **options), arrays, (0,))
        loss = ours(name, args, "float32")
        return lambda: loss.value_and_grad(*arrays)

    prepared(*(min(size, 8) for size in sizes))()
    call = prepared(*sizes)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = resident("VmRSS")
    call()
    added = resident("VmHWM") - before
    return added, 1e3 * best_of(call, repeats=repeats, min_time=0)[0]


def peaks(names, repeats):
    threads = fo.get_num_threads()
    sides = {"fastopt": None}
    if torch:
        sides |= {"torch": {}, "torch, chunked": {"options": torch.nn.LinearCrossEntropyOptions()}}
    columns = [f"{side}, {unit}" for side in sides for unit in ("MB", "ms")]
    title = f"Memory that a call adds at its peak, and its time; float32; threads: {threads}"
    table = Table(title, ["loss", "sizes", *columns])
    for name, draw, words, sizes in PROBLEMS:
        figures = []
        for options in sides.values() if name in names else ():
            if (options is None and not hasattr(fo, name)) or (options and name == "CTCLoss"):
                figures += [None, None]
                continue
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                figures += fresh.submit(peak, name, draw, sizes, options, repeats, threads).result()
        if figures:
            table.add(name, f"{' x '.join(map(str, sizes))} {words}", *figures)
    return table


def run(loss=None, dtype=None, repeats=5, memory=False):
    """Value and gradient of every loss together, against torch and scikit-learn."""
    warnings.filterwarnings("ignore", "reduction: 'mean' divides", UserWarning)  # torch's KLDivLoss
    names = loss or LOSSES
    if memory:
        yield peaks(names, repeats)
        return
    columns = ("us", "us with out=", "torch / fastopt", "scikit-learn / fastopt")
    for kind in [dtype] if dtype else ["float32", "float64"]:
        for threads in sorted({1, fo.get_num_threads()}):
            set_num_threads(threads)
            title = f"Value and gradient, {kind}; threads: {threads}"
            table = Table(title, ["loss", *(f"{size}: {column}" for size in SIZES for column in columns)])
            for name in names:
                table.add(name, *(cell for n in SIZES.values() for cell in measured(name, n, kind, repeats)))
            yield table


if __name__ == "__main__":
    options = parser(run.__doc__)
    options.add_argument("--loss", nargs="+", choices=LOSSES, metavar="NAME", help="all if not given")
    options.add_argument("--dtype", choices=["float32", "float64"], help="both if not given")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--memory", action="store_true", help="peak memory of CTCLoss and LinearCrossEntropyLoss")
    main(run, options)
