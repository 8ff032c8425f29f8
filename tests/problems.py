"""Four small problems whose least value is 0, and how each optimizer is run on them, with which learning rates.

`python tests/problems.py` searches the rates anew and prints them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.optimize

import fastopt as fo


class Problem(NamedTuple):
    name: str
    start: list[np.ndarray]
    value_and_gradient: Callable  # from such a list to the value and a list of gradients
    steps: int
    goal: float  # the share of the first value that is left after so many steps, at most


def quadratic(n=20, condition=1e3):
    """Half of x^T A x, where the eigenvalues of A go from 1 / condition to 1, along no axis in particular."""
    rng = np.random.default_rng(1)
    vectors = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = vectors * np.geomspace(1 / condition, 1, n) @ vectors.T

    def value_and_gradient(params):
        error = params[0] - 1
        gradient = matrix @ error
        return error @ gradient / 2, [gradient]

    return Problem("quadratic", [rng.standard_normal(n)], value_and_gradient, 500, 2e-3)


def rosenbrock():
    """Along a curved valley to (1, 1)."""

    def value_and_gradient(params):
        ((x, y),) = params
        valley = y - x**2
        gradient = np.array([-400 * x * valley - 2 * (1 - x), 200 * valley])
        return 100 * valley**2 + (1 - x) ** 2, [gradient]

    return Problem("rosenbrock", [np.array([-1.2, 1.0])], value_and_gradient, 2000, 4e-2)


def cross_entropy(scores, target):
    """The mean over the rows, and its gradient with respect to `scores`."""
    log_p = scores - scores.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return -(target * log_p).sum() / len(scores), (np.exp(log_p) - target) / len(scores)


def logistic(n=200, features=10, classes=3):
    """Softmax regression on overlapping classes, with features of different scale and a small ridge."""
    rng = np.random.default_rng(2)
    labels = rng.integers(classes, size=n)
    x = rng.standard_normal((classes, features))[labels] + 1.5 * rng.standard_normal((n, features))
    x = np.column_stack([x * np.geomspace(0.3, 3, features), np.ones(n)])
    target = np.eye(classes)[labels]

    def value_and_gradient(params):
        (weights,) = params
        value, slope = cross_entropy(x @ weights, target)
        return value + 5e-4 * (weights**2).sum() - least, [x.T @ slope + 1e-3 * weights]

    def flat(weights):
        value, (gradient,) = value_and_gradient([weights.reshape(-1, classes)])
        return value, gradient.ravel()

    start = np.zeros((features + 1, classes))
    least = 0.0
    least = scipy.optimize.minimize(flat, start.ravel(), jac=True, method="BFGS", options={"gtol": 1e-9}).fun
    return Problem("logistic", [start], value_and_gradient, 300, 4e-2)


def network(n=50, hidden=16, classes=3):
    """A network with one hidden layer, backpropagation by hand, that tells the arms of a spiral apart.

    The value is how far its probabilities are from 90 % for the right class, in the sense of Kullback and Leibler.
    """
    rng = np.random.default_rng(3)
    radius = np.tile(np.linspace(0.1, 1, n), classes)
    labels = np.repeat(np.arange(classes), n)
    angle = 2 * np.pi * labels / classes + 3 * radius + 0.1 * rng.standard_normal(radius.size)
    x = 2 * radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    target = np.where(np.eye(classes)[labels], 0.9, 0.1 / (classes - 1))
    least = -(target[0] * np.log(target[0])).sum()

    def value_and_gradient(params):
        weights1, bias1, weights2, bias2 = params
        inner = np.tanh(x @ weights1 + bias1)
        value, slope = cross_entropy(inner @ weights2 + bias2, target)
        inner_slope = slope @ weights2.T * (1 - inner**2)
        return value - least, [x.T @ inner_slope, inner_slope.sum(axis=0), inner.T @ slope, slope.sum(axis=0)]

    start = [
        rng.standard_normal((2, hidden)),
        np.zeros(hidden),
        rng.standard_normal((hidden, classes)) / np.sqrt(hidden),
        np.zeros(classes),
    ]
    return Problem("network", start, value_and_gradient, 500, 5e-2)


PROBLEMS = (quadratic(), rosenbrock(), logistic(), network())

# The rate for each of PROBLEMS; those that are not here find their own. Of 1e-4, 3e-4, ... 30 it is the one that ends
# lowest, a fifth less or a quarter more of it counted too, so that none is lucky; `rates` finds it.
RATES = {
    "ASGD": (1, 0.001, 0.3, 3),
    "FTRL": (10, 0.3, 1, 3),
    "LAMB": (0.01, 0.03, 0.03, 0.01),
    "LARS": (1, 3, 3, 10),
    "SGD": (3, 0.001, 0.3, 1),
    "AdaBelief": (3, 0.1, 0.3, 0.3),
    "Adadelta": (3, 0.3, 3, 3),
    "Adafactor": (0.03, 3, 3, 1),
    "Adagrad": (1, 0.3, 0.3, 1),
    "Adam": (3, 0.1, 0.3, 0.3),
    "AdamW": (3, 0.1, 0.3, 0.3),
    "AdamWScheduleFree": (1, 0.1, 0.3, 0.1),
    "Adamax": (1, 1, 3, 0.1),
    "Adan": (0.3, 0.01, 0.3, 0.1),
    "Lion": (0.03, 0.003, 0.03, 0.01),
    "Muon": (3, 0.1, 0.03, 0.03),
    "NAdam": (0.1, 0.03, 0.03, 0.01),
    "NAdamW": (0.1, 0.03, 0.03, 0.01),
    "RAdam": (1, 0.01, 0.3, 0.3),
    "RMSprop": (0.03, 0.003, 0.01, 0.01),
    "SGDScheduleFree": (10, 0.003, 3, 10),
    "SignSGD": (0.01, 0.001, 0.01, 0.003),
    "Signum": (0.01, 0.003, 0.01, 0.01),
    "SparseAdam": (3, 0.1, 0.3, 0.3),
    "Yogi": (3, 0.3, 0.3, 0.3),
}
OTHER_SETTINGS = {
    "RAdam": {"clip_norm": 1.0},  # its first steps are proportional to the gradient
    "SGD": {"momentum": 0.9},
    **{name: {"weight_decay": 0} for name in ("AdamW", "LAMB", "Muon", "NAdamW")},  # decay would move the minimum
}


def settings(name, problem):
    """Of the optimizer of that name on that problem; what is not said has its default."""
    chosen = dict(OTHER_SETTINGS.get(name, {}))
    if name in RATES:
        chosen["lr"] = RATES[name][PROBLEMS.index(problem)]
    return chosen


def descend(name, problem, **settings):
    """Take the problem's steps; yields the optimizer after each."""
    params = [array.copy() for array in problem.start]
    opt = getattr(fo, name)(params, **settings)
    for _ in range(problem.steps):
        gradients = problem.value_and_gradient(params)[1]
        opt.step(gradients if opt._dense else [fo.RowSparse(range(len(g)), g, g.shape) for g in gradients])
        yield opt


def remaining(problem, opt):
    """The value at what the optimizer recommends, relative to that at the start."""
    return problem.value_and_gradient(opt.eval_params())[0] / problem.value_and_gradient(problem.start)[0]


def rates(name):
    """Search the row of RATES."""

    def end(problem, lr):
        *_, opt = descend(name, problem, **settings(name, problem) | {"lr": lr})
        return np.nan_to_num(remaining(problem, opt), nan=np.inf)

    grid = [float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 3)]
    with np.errstate(all="ignore"):
        return tuple(
            min(grid, key=lambda lr: max(end(problem, part * lr) for part in (0.8, 1, 1.25))) for problem in PROBLEMS
        )


if __name__ == "__main__":
    for name in RATES:
        print(f'    "{name}": {rates(name)},')
