"""L-BFGS by closures: the solver of `minimize` on the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastopt._engine import resolved
from fastopt._lbfgs import LBFGSCore
from fastopt._validation import check_choice, check_count, check_number
from fastopt.optim.optimizer import OPTIONS, Optimizer, Params, Rule, called
from fastopt.optim.sgd import PLAIN
from fastopt.params import Array
from fastopt.sparse import rows_of

# What each line_search_fn is to the core: none, or one of the searches of `minimize`.
SEARCHES = {None: 3, "strong_wolfe": 0, "more-thuente": 0, "hager-zhang": 1, "armijo": 2}
# In the state of a parameter: its part of the pairs and of the diagonal, in rows. All else there is common to all.
OF_THE_PARAMETER = ("old_stps", "old_dirs", "scaling")


class LBFGS(Optimizer):
    """L-BFGS: Newton's steps with a curvature that is learned from the gradients on the way.

    Each call of ``step(closure)`` makes up to `max_iter` iterations. With g the gradient and H the inverse BFGS matrix
    of the last pairs s = p' - p, y = g' - g upon ``(s'y / y'y) I``, an iteration is::

        p = p - t * H g

    With ``line_search_fn="strong_wolfe"``, which is the one to use for full batches, t is found by a search, and H is
    that of `minimize`. Without, t = lr, at the very first iteration ``lr * min(1, 1 / sum |g|)``, and all is as in
    torch. For full batches, and for batches that stay the same over a call of `step`.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`. Groups must agree in all hyperparameters.
    lr : float, default 1
        The step t, or the first one that the search tries in relation to what it would try; at least 0.
    max_iter : int, default 20
        Iterations in a call of `step`, at least 0.
    max_eval : int, optional
        Calls of the closure in a call of `step`, at least 1, where 1 counts as 2; None is ``max_iter * 5 // 4``.
    tolerance_grad : float, default 1e-7
        A call of `step` ends when no element of the gradient is larger; at least 0.
    tolerance_change : float, default 1e-9
        It ends, too, when no element of the parameters changes by more, or the loss by less, or when the slope along
        the direction is no steeper; at least 0.
    history_size : int, default 100
        Number of pairs kept, at least 1.
    line_search_fn : {"strong_wolfe", "more-thuente", "hager-zhang", "armijo"}, optional
        A search of `minimize`, torch's name standing for the first of them; None makes steps of length `lr`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    See Also
    --------
    minimize, LBFGSMinimizer : the same solver for a function of one vector.

    Notes
    -----
    There are no options as those of other optimizers: what changes the gradient or the parameters behind the back of
    the solver would spoil its pairs. A penalty, weight decay among them, belongs into the closure, loss and gradient.

    State: ``step``, the calls of `step`; torch's ``n_iter``, ``func_evals``, ``H_diag``, ``ro``, and each parameter's
    part of ``old_stps`` (s) and ``old_dirs`` (y), oldest first; with a search also the diagonal that it learns, and how
    it fares: ``scaling``, ``scale``, ``doubt``, ``mean_p``, ``mean_q``, ``lessons``. A group that is added makes it
    begin anew.

    Where torch differs:

    - It compares gradients over calls of `step`, even if the closure is of another batch by then. Here both gradients
      of a pair are from one call. So that the last move of a call has its pair, too, the closure is then called once
      more than by torch if it ends by `max_iter` and there is no search. Numbers are torch's while the closure is the
      same; a pair is kept if ``s'y > 1e-10``, however the loss is scaled.
    - Its search is another: here there are fewer calls, and torch's names do for it.
    - It is lost where the loss or the gradient is not finite. Here the search comes back; without a search the
      parameters return to the point before, and the call ends. If it is so from the start, nothing is changed.
    - If the closure raises, the parameters are those of the last iteration, and the next call goes on from there.

    References
    ----------
    Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35, 1980.

    Examples
    --------
    >>> w = np.array([-1.0, 2.0])
    >>> opt = fo.LBFGS(w, line_search_fn="strong_wolfe")
    >>> loss = opt.step(lambda: (((w - 3) ** 2).sum(), 2 * (w - 3)))
    >>> w.round(6)
    array([3., 3.])
    """

    _own = frozenset({"weight_decay", "decay_mode"})

    _core: LBFGSCore | None = None  # once there was a step,
    _made: tuple[Any, ...] = ()  # for these settings
    _kept: dict[str, Any] | None = None  # what a core that is yet to be made begins with
    _steps = 0
    _stepping = False

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None:
            check_count(max_iter, "LBFGS", "max_iter", low=0)
            max_eval = max(1, max_iter * 5 // 4)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_count(group["max_iter"], "LBFGS", "max_iter", low=0)
        check_count(group["max_eval"], "LBFGS", "max_eval")
        check_number(group["tolerance_grad"], "Invalid tolerance_grad", "LBFGS", "tolerance_grad")
        check_number(group["tolerance_change"], "Invalid tolerance_change", "LBFGS", "tolerance_change")
        check_count(group["history_size"], "LBFGS", "history_size")
        if group["line_search_fn"] is not None:
            check_choice(group["line_search_fn"], filter(None, SEARCHES), "LBFGS", "line_search_fn")
        options = {"weight_decay": 0} | OPTIONS
        given = [name for name, usual in options.items() if group.get(name, usual) != usual]
        if given:
            raise ValueError(f"LBFGS has no {', '.join(given)}: what it minimizes is what the closure returns")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        """Of no use: the engine keeps the parameters, and makes no step."""
        return PLAIN, (group["lr"],)

    def _common(self, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The hyperparameters, in which all groups agree."""
        common = {name: groups[0].get(name, usual) for name, usual in self.defaults.items()}
        for group in groups[1:]:
            for name, value in common.items():
                if group.get(name, self.defaults[name]) != value:
                    raise ValueError(
                        f"the groups of LBFGS make one step together and must agree: "
                        f"{name} is {value!r} and {group.get(name, self.defaults[name])!r}"
                    )
        return common

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self._stepping:
            raise RuntimeError("this optimizer is in a step, which cannot take another group")
        if isinstance(param_group, dict):
            self._common([*self.param_groups, param_group])
        super().add_param_group(param_group)
        self._core = self._kept = None

    # The step.

    def step(self, grads: Any = None, *, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to `max_iter` iterations.

        Parameters
        ----------
        grads : callable
            The closure, called many times, with trial points in the parameters: returns the loss, with gradients in
            ``Parameter.grad`` or ``FlatParams.grad``, or the loss and the gradients, in any form that a step of other
            optimizers takes. A gradient of None counts as zero.
        closure : callable, optional
            torch's name for it.

        Returns
        -------
        loss : object
            What the closure returned as loss when it was called first.

        Raises
        ------
        TypeError, ValueError
            No closure, a loss that is no number, gradients of a wrong number, shape or dtype, or groups that do not
            agree.
        """
        if closure is None and not callable(grads) and not self._hooks:
            raise _needs_closure(grads)
        return super().step(grads, closure=closure)

    def _step(self, grads: Any) -> Any:
        if not callable(grads):
            raise _needs_closure(grads)
        if self._stepping:
            raise RuntimeError("this optimizer is at work: in another thread, or further up in this one")
        groups = [resolved(group, self._steps) for group in self.param_groups]
        for group in groups:
            self._check(group)
        group = self._common(groups)
        core = self._ready(group)
        self._stepping = True
        try:
            core.renew(
                maxiter=group["max_iter"] if group["lr"] else 0,
                maxfun=max(2, group["max_eval"]),
                gtol=group["tolerance_grad"],
                change=group["tolerance_change"],
                lr=group["lr"],
            )
            for param, part in self._parts(core.trial()[0]):
                part[...] = param
            loss = self._evaluate(core, grads)
            self._steps += 1
            try:
                while not core.done:
                    self._place(core.trial()[0])
                    self._evaluate(core, grads)
            finally:
                self._place(core.best_point())
        finally:
            self._stepping = False
        return loss

    def _ready(self, group: Mapping[str, Any]) -> LBFGSCore:
        """The core for these settings, with what was learned so far."""
        search = SEARCHES[group["line_search_fn"]]
        made = (group["history_size"], search)
        if self._core is None or made != self._made:
            memory = self._learned()
            arrays = self._arrays()
            n = sum(array.size for array in arrays)
            dtype = np.result_type(*arrays) if arrays else np.dtype(float)
            self._core = LBFGSCore(
                np.zeros(n, dtype),
                maxcor=group["history_size"],
                history_dtype=dtype,
                diagonal=search != SEARCHES[None],
                limits=None,
                weights=None,
                gtol=0,
                ftol=0,
                maxiter=0,
                maxfun=0,
                maxls=30,
                init_step=0,
                conjugate=search != SEARCHES[None],
                linesearch=search,
            )
            if memory is not None:
                self._core.recall(memory)
            self._made = made
        return self._core

    def _learned(self) -> dict[str, Any] | None:
        return self._kept if self._core is None else self._core.memory()

    def _parts(self, row: Array) -> Iterator[tuple[Array, Array]]:
        """Each parameter with its part of a vector of the core."""
        start = 0
        for array in self._arrays():
            yield array, row[start : start + array.size].reshape(array.shape)
            start += array.size

    def _place(self, point: Array) -> None:
        """Put a point into the parameters; it is then what they make of it."""
        for param, part in self._parts(point):
            param[...] = part
            if param.dtype != part.dtype:
                part[...] = param

    def _evaluate(self, core: LBFGSCore, closure: Callable[[], Any]) -> Any:
        """Call the closure at the trial point and tell the core; the loss."""
        loss, grads = called(closure)
        try:
            value = float(loss.item() if hasattr(loss, "item") else loss)
        except (TypeError, ValueError):
            raise TypeError(f"a closure of LBFGS returns the loss, a number, not {type(loss).__name__}") from None
        grads = self._listed(grads)
        slope = core.trial()[1]
        parts = list(self._parts(slope))
        if len(grads) != len(parts):
            raise ValueError(f"{len(grads)} gradients for {len(parts)} parameters")
        with np.errstate(over="ignore"):
            for i, (gradient, (param, part)) in enumerate(zip(grads, parts, strict=True)):
                part[...] = 0 if gradient is None else _dense(gradient, param, i)
        core.tell(value, slope)
        return loss

    # State.

    @property
    def state(self) -> Mapping[int, Mapping[str, Any]]:
        """The state, as copies: each parameter's part of it, and what is common to all."""
        memory = self._learned()
        if memory is None or not self._steps:
            return MappingProxyType({})
        entries = [{"step": self._steps, **memory} for _ in self._arrays()]
        for name in memory.keys() & OF_THE_PARAMETER:
            start = 0
            for entry, param in zip(entries, self._arrays(), strict=True):
                part = memory[name][:, start : start + param.size]
                entry[name] = part.reshape(len(part), *param.shape)
                start += param.size
        return MappingProxyType({i: MappingProxyType(entry) for i, entry in enumerate(entries)})

    def _restored(self, *arguments: Any) -> tuple[list[Any], dict[str, list[Array | None]]]:
        """The entries as they are: they make sense together only."""
        return arguments[2], {}

    def _restore(self, loads: list[tuple[Any, ...]], skipped: int) -> None:
        if self._stepping:
            raise RuntimeError("this optimizer is in a step, which cannot take another state")
        steps, memory = _joined(self._arrays(), [entry for load in loads for entry in load[3]])
        super()._restore([(*load[:2], 0, [(0, 0, [])] * len(load[3]), {}) for load in loads], skipped)
        self._core, self._kept, self._steps = None, memory, steps


def _needs_closure(given: Any) -> TypeError:
    return TypeError(
        "LBFGS needs step(closure): it evaluates loss and gradients many times, and cannot use "
        f"{'those in .grad' if given is None else type(given).__name__} alone"
    )


def _dense(gradient: Any, param: Array, i: int) -> Array:
    """A gradient as an array of the parameter's shape."""
    array = rows_of(gradient, param, i, {"sparse": "dense"})
    if array is not None:
        return array  # type: ignore[no-any-return]
    if not hasattr(gradient, "__array__"):
        raise TypeError(f"gradient {i} is of type {type(gradient).__name__}; a gradient is an array, or None for zero")
    array = np.asarray(gradient)
    if array.dtype.kind != "f":
        raise TypeError(f"gradient {i} has dtype {array.dtype}; it must be real floating point")
    if array.shape != param.shape:
        raise ValueError(f"gradient {i} has shape {array.shape}, its parameter {param.shape}")
    return array


def _joined(arrays: list[Array], entries: list[Mapping[str, Any]]) -> tuple[int, dict[str, Any] | None]:
    """The calls of step, and the core's memory, of the parameters' states; none if there is one without."""
    if not entries or not all(entries):
        return 0, None
    memory: dict[str, Any] = dict(entries[0])
    needed = {"step", "n_iter", "func_evals", "H_diag", "ro", "old_stps", "old_dirs"}
    if "scaling" in memory:
        needed |= {"scaling", "scale", "doubt", "mean_p", "mean_q", "lessons"}
    rows = {"old_stps": np.size(memory.get("ro", ())), "old_dirs": np.size(memory.get("ro", ())), "scaling": 3}
    for i, (entry, param) in enumerate(zip(entries, arrays, strict=True)):
        lacking = sorted(needed - entry.keys())
        if lacking:
            raise ValueError(f"the state of parameter {i} lacks {', '.join(map(repr, lacking))}")
        for name in sorted(needed):
            shape = np.shape(entry[name])
            if name in rows and shape != (rows[name], *param.shape):
                raise ValueError(
                    f"{name!r} of parameter {i} has shape {shape}: {rows[name]} times that of the parameter, "
                    f"{param.shape}, is needed"
                )
            if name not in rows and not np.array_equal(entry[name], memory[name], equal_nan=True):
                raise ValueError(f"{name!r} of parameter {i} is {entry[name]!r}, that of the first {memory[name]!r}")
    for name in ("step", "n_iter", "func_evals"):
        check_count(memory[name], "load_state_dict", name, low=0)
    for name in needed & rows.keys():
        parts = zip(arrays, entries, strict=True)
        memory[name] = np.concatenate([np.reshape(entry[name], (rows[name], a.size)) for a, entry in parts], axis=1)
    return int(memory.pop("step")), memory
