"""What is done to gradients outside a step: clip them, lay parameters out as one vector, check by differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from fastopt import _norms
from fastopt._gradient_check import check_grad
from fastopt._validation import check_flag, check_number
from fastopt.params import Array, FlatParams, FlatViews, Parameter
from fastopt.sparse import RowSparse, _rows

__all__ = [
    "check_grad",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def clip_grad_norm_(grads: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> float:
    """Scale gradients in place so that their norm together is at most `max_norm`.

    ``g *= min(1, max_norm / (norm + 1e-6))``, norm being that of all elements as one vector.

    Parameters
    ----------
    grads : ndarray, FlatParams or its .grad, or iterable of ndarray, Parameter, RowSparse or None
        The gradients: of a Parameter or FlatParams its ``.grad``; None is skipped. float32 or float64, writeable, of
        any strides. Memory given twice is refused: it would be scaled twice. A RowSparse is left with each row once.
    max_norm : float
        At least 0; inf only measures.
    norm_type : float or "inf", default 2
        The p of the p-norm: any number, inf or -inf. 0 gives the number of gradients that are not all zero.
    error_if_nonfinite : bool, default False
        Refuse to scale by a norm that is NaN or inf. Else an infinity in a gradient makes the factor 0: what is
        finite becomes 0, what is infinite NaN; a NaN makes all NaN.

    Returns
    -------
    norm : float
        Before the scaling.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above. No gradient has been changed then, as after a RuntimeError.
    RuntimeError
        With `error_if_nonfinite`, the norm is NaN or inf.

    Notes
    -----
    As torch.nn.utils.clip_grad_norm_, which takes parameters, but: sums are in double, and squares cannot overflow or
    vanish, so that float32 gradients of 1e30 have their norm, where torch has inf and sets them to 0; arrays without
    elements have no part in norms of order inf or below 0, where torch refuses them; an array given twice is refused.
    The 2-norm is, to the bit, `last_grad_norm` of an optimizer with `clip_norm` and these gradients in one group.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.

    Examples
    --------
    >>> dW, db = np.array([[3.0, 0.0]]), np.array([4.0])
    >>> fo.clip_grad_norm_([dW, db], max_norm=1.0)
    5.0
    >>> dW.round(5), db.round(5)
    (array([[0.6, 0. ]]), array([0.8]))
    """
    check_number(max_norm, "Invalid max_norm value", "clip_grad_norm_", "max_norm", high_open=False)
    arrays, sparse = _writeable(grads, "clip_grad_norm_")
    norm = _norm(arrays, norm_type, error_if_nonfinite, "clip_grad_norm_")
    _scale(arrays, sparse, max_norm, norm)
    return norm


def clip_grads_with_norm_(grads: Any, max_norm: float, total_norm: float) -> None:
    """Scale gradients in place by ``min(1, max_norm / (total_norm + 1e-6))``, their norm being known.

    Parameters
    ----------
    grads : ndarray, FlatParams or its .grad, or iterable of ndarray, Parameter, RowSparse or None
        As for `clip_grad_norm_`.
    max_norm : float
        At least 0.
    total_norm : float
        At least 0, or NaN: as `get_total_norm` returns it, perhaps of more gradients than these.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above. No gradient has been changed then.

    Examples
    --------
    >>> g = np.array([3.0, 4.0])
    >>> fo.clip_grads_with_norm_(g, max_norm=1.0, total_norm=fo.get_total_norm(g))
    >>> g.round(5)
    array([0.6, 0.8])
    """
    check_number(max_norm, "Invalid max_norm value", "clip_grads_with_norm_", "max_norm", high_open=False)
    if total_norm == total_norm:
        check_number(total_norm, "Invalid total_norm value", "clip_grads_with_norm_", "total_norm", high_open=False)
    arrays, sparse = _writeable(grads, "clip_grads_with_norm_")
    _scale(arrays, sparse, max_norm, float(total_norm))


def clip_grad_value_(grads: Any, clip_value: float) -> None:
    """Bring each element of the gradients into [-clip_value, clip_value], in place; NaN stays.

    Parameters
    ----------
    grads : ndarray, FlatParams or its .grad, or iterable of ndarray, Parameter, RowSparse or None
        As for `clip_grad_norm_`. Of a RowSparse the rows are added up before they are clipped.
    clip_value : float
        At least 0; it is rounded to the dtype of each gradient.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above. No gradient has been changed then.

    Examples
    --------
    >>> g = np.array([-3.0, 0.5, np.inf])
    >>> fo.clip_grad_value_(g, 1.0)
    >>> g
    array([-1. ,  0.5,  1. ])
    """
    check_number(clip_value, "Invalid clip_value", "clip_grad_value_", "clip_value", high_open=False)
    arrays, sparse = _writeable(grads, "clip_grad_value_")
    _settle(sparse)
    _norms.clamp(arrays, float(clip_value))


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> float:
    """Norm of many arrays as of one vector.

    (sum |g|**p)**(1/p) over all elements; max |g| for p = inf, min |g| for p = -inf; 0 without elements.

    Parameters
    ----------
    tensors : ndarray, FlatParams or its .grad, or iterable of ndarray, Parameter, RowSparse or None
        As for `clip_grad_norm_`, but of any real floating dtype, read-only or overlapping. Here too a Parameter or
        FlatParams stands for its gradient, where torch would take the parameter: pass ``.data`` or ``.flat`` for that.
    norm_type : float or "inf", default 2
        p. 0 gives the number of arrays that are not all zero, as in torch.
    error_if_nonfinite : bool, default False
        Raise RuntimeError if the norm is NaN or inf.

    Returns
    -------
    norm : float
        The same bits for any number of threads and any layout in memory.

    Raises
    ------
    TypeError, ValueError
        Something that is no real array, or NaN for `norm_type`.
    RuntimeError
        With `error_if_nonfinite`, the norm is NaN or inf.

    Examples
    --------
    >>> fo.get_total_norm([np.array([3.0]), np.array([[4.0]])])
    5.0
    >>> fo.get_total_norm(np.full(4, 1e30, np.float32)) == 2 * float(np.float32(1e30))
    True
    """
    arrays = _listed(tensors, "get_total_norm")
    if _norms.first_foreign(arrays) >= 0:
        arrays = [_native(array, i) for i, array in enumerate(arrays)]
    return _norm(arrays, norm_type, error_if_nonfinite, "get_total_norm")


def _norm(arrays: list[Any], norm_type: Any, error_if_nonfinite: bool, owner: str) -> float:
    if isinstance(norm_type, str) and norm_type in ("inf", "-inf"):
        norm_type = float(norm_type)
    check_number(
        norm_type, "Invalid norm_type", owner, "norm_type of -inf to inf", low=-np.inf, high=np.inf, high_open=False
    )
    check_flag(error_if_nonfinite, owner, "error_if_nonfinite")
    norm = _norms.total_norm(arrays, float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is non-finite, so it cannot "
            "be clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return norm


def _scale(arrays: list[Any], sparse: list[Any], max_norm: float, norm: float) -> None:
    _settle(sparse)
    factor = float(max_norm) / (norm + 1e-6)
    if not factor >= 1:
        _norms.scale(arrays, factor)


def _listed(grads: Any, owner: str) -> list[Any]:
    """The gradients in order: what should be arrays, RowSparse and None."""
    if type(grads) is not list:
        if isinstance(grads, np.ndarray):
            return [grads]
        if isinstance(grads, FlatViews):
            return list((grads.grad if isinstance(grads, FlatParams) else grads)._views.values())
        if isinstance(grads, Parameter | RowSparse):
            grads = (grads,)
        if not isinstance(grads, Iterable):
            raise TypeError(f"{owner} takes an array or an iterable of arrays, not {type(grads).__name__}")
    return [grad.grad if isinstance(grad, Parameter) else grad for grad in grads]


def _native(grad: Any, i: int) -> Any:
    """For reading: float32 or float64, converted if need be."""
    if grad is None:
        return None
    if isinstance(grad, RowSparse):
        return _rows(grad.indices, grad.values, grad.shape)[1]
    if isinstance(grad, np.floating):
        grad = np.asarray(grad)
    _check_type(grad, i)
    return grad.astype(np.float32 if grad.dtype.itemsize <= 4 else np.float64, copy=False)


def _check_type(grad: Any, i: int) -> None:
    if not isinstance(grad, np.ndarray):
        raise TypeError(f"gradient {i} is of type {type(grad).__name__}; it must be an array, a RowSparse or None")
    if grad.dtype.kind != "f":
        raise TypeError(f"gradient {i} has dtype {grad.dtype}; it must be real floating point")


def _writeable(grads: Any, owner: str) -> tuple[list[Any], list[Any]]:
    """The arrays to be changed in place, and what a RowSparse becomes: rows and values, each row once."""
    arrays = _listed(grads, owner)
    sparse = []
    if _norms.first_foreign(arrays) >= 0:
        for i, grad in enumerate(arrays):
            if isinstance(grad, RowSparse):
                _check_in_place(grad.values, i)
                rows, arrays[i] = _rows(grad.indices, grad.values, grad.shape)
                sparse.append((grad, rows, arrays[i]))
            elif grad is not None:
                _check_in_place(grad, i)
    fixed = _norms.first_fixed(arrays)
    if fixed >= 0:
        raise ValueError(f"gradient {fixed} is read-only; it is changed in place: pass a writeable array")
    if _norms.may_overlap(arrays):
        _check_apart([(i, array) for i, array in enumerate(arrays) if array is not None and array.size])
    return arrays, sparse


def _check_in_place(grad: Any, i: int) -> None:
    _check_type(grad, i)
    if grad.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"gradient {i} has dtype {grad.dtype}; it is changed in place, so it must be native float32 or float64"
        )


def _settle(sparse: list[Any]) -> None:
    for grad, rows, values in sparse:
        grad.indices, grad.values = rows, values


def _check_apart(arrays: list[tuple[int, Array]]) -> None:
    """Refuse arrays of which an element is in two places: it would be scaled twice."""
    for i, array in arrays:
        reach = array.itemsize
        for stride, length in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
            if stride < reach:
                raise ValueError(f"gradient {i} overlaps itself in memory, with strides {array.strides}: pass a copy")
            reach += stride * (length - 1)
    for (i, a), (j, b) in combinations(arrays, 2):
        if np.may_share_memory(a, b) and _share_an_element(a, b):
            raise ValueError(f"gradients {i} and {j} share memory, which would be changed twice: pass each once")


def _share_an_element(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def parameters_to_vector(parameters: Any) -> Array:
    """All parameters, one after the other in C order, in one new vector.

    Parameters
    ----------
    parameters : ndarray, FlatParams, or iterable of ndarray or Parameter
        Also gradients: ``parameters_to_vector(p.grad)``.

    Returns
    -------
    vector : ndarray of shape (total size,)
        A copy, in the common dtype.

    Raises
    ------
    TypeError
        Something that is no array of real numbers.
    ValueError
        There are no parameters.

    Examples
    --------
    >>> W, b = np.arange(4.0).reshape(2, 2), np.array([5.0], np.float32)
    >>> vector = fo.parameters_to_vector([W, b])
    >>> vector
    array([0., 1., 2., 3., 5.])
    """
    if isinstance(parameters, FlatViews):
        return parameters.flat.copy()
    arrays = _parameters(parameters, "parameters_to_vector")
    if not arrays:
        raise ValueError("parameters_to_vector got no parameters")
    return np.concatenate([np.asarray(array).reshape(-1) for array in arrays])


def vector_to_parameters(vec: Array, parameters: Any) -> None:
    """Copy a vector into parameters, the reverse of `parameters_to_vector`.

    Parameters
    ----------
    vec : ndarray of shape (total size,)
    parameters : ndarray, FlatParams, or iterable of ndarray or Parameter
        Floating point, writeable; each keeps its dtype.

    Raises
    ------
    TypeError
        `vec` or a parameter is no array of real numbers.
    ValueError
        `vec` has not as many elements as the parameters together, or one of these is read-only. No parameter has been
        changed then.

    Notes
    -----
    torch ignores what a vector has too much, and makes the parameters views on it; here they are copies.

    Examples
    --------
    >>> W, b = np.zeros((2, 2)), np.zeros(1)
    >>> fo.vector_to_parameters(np.arange(5.0), [W, b])
    >>> b
    array([4.])
    """
    if not isinstance(vec, np.ndarray):
        raise TypeError(f"vec must be a NumPy array, not {type(vec).__name__}")
    if vec.dtype.kind not in "biuf":
        raise TypeError(f"vec has dtype {vec.dtype}; it must be real numbers")
    flat = isinstance(parameters, FlatViews)
    arrays = [parameters.flat] if flat else _parameters(parameters, "vector_to_parameters")
    size = sum(array.size for array in arrays)
    if vec.shape != (size,):
        raise ValueError(f"vec has shape {vec.shape}, the parameters together {size} elements: it must be ({size},)")
    for i, array in enumerate(arrays):
        if array.dtype.kind != "f":
            raise TypeError(f"parameter {i} has dtype {array.dtype}; it must be real floating point")
        if not array.flags.writeable:
            raise ValueError(f"parameter {i} is read-only; vector_to_parameters copies into it")
    if any(np.may_share_memory(vec, array) for array in arrays):
        vec = vec.copy()
    start = 0
    for array in arrays:
        array[...] = vec[start : start + array.size].reshape(array.shape)
        start += array.size


def _parameters(parameters: Any, owner: str) -> list[Array]:
    if isinstance(parameters, np.ndarray | Parameter):
        parameters = (parameters,)
    if not isinstance(parameters, Iterable):
        raise TypeError(f"{owner} takes an array or an iterable of arrays, not {type(parameters).__name__}")
    arrays = [parameter.data if isinstance(parameter, Parameter) else parameter for parameter in parameters]
    for i, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"parameter {i} is of type {type(array).__name__}; it must be an array or a Parameter")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"parameter {i} has dtype {array.dtype}; it must be real numbers")
    return arrays
