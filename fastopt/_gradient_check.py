"""Is this the gradient of that function? By differences, with what these cannot tell, and a guess at the mistake."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastopt._validation import check_choice, check_number
from fastopt.params import Array, FlatParams, FlatViews


@dataclass(frozen=True)
class GradientCheck:
    """What `check_grad` found. It is true if the gradient is right, and prints as its message."""

    ok: bool
    worst: tuple[int, ...] | str | None  # the coordinate with the largest error for what is expected there,
    analytic: float  # and there: what the gradient says,
    numeric: float  # what differences say,
    error: float  # how far they are apart,
    relative_error: float  # in relation to the larger,
    expected: float  # and what rounding and truncation of the differences explain
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message


def check_grad(
    fun: Callable[..., Any],
    x: Any,
    jac: Callable[..., Any] | bool | None = None,
    *,
    args: Any = (),
    method: str = "3-point",
    rel_step: float | None = None,
    rtol: float | None = None,
) -> GradientCheck:
    """Compare a gradient with finite differences, and say what is probably wrong with it.

    Differences D(h) and D(2h) are taken in every coordinate. An error beyond 2 |D(2h) - D(h)|, which bounds the
    truncation, and beyond what rounding explains, is an error of the gradient. How much f rounds is seen by moving x in
    its last place.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> (f, gradient)``, or ``-> f`` if `jac` is a function. It may change its argument, a copy of x.
    x : array_like of any shape, or FlatParams
        Where to check; never written to. float32 is kept, all else becomes float64. `fun` gets what `x` is; for
        FlatParams the gradient is a mapping such as ``p.grad``, or a flat vector.
    jac : callable, True or None
        ``jac(x, *args) -> gradient``; with True or None `fun` returns it.
    args : tuple, optional
        Further arguments of `fun` and `jac`.
    method : {"3-point", "2-point", "cs"}, default "3-point"
        SciPy's difference scheme. "cs", the complex step, needs a `fun` that takes complex numbers.
    rel_step : float, optional
        The step in relation to x. By default the step is that of SciPy: eps**(1/3), for the other methods eps**(1/2),
        times max(1, abs(x)); it must not lead out of the domain of f.
    rtol : float, optional
        Relative errors up to this pass in any case.

    Returns
    -------
    result : GradientCheck
        ok; worst, the index of the coordinate with the largest error for what is expected there, or for FlatParams its
        name, as in "W[3, 2]"; analytic, numeric, error, relative_error and expected there; message, a sentence or two,
        as which it prints. A kink, where one-sided differences disagree and the gradient is between them, is no error.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above, or a gradient of another shape than x.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", section 8.1, 2006.

    Examples
    --------
    >>> fo.check_grad(lambda x: (x @ x, 2 * x), np.ones(3)).ok
    True
    >>> print(fo.check_grad(lambda x: (x @ x, x), np.array([1.0, 3.0])))
    The gradient is wrong in 2 of 2 coordinates, most in x[1]: it says 3, differences 6. It is off by a factor of 0.500
    everywhere (a missing factor 2, or a mean for a sum?).
    """
    if not callable(fun):
        raise TypeError(f"Invalid fun: {fun!r} (must be callable)")
    if jac is not None and jac is not True and not callable(jac):
        raise TypeError(f"Invalid jac: {jac!r} (must be callable, True or None)")
    check_choice(method, ("3-point", "2-point", "cs"), "check_grad", "method")
    if rel_step is not None:
        check_number(rel_step, "Invalid rel_step", "check_grad", "rel_step", low_open=True)
    if rtol is not None:
        check_number(rtol, "Invalid rtol", "check_grad", "rtol")
    if method == "cs" and isinstance(x, FlatParams):
        raise ValueError("method='cs' needs complex numbers, which FlatParams cannot hold")
    probe = _Probe(fun, x, jac, args if isinstance(args, tuple) else (args,))
    f, g = probe.both()
    if probe.x.size == 0:
        return _verdict(True, "There is nothing to check: x is empty.")
    if not np.isfinite(f):
        return _verdict(False, f"f is not finite at x: it is {f}.")
    if not np.isfinite(g).all():
        i = int(np.argmin(np.isfinite(g)))
        return _verdict(False, f"The gradient is not finite at {probe.text(i)}: it is {g[i]}.", probe.name(i), g[i])

    eps = max(float(np.finfo(dtype).eps) for dtype in (probe.x.dtype, np.result_type(f, np.float16)))
    unit = np.maximum(1, np.abs(probe.x)) if rel_step is None else np.where(probe.x == 0, 1, np.abs(probe.x))
    h = (rel_step or eps ** (1 / 3 if method == "3-point" else 1 / 2)) * unit
    near, far = (probe.differences(f, size * h, method) for size in (1, 2))
    if not (np.isfinite(near) & np.isfinite(far)).all():
        i = int(np.argmin(np.isfinite(near) & np.isfinite(far)))
        message = f"The gradient cannot be checked at {probe.text(i)}: f is not finite next to it."
        return _verdict(False, message, probe.name(i), g[i], near[i])

    noise = 0 if method == "cs" else probe.noise(f, eps)
    # 4: three samples of the noise may miss the largest, and two-point differences have it twice. 16: the gradient
    # rounds too, and may be made of sums.
    expected = 2 * np.abs(far - near) + 4 * noise / h + 16 * max(eps, probe.eps) * max(abs(g).max(), abs(near).max())
    error = np.abs(g - near)
    larger = np.maximum(np.abs(g), np.abs(near))
    suspect = error > expected
    if suspect.any():  # near a singularity D(2h) and D(h) can agree by chance
        further = probe.differences(f, 4 * h, method, suspect)
        expected[suspect] = np.fmax(expected[suspect], np.abs(further - far[suspect]) / 3)
    allowed = np.maximum(expected, (rtol or 0) * larger)
    wrong = error > allowed
    kinks = np.zeros_like(wrong)
    if wrong.any():
        kinks[wrong] = probe.kinks(f, g, eps ** (1 / 3) * unit, allowed, wrong)
        wrong &= ~kinks
    excess = np.where(kinks, 0, error / np.maximum(allowed, np.finfo(float).tiny))
    i = int(excess.argmax())
    if wrong.any():
        message = (
            f"The gradient is wrong in {wrong.sum()} of {wrong.size} coordinates, most in {probe.text(i)}: it says "
            f"{g[i] + 0:.7g}, differences {near[i]:.7g}. {_likely(probe, g, near, wrong, expected)}"
        )
    else:
        message = (
            f"The gradient is right: the largest error for what is expected is {error[i]:.1e}, in {probe.text(i)}, "
            f"where rounding and truncation of differences explain {expected[i]:.1e}."
        )
        if expected[i] > 0.01 * larger.max():
            message += f" That says little, as no component is beyond {larger.max():.1e}."
    if kinks.any():
        where = ", ".join(probe.text(int(j)) for j in np.flatnonzero(kinks)[:3])
        more = f" and {kinks.sum() - 3} more" if kinks.sum() > 3 else ""
        message += f" There is a kink in {where}{more} (one-sided differences disagree): not an error."
    if probe.changed:
        message += " fun changed its argument."
    relative = error[i] / larger[i] if larger[i] else 0.0
    return _verdict(not wrong.any(), message, probe.name(i), g[i], near[i], error[i], relative, expected[i])


def _verdict(ok: Any, message: str, worst: tuple[int, ...] | str | None = None, *numbers: Any) -> GradientCheck:
    analytic, numeric, error, relative_error, expected = [*map(float, numbers), *[math.nan] * (5 - len(numbers))]
    return GradientCheck(bool(ok), worst, analytic, numeric, error, relative_error, expected, message)


def _likely(probe: _Probe, g: Array, near: Array, wrong: Array, expected: Array) -> str:
    """A sentence on what the wrong coordinates have in common."""
    if not near.any():
        return "f does not change with x: does fun use its argument?"
    telling = np.abs(near) > 10 * expected  # where a ratio says something
    region = probe.region(wrong) if (telling & ~wrong).any() else ""
    words = []
    if region:
        words.append(f"Only coordinates in {region} are wrong.")
    where = "there" if region else "everywhere"
    if not g[wrong].any():
        words.append("It is zero where it should not be.")
    elif (telling & wrong).any() and not (wrong & ~telling).any():
        ratio = g[wrong] / near[wrong]
        factor = float(np.median(ratio))
        if (np.abs(ratio - 1) < 1e-3).all():
            words.append(f"It is off by {np.abs(ratio - 1).max():.1e} of itself at most (a lower precision?).")
        elif (np.abs(ratio + 1) < 1e-3).all():
            words.append(f"It has the opposite sign {where}.")
        elif (np.abs(ratio - factor) < 1e-3 * abs(factor)).all():
            times = max(abs(factor), 1 / abs(factor))
            hint = (
                "a missing factor 2, or a mean for a sum" if abs(factor) < 1 else "a missing 1/2, or a sum for a mean"
            )
            hint = f" ({hint}?)" if abs(times - round(times)) < 1e-3 * times else ""
            words.append(f"It is off by a factor of {factor:.3f} {where}{hint}.")
    return " ".join(words) or "The errors have no pattern."


class _Probe:
    """f and its gradient at a point, as functions of flat vectors."""

    def __init__(self, fun: Callable[..., Any], x: Any, jac: Any, args: tuple[Any, ...]) -> None:
        self.fun, self.jac, self.args = fun, jac, args
        self.flat = x if isinstance(x, FlatParams) else None
        array = np.array(x.flat if self.flat is not None else x)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"Invalid x of dtype {array.dtype} (must be real numbers)")
        single = array.dtype.kind == "f" and array.dtype.itemsize == 4
        self.shape = array.shape
        self.x: Array = array.astype(np.float32 if single else np.float64).reshape(-1)
        self.eps = 0.0  # of the gradient
        self.changed = False

    def _call(self, function: Callable[..., Any], z: Array) -> Any:
        given: Any
        if self.flat is None:
            given = z.reshape(self.shape).copy()
        else:
            given = copy.deepcopy(self.flat)
            given.flat[...] = z
        result = function(given, *self.args)
        after = given.flat if self.flat is not None else given.reshape(-1)
        self.changed = self.changed or not np.array_equal(after, z, equal_nan=True)
        return result

    def value(self, z: Array) -> Any:
        result = self._call(self.fun, z)
        if not callable(self.jac):
            result = _pair(result)[0]
        f = np.asarray(result)
        if f.size != 1 or f.dtype.kind not in "biufc":
            raise ValueError(f"fun must return one number, not {result!r}")
        return f.reshape(())[()]

    def both(self) -> tuple[Any, Array]:
        """f and the gradient at the point."""
        f = self.value(self.x)
        g = self._call(self.jac, self.x) if callable(self.jac) else _pair(self._call(self.fun, self.x))[1]
        if isinstance(g, FlatViews):
            g = g.grad.flat if isinstance(g, FlatParams) else g.flat
        elif self.flat is not None and isinstance(g, Mapping):
            if g.keys() != self.flat.keys():
                raise ValueError(f"the gradient has the names {list(g)}, x {list(self.flat)}")
            g = np.concatenate([np.reshape(g[name], -1) for name in self.flat])
        g = np.array(g)
        if g.shape != self.shape or g.dtype.kind not in "biuf":
            raise ValueError(f"the gradient has shape {g.shape} and dtype {g.dtype}, x shape {self.shape}")
        self.eps = float(np.finfo(g.dtype).eps) if g.dtype.kind == "f" else 0.0
        return f, g.reshape(-1).astype(np.float64)

    def differences(self, f: Any, h: Array, method: str, where: Array | slice = slice(None)) -> Array:
        """SciPy's differences with steps h, in the coordinates `where`."""
        from scipy.optimize._numdiff import approx_derivative  # type: ignore[import-untyped]

        def along(z: Array) -> Any:
            y = self.x.astype(z.dtype)
            y[where] = z
            return self.value(y)

        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(approx_derivative(along, self.x[where], method=method, abs_step=h[where], f0=f), float)

    def noise(self, f: Any, eps: float) -> float:
        """By how much f changes when x moves in its last place, and at least its own last place."""
        rng = np.random.default_rng(0)
        moved = [np.nextafter(self.x, self.x.dtype.type(np.inf) * rng.choice([-1, 1], self.x.size)) for _ in range(3)]
        values = [float(self.value(z.astype(self.x.dtype))) for z in moved]
        return max(eps * abs(float(f)), *(abs(value - float(f)) for value in values if math.isfinite(value)), 0.0)

    def kinks(self, f: Any, g: Array, h: Array, allowed: Array, where: Array) -> Array:
        """Where the gradient lies between one-sided differences that stay apart as the step shrinks, by half or more.

        At a kink they do, unless it is so far off that |D(2h) - D(h)| has seen it; elsewhere they are 2 times as near.
        """
        (left, right), (left2, right2) = (
            [self.differences(f, sign * size * h, "2-point", where) for sign in (-1, 1)] for size in (1, 2)
        )
        width = np.abs(right - left)
        between = (g[where] >= np.minimum(left, right) - allowed[where]) & (
            g[where] <= np.maximum(left, right) + allowed[where]
        )
        kinks: Array = (np.abs(right2 - left2) < 1.75 * width) & between
        return kinks

    def _parts(self) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """Name, first coordinate and shape of each array."""
        start = 0
        for name, shape in [("x", self.shape)] if self.flat is None else [(n, v.shape) for n, v in self.flat.items()]:
            yield name, start, shape
            start += math.prod(shape)

    def text(self, i: int) -> str:
        """Coordinate i in words, such as "W[3, 2]"."""
        name, start, shape = next(part for part in self._parts() if i < part[1] + math.prod(part[2]))
        return f"{name}[{', '.join(str(k) for k in np.unravel_index(i - start, shape))}]" if shape else name

    def name(self, i: int) -> tuple[int, ...] | str:
        """Coordinate i for the result: an index, or of FlatParams words."""
        return self.text(i) if self.flat is not None else tuple(int(k) for k in np.unravel_index(i, self.shape))

    def region(self, wrong: Array) -> str:
        """The one array, row, column... that holds all wrong coordinates, in words; "" if there is none."""
        touched = [part for part in self._parts() if wrong[part[1] : part[1] + math.prod(part[2])].any()]
        if len(touched) > 1:
            return ""
        ((name, start, shape),) = touched
        places = np.argwhere(wrong[start : start + math.prod(shape)].reshape(shape)).T
        fixed = [str(p[0]) if n > 1 and (p == p[0]).all() else ":" for p, n in zip(places, shape, strict=True)]
        if any(k != ":" for k in fixed):
            return f"{name}[{', '.join(fixed)}]"
        return name if self.flat is not None and wrong.size > math.prod(shape) else ""


def _pair(result: Any) -> Any:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(f"without a function for jac fun must return (f, gradient), not {result!r}")
    return result
