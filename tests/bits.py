"""Print what must not depend on how fastopt was built: a hash of the results of every algorithm.

Run ``python tests/bits.py`` with two builds, or on two machines, and compare.
"""

import hashlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.optimize
from loss_cases import FAMILIES

import fastopt
from fastopt.optim import LBFGS, Optimizer

SIZES = (1, 7, 33, 1000, 5003, (30, 70))
OPTIONS = {
    "SGD": [{"momentum": 0.9, "dampening": 0.1}, {"momentum": 0.9, "nesterov": True}],
    "Adam": [
        {"amsgrad": True},
        {"decoupled_weight_decay": True},
        {"clip_value": 1.0, "clip_norm": 9.0, "l1": 0.1, "bounds": (-1, 1), "lookahead": (3, 0.5), "ema": 0.9},
        {"accumulate": 3, "skip_nonfinite": True, "swa_start": 2, "state_dtype": np.float32},
    ],
    "AdamW": [{"amsgrad": True}],
}


def optimized(name: str, options: dict[str, object], dtype: type) -> list[np.ndarray]:
    """Parameters after 50 steps down quadratic bowls."""
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(n).astype(dtype) for n in SIZES]
    centers = [rng.standard_normal(n).astype(dtype) for n in SIZES]
    slopes = [rng.uniform(0.1, 3, n).astype(dtype) for n in SIZES]

    def closure() -> tuple[float, list[np.ndarray]]:
        grads = [a * (p - c) for a, p, c in zip(slopes, params, centers, strict=True)]
        loss = sum(float(np.vdot(g, p - c)) / 2 for g, p, c in zip(grads, params, centers, strict=True))
        if not optimizer._dense:
            grads = [fastopt.RowSparse(np.arange(0, len(g), 3), g[::3], g.shape) for g in grads]
        return loss, grads

    optimizer = getattr(fastopt.optim, name)(params, **options)
    for _ in range(50):
        optimizer.step(closure)
    return params


def lost(name: str, dtype: type, reduction: str) -> list[np.ndarray]:
    """Value and gradients of a loss at inputs drawn at random, and its parameters as they are by default."""
    family = FAMILIES[name]
    inputs = family.draw(np.random.default_rng(0), 5011)
    inputs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs[: family.calls]]
    options = {**family.options, **({"reduction": reduction} if len(family.reductions) > 1 else {})}
    if hasattr(getattr(fastopt.losses, name), "parameters"):
        options |= {"dtype": dtype, "rng": 0}
    value, gradients = getattr(fastopt.losses, name)(**options).value_and_grad(*inputs)
    return [np.asarray(value), *(gradients if isinstance(gradients, tuple) else [gradients])]


def clipped(dtype: type) -> list[np.ndarray]:
    """Gradients after clipping by norms of several orders and by value, and these norms."""
    rng = np.random.default_rng(0)
    grads = [rng.standard_normal(n).astype(dtype) for n in SIZES]
    norms = [fastopt.clip_grad_norm_(grads, 2.0**-i, p) for i, p in enumerate((1, 2, 3, 0.5, np.inf, -1, 0))]
    fastopt.clip_grad_value_(grads, 1e-4)
    return [np.array(norms), *grads]


def minimized(n: int, **settings: Any) -> np.ndarray:
    """Where L-BFGS ends on a chain of Rosenbrock valleys."""

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        valley, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
        gradient = np.zeros_like(x)
        gradient[:-1] = -400 * x[:-1] * valley - 2 * slope
        gradient[1:] += 200 * valley
        return float((100 * valley**2 + slope**2).sum()), gradient

    return fastopt.minimize(fun, np.linspace(-1, 1, n), jac=True, options={"maxiter": 200}, **settings).x


def results() -> Iterator[tuple[str, list[np.ndarray]]]:
    for dtype in (np.float32, np.float64):
        for name in fastopt.optim.__all__:
            cls = getattr(fastopt.optim, name)
            if cls in (Optimizer, LBFGS):
                continue
            decay = {"weight_decay"} & inspect.signature(cls).parameters.keys()
            for options in [dict.fromkeys(decay, 0.01), *OPTIONS.get(name, [])]:
                label = ", ".join([dtype.__name__, *(f"{k}={v}" for k, v in options.items())])
                yield f"{name}({label})", optimized(name, options, dtype)
        for name in fastopt.losses.__all__:
            if name != "Loss":
                for reduction in ("mean", "none"):
                    yield f"{name}({dtype.__name__}, {reduction})", lost(name, dtype, reduction)
        yield f"clip_grad_norm_({dtype.__name__})", clipped(dtype)
    bounds = scipy.optimize.Bounds(-0.5, 0.8)
    for label, settings in {"": {}, ", bounds": {"bounds": bounds}, ", l1": {"l1": 0.5, "bounds": bounds}}.items():
        yield f"minimize(lbfgs{label})", [minimized(n, **settings) for n in (2, 100, 3001)]


if __name__ == "__main__":
    for label, arrays in results():
        print(hashlib.sha256(b"".join(map(np.ndarray.tobytes, arrays))).hexdigest()[:16], label)
