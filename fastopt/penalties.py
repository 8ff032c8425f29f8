"""Penalties and constraints with their proximal operators, sorted by complexity; and their use on chosen parameters."""

# Design: a penalty is a function of one array, so that a solver can take it as it is. `on` binds it to parameters; what
# a training loop needs is there, and neither knows of the other's arrays. A prox is computed anew, then copied into
# `out`: that may be x, or overlap it in any way.

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import ArrayLike

from fastopt._engine import resolved
from fastopt._validation import check_number, check_parameter
from fastopt.optim.optimizer import Handle, Params, _as_members
from fastopt.params import Array, Parameter

__all__ = ["L1", "L2", "Box", "ElasticNet", "GroupLasso", "Penalty", "Simplex"]


class Penalty:
    """Base class of all penalties: convex functions of an array, to be added to a loss.

    x is float32 or float64, which gradients and proximal points keep; anything else becomes float64. Sums are in
    double. NaN goes through.

    A subclass says in ``_value(x)``, ``_grad(x)`` and ``_prox(x, step)`` what it is, and in ``_fit(shape)`` which
    arrays it takes.

    Attributes
    ----------
    smooth : bool
        Whether the gradient is continuous, so that any solver can take it.
    """

    smooth: bool = False

    def __call__(self, x: ArrayLike) -> float:
        """The value, as `value`."""
        return self.value(x)

    def value(self, x: ArrayLike) -> float:
        """The value, a float: inf outside of a constraint."""
        array = self._array(x)
        with np.errstate(all="ignore"):
            return float(self._value(array))

    def grad(self, x: ArrayLike) -> Array:
        """The gradient, or, at a kink, the shortest of the subgradients; ValueError for a constraint."""
        array = self._array(x)
        with np.errstate(all="ignore"):
            return np.asarray(self._grad(array), array.dtype)

    def value_and_grad(self, x: ArrayLike) -> tuple[float, Array]:
        """The value and the gradient, as `value` and `grad`."""
        gradient = self.grad(x)
        return self.value(x), gradient

    def prox(self, x: ArrayLike, step: float = 1.0, *, out: Array | None = None) -> Array:
        """The proximal operator: the u that minimizes ``penalty(u) + ||u - x||^2 / (2 step)``.

        Parameters
        ----------
        x : array
        step : float, default 1
            At least 0, where it changes nothing; to a constraint, whose prox is the projection, it does not matter.
        out : ndarray, optional
            Takes u: of the shape and dtype of x. It may be x.

        Returns
        -------
        u : ndarray
            `out` if that was given.

        Raises
        ------
        TypeError, ValueError
            Arguments or an `out` that do not fit, in words; `out` is unchanged then.
        """
        check_number(step, "Invalid step value", type(self).__name__, "step")
        array = self._array(x)
        if out is not None:
            _check_out(out, array)
        with np.errstate(all="ignore"):
            u = np.asarray(self._prox(array, float(step)), array.dtype)
        if out is None:
            return u
        out[...] = u
        return out

    def on(self, params: Params, names: Iterable[str] | None = None) -> BoundPenalty:
        """Bind the penalty to parameters, each penalized by itself.

        Parameters
        ----------
        params : ndarray, Parameter, FlatParams, mapping, or iterable of ndarray, Parameter or (name, ndarray)
            As an optimizer takes them.
        names : iterable of str, optional
            Of those that are penalized; all if None.

        Returns
        -------
        bound : BoundPenalty
            With ``value()``, ``add_grad()``, ``prox(step)`` and ``prox_after(optimizer)``.

        Raises
        ------
        TypeError, ValueError
            A name that is not there, or a parameter that the penalty does not fit.
        """
        return BoundPenalty(self, params, names)

    def _array(self, x: ArrayLike) -> Array:
        array = np.asarray(x)
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"x has dtype {array.dtype}; {type(self).__name__} takes an array of real numbers, "
                "and with on(params) a mapping or a list of parameters"
            )
        single = array.dtype.kind == "f" and array.dtype.itemsize == 4
        array = array.astype(np.float32 if single else np.float64, copy=False)
        self._fit(array.shape)
        return array

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Refuse arrays of this shape, if they must be."""

    def _value(self, x: Array) -> Any:
        raise NotImplementedError

    def _grad(self, x: Array) -> Any:
        raise NotImplementedError

    def _prox(self, x: Array, step: float) -> Any:
        raise NotImplementedError


class _Separable(Penalty):
    """A penalty of each element, whose weight `alpha` is a number or an array."""

    def __init__(self, alpha: ArrayLike) -> None:
        self.alpha = _weights(alpha, "alpha", type(self).__name__)

    def _fit(self, shape: tuple[int, ...]) -> None:
        _check_broadcast(self.alpha, "alpha", shape)


def is_separable(penalty: Penalty) -> bool:
    """Whether a penalty is a sum over elements, so that projecting its prox on bounds is the prox of both."""
    return isinstance(penalty, _Separable | Box)


class _Constraint(Penalty):
    """The indicator of a set: 0 within, inf outside, and the projection as its prox."""

    def project(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """The point of the set that is nearest to x; `prox` by its other name."""
        return self.prox(x, out=out)

    def _value(self, x: Array) -> float:
        if np.isnan(x).any():
            return math.nan
        return 0.0 if self._holds(x) else math.inf

    def _holds(self, x: Array) -> bool:
        raise NotImplementedError

    def _grad(self, x: Array) -> Any:
        raise ValueError(f"{type(self).__name__} is a constraint and has no gradient: use prox")


class L1(_Separable):
    """The lasso penalty: ``alpha * sum |x|``.

    Its prox takes each element toward 0 by ``step * alpha``, and no further, so that zeros are exact.

    Parameters
    ----------
    alpha : float or array, default 1
        At least 0. An array broadcasts to x, and its zeros mark what is not penalized.

    Raises
    ------
    TypeError, ValueError
        An `alpha` that is no number, negative or not finite.

    Notes
    -----
    At 0 the gradient is 0. Optimizers do the same faster as their option `l1`, while the parameter is in the cache.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", JRSS B 1996.

    Examples
    --------
    >>> penalty = fo.L1(0.5)
    >>> penalty([3.0, -0.2])
    1.6
    >>> penalty.prox([3.0, -0.2])
    array([2.5, 0. ])
    """

    def __init__(self, alpha: ArrayLike = 1.0) -> None:
        super().__init__(alpha)

    def _value(self, x: Array) -> Any:
        return _total(self.alpha, np.abs(x))

    def _grad(self, x: Array) -> Any:
        return _cast(self.alpha, x) * np.sign(x)

    def _prox(self, x: Array, step: float) -> Any:
        return _shrunk(x, step * self.alpha)


class L2(_Separable):
    """The ridge penalty: ``alpha / 2 * sum x^2``, with the gradient ``alpha * x`` of an optimizer's `weight_decay`.

    Parameters
    ----------
    alpha : float or array, default 1
        At least 0. An array broadcasts to x, and its zeros mark what is not penalized.

    Raises
    ------
    TypeError, ValueError
        An `alpha` that is no number, negative or not finite.

    References
    ----------
    Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 1970.

    Examples
    --------
    >>> penalty = fo.L2(0.5)
    >>> penalty.value_and_grad([3.0, -2.0])
    (3.25, array([ 1.5, -1. ]))
    >>> penalty.prox([3.0, -1.5])
    array([ 2., -1.])
    """

    smooth = True

    def __init__(self, alpha: ArrayLike = 1.0) -> None:
        super().__init__(alpha)

    def _value(self, x: Array) -> Any:
        return _total(self.alpha, np.square(x, dtype=np.float64)) / 2

    def _grad(self, x: Array) -> Any:
        return _cast(self.alpha, x) * x

    def _prox(self, x: Array, step: float) -> Any:
        return x / _cast(1 + step * self.alpha, x)


class ElasticNet(_Separable):
    """Lasso and ridge: ``alpha * (l1_ratio * sum |x| + (1 - l1_ratio) / 2 * sum x^2)``, as in scikit-learn.

    Parameters
    ----------
    alpha : float or array, default 1
        At least 0. An array broadcasts to x, and its zeros mark what is not penalized.
    l1_ratio : float, default 0.5
        In [0, 1]: 1 is the lasso, and 0 is ridge, where the penalty is smooth.

    Raises
    ------
    TypeError, ValueError
        An argument that is no number, or out of range.

    References
    ----------
    Zou and Hastie, "Regularization and variable selection via the elastic net", JRSS B 2005.

    Examples
    --------
    >>> penalty = fo.ElasticNet(1.0, l1_ratio=0.5)
    >>> penalty([2.0, -0.2])
    2.11
    >>> penalty.prox([2.0, -0.2])
    array([1., 0.])
    """

    def __init__(self, alpha: ArrayLike = 1.0, l1_ratio: float = 0.5) -> None:
        super().__init__(alpha)
        check_number(l1_ratio, "Invalid l1_ratio value", "ElasticNet", "l1_ratio", high=1.0, high_open=False)
        self.l1_ratio = float(l1_ratio)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.l1_ratio == 0

    def _value(self, x: Array) -> Any:
        size = np.abs(x, dtype=np.float64)
        return _total(self.alpha, self.l1_ratio * size + (1 - self.l1_ratio) / 2 * size * size)

    def _grad(self, x: Array) -> Any:
        return _cast(self.l1_ratio * self.alpha, x) * np.sign(x) + _cast((1 - self.l1_ratio) * self.alpha, x) * x

    def _prox(self, x: Array, step: float) -> Any:
        lasso = _shrunk(x, step * self.l1_ratio * self.alpha)
        return lasso / _cast(1 + step * (1 - self.l1_ratio) * self.alpha, x)


class GroupLasso(Penalty):
    """The lasso of groups: ``alpha * sum_g sqrt(size_g) * ||x_g||_2``, so that whole groups become zero.

    Its prox shortens each group by ``step * alpha * sqrt(size_g)``, and no further than to zeros, which are exact.

    Parameters
    ----------
    alpha : float, default 1
        At least 0.
    groups : array of int, optional
        Labels, any integers: one for each element of x, or for each index of its first axis. None makes each index of
        the first axis a group: the row of a matrix that is one feature's weights.
    weights : array, optional
        In place of ``sqrt(size_g)``, one for each group, by ascending label: at least 0, and 0 is not penalized.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, out of range or of the wrong shape.

    Notes
    -----
    In a group of zeros the gradient is 0.

    References
    ----------
    Yuan and Lin, "Model selection and estimation in regression with grouped variables", JRSS B 2006.

    Examples
    --------
    >>> penalty = fo.GroupLasso(1.0, groups=[0, 0, 1, 1], weights=[1, 1])
    >>> penalty([3.0, 4.0, 0.5, 0.5]) == 5 + 0.5**0.5
    True
    >>> penalty.prox([3.0, 4.0, 0.5, 0.5])
    array([2.4, 3.2, 0. , 0. ])
    """

    def __init__(
        self, alpha: float = 1.0, groups: ArrayLike | None = None, *, weights: ArrayLike | None = None
    ) -> None:
        check_number(alpha, "Invalid alpha value", "GroupLasso", "alpha")
        self.alpha = float(alpha)
        self._members: Array | None = None
        self._count: int | None = None
        if groups is not None:
            labels = np.asarray(groups)
            if labels.dtype.kind not in "iu" and labels.size:
                raise TypeError(f"groups have dtype {labels.dtype}; GroupLasso needs whole numbers, the labels")
            known, members = np.unique(labels, return_inverse=True)
            self._members = members.reshape(labels.shape)
            self._count = known.size
        self.weights = None if weights is None else np.atleast_1d(_weights(weights, "weights", "GroupLasso"))
        if self.weights is not None and self.weights.shape != (self._count or self.weights.size,):
            raise ValueError(f"weights have shape {self.weights.shape} for {self._count} groups")

    def _fit(self, shape: tuple[int, ...]) -> None:
        rows = shape[:1] or (1,)
        if self._members is not None and self._members.shape not in (shape, rows):
            raise ValueError(
                f"groups have shape {self._members.shape}, which does not fit x of shape {shape}: "
                "GroupLasso needs a label for each element, or for each index of the first axis"
            )
        if self._members is None and self.weights is not None and self.weights.shape != rows:
            raise ValueError(f"weights have shape {self.weights.shape} for {rows[0]} groups")

    def _split(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """x as rows, none of which is in two groups; the group of each row; norms and weights of the groups."""
        rows = x.shape[0] if x.ndim else 1
        if self._members is None:
            members = np.arange(rows)
        else:
            members = self._members.reshape(-1)
            rows = members.size
        units = x.reshape(rows, x.size // rows if rows else math.prod(x.shape[1:]))
        largest = float(np.max(np.abs(units), initial=0))
        scale = math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0
        squares = np.square(units / scale, dtype=np.float64).sum(axis=1)  # whose sum cannot overflow
        norms = scale * np.sqrt(np.bincount(members, squares, self._count or 0))
        weights = self.weights
        if weights is None:
            weights = np.sqrt(np.bincount(members, minlength=self._count or 0) * units.shape[1])
        return units, members, norms, weights

    def _value(self, x: Array) -> Any:
        _, _, norms, weights = self._split(x)
        return self.alpha * (weights * norms).sum()

    def _grad(self, x: Array) -> Any:
        units, members, norms, weights = self._split(x)
        slopes = self.alpha * weights / np.where(norms == 0, 1, norms)
        return (units * _cast(slopes, x)[members, None]).reshape(x.shape)

    def _prox(self, x: Array, step: float) -> Any:
        units, members, norms, weights = self._split(x)
        threshold = np.minimum(step * self.alpha * weights, np.finfo(np.float64).max)
        keep = 1 - threshold / np.maximum(norms, np.where(threshold > 0, threshold, 1))  # 0 exactly, unless NaN
        return (units * _cast(keep, x)[members, None] + 0).reshape(x.shape)  # + 0: no zero is negative


class Box(_Constraint):
    """Bounds: 0 where ``low <= x <= high``, else inf. Its prox is the projection, ``min(max(x, low), high)``.

    Parameters
    ----------
    low, high : float or array, optional
        With ``low <= high``; arrays broadcast to x; None is no bound. They are rounded to the dtype of x.

    Raises
    ------
    TypeError, ValueError
        A bound that is no number, or `low` above `high`.

    Notes
    -----
    Optimizers do the same faster as their option `bounds`, while the parameter is in the cache.

    References
    ----------
    Goldstein, "Convex programming in Hilbert space", Bull. AMS 1964.

    Examples
    --------
    >>> box = fo.Box(low=0.0)
    >>> box([1.0, -1.0])
    inf
    >>> box.project([1.0, -1.0])
    array([1., 0.])
    """

    def __init__(self, low: ArrayLike | None = None, high: ArrayLike | None = None) -> None:
        self.low = _numbers(-np.inf if low is None else low, "low", "Box")
        self.high = _numbers(np.inf if high is None else high, "high", "Box")
        try:
            ordered = np.less_equal(self.low, self.high)
        except ValueError:
            raise ValueError(f"low has shape {np.shape(self.low)} and high {np.shape(self.high)}") from None
        if not np.all(ordered):
            raise ValueError(f"Invalid bounds: low={low!r}, high={high!r} (Box needs low <= high)")

    def _fit(self, shape: tuple[int, ...]) -> None:
        _check_broadcast(self.low, "low", shape)
        _check_broadcast(self.high, "high", shape)

    def _holds(self, x: Array) -> bool:
        return bool(np.all((x >= _cast(self.low, x)) & (x <= _cast(self.high, x))))

    def _prox(self, x: Array, step: float) -> Any:
        return np.clip(x, _cast(self.low, x), _cast(self.high, x))


class Simplex(_Constraint):
    """Shares of a whole: 0 where ``x >= 0`` and ``sum x = radius``, else inf.

    Its prox is the projection, ``max(x - tau, 0)`` with the tau that makes the sum right; it is found by sorting.

    Parameters
    ----------
    radius : float, default 1
        Above 0.
    axis : int, optional
        Of the sums, each a constraint by itself. None takes all of x as one.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range, or an x without elements to sum.

    Notes
    -----
    A sum counts as `radius` if it is off by no more than 32 units in the last place of the dtype, ``32 eps radius``: as
    much as rounding makes of a million elements. NaN or inf make all of their sum's elements NaN.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient projections onto the l1-ball", ICML 2008; the method is
    that of Held, Wolfe and Crowder, 1974.

    Examples
    --------
    >>> simplex = fo.Simplex()
    >>> simplex([0.5, 0.75])
    inf
    >>> simplex.project([0.5, 0.75, -1.0])
    array([0.375, 0.625, 0.   ])
    """

    _slack: ClassVar[float] = 32

    def __init__(self, radius: float = 1.0, axis: int | None = None) -> None:
        check_number(radius, "Invalid radius value", "Simplex", "radius", low_open=True)
        if axis is not None and (not isinstance(axis, int | np.integer) or isinstance(axis, bool)):
            raise TypeError(f"Invalid axis: {axis!r} (Simplex needs an int or None)")
        self.radius = float(radius)
        self.axis = axis

    def _fit(self, shape: tuple[int, ...]) -> None:
        if self.axis is not None and not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"Simplex has axis {self.axis}, which x of shape {shape} has not")
        if (math.prod(shape) if self.axis is None else shape[self.axis]) == 0:
            raise ValueError(f"x of shape {shape} has nothing that could sum to {self.radius:g}")

    def _rows(self, x: Array) -> Array:
        """x in double with the axis last, contiguous, so that sums are pairwise."""
        rows = x.reshape(-1) if self.axis is None else np.moveaxis(x, self.axis, -1)
        return np.ascontiguousarray(rows, np.float64)

    def _holds(self, x: Array) -> bool:
        slack = self._slack * float(np.finfo(x.dtype).eps) * self.radius
        off = np.abs(self._rows(x).sum(axis=-1) - self.radius)
        return bool((x >= 0).all() and (off <= slack).all())

    def _prox(self, x: Array, step: float) -> Any:
        rows = self._rows(x)
        # In units of the radius below the largest: what becomes positive is within (-1, 0], however far x is from 0.
        rows = (rows - rows.max(axis=-1, keepdims=True)) / self.radius
        falling = -np.sort(-rows, axis=-1)
        excess = np.cumsum(falling, axis=-1) - 1
        count = (np.arange(1, rows.shape[-1] + 1) * falling > excess).sum(axis=-1, keepdims=True)
        count = np.maximum(count, 1)  # of NaN, none is above
        u = rows - np.take_along_axis(excess, count - 1, -1) / count
        off = np.maximum(u, 0).sum(axis=-1, keepdims=True) - 1  # by rounding of that long sum, and of what it shifts
        u = self.radius * np.maximum(u - off / count, 0)
        return (u if self.axis is None else np.moveaxis(u, -1, self.axis)).reshape(x.shape)


class BoundPenalty:
    """A penalty on the parameters of a model; what `Penalty.on` returns.

    Attributes
    ----------
    penalty : Penalty

    Examples
    --------
    >>> p = fo.FlatParams({"W": (2, 3), "b": 3}, dtype=np.float64)
    >>> p["W"][0] = 2
    >>> ridge = fo.L2(0.5).on(p, ["W"])
    >>> ridge.add_grad(), p.grad["W"][:, 0]
    (3.0, array([1., 0.]))
    """

    def __init__(self, penalty: Penalty, params: Params, names: Iterable[str] | None = None) -> None:
        if isinstance(names, str):
            raise TypeError(f"names must be a list of names, not {names!r}: pass [{names!r}]")
        members, known, sources = _as_members(params)
        chosen = list(range(len(members)))
        if names is not None:
            wanted = list(names)
            missing = [name for name in wanted if name not in known]
            if missing:
                has = f"there are {', '.join(map(repr, known))}" if known else "the parameters have no names"
                raise ValueError(f"no parameter is named {', '.join(map(repr, missing))}: {has}")
            chosen = [i for i in chosen if known[i] in wanted]
        self.penalty = penalty
        self._names = [repr(known[i]) if known else str(i) for i in chosen]
        self._arrays = [members[i].data if isinstance(members[i], Parameter) else members[i] for i in chosen]
        self._sources = [sources[i] for i in chosen]
        for name, array in zip(self._names, self._arrays, strict=True):
            check_parameter(array, f"parameter {name}")
            penalty._fit(array.shape)

    def value(self) -> float:
        """The sum of the penalty over the parameters."""
        return math.fsum(map(self.penalty.value, self._arrays))

    def add_grad(self) -> float:
        """Add the gradient to that of each Parameter, or to ``FlatParams.grad``, in place; return the value.

        A Parameter without a gradient gets one. Plain arrays have no place for it, which is a TypeError; then, as after
        any error, nothing has changed.
        """
        gradients = [self.penalty.grad(array) for array in self._arrays]
        places = [source.grad if isinstance(source, Parameter) else source for source in self._sources]
        for name, source, place, gradient in zip(self._names, self._sources, places, gradients, strict=True):
            if source is None:
                raise TypeError(f"parameter {name} is a plain array, which carries no gradient: use value and prox")
            if place is not None:
                _check_out(place, gradient, f"the gradient of parameter {name}", same_dtype=False)
        for source, place, gradient in zip(self._sources, places, gradients, strict=True):
            if place is not None:
                place += gradient
            elif isinstance(source, Parameter):
                source.grad = gradient
        return self.value()

    def prox(self, step: float = 1.0) -> None:
        """Put the proximal point of each parameter in its place."""
        check_number(step, "Invalid step value", type(self.penalty).__name__, "step")
        for array in self._arrays:
            self.penalty.prox(array, step, out=array)

    def prox_after(self, optimizer: Any) -> Handles:
        """Have the prox follow each update that `optimizer` makes, its step being the group's `lr` in that update.

        With SGD's plain steps that is proximal gradient descent, which minimizes the loss with the penalty; where
        momentum or a denominator rescales the gradient, it leaves the penalty as it is, as decoupled decay does.
        A call of `step` that does not update a parameter (no gradient, `accumulate`, `skip_nonfinite`) leaves it alone.

        Parameters
        ----------
        optimizer : Optimizer
            That has these parameters, or arrays of which they are part.

        Returns
        -------
        handle : object
            ``remove()`` ends it.

        Raises
        ------
        TypeError, ValueError
            No optimizer, or one without these parameters.

        Notes
        -----
        For `L1` and `Box` the optimizer's options `l1` and `bounds` do the same within the step. Its averages (`ema`,
        `swa_start`, `lookahead`) see what they do, but nothing that comes after the step.
        """
        if not hasattr(optimizer, "register_step_post_hook"):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        homes = [_home(array, name, optimizer) for name, array in zip(self._names, self._arrays, strict=True)]
        before: list[int] = []

        def updates() -> list[int]:
            state = optimizer.state
            return [state[i]["step"] if i in state else 0 for i, _ in homes]

        def remember(*_: Any) -> None:
            before[:] = updates()

        def follow(*_: Any) -> None:
            for array, (_i, g), then, now in zip(self._arrays, homes, before, updates(), strict=True):
                if now > then:
                    lr = resolved({"lr": optimizer.param_groups[g]["lr"]}, then)["lr"]
                    self.penalty.prox(array, lr, out=array)

        return Handles(optimizer.register_step_pre_hook(remember), optimizer.register_step_post_hook(follow))


class Handles:
    """What registering several hooks returns; ``remove()`` takes them off again."""

    def __init__(self, *handles: Handle) -> None:
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _home(array: Array, name: str, optimizer: Any) -> tuple[int, int]:
    """The index of the optimizer's parameter that holds `array`, and that of its group."""
    low, high = byte_bounds(array)
    i = 0
    for g, group in enumerate(optimizer.param_groups):
        for member in group["params"]:
            first, last = byte_bounds(member.data if isinstance(member, Parameter) else member)
            if first <= low and high <= last:
                return i, g
            i += 1
    raise ValueError(f"parameter {name} is not among those of the optimizer")


def _numbers(value: ArrayLike, name: str, owner: str) -> Any:
    """A number as float, or an array as one of its own, of float64; no NaN."""
    numbers = np.array(value)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"Invalid {name} value: {value!r} ({owner} needs a number, or an array of numbers)")
    numbers = numbers.astype(np.float64)
    if np.isnan(numbers).any():
        raise ValueError(f"Invalid {name} value: {value!r} ({owner} needs {name} without NaN)")
    return numbers if numbers.ndim else float(numbers)


def _weights(value: ArrayLike, name: str, owner: str) -> Any:
    """Such numbers, all at least 0 and finite."""
    numbers = _numbers(value, name, owner)
    for number in (value,) if np.ndim(value) == 0 else np.extract(~((numbers >= 0) & np.isfinite(numbers)), numbers):
        check_number(np.asarray(number).item(), f"Invalid {name} value", owner, name)
    return numbers


def _check_broadcast(value: Any, name: str, shape: tuple[int, ...]) -> None:
    given = np.shape(value)
    if len(given) > len(shape) or any(a not in (1, b) for a, b in zip(reversed(given), reversed(shape), strict=False)):
        raise ValueError(f"{name} has shape {given}, which does not broadcast to x of shape {shape}")


def _check_out(out: Any, like: Array, name: str = "out", same_dtype: bool = True) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(out).__name__}")
    if out.dtype != like.dtype if same_dtype else out.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {out.dtype}; it must be {like.dtype if same_dtype else 'floating point'}")
    if out.shape != like.shape:
        raise ValueError(f"{name} has shape {out.shape}; it must be {like.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")


def _cast(value: Any, x: Array) -> Any:
    """A weight or threshold in the dtype of x, after arithmetic in double."""
    return np.asarray(value).astype(x.dtype)


def _total(weights: Any, sizes: Array) -> Any:
    return np.multiply(weights, sizes, dtype=np.float64).sum()


def _shrunk(x: Array, threshold: Any) -> Any:
    t = _cast(threshold, x)
    return x - np.clip(x, -t, t)
