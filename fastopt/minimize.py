"""Three doors to L-BFGS: `minimize`, which has FISTA too, SciPy's ``method=lbfgs``, and `LBFGSMinimizer`."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastopt._fista import FISTA
from fastopt._lbfgs import LBFGSCore
from fastopt.penalties import Box, Penalty

# scipy.optimize takes longer to import than all of this: it is imported where it is used.
if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult  # type: ignore[import-untyped]

__all__ = ["LBFGSMinimizer", "lbfgs", "minimize"]

Vector = NDArray[Any]
Evaluator: TypeAlias = Callable[[Vector], Any]

# How a run can end: SciPy's codes (0 converged, 1 out of budget, from 2 on failed), in a sentence.
_ENDINGS = {
    "running": (-1, "The run has not ended yet."),
    "gradient": (0, "Converged: no component of the gradient is larger than gtol."),
    "decrease": (0, "Converged: the last step lowered f by less than ftol allows for."),
    "maxiter": (1, "Stopped: the limit of maxiter iterations is reached."),
    "maxfun": (1, "Stopped: the limit of maxfun function evaluations is reached."),
    "linesearch": (
        2,
        "Failed: no step down the gradient lowers f. Either the gradient is not that of f, "
        "or f is not smooth or not bounded below.",
    ),
    "precision": (3, "Stopped: rounding hides any further decrease of f; gtol is not met."),
    "stalled": (4, "Stopped: f has not changed over fifty iterations; gtol is not met."),
    "unbounded": (6, "Failed: f seems to be unbounded below."),
    "nonfinite": (5, "Failed: f or its gradient is not finite at x0."),
    "stopped": (99, "`callback` raised `StopIteration`."),
}


# In the order of kind_t in _linesearch.pxd.
_LINE_SEARCHES = ("more-thuente", "hager-zhang", "armijo")


class LBFGSMinimizer:
    """L-BFGS by ask and tell: it says where, the caller evaluates however it likes.

    The direction is d = -H g, with H the inverse BFGS matrix of the last `maxcor` pairs
    s = x' - x, y = g' - g upon gamma I, gamma = s'y / y'y. The step t along it is found by the
    search of Moré and Thuente: f(x + t d) <= f + 1e-3 t g'd and |g'd| at most .9 of what it was;
    or, where rounding hides the decrease, by the approximate conditions of Hager and Zhang.

    Parameters
    ----------
    x0 : array_like, shape (n,)
        Starting point; never written to. float32 is kept, all else becomes float64.
    bounds : sequence of (low, high), or scipy.optimize.Bounds, optional
        Must not restrict anything for now.
    l1 : float or array_like, optional
        Must be zero for now.
    maxcor : int, default 10
        Number of pairs kept, at least 1.
    gtol : float, default 1e-5
        Converged when no component of the gradient is larger than this; at least 0.
    ftol : float, default 2.2e-9
        Converged when a step lowers f by less than ftol * max(|f before|, |f|, 1); 0 turns the
        test off.
    maxiter, maxfun : int, default 15000
        Limits on iterations (at least 0) and on evaluations (at least 1), never passed.
    maxls : int, default 20
        Evaluations one line search may take; twice as many along steepest descent.
    linesearch : {"more-thuente", "hager-zhang", "armijo"}, default "more-thuente"
        How a step is found where the first trial is not good enough: by the safeguarded cubics of Moré and Thuente; by
        the double steps of Hager and Zhang (2006), who ask for a larger decrease, .1 t g'd; or by backtracking, which
        never lengthens a step and asks for sufficient decrease alone.

    Raises
    ------
    ValueError, TypeError
        For a value out of range or of the wrong type.
    NotImplementedError
        For bounds or an L1 penalty.

    Notes
    -----
    Unlike SciPy's L-BFGS-B: where f or the gradient is not finite, the step is taken back; a
    search that fails falls back on its lowest trial; ``ftol=0`` is off; `maxfun` holds within a
    search. An exception between `ask` and `tell` changes nothing: `ask` again. A run can be
    pickled at any time.

    References
    ----------
    Nocedal, J. (1980). Updating quasi-Newton matrices with limited storage. Math. Comp. 35(151).

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
        ftol: float = 2.220446049250313e-9,
        maxiter: int = 15000,
        maxfun: int = 15000,
        maxls: int = 30,
        linesearch: str = "more-thuente",
        diagonal: bool = True,
        conjugate: bool = True,
        init_step: float | None = None,
        history_dtype: Any = None,
    ) -> None:
        x = _start(x0)
        if bounds is not None and _restricts(bounds, x.size):
            raise NotImplementedError("L-BFGS cannot handle bounds yet: leave them out")
        if l1 is not None and np.any(l1):
            raise NotImplementedError("L-BFGS cannot handle an L1 penalty yet: leave it out")
        if maxcor == "auto":
            maxcor = max(10, min(50, 3 * x.size, 1_000_000 // max(1, x.size)))
        slots = _whole("maxcor", maxcor, 1) + 1
        stride = -(-x.size // 16) * 16
        points = np.zeros((7, stride), x.dtype)
        points[[0, 2], : x.size] = x
        self._core = LBFGSCore(
            x.size,
            points,
            np.zeros((2 * slots, stride), history_dtype or points.dtype),
            np.zeros((3 if diagonal else 0, stride)),
            np.zeros(2 * slots),
            init_step=init_step or 0.0,
            conjugate=conjugate,
            gtol=_tolerance("gtol", gtol),
            ftol=_tolerance("ftol", ftol),
            maxiter=_whole("maxiter", maxiter, 0),
            maxfun=_whole("maxfun", maxfun, 1),
            maxls=_whole("maxls", maxls, 1),
            linesearch=_choice("linesearch", linesearch, _LINE_SEARCHES),
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
            self._core.tell(_value(f), _gradient(g, self._core.ask()))

    def result(self) -> OptimizeResult:
        """Return the best point evaluated so far and how the run ended, as `minimize` does."""
        from fastopt._inverse_hessian import InverseHessian

        result = _outcome(self._core, _ENDINGS)
        result.hess_inv = InverseHessian(*self._core.pairs())
        return result


_OPTIONS = LBFGSMinimizer.__init__.__kwdefaults__ or {}
# Steps of a first-order method may be small far from the minimum, so that its ftol is off.
_FISTA_OPTIONS = {"gtol": 1e-5, "ftol": 0.0, "maxiter": 15000, "maxfun": 15000}
_FISTA_ENDINGS = _ENDINGS | {
    "gradient": (0, "Converged: no component of the gradient mapping is larger than gtol."),
    "stalled": (
        4,
        "Stopped: neither f nor the gradient mapping has fallen over a thousand iterations; gtol is not met.",
    ),
}
_OTHER_OPTIONS = ("eps", "finite_diff_rel_step", "disp", "iprint")


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    method: str | None = None,
    jac: Callable[..., Any] | str | bool | None = None,
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    l1: ArrayLike | None = None,
    penalty: Penalty | None = None,
) -> OptimizeResult:
    """Minimize a smooth function of many variables, or its sum with a penalty.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, gradient)`` with ``jac=True``. It may change or keep x.
    x0 : array_like, shape (n,)
        Starting point; never written to. float32 is kept, all else becomes float64.
    args : tuple, optional
        Further arguments of `fun` and `jac`.
    method : {"lbfgs", "fista"}, optional
        The solver: L-BFGS, or FISTA, accelerated proximal gradient descent, which takes any penalty. None is "lbfgs",
        or "fista" if the penalty is not smooth.
    jac : callable, bool or {"2-point", "3-point", "cs"}, optional
        The gradient ``jac(x, *args)``, or True if `fun` returns it; else finite differences.
    bounds, l1 : optional
        Must not restrict anything for now.
    tol : float, optional
        Short for ``options={"gtol": tol, "ftol": 0}``: success means that the gradient is small.
    callback : callable, optional
        Called after each iteration as ``callback(x)``, or, if `intermediate_result` is its only
        parameter, with an OptimizeResult by that name. It ends the run by raising StopIteration.
    options : dict, optional
        The options of `LBFGSMinimizer`: maxcor, gtol, ftol, maxiter, maxfun, maxls, linesearch; eps
        and finite_diff_rel_step, the absolute and relative step of finite differences, whose calls
        of `fun` count towards maxfun. disp and iprint are accepted and do nothing. "fista" has no
        maxcor, maxls and linesearch, its gtol is for ``(x - prox(x - s g)) / s`` with its step s, but at most 1,
        and its ftol is off (0) by default.
    penalty : Penalty, optional
        Added to `fun`. "fista" sees it by its prox, so that zeros and constraints are exact: a
        start outside of a constraint is projected, and `fun` is called outside of it, but the
        answer is within.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x, fun and jac at the best point evaluated: where f is lowest, but where the gradient is
        within gtol if that is how the run ended. status is 0 (converged), 1 (out of budget), 2
        or more (failed) or 99 (callback); message says it in a sentence, reason in a word.
        hess_inv is a linear operator, of "lbfgs". nfev, njev and nit count. fun includes the penalty; jac too
        with "lbfgs", while with "fista" it is the gradient of `fun` alone.

    Raises
    ------
    ValueError, TypeError
        For an unknown method or option, a value out of range, a gradient of the wrong shape, a
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
    >>> fo.minimize(fun, [0.0, 0.0], jac=True, penalty=fo.Box(high=[1, 2])).x
    array([1., 2.])
    """
    if penalty is not None and not isinstance(penalty, Penalty):
        raise TypeError(f"Invalid penalty: {penalty!r} (must be a Penalty, such as fo.L1(0.1))")
    if method is None:
        method = "lbfgs" if penalty is None or penalty.smooth else "fista"
    if method not in ("lbfgs", "fista"):
        raise ValueError(f"Unknown method: {method!r} (minimize has 'lbfgs' and 'fista')")
    known = [*(_OPTIONS if method == "lbfgs" else _FISTA_OPTIONS), *_OTHER_OPTIONS]
    options = options or {}
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise TypeError(f"Unknown option: {name!r} ({hint})")
    solver = lbfgs if method == "lbfgs" else _fista
    return solver(fun, x0, args, jac, bounds=bounds, callback=callback, tol=tol, l1=l1, penalty=penalty, **options)


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
    **options: Any,
) -> OptimizeResult:
    """L-BFGS as a SciPy method: ``scipy.optimize.minimize(fun, x0, jac=True, method=lbfgs)``.

    Parameters and result are those of `minimize`. As SciPy asks of its methods, what is not known
    here (hess, hessp, options of other solvers) is ignored.

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
        raise ValueError(f"L-BFGS cannot handle {type(penalty).__name__}, which is not smooth: use method='fista'")
    evaluate = _evaluator(fun, jac, args, eps, finite_diff_rel_step)
    chosen = _chosen(options, _OPTIONS, tol, evaluate, x0)
    m = LBFGSMinimizer(x0, bounds, l1, **chosen)
    _run(m._core, m.tell, evaluate if penalty is None else _penalized(evaluate, penalty), callback)
    return _counted(m.result(), evaluate)


def _fista(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any,
    jac: Any,
    *,
    bounds: Any,
    callback: Callable[..., Any] | None,
    tol: float | None,
    l1: ArrayLike | None,
    penalty: Penalty | None,
    eps: float | None = None,
    finite_diff_rel_step: float | None = None,
    **options: Any,
) -> OptimizeResult:
    """FISTA as `minimize` calls it."""
    x = _start(x0).copy()
    if bounds is not None and _restricts(bounds, x.size):
        raise ValueError("'fista' takes bounds as penalty=fo.Box(low, high)")
    if l1 is not None and np.any(l1):
        raise ValueError("'fista' takes l1 as penalty=fo.L1(alpha)")
    evaluate = _evaluator(fun, jac, args, eps, finite_diff_rel_step)
    chosen = _FISTA_OPTIONS | _chosen(options, _FISTA_OPTIONS, tol, evaluate, x0)
    core = FISTA(
        x,
        Box() if penalty is None else penalty,
        gtol=_tolerance("gtol", chosen["gtol"]),
        ftol=_tolerance("ftol", chosen["ftol"]),
        maxiter=_whole("maxiter", chosen["maxiter"], 0),
        maxfun=_whole("maxfun", chosen["maxfun"], 1),
    )
    _run(core, core.tell, _checked(evaluate), callback)
    return _counted(_outcome(core, _FISTA_ENDINGS), evaluate)


def _evaluator(fun: Callable[..., Any], jac: Any, args: Any, eps: float | None, rel_step: float | None) -> Evaluator:
    """Return x -> (f, gradient)."""
    if not isinstance(args, tuple):
        args = (args,)
    return _with_gradient(fun, jac, args) or _Differences(fun, args, jac or "2-point", eps, rel_step)


def _chosen(
    given: dict[str, Any], known: Mapping[str, Any], tol: float | None, evaluate: Evaluator, x0: ArrayLike
) -> dict[str, Any]:
    """The options of a solver among those given, its budget counted in gradients."""
    options = {name: value for name, value in given.items() if name in known}
    if tol is not None:
        options = {"gtol": tol, "ftol": 0, **options}
    if isinstance(evaluate, _Differences):
        maxfun = _whole("maxfun", options.get("maxfun", known["maxfun"]), 1)
        options["maxfun"] = max(1, maxfun // evaluate.calls_for(np.size(x0)))
    return options


def _counted(result: OptimizeResult, evaluate: Evaluator) -> OptimizeResult:
    if isinstance(evaluate, _Differences):
        result.nfev = evaluate.calls
    return result


def _checked(evaluate: Evaluator) -> Evaluator:
    """Return x -> (f, gradient), a float and a fresh vector; x may be changed."""

    def checked(x: Vector) -> tuple[float, Vector]:
        f, g = _pair(evaluate(x))
        return _value(f), _gradient(g, x)

    return checked


def _penalized(evaluate: Evaluator, penalty: Penalty) -> Evaluator:
    """Return x -> (f, gradient) with a smooth penalty."""
    checked = _checked(evaluate)

    def penalized(x: Vector) -> tuple[float, Vector]:
        value, gradient = penalty.value_and_grad(x)  # first: it may refuse x, and fun may change it
        f, g = checked(x)
        with np.errstate(all="ignore"):
            return f + value, g + gradient

    return penalized


def _outcome(core: LBFGSCore | FISTA, endings: Mapping[str, tuple[int, str]]) -> OptimizeResult:
    """The best point and how the run ended."""
    from scipy.optimize import OptimizeResult

    x, f, g = core.best()
    status, message = endings[core.reason]
    return OptimizeResult(
        x=x,
        fun=f,
        jac=g,
        nfev=core.nfev,
        njev=core.nfev,
        nit=core.nit,
        status=status,
        success=status == 0,
        message=message,
        reason=core.reason,
    )


def _run(
    core: LBFGSCore | FISTA,
    tell: Callable[[Any, Any], object],
    evaluate: Evaluator,
    callback: Callable[..., Any] | None,
) -> None:
    notify = None if callback is None else _notifier(callback)
    nit = 0
    while not core.done:
        f, g = _pair(evaluate(core.ask()))
        if not core.tell(f, g):
            tell(f, g)
        if notify is not None and core.nit != nit:
            nit = core.nit
            try:
                notify(core)
            except StopIteration:
                core.stop()


def _pair(values: Any) -> Any:
    try:
        f, g = values
    except (TypeError, ValueError):
        raise TypeError(f"With jac=True fun must return (f, gradient), not {values!r}") from None
    return f, g


def _with_gradient(fun: Callable[..., Any], jac: Any, args: tuple[Any, ...]) -> Evaluator | None:
    """Return x -> (f, gradient), or None where only differences can give the gradient."""
    if not callable(fun):
        raise TypeError(f"Invalid fun: {fun!r} (must be callable)")
    if jac is None or jac is False or jac in ("2-point", "3-point", "cs"):
        return None
    if jac is not True and not callable(jac):
        raise ValueError(f"Invalid jac: {jac!r} (must be callable, a bool, '2-point', '3-point' or 'cs')")
    joint = fun if jac is True else _unmemoized(fun, jac)
    if joint is None:
        # fun may change its argument, so each of the two has its own.
        return lambda x: (fun(x.copy(), *args), jac(x, *args))
    return (lambda x: joint(x, *args)) if args else joint


def _unmemoized(fun: Any, jac: Any) -> Callable[..., Any] | None:
    """Return the function that gives f and gradient at once, if that is what SciPy has wrapped.

    For ``jac=True`` SciPy hands its methods a private class that remembers the last x, at the cost
    of a comparison and a copy in each call. Where it cannot be seen through, it works as it is.
    """
    try:
        from scipy.optimize._optimize import MemoizeJac  # type: ignore[import-untyped]
    except ImportError:
        return None
    wrapped = isinstance(fun, MemoizeJac) and getattr(jac, "__self__", None) is fun
    return fun.fun if wrapped else None


class _Differences:
    """fun with its gradient by SciPy's finite differences; `calls` counts every call of fun."""

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        scheme: Any,
        eps: float | None,
        rel_step: float | None,
    ) -> None:
        self.fun = fun
        self.args = args
        self.settings = {"method": scheme, "abs_step": eps, "rel_step": rel_step}
        self.calls = 0

    def calls_for(self, n: int) -> int:
        """Calls of fun that one value with its gradient takes."""
        return 1 + (2 * n if self.settings["method"] == "3-point" else n)

    def value(self, x: Vector) -> Any:
        self.calls += 1
        return self.fun(x.copy(), *self.args)

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        from scipy.optimize._numdiff import approx_derivative  # type: ignore[import-untyped]

        f = _value(self.value(x))
        if not math.isfinite(f):
            return f, np.full_like(x, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            g = approx_derivative(self.value, x, f0=np.array([f]), **self.settings)
        return f, np.ravel(g)


def _notifier(callback: Callable[..., Any]) -> Callable[[LBFGSCore | FISTA], Any]:
    """Return what calls the callback in that one of SciPy's two styles it is written for."""
    from scipy.optimize import OptimizeResult

    try:
        parameters = set(inspect.signature(callback).parameters)
    except ValueError:  # a builtin without a signature
        parameters = set()
    if parameters != {"intermediate_result"}:
        return lambda core: callback(core.here()[0])

    def notify(core: LBFGSCore | FISTA) -> None:
        x, f, g = core.here()
        callback(intermediate_result=OptimizeResult(x=x, fun=f, jac=g, nit=core.nit, nfev=core.nfev))

    return notify


def _start(x0: ArrayLike) -> Vector:
    """x0 as a vector of single or double precision."""
    x = np.atleast_1d(np.asarray(x0))
    if x.ndim != 1:
        raise ValueError(f"Invalid x0 of shape {x.shape} (must have one dimension)")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"Invalid x0 of dtype {x.dtype} (must be real numbers)")
    single = x.dtype.kind == "f" and x.dtype.itemsize == 4
    return x.astype(np.float32 if single else np.float64, copy=False)


def _value(f: Any) -> float:
    if isinstance(f, tuple):
        raise TypeError(f"fun returned a tuple of {len(f)}: if that is (f, gradient), pass jac=True")
    a = np.asarray(f)
    if a.size != 1:
        raise ValueError(f"The value of fun has shape {a.shape} (must be a number, or of size 1)")
    if a.dtype.kind not in "biuf":
        raise TypeError(f"The value of fun is {f!r} (must be a real number)")
    return float(a.reshape(-1)[0])


def _gradient(g: ArrayLike, x: Vector) -> Vector:
    """Return g as a fresh vector of x's shape and dtype."""
    a = np.asarray(g)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"The gradient has dtype {a.dtype} (must be real numbers)")
    if a.size != x.size or a.ndim > 2 or (a.ndim == 2 and 1 not in a.shape):
        raise ValueError(f"The gradient has shape {a.shape}, but x has shape {x.shape}")
    with np.errstate(over="ignore"):
        return np.array(a.reshape(-1), dtype=x.dtype)


def _restricts(bounds: Any, n: int) -> bool:
    """Whether any bound is finite, in any of the forms SciPy takes."""
    if hasattr(bounds, "lb"):
        low, high = bounds.lb, bounds.ub
    else:
        pairs = list(bounds)
        if len(pairs) != n:
            raise ValueError(f"There are {len(pairs)} pairs of bounds, but x has shape ({n},)")
        low = [-math.inf if pair[0] is None else pair[0] for pair in pairs]
        high = [math.inf if pair[1] is None else pair[1] for pair in pairs]
    return bool(np.any(np.greater(low, -math.inf)) or np.any(np.less(high, math.inf)))


def _whole(name: str, value: Any, least: int) -> int:
    allowed = f"(L-BFGS needs a whole number >= {least})"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Invalid {name}: {value!r} {allowed}")
    number = min(float(value), 2.0**62)
    if not (number >= least and number.is_integer()):
        raise ValueError(f"Invalid {name}: {value!r} {allowed}")
    return int(number)


def _choice(name: str, value: Any, names: tuple[str, ...]) -> int:
    allowed = f"(L-BFGS has {', '.join(map(repr, names))})"
    if not isinstance(value, str):
        raise TypeError(f"Invalid {name}: {value!r} {allowed}")
    if value not in names:
        raise ValueError(f"Invalid {name}: {value!r} {allowed}")
    return names.index(value)


def _tolerance(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Invalid {name}: {value!r} (must be a number >= 0)")
    if not float(value) >= 0:
        raise ValueError(f"Invalid {name}: {value!r} (L-BFGS needs {name} >= 0)")
    return float(value)
