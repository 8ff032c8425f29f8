"""The options that the solvers have in common: chosen and checked."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from fastopt.minimize.evaluation import Differences, Evaluator

NUMBERS = (int, float, Real)  # of which the last alone would be slow


def chosen(
    given: Mapping[str, Any], known: Mapping[str, Any], tol: float | None, evaluate: Evaluator
) -> dict[str, Any]:
    """The options that are known, as given or else as they are by default, the budget counted in gradients."""
    short = {} if tol is None else {"gtol": tol, "ftol": 0}
    options = {**known, **short, **{name: value for name, value in given.items() if name in known}}
    if isinstance(evaluate, Differences):
        options["maxfun"] = max(1, whole("maxfun", options["maxfun"], 1) // evaluate.calls_each)
    return options


def limits_of_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that say when to stop, checked."""
    return {
        "gtol": tolerance("gtol", options["gtol"]),
        "ftol": tolerance("ftol", options["ftol"]),
        "maxiter": whole("maxiter", options["maxiter"], 0),
        "maxfun": whole("maxfun", options["maxfun"], 1),
    }


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`; one that is too large for a count stands for no limit."""
    allowed = f"(must be a whole number >= {least})"
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        raise TypeError(f"Invalid {name}: {value!r} {allowed}")
    number = min(float(value), 2.0**60)
    if not (number >= least and number.is_integer()):
        raise ValueError(f"Invalid {name}: {value!r} {allowed}")
    return int(number)


def tolerance(name: str, value: Any) -> float:
    """A number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        raise TypeError(f"Invalid {name}: {value!r} (must be a number >= 0)")
    if not float(value) >= 0:
        raise ValueError(f"Invalid {name}: {value!r} (must be a number, {name} >= 0)")
    return float(value)
