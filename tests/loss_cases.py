"""What the losses are tested on: options and inputs of every class, drawn with fixed seeds, and the worked numbers.

Inputs are float64, to be cast; integers stay as they are. Numbers where a loss has a kink or a limit are sums of
powers of two, so that they are hit exactly in float32 too.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import inf
from types import MappingProxyType
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    name: str
    options: dict
    inputs: tuple


class Family(NamedTuple):
    """One class: its cases, and what a test must know to make its own."""

    cases: list  # (options, inputs)
    draw: Callable  # (rng, n) -> inputs, the first of about n elements
    options: Mapping = MappingProxyType({})  # which the inputs of `draw` need
    differentiable: tuple = (0,)  # inputs with a gradient; those beyond the last input do not count
    integer: tuple = ()  # inputs of indices or lengths
    calls: int = 2  # inputs the loss is called with; the others are its parameters, in the order of `parameters()`
    batched: int = 1  # dimensions the first input has at least if it holds samples, for sample_weight
    reductions: tuple = ("mean", "sum", "none")
    limits: Sequence = ()  # (options, inputs) at the edges of the domain, where torch may be wrong


SIZES = (1, 7, 33, 1000, 5000)
SHAPES = ((), (0,), (1,), (7,), (33,), (1000,), (5000,), (0, 3), (3, 11), (4, 5, 3))
SMALL = ((7,), (3, 11))
BROADCAST = (((7, 1), (1, 5)), ((5,), (7, 5)), ((7, 5), ()), ((2, 1, 3), (4, 1)), ((0, 1), (1, 3)))
ROWS = ((5,), (0, 3), (1, 1), (1, 4), (7, 3), (33, 16), (100, 10), (2, 2500))
GRIDS = (*ROWS, (4, 5, 3), (4, 5, 3, 2), (0, 5, 3))
HUGE = (0.0, 5e-324, 1e-310, 1.0, 30.0, 80.0, 700.0, 1e4, 1e30)
EDGES = np.array([*HUGE, inf, *(-x for x in HUGE), -inf])


def real(rng, shape):
    return 3 * rng.standard_normal(shape)


def unit(rng, shape):
    return rng.random(shape)


def sign(rng, shape):
    return rng.choice([-1.0, 1.0], shape)


def bit(rng, shape):
    return rng.choice([0.0, 1.0], shape)


def share(rng, shape):
    """Soft targets, every third of them hard."""
    return np.where(rng.random(shape) < 1 / 3, bit(rng, shape), rng.random(shape))


def count(rng, shape):
    return rng.poisson(2.0, shape).astype(float)


def amount(rng, shape):
    return rng.gamma(2.0, 1.0, shape) + 0.01


def amount_or_none(rng, shape):
    return np.where(rng.random(shape) < 1 / 3, 0, amount(rng, shape))


def log_probability(rng, shape):
    return np.log(unit(rng, shape) + 0.01)


def seeded():
    return np.random.default_rng(0)


def options(**values):
    """Every combination of the values."""
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


def inputs(kinds, *shapes):
    rng = seeded()
    shapes = shapes * len(kinds) if len(shapes) == 1 else shapes
    return tuple(np.array(kind(rng, shape)) for kind, shape in zip(kinds, shapes, strict=True))


def elementwise(*kinds, grid=({},), exact=(), broadcast=(), limits=(), also=(), **facts):
    """A family of equal shapes: the first options at all shapes, others at small ones, all at the `exact` inputs."""
    cases = [(grid[0], inputs(kinds, shape)) for shape in SHAPES]
    cases += [(row, inputs(kinds, shape)) for row in grid[1:] for shape in SMALL]
    cases += [(grid[0], inputs(kinds, *shapes)) for shapes in broadcast]
    if exact:
        cases += [(row, grown(*exact)) for row in grid]
    edges = [(row, grown(EDGES, *limits)) for row in grid] if limits else []
    return Family(
        [*cases, *also], lambda rng, n: tuple(kind(rng, n) for kind in kinds), calls=len(kinds), limits=edges, **facts
    )


def grown(*values):
    """Every combination of the values, as one vector each."""
    return tuple(np.array(column) for column in zip(*product(*values), strict=True))


def gaussian():
    rng = seeded()
    z, y = rng.standard_normal((2, 4, 3))
    also = [(row, (z, y, rng.random(shape))) for row in options(full=(False, True)) for shape in ((4,), (4, 1), (1, 3))]
    clamped = [0.0, 1e-9, 0.25, 0.5, 1.0]  # below, at and above eps
    also += [(row, grown([1.0, 3.0], [0.5], clamped)) for row in options(full=(False, True), eps=(0.5, 1e-6))]
    return elementwise(real, real, amount, grid=options(full=(False, True), eps=(1e-6, 0.5)), also=also)


def bce(kind, **options_of_shape):
    """Cases of weights that have the shape of the input, of its last axis, or are one number."""
    cases = []
    for shape in ((3, 11), (7,)):
        for weights in product(*options_of_shape.values()):
            rng = seeded()
            row = {
                name: None if weight is None else np.array(3 * rng.random(shape[len(shape) - weight :]))
                for name, weight in zip(options_of_shape, weights, strict=True)
            }
            cases.append((row, (kind(rng, shape), share(rng, shape))))
    return cases


ELEMENTS = {
    "L1Loss": elementwise(real, real, exact=([0.0, 1.0], [0.0, 1.0]), broadcast=BROADCAST, limits=([0.0, 1.0],)),
    "MSELoss": elementwise(real, real, broadcast=BROADCAST, limits=([0.0, 1.0],)),
    "SmoothL1Loss": elementwise(
        real,
        real,
        grid=options(beta=(1.0, 0.0, 0.5, 2.5)),
        exact=([0.0, 0.5, 1.0, 2.5, -0.5, -1.0, -2.5], [0.0]),
        broadcast=BROADCAST,
        limits=([0.0, 1.0],),
    ),
    "HuberLoss": elementwise(
        real,
        real,
        grid=options(delta=(1.0, 0.5, 2.5)),
        exact=([0.0, 0.5, 1.0, 2.5, -0.5, -1.0, -2.5], [0.0]),
        broadcast=BROADCAST,
        limits=([0.0, 1.0],),
    ),
    "BCELoss": elementwise(
        unit, share, exact=([0.0, 0.5, 1.0], [0.0, 0.25, 1.0]), also=bce(unit, weight=(0, 1, 2))
    )._replace(limits=[({}, grown([0.0, 5e-324, 1e-310, 1e-40, 1e-13, 0.5, 1 - 2**-24, 1.0], [0.0, 0.25, 1.0]))]),
    "BCEWithLogitsLoss": elementwise(
        real,
        share,
        grid=({}, {"pos_weight": np.array(3.0)}),
        also=bce(real, weight=(None, 1, 2), pos_weight=(None, 0, 1)),
        limits=([0.0, 0.25, 1.0],),
    ),
    "PoissonNLLLoss": elementwise(
        amount,
        count,
        grid=options(log_input=(True, False), full=(False, True), eps=(1e-8, 0.5)),
        exact=([0.5, 1.0], [0.0, 0.5, 1.0, 1.5]),
        broadcast=BROADCAST,
    )._replace(
        limits=[
            *((row, grown(EDGES, [0.0, 1.0, 2.0])) for row in options(full=(False, True))),
            ({"log_input": False}, grown([0.0, 1e-310, 1e30, inf], [0.0, 1.0, 2.0])),
        ]
    ),
    "GaussianNLLLoss": gaussian()._replace(differentiable=(0, 2)),
    "KLDivLoss": elementwise(
        log_probability,
        unit,
        grid=options(log_target=(False, True)),
        exact=([-1.0, 0.0], [0.0, 0.5, 1.0]),
        broadcast=BROADCAST,
        also=[({"log_target": True}, inputs((log_probability, log_probability), (7, 5)))],
        reductions=("mean", "sum", "none", "batchmean"),
    )._replace(
        limits=[
            ({}, grown([-inf, -1e4, 0.0], [0.0, 5e-324, 0.5, 1.0])),
            ({"log_target": True}, grown([-1e4, 0.0], [-inf, -1e4, 0.0])),
        ]
    ),
    "MarginRankingLoss": elementwise(
        real,
        real,
        sign,
        grid=options(margin=(0.0, 0.5, -0.5)),
        exact=([0.0, 0.5, -0.5], [0.0], [-1.0, 1.0, 0.0]),
        broadcast=(((7, 1), (1, 5), (1, 1)), ((1, 3), (1, 1), (4, 3))),
        differentiable=(0, 1),
        limits=([0.0], [-1.0, 1.0]),
    ),
    "SoftMarginLoss": elementwise(real, sign, broadcast=BROADCAST, limits=([-1.0, 1.0],)),
    "HingeEmbeddingLoss": elementwise(
        real,
        sign,
        grid=options(margin=(1.0, 0.5, 0.0)),
        exact=([0.0, 0.5, 1.0], [-1.0, 1.0, 0.0]),
        broadcast=BROADCAST,
        limits=([-1.0, 1.0],),
    ),
    "PinballLoss": elementwise(
        real, real, grid=options(quantile=(0.5, 0.1, 0.9)), exact=([0.0, 1.0, 2.0], [1.0]), limits=([0.0, 1.0],)
    ),
    "LogCoshLoss": elementwise(real, real, exact=([0.0, 1.0, 2.0], [1.0]), limits=([0.0, 1.0],)),
    "CauchyLoss": elementwise(
        real, real, grid=options(scale=(1.0, 0.5, 3.0)), exact=([0.0, 1.0, 2.0], [1.0]), limits=([0.0, 1.0],)
    ),
    "EpsilonInsensitiveLoss": elementwise(
        real,
        real,
        grid=options(epsilon=(0.1, 0.0, 0.5)),
        exact=([0.0, 0.5, -0.5, 1.0], [0.0]),
        limits=([0.0, 1.0],),
    ),
    "HingeLoss": elementwise(
        real,
        sign,
        grid=options(margin=(1.0, 0.5, 0.0)),
        exact=([0.0, 0.5, 1.0, -1.0], [-1.0, 1.0]),
        limits=([-1, 1.0],),
    ),
    "SquaredHingeLoss": elementwise(
        real,
        sign,
        grid=options(margin=(1.0, 0.5, 0.0)),
        exact=([0.0, 0.5, 1.0, -1.0], [-1.0, 1.0]),
        limits=([-1, 1.0],),
    ),
    "ModifiedHuberLoss": elementwise(real, sign, exact=([0.0, 0.5, 1.0, -1.0], [-1.0, 1.0]), limits=([-1, 1.0],)),
    "SigmoidFocalLoss": elementwise(
        real,
        share,
        grid=options(alpha=(0.25, None, 0.9), gamma=(2.0, 0.0, 0.5, 1.0, 3.0)),
        exact=([0.0, 1.0, -30.0, 30.0], [0.0, 0.5, 1.0]),
        limits=([0.0, 0.25, 1.0],),
    ),
    "HalfPoissonLoss": elementwise(real, count, limits=([0.0, 1.0, 2.0],)),
    "HalfGammaLoss": elementwise(real, amount, limits=([0.5, 1.0, 2.0],)),
    "HalfTweedieLoss": elementwise(
        real, amount, grid=options(power=(1.5, 1.0, 1.25, 2.0, 2.5, 3.0, 0.0, -1.0)), limits=([0.5, 1.0, 2.0],)
    ),
}
ELEMENTS["HalfTweedieLoss"].cases.extend(
    [({}, inputs((real, amount_or_none), (33,))), ({"power": 0.0}, inputs((real, real), (33,)))]
)


def labels(rng, shape, classes, ignored=None):
    """Class indices, the second of them ignored."""
    y = rng.integers(0, classes, shape)
    if ignored is not None and y.size > 3:
        y.flat[1] = ignored
    return y


def class_axis(shape):
    return min(1, len(shape) - 1)


def labels_of(rng, shape, ignored=-100):
    axis = class_axis(shape)
    return labels(rng, shape[:axis] + shape[axis + 1 :], shape[axis], ignored)


def labeled(kind):
    """Ten classes and their indices."""

    def draw(rng, n):
        shape = (max(1, n // 10), 10)
        return kind(rng, shape), labels_of(rng, shape, None)

    return draw


def classified(kind, grid, shapes=GRIDS):
    """Cases of class indices: `grid` at all shapes, with and without class weights."""
    cases = []
    for shape, row, weighted in product(shapes, grid, (False, True)):
        rng = seeded()
        z, y = kind(rng, shape), labels_of(rng, shape)
        cases.append(({**row, "weight": rng.random(shape[class_axis(shape)]) if weighted else None}, (z, y)))
    rng = seeded()
    z, y = kind(rng, (7, 3)), labels(rng, (7,), 3)
    weight = rng.random(3)
    for row, w in product(({"ignore_index": 1}, {"ignore_index": 255}), (None, weight)):
        cases.append(({**row, "weight": w}, (z, np.where(y == 1, row["ignore_index"], y))))
        cases.append(({**row, "weight": w}, (z, np.full(7, row["ignore_index"]))))
    cases.append(({"weight": np.zeros(3)}, (z, y)))
    cases.append(({"weight": np.array([0.0, 1, 2])}, (z, y)))
    cases.append(({}, (z, np.full(7, -100))))
    return cases


def cross_entropy():
    cases = classified(real, options(label_smoothing=(0.0, 0.1, 1.0)))
    for shape, smoothing, weighted in product(GRIDS, (0.0, 0.1), (False, True)):
        rng = seeded()
        z, q, weight = real(rng, shape), share(rng, shape), rng.random(shape[class_axis(shape)])
        cases.append(({"label_smoothing": smoothing, "weight": weight if weighted else None}, (z, q)))
    return cases


INFINITE = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0], [0, -inf, 0], [inf, 0, 1], [0, 5e-324, -1e-310], [0, 0, inf]])


def multi_label(rng, shape):
    """Labels up to the first -1, at least none and at most all classes, junk behind."""
    y = np.argsort(rng.random(shape), axis=-1)
    stop = rng.integers(0, shape[-1] + 1, shape[:-1])[..., None]
    return np.where(np.arange(shape[-1]) == stop, -1, y)


def of_rows(kinds, grid, shapes=ROWS):
    """Cases of inputs that all have the shape of the first: the first options at all shapes, the others at two."""
    cases = [(grid[0], inputs(kinds, shape)) for shape in shapes]
    return cases + [(row, inputs(kinds, shape)) for row in grid[1:] for shape in ((7, 3), (5,))]


def ten(*kinds):
    """Rows of ten."""
    return lambda rng, n: tuple(kind(rng, (max(1, n // 10), 10)) for kind in kinds)


def soft_margin():
    rng = seeded()
    also = [({"weight": rng.random(shape[-1])}, inputs((real, share), shape)) for shape in ((7, 3), (5,), (4, 5, 3))]
    return [*of_rows((real, share), ({},), (*ROWS, (4, 5, 3))), *also]


def multi_margin():
    cases = []
    for row, shape in product(options(p=(1, 2), margin=(1.0, 0.5)), ROWS):
        rng = seeded()
        z, y, weight = real(rng, shape), labels_of(rng, shape, None), rng.random(shape[-1])
        cases += [({**row, "weight": w}, (z, y)) for w in (None, weight)]
    kinks = np.array([[0.0, 0.5, 1.0], [0.0, -0.5, -1.0]])
    return cases + [(row, (kinks, np.array([1, 0]))) for row in options(p=(1, 2), margin=(1.0, 0.5))]


def draw_cosine(rng, n):
    a, b = ten(real, real)(rng, n)
    return a, b, sign(rng, len(a))


def cosine():
    cases = []
    for margin, shape in product((0.0, 0.5, -0.5), ROWS):
        rng = seeded()
        cases.append(({"margin": margin}, (real(rng, shape), real(rng, shape), sign(rng, shape[:-1]))))
    rng = seeded()
    a, b, y = real(rng, (7, 3)), real(rng, (7, 3)), rng.choice([-1.0, 1.0, 0.0], 7)
    a[1] = 0
    b[1:3] = 0
    cases += [({}, (a, b, y)), ({}, (a[:1], b, y)), ({}, (a, b[:1], y))]
    right = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    return [
        *cases,
        ({}, (right, right[::-1].copy(), np.array([-1.0, -1.0, 1.0]))),
        ({}, (right, right[[1, 0, 1]], -y[:3])),
    ]


KINKED_TRIPLETS = (  # anchor, positive, negative: the kink of margin 1, a tie of swap, zeros, a tie of the largest
    np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
    np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, -1.0]]),
    np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.5, 0.0]]),
)


def triplets(grid):
    three = (real,) * 3
    cases = of_rows(three, grid, (*ROWS, (4, 5, 3)))
    return cases + [(row, inputs(three, (7, 3), (1, 3), (7, 3))) for row in grid[:2]]


def manhattan(x1, x2):
    """sum |x1 - x2| of rows and its gradients: a distance_function."""
    d = x1 - x2
    slope = np.where(d.real < 0, -1.0, 1.0).astype(np.result_type(d.real))
    return (d * slope).sum(-1), slope, -slope


def squared_distance(x1, x2):
    """|x1 - x2|^2 of rows and its gradients: a distance_function."""
    d = x1 - x2
    return (d**2).sum(-1), 2 * d, -2 * d


def dice():
    cases = []
    for row, shape in product(
        options(smooth=(1.0, 0.0), from_logits=(False, True)), ((7,), (1,), *ROWS[1:], (4, 5, 3))
    ):
        cases.append((row, inputs((real if row["from_logits"] else unit, share), shape)))
    p, y = inputs((unit, bit), (4, 3))
    p[1] = y[1] = y[2] = 0
    return [*cases, ({"smooth": 0.0}, (p, y)), ({}, (p, y))]


def views():
    cases = [(row, inputs((real, real), s)) for row in options(temperature=(0.07, 0.5, 1.0)) for s in ROWS[1:-1]]
    a, b = inputs((real, real), (4, 3))
    a[2] = 0
    return [*cases, ({}, (a, b)), ({}, (a, a))]


def draw_views(rng, n):
    """Few rows of many numbers, as there are as many similarities as the square of the rows."""
    rows = min(max(1, n // 10), 300)
    return real(rng, (rows, max(10, n // rows))), real(rng, (rows, max(10, n // rows)))


def draw_ctc(rng, n, classes=10):
    steps = int(np.clip(n // classes, 1, 50))
    batch = max(1, n // (classes * steps))
    z = real(rng, (steps, batch, classes))
    longest = max(1, steps // 3)
    lengths = rng.integers(0, longest + 1, batch)
    return normalized(z), rng.integers(1, classes, (batch, longest)), np.full(batch, steps), lengths


def normalized(z):
    """Logits to log-probabilities on the last axis."""
    z = z - z.max(-1, keepdims=True, initial=-inf)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def ctc():
    rng = seeded()
    log_p = normalized(real(rng, (12, 5, 4)))
    targets = np.array([[1, 2, 3, 1], [1, 1, 1, 1], [2, 2, 3, 3], [3, 1, 2, 2], [1, 2, 1, 2]])
    ends, lengths = np.array([12, 7, 9, 1, 12]), np.array([4, 4, 2, 1, 0])
    flat = np.concatenate([row[:k] for row, k in zip(targets, lengths, strict=True)])
    short = np.array([12, 6, 9, 0, 12])  # the second needs 7 steps, the fourth has none
    grid = options(zero_infinity=(False, True), from_logits=(False, True))
    cases = [(row, (log_p, y, ends, lengths)) for row in grid for y in (targets, flat)]
    cases += [(row, (log_p, targets, short, lengths)) for row in grid]
    for row in options(blank=(1, 3), from_logits=(False, True)):
        cases.append((row, (log_p, np.where(targets == row["blank"], 0, targets), ends, lengths)))
    cases += [(row, (log_p[:, 0], targets[0, :3], np.array(12), np.array(3))) for row in grid[:2]]
    cases.append(({}, (log_p[:1, :1], targets[:1, :1], np.array([1]), np.array([1]))))
    cases.append(({}, (log_p[:, :0], targets[:0], ends[:0], lengths[:0])))
    cases.append(({}, (log_p, targets, ends, np.zeros(5, int))))
    cases.append(({"from_logits": True}, (3 * log_p + 1, targets, ends, lengths)))
    cases += [(row, draw_ctc(np.random.default_rng(0), n)) for row in grid[:2] for n in SIZES[:-1]]
    return cases


def ctc_limits():
    certain = np.full((4, 1, 3), -inf)
    certain[[0, 1, 2, 3], 0, [1, 0, 2, 2]] = 0  # one alignment of 1, 2 has all the probability
    return [({}, (certain, np.array([y]), np.array([4]), np.array([2]))) for y in ([1, 2], [2, 1])]


def linear(rng, rows, features, classes, outputs=(), soft=False):
    """Input, target, weight and bias."""
    x, weight = rng.standard_normal((*rows, features)), rng.standard_normal((classes * int(np.prod(outputs)), features))
    y = share(rng, (*rows, classes, *outputs)) if soft else labels(rng, (*rows, *outputs), classes, -100)
    return x, y, weight, rng.standard_normal(len(weight))


def linear_cross_entropy():
    cases = []
    shapes = (
        ((7,), 4, 3, ()),
        ((), 4, 3, ()),
        ((0,), 4, 3, ()),
        ((1,), 1, 1, ()),
        ((100,), 10, 10, ()),
        ((5,), 4, 3, (2,)),
    )
    shapes = (*shapes, ((33,), 7, 16, ()), ((4,), 3, 5, (2, 3)), ((3,), 4, 1500, ()))
    for (rows, features, classes, outputs), bias, weighted in product(shapes, (False, True), (False, True)):
        for soft, smoothing in product((False, True), (0.0, 0.1)):
            rng = seeded()
            x, y, *parameters = linear(rng, rows, features, classes, outputs, soft)
            row = {
                "in_features": features,
                "num_classes": classes,
                "out_features": outputs,
                "bias": bias,
                "weight": rng.random(classes) if weighted else None,
                "label_smoothing": smoothing,
            }
            cases.append((row, (x, y, *parameters[: 1 + bias])))
    x, y, weight, bias = linear(seeded(), (7,), 4, 3)
    for ignored in (1, 255):
        row = {"in_features": 4, "num_classes": 3, "bias": True, "ignore_index": ignored}
        y[y == -100] = ignored
        cases += [(row, (x, y, weight, bias)), (row, (x, np.full(7, ignored), weight, bias))]
    return cases


def draw_linear(rng, n):
    x, y, weight, _ = linear(rng, (max(1, n // 10),), 10, 10)
    return x, np.maximum(y, 0), weight


def adaptive(rng, rows, features, classes, cutoffs, div_value, head_bias):
    """Input, target, weights of head and tails."""
    ends = [*cutoffs, classes]
    x, head = rng.standard_normal((*rows, features)), rng.standard_normal((cutoffs[0] + len(cutoffs), features))
    parameters = [head, rng.standard_normal(len(head))][: 1 + head_bias]
    for i, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
        hidden = int(features // div_value ** (i + 1))
        parameters += [rng.standard_normal((hidden, features)), rng.standard_normal((end - start, hidden))]
    return x, rng.integers(0, classes, rows), *parameters


def adaptive_softmax():
    cases = []
    shapes = (
        ((20,), 16, 12, (4, 8)),
        ((), 16, 12, (4,)),
        ((0,), 16, 12, (4,)),
        ((1,), 4, 2, (1,)),
        ((100,), 16, 30, (10,)),
    )
    for (rows, features, classes, cutoffs), div_value, bias in product(shapes, (4.0, 2.0), (False, True)):
        row = {
            "in_features": features,
            "n_classes": classes,
            "cutoffs": cutoffs,
            "div_value": div_value,
            "head_bias": bias,
        }
        cases.append((row, adaptive(seeded(), rows, *row.values())))
    row, (x, y, *parameters) = cases[0]
    cases += [(row, (x, np.full_like(y, k), *parameters)) for k in (0, 3, 4, 7, 8, 11)]  # ends of head and clusters
    return cases


ADAPTIVE = {"in_features": 16, "n_classes": 100, "cutoffs": (10, 40), "div_value": 4.0, "head_bias": False}

SETS = {
    "CrossEntropyLoss": Family(
        cross_entropy(), labeled(real), integer=(1,), batched=2, limits=[({}, (INFINITE, np.array([0, 0, 0, 0, 2, 2])))]
    ),
    "NLLLoss": Family(
        classified(log_probability, ({},)),
        labeled(log_probability),
        integer=(1,),
        batched=2,
        limits=[
            ({"weight": w}, (-np.abs(INFINITE), np.array([0, 0, 1, 0, 2, 2]))) for w in (None, np.array([1.0, 0, 2]))
        ],
    ),
    "FocalLoss": Family(
        classified(real, options(gamma=(2.0, 0.0, 0.5)), (*ROWS, (4, 5, 3), (4, 5, 3, 2))),
        labeled(real),
        integer=(1,),
        batched=2,
        limits=[(row, (INFINITE, np.array([0, 0, 0, 0, 2, 2]))) for row in options(gamma=(0.0, 0.5, 1.0, 2.0))],
    ),
    "MultiLabelMarginLoss": Family(
        [
            *of_rows((real, multi_label), ({},), ((5,), (0, 3), (1, 1), (1, 4), (7, 3), (33, 4), (500, 10))),
            ({}, (np.array([[0.0, 1.0, 2.0], [0.0, 0.5, 1.0]]), np.array([[1, 1, -1], [0, 2, -1]]))),
        ],
        ten(real, multi_label),
        integer=(1,),
        batched=2,
    ),
    "MultiLabelSoftMarginLoss": Family(
        soft_margin(),
        ten(real, share),
        batched=2,
        limits=[({}, tuple(x[:, None] for x in grown(EDGES, [0.0, 0.25, 1.0])))],
    ),
    "MultiMarginLoss": Family(multi_margin(), labeled(real), integer=(1,), batched=2),
    "CosineEmbeddingLoss": Family(cosine(), draw_cosine, differentiable=(0, 1), calls=3, batched=2),
    "TripletMarginLoss": Family(
        [
            *triplets(options(p=(2.0, 1.0, 0.5, 1.5, 3.0, inf), swap=(False, True))),
            *triplets(options(margin=(0.5, 3.0), eps=(1e-6, 0.5)))[len(ROWS) + 1 :],
            *((row, KINKED_TRIPLETS) for row in options(p=(2.0, 1.0, 3.0, inf), eps=(0.0,), swap=(False, True))),
        ],
        ten(real, real, real),
        differentiable=(0, 1, 2),
        calls=3,
        batched=2,
    ),
    "TripletMarginWithDistanceLoss": Family(
        triplets(options(distance_function=(None, manhattan, squared_distance), margin=(1.0, 0.5), swap=(False, True))),
        ten(real, real, real),
        differentiable=(0, 1, 2),
        calls=3,
        batched=2,
    ),
    "DiceLoss": Family(
        dice(),
        ten(unit, share),
        batched=2,
        # 700 is beyond the exponents of float32, below those of float64: without smoothing 0/0 there, 0 elsewhere.
        limits=[
            ({"from_logits": True, "smooth": s}, (z[:, None], np.zeros((len(z), 1))))
            for z, s in ((EDGES[np.abs(EDGES) != 700], 0.0), (EDGES, 1.0))
        ],
    ),
    "NTXentLoss": Family(views(), draw_views, differentiable=(0, 1), batched=2),
    "CTCLoss": Family(ctc(), draw_ctc, integer=(1, 2, 3), calls=4, batched=3, limits=ctc_limits()),
    "LinearCrossEntropyLoss": Family(
        linear_cross_entropy(),
        draw_linear,
        options={"in_features": 10, "num_classes": 10},
        differentiable=(0, 2, 3),
        integer=(1,),
        batched=2,
    ),
    "AdaptiveLogSoftmaxWithLoss": Family(
        adaptive_softmax(),
        lambda rng, n: adaptive(rng, (max(1, n // 16),), *ADAPTIVE.values()),
        options=ADAPTIVE,
        differentiable=(0, *range(2, 20)),
        integer=(1,),
        batched=2,
        reductions=("mean",),
    ),
}
SETS["NLLLoss2d"] = SETS["NLLLoss"]._replace(cases=[case for case in SETS["NLLLoss"].cases if case[1][0].ndim > 2])

FAMILIES = {**ELEMENTS, **SETS}
CASES = [Case(name, *case) for name, family in FAMILIES.items() for case in family.cases]
LIMITS = [Case(name, *case) for name, family in FAMILIES.items() for case in family.limits]


COURSE = ([[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]], [0, 1, 1])
BITS = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
LOGITS = [[1.0, 2.0], [2.0, 2.0], [3.0, 4.0], [4.0, 5.0]]
PROBABILITIES = (1 / (1 + np.exp(-np.array(LOGITS)))).tolist()
ENTROPIES = [[0.3133, 2.1269], [0.1269, 2.1269], [3.0486, 0.0181], [4.0181, 0.0067]]
TRIPLED = [  # the positive terms three times: the course shows no numbers
    [0.9398, 2.1269],
    [0.3808, 2.1269],
    [3.0486, 0.0544],
    [4.0181, 0.0201],
]
ONES = [[1.0, 1.0], [1.0, 1.0]]
SQUARE = [[0.0, 1.0], [2.0, 3.0]]
WORKED = [  # class, options, inputs, value, digits after the point
    ("CrossEntropyLoss", {"reduction": "none"}, COURSE, [1.3133, 0.1269, 0.1269], 4),
    ("CrossEntropyLoss", {}, COURSE, 0.5224, 4),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0], "reduction": "none"}, COURSE, [1.3133, 0.2539, 0.2539], 4),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0], "reduction": "sum"}, COURSE, 1.8210, 4),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0]}, COURSE, 0.3642, 4),
    ("NLLLoss", {"reduction": "none"}, COURSE, [-1.0, -3.0, -3.0], 4),
    ("BCELoss", {"reduction": "none"}, (PROBABILITIES, BITS), ENTROPIES, 4),
    ("BCELoss", {"reduction": "sum"}, (PROBABILITIES, BITS), 11.7856, 4),
    ("BCELoss", {}, (PROBABILITIES, BITS), 1.4732, 4),
    ("BCEWithLogitsLoss", {"reduction": "none"}, (LOGITS, BITS), ENTROPIES, 4),
    ("BCEWithLogitsLoss", {"reduction": "sum"}, (LOGITS, BITS), 11.7856, 4),
    ("BCEWithLogitsLoss", {}, (LOGITS, BITS), 1.4732, 4),
    ("BCEWithLogitsLoss", {"reduction": "none", "pos_weight": [3.0, 3.0]}, (LOGITS, BITS), TRIPLED, 4),
    ("L1Loss", {}, ([1.0] * 4, [3.0] * 4), 2.0, 4),
    ("MSELoss", {}, ([1.0] * 4, [3.0] * 4), 4.0, 4),
    ("L1Loss", {}, (ONES, SQUARE), 1.0, 4),
    ("SmoothL1Loss", {}, (ONES, SQUARE), 0.625, 4),
    ("MSELoss", {}, (ONES, SQUARE), 1.5, 4),
    ("MultiLabelMarginLoss", {}, ([0.1, 0.2, 0.4, 0.8], [0, 3, -1, -1]), 0.85, 4),
    ("MultiLabelSoftMarginLoss", {}, ([0.3, 0.7, 0.8], [0.0, 1.0, 1.0]), 0.5429, 4),
    ("MultiMarginLoss", {"reduction": "none"}, ([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], [1, 2]), [0.8, 0.7], 4),
    ("TripletMarginLoss", {"p": 1.0}, ([[1.0]], [[2.0]], [[0.5]]), 1.5, 4),
    ("HingeEmbeddingLoss", {"reduction": "none"}, ([1.0, 0.8, 0.5], [1.0, 1.0, -1.0]), [1.0, 0.8, 0.5], 4),
    (
        "CosineEmbeddingLoss",
        {"reduction": "none"},
        ([[0.3, 0.5, 0.7]] * 2, [[0.1, 0.3, 0.5]] * 2, [1.0, -1.0]),
        [0.0167, 0.9833],
        4,
    ),
]
