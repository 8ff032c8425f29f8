"""Where parameters live: a `Parameter` pairs an array with its gradient, `FlatParams` keeps many in one buffer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastopt._engine import aligned_zeros
from fastopt._validation import check_parameter

Array = np.ndarray[Any, np.dtype[Any]]


class Parameter:
    """An array to be optimized, with a place for its gradient.

    Parameters
    ----------
    array : ndarray
        float32 or float64, C-contiguous, aligned, writeable. It is kept, not copied, and updated in place.
    name : str, optional
        For messages, and for matching when a state is loaded by name.

    Attributes
    ----------
    data : ndarray
        The very array that was passed.
    grad : ndarray or None
        The gradient that the next ``opt.step()`` uses; None skips the parameter.
    name : str or None

    Raises
    ------
    TypeError
        `array` is not an ndarray, or of another dtype.
    ValueError
        `array` is read-only, not C-contiguous or not aligned.

    Examples
    --------
    >>> w = fo.Parameter(np.ones(3))
    >>> opt = fo.SGD([w], lr=0.5)
    >>> w.grad = np.ones(3)
    >>> opt.step(); w.data
    array([0.5, 0.5, 0.5])
    """

    __slots__ = ("_data", "grad", "name")

    def __init__(self, array: Array, name: str | None = None) -> None:
        check_parameter(array, "a parameter" if name is None else f"parameter {name!r}")
        self._data = array
        self.grad: Any = None
        self.name = name

    @property
    def data(self) -> Array:
        return self._data

    def __repr__(self) -> str:
        name = "" if self.name is None else f"{self.name!r}, "
        return f"Parameter({name}shape={self._data.shape}, dtype={self._data.dtype})"


class FlatViews(Mapping[str, Array]):
    """Named views, one after the other, on one flat buffer."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], flat: Array) -> None:
        self._flat: Array = np.require(flat, requirements=["C", "A", "W"])  # out of a pickle it may be read-only
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            self._views[name] = self._flat[start:stop].reshape(shape)
            start = stop

    @property
    def flat(self) -> Array:
        """The buffer that the views are on; assigning copies into it."""
        return self._flat

    @flat.setter
    def flat(self, value: ArrayLike) -> None:
        if value is not self._flat:  # as after p.grad.flat *= 2
            self._flat[...] = value

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle: views on the copied buffer, which is the same array as elsewhere in what is copied."""
        return FlatViews, (self._shapes(), self._flat)

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: view.shape for name, view in self.items()}

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        self._views[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def nbytes(self) -> int:
        """Bytes of the flat buffer."""
        return self.flat.nbytes

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {view.shape}" for name, view in self.items())
        return f"{type(self).__name__}({{{shapes}}}, dtype={self.flat.dtype})"


class FlatParams(FlatViews):
    """Named parameters in one flat buffer, and their gradients in another.

    ``p["W"]`` is a view on ``p.flat`` and ``p.grad["W"]`` a view on ``p.grad.flat``, so a model reads names while
    the optimizer, the norm and the checkpoint see one contiguous array. Both start at zero.

    Parameters
    ----------
    shapes : mapping of str to int or tuple of int
        The parameters in order. An int is the length of a vector, () a scalar.
    dtype : dtype, default numpy.float32
        numpy.float32 or numpy.float64.

    Attributes
    ----------
    flat : ndarray of shape (total size,)
    grad : mapping of str to ndarray
        The gradients, with a ``flat`` of its own.
    nbytes : int

    Raises
    ------
    TypeError
        A name is not a str, a shape not of ints, or `dtype` neither float32 nor float64.
    ValueError
        A negative length.

    Notes
    -----
    Assigning ``p["W"] = value`` copies into the view; views are never rebound.

    Examples
    --------
    >>> p = fo.FlatParams({"W": (64, 10), "b": 10})
    >>> p.grad["W"][...] = 1
    >>> fo.SGD(p, lr=0.5).step(p.grad)
    >>> float(p["W"][0, 0]), float(p["b"][0])
    (-0.5, 0.0)
    """

    def __init__(self, shapes: Mapping[str, int | tuple[int, ...]], dtype: DTypeLike = np.float32) -> None:
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"FlatParams has dtype {np.dtype(dtype)}; it must be float32 or float64")
        if not isinstance(shapes, Mapping):
            raise TypeError(f"FlatParams takes a mapping from name to shape, not {type(shapes).__name__}")
        full = {}
        for name, shape in shapes.items():
            if not isinstance(name, str):
                raise TypeError(f"a parameter's name must be a str, not {name!r}")
            try:
                full[name] = np.broadcast_shapes(shape)
            except TypeError:
                raise TypeError(f"shape of {name!r} must be an int or a tuple of ints, not {shape!r}") from None
            except ValueError:
                raise ValueError(f"shape of {name!r} must not be negative: {shape!r}") from None
        size = sum(map(math.prod, full.values()))
        self._lay(full, aligned_zeros(size, dtype), FlatViews(full, aligned_zeros(size, dtype)))

    def _lay(self, shapes: Mapping[str, tuple[int, ...]], flat: Array, grad: FlatViews) -> None:
        super().__init__(shapes, flat)
        self._grad = grad

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self._shapes(), self._flat, self._grad)

    @property
    def grad(self) -> FlatViews:
        """The gradients: assign to ``p.grad["W"]``, or write to ``p.grad.flat``."""
        return self._grad

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike], dtype: DTypeLike | None = None) -> FlatParams:
        """Parameters that start as copies of `arrays`, in their common float dtype unless `dtype` says otherwise."""
        values = _real_arrays(arrays)
        if dtype is None:
            dtype = np.result_type(np.float32, *values.values())
        flat = cls({name: value.shape for name, value in values.items()}, dtype)
        for name, value in values.items():
            flat[name] = value
        return flat

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return {name: view.copy() for name, view in self.items()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Copy values into the parameters; ValueError, and no change, unless all names and shapes are those here."""
        values = _real_arrays(state_dict)
        shapes = {name: value.shape for name, value in values.items()}
        if shapes != self._shapes():
            raise ValueError(f"the state has {shapes}, {self!r} differs")
        for name, value in values.items():
            self[name] = value


def _rebuilt(cls: type[FlatParams], shapes: dict[str, tuple[int, ...]], flat: Array, grad: FlatViews) -> FlatParams:
    params = cls.__new__(cls)
    params._lay(shapes, flat, grad)
    return params


def _real_arrays(arrays: Mapping[str, ArrayLike]) -> dict[str, Array]:
    values = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in values.items():
        if value.dtype.kind not in "biuf":
            raise TypeError(f"{name!r} has dtype {value.dtype}; it must be real numbers")
    return values
