"""What all losses share: reductions, weights of samples, the two ways to call them, the checks of their arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import native, overlap, plain, reduce
from fastopt._pointwise import POINTWISE
from fastopt._validation import check_choice
from fastopt.params import Array

# What a caller asks for beside the value: is the gradient wanted, `out`, `grad_output`, `sample_weight`.
Call = tuple[bool, Any, Any, Any]


class Loss:
    """Base class of all losses.

    A subclass says in ``_evaluate(inputs, call)`` how value and gradient are computed.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        The sum of the values over their number, their sum, or the values themselves.
    """

    _reductions: tuple[str, ...] = ("mean", "sum", "none")
    _names: tuple[str, ...] = ("input", "target")
    _gradients = 1  # the inputs that can be differentiated come first

    def __init__(self, reduction: str = "mean") -> None:
        check_choice(reduction, self._reductions, type(self).__name__, "reduction")
        self.reduction = str(reduction)

    def __call__(self, input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Any:
        """The value: a float, or an array for ``reduction="none"``; the arguments are those of `value_and_grad`."""
        return self._evaluate((input, target), (False, None, None, sample_weight))[0]

    def value_and_grad(
        self,
        input: ArrayLike,
        target: ArrayLike,
        *,
        out: Array | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        """The value, and its gradient with respect to `input`, in one pass.

        Parameters
        ----------
        input, target : array
            As the class says.
        out : ndarray, optional
            Takes the gradient: of the shape and dtype of `input`, C-contiguous, aligned, writeable, sharing no
            memory with the arguments.
        grad_output : float or array, optional
            The derivative of what follows with respect to the value: a factor on the gradient, or for
            ``reduction="none"`` one factor for each value.
        sample_weight : array of shape (N,), optional
            How much each sample, an index of the first axis of `input`, counts: finite and at least 0. A sample of
            weight 2 counts as if it were there twice, also in what "mean" divides by.

        Returns
        -------
        value : float or ndarray
        gradient : ndarray
            Of the shape and dtype of `input`; `out` if that was given. For ``reduction="none"`` it is the gradient
            of the sum.

        Raises
        ------
        TypeError, ValueError, IndexError
            Arguments or an `out` that do not fit, in words; `out` is unchanged then.
        """
        return self._evaluate((input, target), (True, out, grad_output, sample_weight))

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        raise NotImplementedError

    def _check_reduction(self) -> None:
        check_choice(self.reduction, self._reductions, type(self).__name__, "reduction")

    def _weights(self, sample_weight: ArrayLike, shape: tuple[int, ...]) -> Array:
        """The weights of the samples, one for each index of the first axis of `shape`."""
        weights = factors(sample_weight, "sample_weight")
        if not shape:
            raise ValueError("sample_weight needs samples: an input whose first axis counts them")
        if weights.shape != shape[:1]:
            raise ValueError(f"sample_weight has shape {weights.shape}; it must be {shape[:1]}, one for each sample")
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("sample_weight must be finite numbers >= 0")
        if self.reduction not in ("none", "sum") and weights.any():
            # A mean is the same for all multiples of the weights: those near 1 are in the range of float32.
            weights = np.ldexp(weights, -np.frexp(weights.max())[1])
        return weights

    def _cotangent(self, grad_output: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A factor for each value."""
        cotangent = np.asarray(grad_output)
        if cotangent.dtype.kind not in "fiub":
            raise TypeError(f"grad_output has dtype {cotangent.dtype}; it must be real numbers")
        if cotangent.shape != shape:
            raise ValueError(f"grad_output has shape {cotangent.shape}, the value {shape}")
        return np.require(cotangent, dtype, ["C", "A"])

    def _number(self, grad_output: Any) -> float:
        """A factor for the one value."""
        number = np.asarray(grad_output)
        if number.shape != () or number.dtype.kind not in "fiub":
            raise TypeError(f"grad_output must be a number, as the value is one, not {grad_output!r}")
        return float(number)

    def _outs(self, given: tuple[Any, ...], dtype: np.dtype[Any], call: Call) -> tuple[Array, ...]:
        """The arrays that take the gradients: new ones, or those the caller brought, checked."""
        _, out, grad_output, sample_weight = call
        if out is None:
            return tuple([np.empty(np.shape(x), dtype) for x in given[: self._gradients]])
        inputs = [np.asarray(x) for x in given]
        outs = out if self._gradients > 1 else (out,)
        if not isinstance(outs, tuple | list) or len(outs) != self._gradients:
            raise TypeError(f"out must be a tuple of {self._gradients} arrays, one for each gradient")
        others = [*inputs, *(np.asarray(x) for x in (sample_weight, grad_output) if x is not None)]
        for out, x, name in zip(outs, inputs, self._names, strict=False):
            _check_out(out, x.shape, dtype, name)
            if any(overlap(out, y) for y in others):
                raise ValueError("out shares memory with an argument")
            others.append(out)
        return tuple(outs)

    def _sum_to(self, full: Array, out: Array) -> None:
        """Add up the gradient of a broadcast input over the axes that it did not have."""
        extra = full.ndim - out.ndim
        axes = (*range(extra), *(extra + i for i, size in enumerate(out.shape) if size == 1 != full.shape[extra + i]))
        out[...] = full.sum(axis=axes, dtype=np.float64).reshape(out.shape)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({options})"


class Curved(Loss):
    """Base class of the losses that have a second derivative."""

    def hessian_diag(self, input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Array:
        """The diagonal of the Hessian with respect to `input`, of its shape; that of the sum for ``reduction="none"``.

        Parameters and errors are those of `value_and_grad`.
        """
        hessian: Array = self._evaluate_curvature((input, target), (True, None, None, sample_weight))
        return hessian

    def _evaluate_curvature(self, inputs: tuple[Any, ...], call: Call) -> Any:
        raise NotImplementedError


class Pointwise(Loss):
    """Base class of the losses of one element each: a kernel, its scalars, the domain of its arguments."""

    _kernel = ""
    _broadcast = False  # as torch does

    def _scalars(self) -> tuple[float, ...]:
        return ()

    def _check(self, *arrays: Array) -> None:
        """Refuse what is outside the domain."""

    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        return self._run(self._kernel, inputs, call)

    def _run(self, kernel: str, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        arrays = inputs if plain(inputs) else self._conform(inputs)
        self._check(*arrays)
        return reduce(
            self,
            POINTWISE[kernel],
            inputs,
            arrays,
            call,
            arrays[0].shape,
            scalars=self._scalars(),
            **self._extra(inputs, arrays),
        )

    def _extra(self, inputs: tuple[Any, ...], arrays: tuple[Array, ...]) -> dict[str, Any]:
        """What else `reduce` must know."""
        return {}

    def _conform(self, inputs: tuple[Any, ...]) -> tuple[Array, ...]:
        """The arguments as contiguous arrays of one dtype and one shape."""
        arrays = list(real_arrays(inputs, self._names, self._gradients))
        shape = arrays[0].shape
        for x, name in zip(arrays, self._names, strict=True):
            if x.shape != shape:
                shape = self._common_shape(shape, x.shape, name)
        return tuple(np.require(np.broadcast_to(x, shape), requirements=["C", "A"]) for x in arrays)

    def _common_shape(self, shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
        words = f"{name} has shape {other}, the {self._names[0]} {shape}"
        if not self._broadcast:
            raise ValueError(words)
        try:
            return np.broadcast_shapes(shape, other)
        except ValueError:
            raise ValueError(f"{words}: these do not broadcast") from None


class CurvedPointwise(Curved, Pointwise):
    """Base class of the losses of one element each that have a second derivative, in a kernel of its own."""

    _curvature = ""

    def _evaluate_curvature(self, inputs: tuple[Any, ...], call: Call) -> Any:
        return self._run(self._curvature, inputs, call)[1]


def warn_of_broadcast(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """As torch does for the losses of regression."""
    warnings.warn(
        f"Using a target size ({other}) that is different to the input size ({shape}). This will likely lead to "
        "incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=7,
    )


def factors(numbers: ArrayLike, name: str) -> Array:
    """A copy of real numbers in float64."""
    array = np.asarray(numbers)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; it must be real numbers")
    return np.array(array, np.float64)


def float_array(x: ArrayLike, name: str) -> Array:
    """`x` as a native, aligned float32 or float64 array, copied only if it is not one; strides are left alone."""
    if native(x):
        return x  # type: ignore[return-value]
    x = np.asarray(x)
    if x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} has dtype {x.dtype}; it must be float32 or float64")
    return np.require(x, x.dtype.newbyteorder("="), requirements=["A"])


def real_arrays(inputs: tuple[Any, ...], names: tuple[str, ...], gradients: int) -> tuple[Array, ...]:
    """Arrays of the dtype of the first; what is differentiated must have it, the rest be real numbers."""
    first = float_array(inputs[0], names[0])
    arrays = [first]
    for i, name in enumerate(names[1:], 1):
        x = np.asarray(inputs[i])
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{name} has dtype {x.dtype}; it must be real numbers")
        if i < gradients and x.dtype.newbyteorder("=") != first.dtype:
            raise TypeError(f"{name} has dtype {x.dtype}, the {names[0]} {first.dtype}")
        arrays.append(np.require(x, first.dtype, requirements=["A"]))
    return tuple(arrays)


def _check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"out has dtype {out.dtype}, the {name} {dtype}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the {name} {shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError("out must be C-contiguous, aligned and writeable")
