"""Gradients that touch few rows of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._sparse import summed
from fastopt.params import Array

__all__ = ["RowSparse"]


class RowSparse:
    """A gradient that is zero but in some rows: what an embedding or a sparse feature matrix leaves.

    Row ``indices[j]`` of the gradient is the sum of all ``values[j]`` with that index.

    Parameters
    ----------
    indices : array of int, shape (k,)
        In [0, shape[0]), in any order, repeated or not.
    values : array of float, shape (k, *shape[1:])
    shape : tuple of int
        Of the parameter.

    Raises
    ------
    TypeError
        Indices that are not whole numbers, values that are not real.
    ValueError
        Shapes that do not fit each other.
    IndexError
        An index out of range.

    Notes
    -----
    A step takes it in place of a dense gradient, and so it takes scipy.sparse matrices and arrays, of which it touches
    the stored elements. With ``sparse="lazy"``, the default, what is not touched stays as it is, state included, at no
    cost: torch's SparseAdam for every optimizer. With ``sparse="dense"`` all rows take part, as with zeros in the
    gradient: momentum moves them and weight decay shrinks them, at the cost of a dense step.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> w = np.zeros((5, 2))
    >>> opt = fo.SGD(w, lr=1.0)
    >>> opt.step([fo.RowSparse([3, 0, 3], np.ones((3, 2)), w.shape)])
    >>> w[:, 0]
    array([-1.,  0.,  0., -2.,  0.])
    """

    def __init__(self, indices: ArrayLike, values: ArrayLike, shape: tuple[int, ...]) -> None:
        self.indices = np.asarray(indices)
        self.values = np.asarray(values)
        self.shape = tuple(shape)
        if self.indices.size == 0:
            self.indices = self.indices.astype(np.intp)
        if self.indices.dtype.kind not in "iu":
            raise TypeError(f"indices have dtype {self.indices.dtype}; they must be whole numbers")
        if self.values.dtype.kind != "f":
            raise TypeError(f"values have dtype {self.values.dtype}; they must be real floating point")
        _check_shapes(self.indices, self.values, self.shape)
        if self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < self.shape[0]:
            raise IndexError(f"indices from {self.indices.min()} to {self.indices.max()} for {self.shape[0]} rows")

    def __repr__(self) -> str:
        return f"RowSparse({self.indices.size} rows of shape {self.shape}, dtype={self.values.dtype})"

    def toarray(self) -> Array:
        """The dense gradient."""
        dense = np.zeros(self.shape, self.values.dtype)
        np.add.at(dense, self.indices, self.values)
        return dense


def rows_of(gradient: Any, param: Array, i: int, group: Mapping[str, Any]) -> Any:
    """What the engine needs of a sparse gradient: row numbers, ascending, and their values; None if it is not sparse.

    A dense array where the group wants one. The elements that a scipy.sparse array stores count as rows of length 1.
    """
    stored = getattr(gradient, "tocoo", None)
    if stored is None and not isinstance(gradient, RowSparse):
        return None
    if tuple(gradient.shape) != param.shape and not (stored and gradient.shape == (1, *param.shape)):
        raise ValueError(f"gradient {i} has shape {tuple(gradient.shape)}, its parameter {param.shape}")
    if group.get("sparse") == "dense":
        return np.asarray(gradient.toarray()).reshape(param.shape)
    if stored is None:
        return _rows(gradient.indices, gradient.values, param.shape)
    entries = stored()
    if entries.dtype.kind != "f":
        raise TypeError(f"gradient {i} has dtype {entries.dtype}; it must be real floating point")
    coords = entries.coords if hasattr(entries, "coords") else (entries.row, entries.col)
    return _rows(np.ravel_multi_index(coords, entries.shape), entries.data, (param.size,))


def _rows(indices: Array, values: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Ascending row numbers without repetition, and the sums of their values, as the engine takes them."""
    _check_shapes(indices, values, shape)  # again: either may have been assigned to
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64)
    return summed(
        np.require(indices, np.intp, ["C", "A", "E"]), np.require(values, requirements=["C", "A", "E"]), shape[0]
    )


def _check_shapes(indices: Array, values: Array, shape: tuple[int, ...]) -> None:
    if not shape or indices.ndim != 1 or values.shape != (indices.size, *shape[1:]):
        raise ValueError(
            f"indices of shape {indices.shape} and values of shape {values.shape} do not make a gradient "
            f"of shape {shape}: they must be (k,) and (k, {', '.join(map(str, shape[1:]))})"
        )
