"""What all losses share: reductions, the two ways to call them, the checks of their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._losses import sweep
from fastopt._validation import check_choice
from fastopt.params import Array

REDUCTIONS = ("mean", "sum", "none")


class Loss:
    """Base class of all losses.

    A subclass says in ``_evaluate(input, target, gradient)`` how a value is computed, filling `gradient` unless it
    is None.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
    """

    def __init__(self, reduction: str = "mean") -> None:
        check_choice(reduction, REDUCTIONS, type(self).__name__, "reduction")
        self.reduction = reduction

    def __call__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """The value: a float, or an array for ``reduction="none"``."""
        return self._evaluate(_float_array(input, "input"), np.asarray(target), None)

    def value_and_grad(self, input: ArrayLike, target: ArrayLike, *, out: Array | None = None) -> tuple[Any, Array]:
        """The value, and its gradient with respect to `input`, in one pass.

        Parameters
        ----------
        input, target : array
            As for a call.
        out : ndarray, optional
            Takes the gradient: of the shape and dtype of `input`, C-contiguous, aligned, writeable, sharing no
            memory with the arguments.

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
        z, y = _float_array(input, "input"), np.asarray(target)
        if out is None:
            out = np.empty(z.shape, z.dtype)
        else:
            _check_out(out, np.asarray(input), y)
        return self._evaluate(z, y, out), out

    def _evaluate(self, input: Array, target: Array, gradient: Array | None) -> Any:
        raise NotImplementedError

    def _reduce(
        self,
        kernel: tuple[object, object],
        inputs: tuple[Array, ...],
        gradient: Array | None,
        *,
        shape: tuple[int, ...],
        mass: float,
        shared: tuple[Array | None, ...] = (),
        scalars: tuple[float, ...] = (),
    ) -> Any:
        """Run `kernel` over prod(shape) units and reduce their values; "mean" divides by `mass`."""
        check_choice(self.reduction, REDUCTIONS, type(self).__name__, "reduction")
        units = int(np.prod(shape))
        width = inputs[0].size // units if units else 0
        values = np.empty(shape, inputs[0].dtype) if self.reduction == "none" else None
        # With no mass the mean is NaN, as in torch, but it does not depend on the input: the gradient is 0, not NaN.
        scale = (1 / mass if mass else 0.0) if self.reduction == "mean" else 1.0
        total = sweep(kernel, (values, gradient, *inputs), shared, scalars, units, width, scale)
        if values is not None:
            return values
        if self.reduction == "mean":
            return total / mass if mass else np.nan
        return total

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({options})"


def _float_array(x: ArrayLike, name: str) -> Array:
    """`x` as a native, aligned, C-contiguous float32 or float64 array, copied only if it is not one."""
    x = np.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {x.dtype}; it must be float32 or float64")
    return np.require(x, requirements=["C", "A"])


def _check_out(out: Any, z: Array, y: Array) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.dtype != z.dtype:
        raise TypeError(f"out has dtype {out.dtype}, the input {z.dtype}")
    if out.shape != z.shape:
        raise ValueError(f"out has shape {out.shape}, the input {z.shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError("out must be C-contiguous, aligned and writeable")
    if np.may_share_memory(out, z) or np.may_share_memory(out, y):
        raise ValueError("out shares memory with an argument")
