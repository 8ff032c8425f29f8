"""The checks at the door: of numbers, of options, of parameter arrays. Behind it, kernels assume."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_number(
    value: Any,
    words: str,
    owner: str,
    name: str,
    low: float = 0.0,
    high: float = np.inf,
    *,
    low_open: bool = False,
    high_open: bool = True,
) -> None:
    """Refuse `value` unless it is a real number in the interval; `words` open the message as torch's does."""
    if type(value) is not float and (not isinstance(value, Real) or isinstance(value, bool | np.bool)):
        raise TypeError(f"{words}: {value!r} ({owner} needs a number for {name})")
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        number = np.inf
    above = number > low if low_open else number >= low
    below = number < high if high_open else number <= high
    if not (above and below):
        sign = ">" if low_open else ">="
        ends = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
        allowed = f"{name} in {ends}"
        if high == np.inf:
            allowed = (
                f"{name} {sign} {low:g}"
                if np.isfinite(low) and (np.isfinite(number) or not high_open)
                else f"a finite {name}"
            )
        raise ValueError(f"{words}: {value} ({owner} needs {allowed})")


def check_betas(betas: Any, owner: str, count: int = 2) -> None:
    """Refuse `betas` unless they are `count` numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != count:
        words = {2: "a pair of numbers", 3: "three numbers"}[count]
        raise ValueError(f"Invalid betas: {betas!r} ({owner} needs {words})")
    for i, beta in enumerate(betas):
        check_number(beta, f"Invalid beta parameter at index {i}", owner, f"betas[{i}]", high=1.0)


def check_count(value: Any, owner: str, name: str, low: int = 1) -> None:
    """Refuse `value` unless it is an int of at least `low`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"Invalid {name}: {value!r} ({owner} needs an int)")
    if not low <= int(value) < 2**62:
        allowed = f"{name} >= {low}" if int(value) < low else f"{name} < 2**62"
        raise ValueError(f"Invalid {name}: {value} ({owner} needs {allowed})")


def check_flag(value: Any, owner: str, name: str) -> None:
    """Refuse `value` unless it is a truth value."""
    if not isinstance(value, bool | np.bool):
        raise TypeError(f"{owner} needs True or False for {name}, not {value!r}")


def check_choice(value: Any, choices: Iterable[str], owner: str, name: str) -> None:
    """Refuse `value` unless it is one of `choices`."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Invalid {name}: {value!r} ({owner} needs one of {', '.join(map(repr, choices))})")


def check_parameter(array: Any, name: str) -> None:
    """Refuse an array that cannot be updated in place by a kernel; a copy would not be the caller's parameter."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}")
    fault = fix = ""
    if array.dtype not in (np.float32, np.float64):
        fault, fix = f"has dtype {array.dtype}", "pass a native float32 or float64 array"
    elif not array.flags.writeable:
        fault, fix = "is read-only", "pass a writeable array, such as its copy()"
    elif not array.flags.c_contiguous:
        fault, fix = "is not C-contiguous", "keep np.ascontiguousarray(parameter) as the parameter"
    elif not array.flags.aligned:
        fault, fix = "is not aligned in memory", "keep np.require(parameter, requirements='CAW') as the parameter"
    if fault:
        kind = TypeError if "dtype" in fault else ValueError
        raise kind(f"{name} {fault}; it is updated in place, so it cannot be converted: {fix}")
