"""Bounds in all forms that SciPy takes, as two vectors."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[Any]
Limits: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def limits(bounds: Any, x: Vector) -> Limits | None:
    """Return the lowest and the highest values of x that bounds allow, or None where all are allowed.

    Parameters
    ----------
    bounds : sequence of (low, high), ndarray of shape (n, 2), scipy.optimize.Bounds or None
        None and infinity are no bound. Those of Bounds broadcast; its keep_feasible is always so.
    x : ndarray, shape (n,)
        Its dtype can hold each limit exactly: they are rounded inward, but where low and high have no number between
        them, which stand for one value, to the nearest.
    """
    if bounds is None:
        return None
    low, high = _apart(bounds, x.size) if hasattr(bounds, "lb") else _in_pairs(bounds, x.size)
    held = _held(low, high, x.dtype) if x.dtype != np.float64 else (low, high)
    wrong = ~((low <= high) & (held[0] < np.inf) & (held[1] > -np.inf))
    if wrong.any():
        i = int(np.argmax(wrong))
        pair = f"({low[i]}, {high[i]})"
        raise ValueError(f"Invalid bounds at index {i}: {pair} (must be numbers low <= high with room for a finite x)")
    if not (np.isfinite(low).any() or np.isfinite(high).any()):
        return None
    return held


def within(x: Vector, limits: Limits | None) -> Vector:
    """The point nearest to x that the limits allow: x itself, or a fresh vector."""
    if limits is None:
        return x
    inside: Vector = np.clip(x, *limits).astype(x.dtype, copy=False)
    return inside


def _apart(bounds: Any, n: int) -> Limits:
    try:
        low, high = (np.broadcast_to(_numbers(side, sign), (n,)) for side, sign in ((bounds.lb, -1), (bounds.ub, 1)))
    except ValueError:
        shapes = f"{np.shape(bounds.lb)} and {np.shape(bounds.ub)}"
        raise ValueError(f"Bounds of shapes {shapes} do not fit x of shape ({n},)") from None
    return low.copy(), high.copy()


def _in_pairs(bounds: Any, n: int) -> Limits:
    pairs = bounds if isinstance(bounds, np.ndarray) else list(bounds)
    if len(pairs) != n:
        raise ValueError(f"There are {len(pairs)} pairs of bounds, but x has shape ({n},)")
    try:
        table = np.asarray(pairs).reshape(n, 2)
    except ValueError:
        raise ValueError(f"Invalid bounds: {bounds!r:.80} (must be pairs (low, high), one for each of x)") from None
    return _numbers(table[:, 0], -1), _numbers(table[:, 1], 1)


def _numbers(side: Any, sign: int) -> NDArray[np.float64]:
    """A fresh array of double precision in which None has become an infinity of that sign."""
    numbers = np.asarray(side)
    if numbers.dtype.kind == "O":
        numbers = np.where(numbers == None, sign * np.inf, numbers)  # noqa: E711
    if numbers.dtype.kind not in "biufO":
        raise TypeError(f"Invalid bounds of dtype {numbers.dtype} (must be real numbers or None)")
    try:
        return numbers.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"Invalid bounds: {side!r:.80} (must be real numbers or None)") from None


def _held(low: NDArray[np.float64], high: NDArray[np.float64], dtype: np.dtype[Any]) -> Limits:
    """The limits rounded inward to numbers that the dtype holds."""
    with np.errstate(over="ignore"):
        down, up = high.astype(dtype), low.astype(dtype)
        down = np.where(down > high, np.nextafter(down, dtype.type(-np.inf)), down)
        up = np.where(up < low, np.nextafter(up, dtype.type(np.inf)), up)
        up = np.where(up > down, low.astype(dtype), up)
    return up.astype(np.float64), np.maximum(up, down).astype(np.float64)
