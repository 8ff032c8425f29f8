"""What a solver calls: x -> (f, gradient), from any of the forms in which an objective comes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastopt.minimize.bounds import limits
from fastopt.penalties import Penalty

Vector: TypeAlias = NDArray[Any]
Evaluator: TypeAlias = Callable[[Vector], Any]


def evaluator(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any,
    jac: Callable[..., Any] | str | bool | None,
    bounds: Any,
    eps: float | None,
    rel_step: float | None,
) -> Evaluator:
    """Return x -> (f, gradient); x may be changed."""
    if not isinstance(args, tuple):
        args = (args,)
    if not callable(fun):
        raise TypeError(f"Invalid fun: {fun!r} (must be callable)")
    if jac is None or jac is False or jac in ("2-point", "3-point", "cs"):
        return Differences(fun, start(x0), args, jac or "2-point", bounds, eps, rel_step)
    if jac is not True and not callable(jac):
        raise ValueError(f"Invalid jac: {jac!r} (must be callable, a bool, '2-point', '3-point' or 'cs')")
    joint = fun if jac is True else _unmemoized(fun, jac)
    if joint is None:
        # fun may change its argument, so each of the two has its own.
        return lambda x: (fun(x.copy(), *args), jac(x, *args))  # type: ignore[operator]
    return (lambda x: joint(x, *args)) if args else joint


def checked(evaluate: Evaluator) -> Evaluator:
    """Return x -> (f, gradient), a float and a fresh vector."""

    def evaluated(x: Vector) -> tuple[float, Vector]:
        f, g = pair(evaluate(x))
        return value_of(f), gradient_of(g, x)

    return evaluated


def penalized(evaluate: Evaluator, penalty: Penalty) -> Evaluator:
    """Return x -> (f, gradient) with a smooth penalty."""
    evaluated = checked(evaluate)

    def total(x: Vector) -> tuple[float, Vector]:
        value, gradient = penalty.value_and_grad(x)  # first: it may refuse x, and fun may change it
        f, g = evaluated(x)
        with np.errstate(all="ignore"):
            return f + value, g + gradient

    return total


def start(x0: ArrayLike) -> NDArray[Any]:
    """x0 as a vector of single or double precision; perhaps x0 itself."""
    x = np.atleast_1d(np.asarray(x0))
    if x.ndim != 1:
        raise ValueError(f"Invalid x0 of shape {x.shape} (must have one dimension)")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"Invalid x0 of dtype {x.dtype} (must be real numbers)")
    single = x.dtype.kind == "f" and x.dtype.itemsize == 4
    return x.astype(np.float32 if single else np.float64, copy=False)


def pair(values: Any) -> Any:
    """The two things that an objective returns."""
    try:
        f, g = values
    except (TypeError, ValueError):
        raise TypeError(f"With jac=True fun must return (f, gradient), not {values!r}") from None
    return f, g


def value_of(f: Any) -> float:
    """f as a float."""
    if isinstance(f, tuple):
        raise TypeError(f"fun returned a tuple of {len(f)}: if that is (f, gradient), pass jac=True")
    a = np.asarray(f)
    if a.size != 1:
        raise ValueError(f"The value of fun has shape {a.shape} (must be a number, or of size 1)")
    if a.dtype.kind not in "biuf":
        raise TypeError(f"The value of fun is {f!r} (must be a real number)")
    return float(a.reshape(-1)[0])


def gradient_of(g: ArrayLike, x: Vector) -> Vector:
    """g as a fresh vector of x's shape and dtype."""
    a = np.asarray(g)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"The gradient has dtype {a.dtype} (must be real numbers)")
    if a.size != x.size or a.ndim > 2 or (a.ndim == 2 and 1 not in a.shape):
        raise ValueError(f"The gradient has shape {a.shape}, but x has shape {x.shape}")
    with np.errstate(over="ignore"):
        return np.array(a.reshape(-1), dtype=x.dtype)


def _unmemoized(fun: Any, jac: Any) -> Callable[..., Any] | None:
    """Return the function that gives f and gradient at once, if that is what SciPy has wrapped.

    For ``jac=True`` SciPy hands its methods a private class that remembers the last x, at the cost
    of a comparison and a copy in each call. Where it cannot be seen through, it works as it is.
    """
    try:
        from scipy.optimize._optimize import MemoizeJac  # type: ignore[import-untyped]
    except ImportError:
        return None
    wrapped = isinstance(fun, MemoizeJac) and getattr(jac, "__self__", None) is fun
    return fun.fun if wrapped else None


class Differences:
    """fun with its gradient by SciPy's finite differences, all within the bounds; `calls` counts every call of fun.

    Variables whose bounds leave them one value keep it, and their part of the gradient is 0.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        x: Vector,
        args: tuple[Any, ...],
        scheme: Any,
        bounds: Any,
        eps: float | None,
        rel_step: float | None,
    ) -> None:
        self.fun = fun
        self.args = args
        self.settings = {"method": scheme, "abs_step": eps, "rel_step": rel_step}
        self.free: Any = slice(None)
        self.calls = 0
        variables = x.size
        allowed = limits(bounds, x)
        if allowed is not None:
            low, high = allowed
            self.free = low < high
            self.settings["bounds"] = low[self.free], high[self.free]
            variables = int(self.free.sum())
        self.calls_each = 1 + (2 if scheme == "3-point" else 1) * variables

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        from scipy.optimize._numdiff import approx_derivative  # type: ignore[import-untyped]

        f = value_of(self._value(x.copy()))
        if not math.isfinite(f):
            return f, np.full_like(x, np.nan)
        g = np.zeros_like(x)
        with np.errstate(invalid="ignore", over="ignore"):
            g[self.free] = np.ravel(approx_derivative(self._part, x[self.free], f0=[f], args=(x,), **self.settings))
        return f, g

    def _part(self, part: Vector, x: Vector) -> Any:
        """fun where some variables differ from x."""
        whole = x.astype(part.dtype)  # perhaps complex
        whole[self.free] = part
        return self._value(whole)

    def _value(self, x: Vector) -> Any:
        self.calls += 1
        return self.fun(x, *self.args)
