"""L-BFGS by ask and tell, `LBFGSMinimizer`, and as a SciPy method, `lbfgs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastopt._lbfgs import LBFGSCore
from fastopt._validation import check_choice, check_flag, check_number
from fastopt.minimize.bounds import limits, within
from fastopt.minimize.evaluation import Vector, evaluator, gradient_of, penalized, start, value_of
from fastopt.minimize.options import chosen, limits_of_run, whole
from fastopt.minimize.outcome import ENDINGS, finish, outcome, run, watcher
from fastopt.penalties import Penalty

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

# In the order of kind_t in _linesearch.pxd.
LINE_SEARCHES = ("more-thuente", "hager-zhang", "armijo")


class LBFGSMinimizer:
    """L-BFGS by ask and tell: it says where, the caller evaluates however it likes.

    The direction is d = -H g, with H the inverse BFGS matrix of the last `maxcor` pairs
    s = x' - x, y = g' - g upon an initial matrix: gamma I, gamma = s'y / y'y, or a diagonal. The step t along it is
    found by a line search, such as that of Moré and Thuente: f(x + t d) <= f + 1e-3 t g'd and |g'd| at most .9 of what
    it was; or, where rounding hides the decrease, by the approximate conditions of Hager and Zhang.

    Parameters
    ----------
    x0 : array_like, shape (n,)
        Starting point; never written to. float32 is kept, all else becomes float64.
    bounds : sequence of (low, high), ndarray of shape (n, 2), or scipy.optimize.Bounds, optional
        None and infinity are no bound. They hold exactly at every point to evaluate; x0 is projected, and a variable
        whose bounds are equal never moves.
    l1 : float or array_like of shape (n,), optional
        Weights of ``sum l1 |x|``, which is added to f, one for all or one for each variable; at least 0. f itself must
        be smooth. Zeros are exact.
    maxcor : int or "auto", default "auto"
        Number of pairs kept, at least 1. "auto" is 3 n, but at least 10 and at most 50, or where n is so large that the
        direction would take longer than most objectives, the larger of 10 and 1e6 / n.
    gtol : float, default 1e-5
        Converged when no component of the gradient is larger than this; at least 0. With bounds it is that of
        x - P(x - g), P the projection on them, and with l1 that of x - P(soft(x - g, l1)), soft(z, w) being z moved
        toward 0 by w: both are the gradient where x is far from bounds and zeros, and 0 at the minimum.
    ftol : float, default 0
        Stop also when a step lowers f by less than ftol * max(|f before|, |f|, 1). That is a success, as you asked for
        it, but it says nothing about the gradient; 0 is off.
    maxiter, maxfun : int, default 15000
        Limits on iterations (at least 0) and on evaluations (at least 1), never passed.
    maxls : int, default 30
        Evaluations one line search may take; twice as many along steepest descent.
    linesearch : {"more-thuente", "hager-zhang", "armijo"}, default "more-thuente"
        How the step is found where the first trial will not do: by the safeguarded cubics of Moré and Thuente; by the
        double steps of Hager and Zhang (2006), who ask for a larger decrease, .1 t g'd; or by backtracking, which never
        lengthens a step and asks for a decrease only.
    init_step : float, optional
        Length t of the first trial, x0 - t g; positive. None is a guess from the sizes of x0 and g.
    diagonal : bool, default True
        Whether the initial matrix may be a diagonal, learned from the pairs, where that predicts them better.
    conjugate : bool, default True
        Whether the newest pair is made conjugate to the one before where f looks quadratic.
    history_dtype : {"float32", "float64"} or dtype, optional
        Of the pairs kept; None is that of x0, which it never exceeds. Single precision halves the memory of a run in
        double precision.

    Raises
    ------
    ValueError, TypeError
        For a value out of range or of the wrong type.

    Notes
    -----
    With bounds the direction is made in those variables that neither the gradient nor the direction itself pushes out
    at a bound, from the parts that the pairs have there; the search either ends at the first bound on its way or, where
    that promises enough, follows the path P(x + t d), or that of the gradient scaled by the initial matrix. There is no
    generalized Cauchy point. With l1 all this happens in the orthant of x, which is chosen anew in each iteration.

    Unlike SciPy's L-BFGS-B: where f or the gradient is not finite, the step is taken back; a
    search that fails falls back on its lowest trial; `ftol` is off, so that success means that the gradient is small,
    or as small as rounding allows; `maxfun` holds within a search. An exception between `ask` and `tell` changes
    nothing: `ask` again. A run can be pickled at any time.

    References
    ----------
    Nocedal, J. (1980). Updating quasi-Newton matrices with limited storage. Math. Comp. 35(151).
    Bertsekas, D. P. (1982). Projected Newton methods for optimization problems with simple constraints. SIAM J. Control
    Optim. 20(2).
    Andrew, G. and Gao, J. (2007). Scalable training of L1-regularized log-linear models. ICML.

    Examples
    --------
    >>> m = fo.LBFGSMinimizer([3.0, -4.0])
    >>> while not m.done:
    ...     x = m.ask()
    ...     m.tell(x @ x, 2 * x)
    >>> m.result().success
    True
    """

    def __init__(
        self,
        x0: ArrayLike,
        bounds: Any = None,
        l1: ArrayLike | None = None,
        *,
        maxcor: int | str = "auto",
        gtol: float = 1e-5,
        ftol: float = 0.0,
        maxiter: int = 15000,
        maxfun: int = 15000,
        maxls: int = 30,
        linesearch: str = "more-thuente",
        init_step: float | None = None,
        diagonal: bool = True,
        conjugate: bool = True,
        history_dtype: DTypeLike | None = None,
    ) -> None:
        x = start(x0)
        low_high = limits(bounds, x)
        weights = _weights(l1, x)
        x = within(x, low_high)
        stops = limits_of_run({"gtol": gtol, "ftol": ftol, "maxiter": maxiter, "maxfun": maxfun})
        maxls = whole("maxls", maxls, 1)
        check_choice(linesearch, LINE_SEARCHES, "L-BFGS", "linesearch")
        if init_step is not None:
            check_number(init_step, "Invalid init_step", "L-BFGS", "init_step", low_open=True)
        check_flag(diagonal, "L-BFGS", "diagonal")
        check_flag(conjugate, "L-BFGS", "conjugate")
        self._core = LBFGSCore(
            x,
            maxcor=_memory(maxcor, x.size),
            history_dtype=_precision(history_dtype, x),
            diagonal=diagonal,
            limits=low_high,
            weights=weights,
            **stops,
            maxls=maxls,
            linesearch=LINE_SEARCHES.index(linesearch),
            init_step=0.0 if init_step is None else float(init_step),
            conjugate=conjugate,
        )

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self._core.done

    @property
    def nit(self) -> int:
        """Iterations so far."""
        return self._core.nit

    @property
    def nfev(self) -> int:
        """Evaluations so far."""
        return self._core.nfev

    def ask(self) -> Vector:
        """Return the point to evaluate, as a fresh array; the same point until `tell` is called."""
        return self._core.ask()

    def tell(self, f: Any, g: ArrayLike) -> None:
        """Take in the value and the gradient at the point `ask` returned.

        Parameters
        ----------
        f : float, or array_like of size 1
            NaN or infinite if the point lies outside the domain.
        g : array_like, shape (n,), (n, 1) or (1, n)
            Never written to or kept.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit or something is not a real number; nothing is changed.
        RuntimeError
            If the run has ended.
        """
        if not self._core.tell(f, g):
            self._core.tell(value_of(f), gradient_of(g, self._core.ask()))

    def result(self) -> OptimizeResult:
        """Return the best point evaluated so far and how the run ended, as `minimize` does.

        fun includes l1, and jac is the gradient of f alone. hess_inv approximates the inverse Hessian of f by all
        pairs; its part for the free variables is not the inverse that the run used where bounds held others.
        """
        from fastopt.minimize.inverse_hessian import InverseHessian

        result = outcome(self._core, ENDINGS)
        result.hess_inv = InverseHessian(*self._core.pairs())
        return result


def _memory(maxcor: int | str, n: int) -> int:
    """How many pairs are kept."""
    if isinstance(maxcor, str) and maxcor == "auto":
        return max(10, min(50, 3 * n, 1_000_000 // max(n, 1)))
    if isinstance(maxcor, str):
        raise TypeError(f"Invalid maxcor: {maxcor!r} (must be a whole number >= 1, or 'auto')")
    return whole("maxcor", maxcor, 1)


def _precision(history_dtype: DTypeLike | None, x: Vector) -> np.dtype[Any]:
    """The dtype of the pairs."""
    if history_dtype is None:
        return x.dtype
    try:
        dtype = np.dtype(history_dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"Invalid history_dtype: {history_dtype!r} (must be float32 or float64)")
    return min(dtype, x.dtype)


def _weights(l1: ArrayLike | None, x: Vector) -> NDArray[np.float64] | None:
    """The weights of all variables, or None if they are zeros."""
    if l1 is None:
        return None
    weights = np.asarray(l1)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"Invalid l1: {l1!r:.80} (must be real numbers)")
    if weights.shape not in ((), (1,), x.shape):
        raise ValueError(f"l1 has shape {weights.shape}, but x has shape {x.shape}")
    wrong = ~((weights >= 0) & (weights <= np.finfo(x.dtype).max))
    if wrong.any():
        raise ValueError(f"Invalid l1: {weights[wrong][0]} (must be finite, l1 >= 0)")
    return np.broadcast_to(weights, x.shape).astype(np.float64) if weights.any() else None


OPTIONS = LBFGSMinimizer.__init__.__kwdefaults__ or {}


def lbfgs(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    jac: Callable[..., Any] | str | bool | None = None,
    hess: Any = None,  # noqa: ARG001
    hessp: Any = None,  # noqa: ARG001
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    *,
    tol: float | None = None,
    l1: ArrayLike | None = None,
    penalty: Penalty | None = None,
    eps: float | None = None,
    finite_diff_rel_step: float | None = None,
    history: bool = False,
    **options: Any,
) -> OptimizeResult:
    """L-BFGS as a SciPy method: ``scipy.optimize.minimize(fun, x0, jac=True, method=lbfgs)``.

    Parameters and result are those of `minimize`. As SciPy asks of its methods, what is not known
    here (hess, hessp, options of other solvers) is ignored; options are keywords of its own too.

    Raises
    ------
    ValueError, TypeError
        For constraints, a value out of range, a gradient of the wrong shape.

    Examples
    --------
    >>> import scipy.optimize
    >>> fun = lambda x: (x @ x, 2 * x)
    >>> scipy.optimize.minimize(fun, [1.0, 2.0], jac=True, method=fo.lbfgs).x
    array([0., 0.])
    """
    if constraints is not None and np.size(constraints):
        raise ValueError(f"Invalid constraints: {constraints!r} (L-BFGS handles none)")
    if penalty is not None and not penalty.smooth:
        raise ValueError(
            f"L-BFGS cannot handle {type(penalty).__name__}, which is not smooth: use method='fista', "
            "or for L1 and Box pass l1 and bounds"
        )
    evaluate = evaluator(fun, x0, args, jac, bounds, eps, finite_diff_rel_step)
    watch = watcher(callback, history)
    m = LBFGSMinimizer(x0, bounds, l1, **chosen(options, OPTIONS, tol, evaluate))
    run(m._core, m.tell, evaluate if penalty is None else penalized(evaluate, penalty), watch)
    return finish(m.result(), evaluate, watch)
