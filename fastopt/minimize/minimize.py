"""One call for all methods: `minimize`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from fastopt.minimize.first_order import OPTIMIZERS, descend, settings_of, steps_by_gradients
from fastopt.minimize.first_order import OPTIONS as DESCENT_OPTIONS
from fastopt.minimize.fista import OPTIONS as FISTA_OPTIONS
from fastopt.minimize.fista import fista
from fastopt.minimize.lbfgs import OPTIONS as LBFGS_OPTIONS
from fastopt.minimize.lbfgs import lbfgs
from fastopt.optim import Optimizer
from fastopt.penalties import Penalty

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

OTHER_OPTIONS = ("finite_diff_rel_step", "history", "disp", "iprint")


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    method: str | type[Optimizer] | None = None,
    jac: Callable[..., Any] | str | bool | None = None,
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    l1: ArrayLike | None = None,
    penalty: Penalty | None = None,
) -> OptimizeResult:
    """Minimize a smooth function of many variables, perhaps within bounds, or its sum with a penalty.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, gradient)`` with ``jac=True``. It may change or keep x.
    x0 : array_like, shape (n,)
        Starting point; never written to. float32 is kept, all else becomes float64.
    args : tuple, optional
        Further arguments of `fun` and `jac`.
    method : str or optimizer class, optional
        "lbfgs", see `LBFGSMinimizer`; "fista", accelerated proximal gradient descent, which takes any penalty; or any
        optimizer of `fastopt.optim` that takes a dense gradient, by its name in lower case, such as "adam", or as the
        class itself. None is "lbfgs", or "fista" if the penalty is not smooth.
    jac : callable, bool or {"2-point", "3-point", "cs"}, optional
        The gradient ``jac(x, *args)``, or True if `fun` returns it; else finite differences, taken within the bounds.
    bounds : sequence of (low, high), ndarray of shape (n, 2), or scipy.optimize.Bounds, optional
        None and infinity are no bound. `fun` is never called outside of them; x0 is projected.
    tol : float, optional
        Short for ``options={"gtol": tol, "ftol": 0}``: success means that the gradient is small.
    callback : callable, optional
        Called after each iteration as ``callback(x)``; if `intermediate_result` is its only parameter, with an
        OptimizeResult by that name, of x, fun, jac, nit, nfev, grad_norm and step; or with both, if it needs two. It
        ends the run by raising StopIteration or returning True.
    options : dict, optional
        Of all methods: gtol, of what is left of the gradient where bounds and l1 have taken their part, ftol, maxiter,
        maxfun; history, True for a record of all iterations;
        finite_diff_rel_step, the relative step of finite differences, whose calls of `fun` count towards maxfun;
        disp and iprint, which do nothing.
        Of "lbfgs": those of `LBFGSMinimizer`, and eps, the absolute step of finite differences. Of "fista": eps; its
        gtol is for ``(x - prox(x - s g)) / s`` with its step s, but at most 1. Of optimizers: those of the class, of
        which lr may be a schedule ``t -> rate``; maxiter is 10000; their gtol is for the gradient.
    l1 : float or array_like, optional
        Weights of ``sum l1 |x|``, which is added to `fun`, one for all or one for each variable. Zeros are exact.
    penalty : Penalty, optional
        Added to `fun`. "fista" sees it by its prox, so that zeros and constraints are exact: a
        start outside of a constraint is projected, and `fun` is called outside of it, but the
        answer is within. All others take smooth ones only.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x, fun and jac at the best point evaluated: where f is lowest, but where the gradient is
        within gtol if that is how the run ended. success says whether it did, or whether rounding hides any further
        decrease; status is SciPy's code, message a sentence, reason a word. nfev, njev and nit count. fun
        includes l1 and penalty; jac is the gradient of `fun`, with a smooth penalty but for "fista".
        hess_inv, of "lbfgs", is a linear operator with diag, todense, solve and inverse. history is a dict of arrays
        fun, grad_norm, step and nfev, of one entry for the start and one for each iteration.

    Raises
    ------
    ValueError, TypeError
        For an unknown method or option, a value out of range, a gradient of the wrong shape, bounds, weights or a
        penalty that the method or x0 does not fit.

    See Also
    --------
    LBFGSMinimizer : the algorithm, and where it departs from SciPy's.

    References
    ----------
    Nocedal, J. (1980). Updating quasi-Newton matrices with limited storage. Math. Comp. 35(151).
    Beck, A. and Teboulle, M. (2009). A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems. SIAM J. Imaging Sciences 2(1).

    Examples
    --------
    >>> def fun(x):
    ...     return ((x - 3) ** 2).sum(), 2 * (x - 3)
    >>> fo.minimize(fun, [0.0, 0.0], jac=True).x
    array([3., 3.])
    >>> fo.minimize(fun, [0.0, 0.0], jac=True, bounds=[(None, 1), (None, 2)]).x
    array([1., 2.])
    """
    if penalty is not None and not isinstance(penalty, Penalty):
        raise TypeError(f"Invalid penalty: {penalty!r} (must be a Penalty, such as fo.L1(0.1))")
    if method is None:
        method = "lbfgs" if penalty is None or penalty.smooth else "fista"
    solve, known = _solver(method)
    options = options or {}
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise TypeError(f"Unknown option: {name!r} ({hint})")
    options = {name: value for name, value in options.items() if name not in ("disp", "iprint")}
    return solve(fun, x0, args, jac, bounds=bounds, callback=callback, tol=tol, l1=l1, penalty=penalty, **options)


def _solver(method: Any) -> tuple[Callable[..., OptimizeResult], list[str]]:
    """What solves by the method, and the options it knows."""
    if method == "lbfgs":
        return lbfgs, [*LBFGS_OPTIONS, "eps", *OTHER_OPTIONS]
    if method == "fista":
        return fista, [*FISTA_OPTIONS, "eps", *OTHER_OPTIONS]
    cls = OPTIMIZERS.get(method, method) if isinstance(method, str) else method
    if not steps_by_gradients(cls):
        names = ", ".join(map(repr, ("lbfgs", "fista", *OPTIMIZERS)))
        raise ValueError(f"Unknown method: {method!r} (minimize has {names})")
    return partial(descend, cls), [*DESCENT_OPTIONS, *settings_of(cls), *OTHER_OPTIONS]
