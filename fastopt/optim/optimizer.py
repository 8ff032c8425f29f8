"""What all optimizers share: parameter groups, the three forms of step, state, hooks."""

from __future__ import annotations

import copy
import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, TypedDict, Unpack

import numpy as np

from fastopt._engine import Engine, Plan, Rule, resolved
from fastopt._validation import check_choice, check_count, check_flag, check_number, check_parameter
from fastopt.params import Array, FlatParams, Parameter
from fastopt.sparse import RowSparse, rows_of

__all__ = ["Optimizer", "Options", "Params", "Rule", "eps_terms"]

Params: TypeAlias = (
    Array
    | Parameter
    | Mapping[str, Array | Parameter]
    | Iterable[Array | Parameter | tuple[str, Array | Parameter] | dict[str, Any]]
)
StateDict: TypeAlias = dict[str, Any]
Number: TypeAlias = float | Callable[[int], float]
Kernels: TypeAlias = tuple[object, object]


class Options(TypedDict, total=False):
    """The keyword options that every optimizer takes; see `Optimizer`. A group holds those that were given."""

    maximize: bool
    decay_mode: str
    l1: Number
    bounds: tuple[Number | None, Number | None]
    clip_value: Number
    clip_norm: Number
    skip_nonfinite: bool
    accumulate: int
    eps_mode: str
    ema: Number
    swa_start: int
    swa_every: int
    lookahead: tuple[int, Number]
    sparse: str
    state_dtype: Any


def eps_terms(group: Mapping[str, Any], correction: float = 1.0) -> tuple[float, float]:
    """(a, b) such that ``sqrt(v + a) * correction + b`` is the denominator that `eps_mode` asks for."""
    if "eps_mode" not in group:
        return 0.0, group["eps"]
    mode = group["eps_mode"]
    if mode is None or mode == "torch":
        return 0.0, group["eps"]
    if mode == "hat":
        return 0.0, group["eps"] * correction
    return group["eps"] / correction**2, 0.0


class Handle:
    """What registering a hook returns; ``remove()`` takes the hook off again."""

    def __init__(self, hooks: list[Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
            self._hooks = []


# What the options are where they are not given. A group without one prints as torch's does.
OPTIONS: dict[str, Any] = {
    "maximize": False,
    "decay_mode": None,
    "l1": 0,
    "bounds": None,
    "clip_value": None,
    "clip_norm": None,
    "skip_nonfinite": False,
    "accumulate": 1,
    "eps_mode": None,
    "ema": None,
    "swa_start": None,
    "swa_every": 1,
    "lookahead": None,
    "sparse": "lazy",
    "state_dtype": None,
}
READ_BY_THE_ENGINE = frozenset(OPTIONS) - {"maximize", "decay_mode", "eps_mode", "sparse", "state_dtype"}
TORCHS_OWN = {"foreach", "fused", "capturable", "differentiable"}


class Optimizer:
    """Base class of all optimizers.

    A subclass gives its defaults, checks them in ``_check(group)``, and says in ``_scalars(group, t)`` which rule makes
    step t = 1, 2, ... and with which scalars. All the rest is here, the options below among it: a step adds up
    (`accumulate`), looks whether the gradient is finite (`skip_nonfinite`), clips it (`clip_value`, then `clip_norm`),
    turns it round (`maximize`), decays (`weight_decay`), updates, shrinks (`l1`), projects (`bounds`), synchronizes
    (`lookahead`) and averages (`ema`, `swa_start`), in this order and in one trip through memory, but for the norm.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize, all in place: float32 or float64, C-contiguous, aligned, writeable, none overlapping
        another. A group dict has these under ``"params"`` and hyperparameters of its own beside them.
    defaults : dict
        Hyperparameters of the groups that do not set them.
    maximize : bool, default False
        Ascend instead. Weight decay still shrinks the parameter.
    decay_mode : {"l2", "decoupled"}, optional
        What `weight_decay` means: a penalty, ``g + weight_decay * p`` in place of g, or, before the update,
        ``p = (1 - lr * weight_decay) * p``. Each optimizer has its default.
    l1 : float, default 0
        After the update, the proximal step of ``l1 * sum |p|``: p goes toward 0 by ``lr * l1``, and no further, so that
        zeros are exact. With SGD's plain steps that minimizes the loss with the penalty; where momentum or a
        denominator rescales the gradient, it leaves l1 as it is, as decoupled decay does.
    bounds : pair of (float or None), optional
        After that, p is projected into [low, high]; None is no bound.
    clip_value : float, optional
        Each element of the gradient is brought into [-clip_value, clip_value].
    clip_norm : float, optional
        The gradients of the group are scaled by ``min(1, clip_norm / (norm + 1e-6))``, as by torch's clip_grad_norm_,
        norm being their 2-norm together; `last_grad_norm` is what it was. The gradients themselves are not changed.
        Other groups have norms of their own, where clip_grad_norm_ is usually given all parameters.
    skip_nonfinite : bool, default False
        If a gradient of the group has a NaN or an infinity, this step changes nothing, in any group, but the count
        `skipped_steps`. What was accumulated for it is dropped.
    accumulate : int, default 1
        So many calls of `step` make one update, with the mean of their gradients.
    eps_mode : {"torch", "hat", "root"}, optional
        Where eps goes, with c the bias correction of v: ``sqrt(v / c) + eps``, ``(sqrt(v) + eps) / sqrt(c)`` (Keras,
        the eps-hat of Kingma and Ba) or ``sqrt(v / c + eps)``. Refused where a formula has no such eps.
    ema : float, optional
        Keep ``average = ema * average + (1 - ema) * p``, beginning with p after the first update; in [0, 1).
    swa_start, swa_every : int, default None and 1
        Keep the plain mean of p after the updates t = swa_start, swa_start + swa_every, ...: stochastic weight
        averaging, or Polyak's if every update counts.
    lookahead : pair of (int, float), optional
        (k, alpha): after each k updates, ``slow = slow + alpha * (p - slow)``, and p goes back to slow.
    sparse : {"lazy", "dense"}, default "lazy"
        What becomes of rows that a sparse gradient does not touch; see `RowSparse`.
    state_dtype : dtype, optional
        Of the rule's buffers, float32 or float64; that of the parameter if None. The arithmetic is in the wider of the
        two. Only at construction.

    Attributes
    ----------
    param_groups : list of dict
        The groups as plain data: change ``opt.param_groups[0]["lr"]`` and the next step uses it. A group may be edited,
        not replaced or deleted, and its parameters stay; `add_param_group` adds one.
    defaults : dict

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    Groups may set hyperparameters and options of their own. Any number among them may be a callable of the number of
    updates made before, 0 at the first, as in LambdaLR: ``lr=lambda t: 0.1 * 0.99**t``.

    Where torch differs: there, the state dict shares memory with the optimizer, the step counter is a float32, and a
    state is matched by position only.
    """

    # _scalars(group, t): the rule of step t and its scalars. With `_memory`, whose values after step t - 1 it is then
    # given, it returns one thing more: those after step t. With `_by_shape` the last argument is the parameter's shape,
    # and _state_shape(name, shape) says of what shape a buffer is, or None if this parameter has none.
    _scalars: ClassVar[Callable[..., tuple[Any, ...]]]
    _state_shape: ClassVar[Callable[..., tuple[int, ...] | None]]
    # Options that the rule handles itself: weight_decay only where decay_mode is not given, or is named here too.
    _own: ClassVar[frozenset[str]] = frozenset()
    _memory: ClassVar[dict[str, float]] = {}  # scalars in each parameter's state, as they start
    _by_shape: ClassVar[bool] = False  # whether _scalars depends on the parameter's shape
    _eps_modes: ClassVar[bool] = False  # whether there is an eps that could be elsewhere
    _steady: ClassVar[int] = 0  # the step from which _scalars depends on the group alone, if there is one
    _dense: ClassVar[bool] = True  # whether gradients may be dense
    _rows = staticmethod(rows_of)

    def __init_subclass__(cls) -> None:
        """Show the options in the signature, as keywords; a new `_scalars` is steady only if it says so."""
        if "_scalars" in vars(cls):
            cls._steady = vars(cls).get("_steady", 0)
        signature = inspect.signature(cls.__init__)
        parameters = [p for p in list(signature.parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
        if len(parameters) + 1 < len(signature.parameters):
            named = {p.name for p in parameters}
            parameters += [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation.__forward_arg__
                )
                for (name, default), annotation in zip(OPTIONS.items(), Options.__annotations__.values(), strict=True)
                if name not in named
            ]
            cls.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]

    def __init__(self, params: Params, defaults: dict[str, Any], **options: Unpack[Options]) -> None:
        unknown = options.keys() - OPTIONS.keys()
        if unknown:
            known = ", ".join(list(inspect.signature(type(self)).parameters)[1:])
            why = "one implementation serves all, leave it out" if unknown <= TORCHS_OWN else f"options are {known}"
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(map(repr, sorted(unknown)))}: {why}")
        self.defaults = defaults | {"maximize": False} | _without_open_mode(options)
        self.param_groups: list[dict[str, Any]] = []
        self._engine = Engine()
        self._sources: list[Parameter | Array | None] = []  # where step() finds the gradients
        self._given: list[FlatParams | None] = []
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self._stash: list[Array] | None = None  # the trained weights, in eval mode
        groups = _as_groups(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups:
            self.add_param_group(group)

    # What a subclass says.

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse hyperparameters outside their range."""
        owner = type(self).__name__
        check_number(group["lr"], "Invalid learning rate", owner, "lr")
        check_number(group.get("weight_decay", 0), "Invalid weight_decay value", owner, "weight_decay")
        check_flag(group["maximize"], owner, "maximize")
        given = {name: group[name] for name in OPTIONS if group.get(name) is not None}
        for name in ("l1", "clip_value", "clip_norm"):
            check_number(given.get(name, 0), f"Invalid {name} value", owner, name)
        for name, choices in {
            "decay_mode": ("l2", "decoupled"),
            "eps_mode": ("torch", "hat", "root"),
            "sparse": ("lazy", "dense"),
        }.items():
            check_choice(given.get(name, choices[0]), choices, owner, name)
        if "eps_mode" in given and not self._eps_modes:
            raise ValueError(f"{owner} has no eps_mode: no eps of its formula could be elsewhere")
        check_flag(given.get("skip_nonfinite", False), owner, "skip_nonfinite")
        check_count(given.get("accumulate", 1), owner, "accumulate")
        check_count(given.get("swa_start", 1), owner, "swa_start")
        check_count(given.get("swa_every", 1), owner, "swa_every")
        check_number(given.get("ema", 0), "Invalid ema value", owner, "ema", high=1.0)
        if "ema" in given and "swa_start" in given:
            raise ValueError(f"{owner} keeps one average: ema or swa_start")
        if given.get("swa_every", 1) != 1 and "swa_start" not in given:
            raise ValueError(f"{owner} needs swa_start for swa_every")
        for name, what in {"bounds": "(low, high)", "lookahead": "(steps, alpha)"}.items():
            pair = given.get(name, (1, 1))
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ValueError(f"Invalid {name}: {pair!r} ({owner} needs a pair {what})")
        steps, alpha = given.get("lookahead", (1, 0.5))
        check_count(steps, owner, "lookahead[0]")
        check_number(alpha, "Invalid lookahead value", owner, "lookahead[1]", high=1.0, high_open=False)
        low, high = given.get("bounds", (0, 0))
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        for i, bound in enumerate((low, high)):
            check_number(bound, "Invalid bounds", owner, f"bounds[{i}]", low=-np.inf, high=np.inf, high_open=False)
        if not low <= high:
            raise ValueError(f"Invalid bounds: {group['bounds']!r} ({owner} needs low <= high)")
        if "state_dtype" in given:
            if np.dtype(given["state_dtype"]) not in (np.float32, np.float64):
                raise TypeError(f"{owner} needs float32 or float64 for state_dtype, not {given['state_dtype']!r}")
            if self._by_shape:
                raise ValueError(f"{owner} has no state_dtype: its rule sees whole tensors")
        if not self._dense:
            whole = given.keys() & {"accumulate", "ema", "swa_start", "lookahead"}
            whole |= {"sparse"} if given.get("sparse") == "dense" else set()
            if whole:
                raise ValueError(f"{owner} has no {', '.join(sorted(whole))}: its gradients are sparse, and stay so")
        if group.get("decoupled_weight_decay") and given.get("decay_mode") == "l2":
            raise ValueError(f"{owner} has decoupled_weight_decay, which decay_mode='l2' contradicts")

    # Groups.

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``"params"`` and any hyperparameters that differ from the defaults.

        Raises
        ------
        TypeError, ValueError
            A parameter that cannot be updated in place or overlaps another, or a value out of range. Nothing has
            been added then.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError("a parameter group needs 'params'")
        members, names, sources = _as_members(param_group["params"])
        param_group = _without_open_mode(param_group)
        for key in param_group.keys() - self.defaults.keys() - OPTIONS.keys():
            meant = difflib.get_close_matches(key, {*self.defaults, *OPTIONS}, 1, 0.85)
            if meant and key not in ("params", "param_names"):
                raise TypeError(f"{type(self).__name__} has no hyperparameter {key!r}; did you mean {meant[0]!r}?")
        group = {**param_group, **{k: v for k, v in self.defaults.items() if k not in param_group}}
        group = {k: plain(v) for k, v in group.items()} | {"params": members}
        if group.get("state_dtype") is not None:
            group["state_dtype"] = np.dtype(group["state_dtype"]).name  # plain data, where a type would be a callable
        if names:
            group["param_names"] = names
        if self.param_groups and ("param_names" in self.param_groups[0]) != bool(names):
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {'with' if names else 'without'} names to the optimizer"
            )
        self._check(resolved(group, 0))
        arrays = [member.data if isinstance(member, Parameter) else member for member in members]
        before = len(self._sources)
        for i, array in enumerate(arrays):
            check_parameter(array, f"parameter {names[i]!r}" if names else f"parameter {before + i}")
        _check_overlap([*self._arrays(), *arrays], before)
        repeated = [name for name, n in Counter([*self._names(), *names]).items() if n > 1]
        if repeated:
            raise ValueError(f"parameter names must differ; repeated: {', '.join(map(repr, repeated))}")
        self._engine.add(Plan(arrays, group, type(self), READ_BY_THE_ENGINE))
        if self._stash is not None:
            self._stash += [array.copy() for array in arrays]
        self.param_groups.append(group)
        self._given.append(param_group["params"] if isinstance(param_group["params"], FlatParams) else None)
        self._sources += sources

    def _arrays(self) -> list[Array]:
        return [array for plan in self._engine.plans for array in plan.params]

    def _names(self) -> list[str]:
        return [name for group in self.param_groups for name in group.get("param_names", ())]

    # The step.

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the Parameters: None if `set_to_none`, else zero. FlatParams' become zero."""
        for source in self._sources:
            if not isinstance(source, Parameter):
                if source is not None:
                    source[...] = 0
            elif set_to_none:
                source.grad = None
            elif source.grad is not None:
                source.grad[...] = 0

    def step(self, grads: Any = None, *, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters.

        Parameters
        ----------
        grads : list of ndarray, ndarray, mapping, callable or None
            - a list: one gradient a parameter, in order over the groups; None skips a parameter and its step count;
            - an ndarray: the gradient of the only parameter, or of all parameters in one flat vector;
            - a mapping from name to gradient, such as ``FlatParams.grad``;
            - a callable: called once, returns the loss, or the loss and gradients in one of the forms above;
            - None, or a callable that returns the loss alone: ``Parameter.grad`` or ``FlatParams.grad`` is used.

            A gradient may be strided, read-only, unaligned or of the other float dtype.
        closure : callable, optional
            torch's name for the callable.

        Returns
        -------
        loss : object
            What the callable returned as loss, else None.

        Raises
        ------
        TypeError, ValueError
            Gradients of a wrong number, shape or dtype, or a hyperparameter that is no finite number. The
            optimizer, its state and the parameters are then as before.
        """
        if closure is not None:
            if grads is not None:
                raise TypeError("step() takes gradients or a closure, not both")
            grads = closure
        if type(grads) is list and not self._hooks and self._stash is None:  # as below, without the calls
            self._engine.step(grads, self.param_groups)
            return None
        return self._step_with_hooks(grads) if self._hooks else self._step(grads)

    def _step(self, grads: Any) -> Any:
        loss = None
        if type(grads) is not list:
            if callable(grads):
                loss, grads = called(grads)
            grads = self._listed(grads)
        if self._stash is not None:
            raise RuntimeError("the averaged weights are in place: call train() before step()")
        try:
            self._engine.step(grads, self.param_groups)
        except (TypeError, ValueError):
            for group in self.param_groups:  # perhaps something set by hand, for which there are better words
                self._check(resolved(group, 0))
            raise
        return loss

    def _listed(self, grads: Any) -> Sequence[Any]:
        """Gradients in any form as a sequence in parameter order."""
        if isinstance(grads, list | tuple):
            return grads
        if grads is None:
            if any(source is None for source in self._sources):
                raise TypeError("step() has no gradients: plain arrays carry no .grad, so pass step(grads)")
            return [source.grad if isinstance(source, Parameter) else source for source in self._sources]
        if isinstance(grads, FlatParams):
            raise TypeError("step() takes gradients, not FlatParams: pass its .grad")
        if isinstance(grads, Mapping):
            names = self._names()
            if grads.keys() != set(names):
                missing = sorted(set(names) - grads.keys(), key=str)
                unexpected = sorted(grads.keys() - set(names), key=str)
                why = f"missing {missing}, unexpected {unexpected}" if names else "the latter have none, pass a list"
                raise ValueError(f"names of gradients and parameters do not match: {why}")
            return [grads[name] for name in names]
        if isinstance(grads, RowSparse) or hasattr(grads, "tocoo"):
            return [grads]
        if hasattr(grads, "__array__"):
            arrays = self._arrays()
            if len(arrays) == 1 and np.shape(grads) == arrays[0].shape:
                return [grads]
            total = sum(array.size for array in arrays)
            if np.shape(grads) != (total,):
                expected = [array.shape for array in arrays]
                raise ValueError(
                    f"one gradient of shape {np.shape(grads)} for parameters of shapes {expected}: pass a list, "
                    f"or one flat array of length {total}"
                )
            cuts = np.cumsum([array.size for array in arrays])[:-1]
            parts = np.split(np.asarray(grads), cuts)
            return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]
        raise TypeError(f"gradients must be arrays or a callable, not {type(grads).__name__}")

    def _step_with_hooks(self, grads: Any) -> Any:
        args: tuple[Any, ...] = (self,) if grads is None else (self, grads)
        kwargs: dict[str, Any] = {}
        for hook in self._hooked("step_pre"):
            result = hook(self, args, kwargs)
            if result is not None:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise RuntimeError(
                        f"{hook} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
        loss = self._step(*(args[1:] or (None,)), **kwargs)
        for hook in self._hooked("step_post"):
            hook(self, args, kwargs)
        return loss

    @property
    def last_grad_norm(self) -> float | None:
        """The 2-norm of the gradients before clipping, of the groups with `clip_norm`, at the last step with any."""
        return self._engine.norm

    @property
    def skipped_steps(self) -> int:
        """How many steps were skipped because of `skip_nonfinite`."""
        return self._engine.skipped

    # Averaged weights.

    def _averaged(self, group: Mapping[str, Any], param: Array, state: Mapping[str, Any]) -> Array:
        """The averaged weights of a parameter that holds the trained ones, or the parameter itself."""
        begun = state.get("step", 0) >= (group.get("swa_start") or 0)
        average: Array = state["average"] if "average" in state and begun else state.get("slow", param)
        return average

    def eval_params(self) -> list[Array]:
        """The averaged weights, as fresh arrays in parameter order; in either mode, and without changing it.

        They are the weights of `ema` or `swa_start`, else of an optimizer that averages by itself, else of `lookahead`,
        and those that are trained where none are kept.
        """
        trained = self._arrays() if self._stash is None else self._stash
        averaged: list[Array] = []
        for plan in self._engine.plans:
            for i in range(len(plan.params)):
                param = trained[len(averaged)]
                averaged.append(np.array(self._averaged(plan.group, param, plan.entry(i))))
        return averaged

    def eval(self) -> None:
        """Put the averaged weights in the place of the trained ones, until `train`; `step` is refused meanwhile.

        The trained weights are kept, and saved with the state: a checkpoint made in this mode, of state and parameters
        together, is in this mode again when loaded, in any order. Does nothing where no average is kept, or while it is
        what is trained, as before the first step.
        """
        if self._stash is not None:
            return
        trained = [array.copy() for array in self._arrays()]
        averaged = self.eval_params()
        if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(trained, averaged, strict=True)):
            return
        self._stash = trained  # before the swap, which may be cut short
        for array, average in zip(self._arrays(), averaged, strict=True):
            array[...] = average

    def train(self) -> None:
        """Put the trained weights back, bit for bit, after `eval`."""
        if self._stash is not None:
            for array, trained in zip(self._arrays(), self._stash, strict=True):
                array[...] = trained
            self._stash = None

    # Hooks.

    def _hooked(self, kind: str) -> list[Callable[..., Any]]:
        return list(self._hooks.get(kind, ()))

    def _register(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        hooks = self._hooks.setdefault(kind, [])
        hooks.insert(0 if prepend else len(hooks), hook)
        return Handle(hooks, hook)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ``(args, kwargs)``.

        As in torch, args[0] is the optimizer; args[1], if there is one, is what was passed to `step`.
        """
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call ``hook(optimizer)`` before the state dict is made."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call ``hook(optimizer, state_dict)`` with the finished state dict; it may return another."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call ``hook(optimizer, state_dict)`` before a state is loaded; it may return another state dict."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call ``hook(optimizer)`` after a state was loaded."""
        return self._register("load_state_dict_post", hook, prepend)

    # State.

    @property
    def state(self) -> Mapping[int, Mapping[str, Any]]:
        """The state of each parameter that has taken a step: ``step``, and the live buffers under torch's names."""
        entries = [plan.entry(i) for plan in self._engine.plans for i in range(len(plan.params))]
        return MappingProxyType({i: MappingProxyType(entry) for i, entry in enumerate(entries) if entry})

    def state_dict(self) -> StateDict:
        """The state as plain data, sharing no memory with the optimizer.

        Returns
        -------
        state_dict : dict
            ``{"state": {index: {"step": int, name: ndarray}}, "param_groups": [dict]}``; in the groups, ``"params"``
            holds indices. `fastopt.save` writes it, `load_state_dict` takes it back. Callables among the
            hyperparameters are code, not state, and left out: the optimizer that loads keeps its own.
        """
        for hook in self._hooked("state_dict_pre"):
            hook(self)
        state_dict = self._state_dict()
        for hook in self._hooked("state_dict_post"):
            state_dict = _or(hook(self, state_dict), state_dict)
        return state_dict

    def _state_dict(self) -> StateDict:
        self._engine.prepare()  # a hyperparameter set by hand may ask for one more buffer
        state = {i: {name: copy.copy(value) for name, value in entry.items()} for i, entry in self.state.items()}
        groups = []
        first = 0
        for plan, group in zip(self._engine.plans, self.param_groups, strict=True):
            last = first + len(group["params"])
            saved = {key: value for key, value in group.items() if resolved({key: value}, 0) == {key: value}}
            groups.append({**_hyperparameters(saved, copied=True), "params": list(range(first, last))})
            if plan.accumulated:
                groups[-1]["accumulated"] = plan.accumulated
            first = last
        state_dict: StateDict = {"state": state, "param_groups": groups}
        if self.skipped_steps:
            state_dict["skipped_steps"] = self.skipped_steps
        for i, array in enumerate(self._stash or ()):
            state.setdefault(i, {"step": 0})["trained"] = array.copy()
        return state_dict

    def load_state_dict(self, state_dict: StateDict, match: str = "position", strict: bool = True) -> None:
        """Take over a state: step counts, buffers and hyperparameters, all copied.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`, of an optimizer of the same class.
        match : {"position", "name"}, default "position"
            How its parameters are matched with ours. By name, both sides must have names; the grouping may differ.
        strict : bool, default True
            By name: refuse parameters that only one side has. Otherwise ours start afresh and theirs are ignored.

        Raises
        ------
        TypeError, ValueError
            A state that does not fit, in words. Nothing has changed then.
        """
        check_choice(match, ("position", "name"), "load_state_dict", "match")
        for hook in self._hooked("load_state_dict_pre"):
            state_dict = _or(hook(self, state_dict), state_dict)
        check_state_dict(state_dict)
        saved, state = state_dict["param_groups"], state_dict["state"]
        sizes = [len(group["params"]) for group in saved]
        strangers = state.keys() - {i for group in saved for i in group["params"]}
        if strangers:
            raise ValueError(f"the state has entries {sorted(map(repr, strangers))} that are in none of its groups")
        if match == "name":
            sources = self._matched(saved, strict)
        elif len(saved) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups "
                f"({len(saved)}, the optimizer {len(self.param_groups)})"
            )
        elif sizes != [len(group["params"]) for group in self.param_groups]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group "
                f"(sizes {sizes}, the optimizer's {[len(group['params']) for group in self.param_groups]})"
            )
        else:
            sources = [(g, i) for g, group in enumerate(saved) for i in group["params"]]
        loads: list[tuple[Any, ...]] = []
        stash: list[Array] = []
        evaluating = False
        for plan in self._engine.plans:
            here = sources[len(stash) : len(stash) + len(plan.params)]
            origin = next((source[0] for source in here if source is not None), None)
            group, taken = dict(plan.group), plan.accumulated
            if origin is not None:
                loaded = {key: plain(value) for key, value in _hyperparameters(saved[origin], copied=True).items()}
                taken = loaded.pop("accumulated", 0)
                check_count(taken, "load_state_dict", "accumulated", low=0)
                loaded.pop("state_dtype", None)  # buffers keep theirs
                group |= loaded | {key: plan.group[key] for key in ("params", "param_names") if key in plan.group}
                self._check(resolved(group, 0))
            entries = [{} if source is None else state.get(source[1], {}) for source in here]
            loads.append((plan, group, taken, *self._restored(plan, group, entries, len(stash))))
            for param, entry in zip(plan.params, entries, strict=True):
                evaluating = evaluating or "trained" in entry
                stash.append(np.array(entry.get("trained", param), param.dtype).reshape(param.shape))
        skipped = state_dict.get("skipped_steps", 0)
        check_count(skipped, "load_state_dict", "skipped_steps", low=0)
        self._restore(loads, skipped)
        self._stash = stash if evaluating else None
        for hook in self._hooked("load_state_dict_post"):
            hook(self)

    def _restore(self, loads: list[tuple[Any, ...]], skipped: int) -> None:
        """Take over (plan, group, accumulated, *what `_restored` returned) of each group."""
        self._engine.restore(loads, skipped)

    def _matched(self, saved: list[dict[str, Any]], strict: bool) -> list[tuple[int, int] | None]:
        """For each of our parameters, the group and index under which `saved` has its name."""
        theirs = {
            name: (g, i)
            for g, group in enumerate(saved)
            for name, i in zip(group.get("param_names", ()), group["params"], strict=False)
        }
        ours = self._names()
        if not ours or not theirs:
            raise ValueError(f"match='name' needs names: {'the state dict' if ours else 'the optimizer'} has none")
        missing = [name for name in ours if name not in theirs]
        unexpected = [name for name in theirs if name not in ours]
        if strict and (missing or unexpected):
            raise ValueError(f"parameter names do not match: missing {missing}, unexpected {unexpected}")
        return [theirs.get(name) for name in ours]

    def _restored(
        self, plan: Plan, group: dict[str, Any], entries: list[Mapping[str, Any]], first: int
    ) -> tuple[list[Any], dict[str, list[Array | None]]]:
        """Counts, scalars and new buffers for the parameters of `plan`, from their saved entries."""
        scalar = {"step", "accumulated", "trained", *self._memory}
        buffers: dict[str, list[Array | None]] = {}
        scalars = []
        for i, (entry, param) in enumerate(zip(entries, plan.params, strict=True)):
            step, pending = entry.get("step", bool(entry)), entry.get("accumulated", 0)
            if not 0 <= step < 2**62 or step != int(step):
                raise ValueError(f"the state of parameter {first + i} has taken {step} steps")
            if not 0 <= pending < 2**62 or pending != int(pending):
                raise ValueError(f"the state of parameter {first + i} has accumulated {pending} gradients")
            needed = {*self._memory, *self._state_names(group, param)} if step else set()
            lacking = sorted((needed | ({"grad_sum"} if pending else set())) - entry.keys())
            if lacking:
                raise ValueError(f"the state of parameter {first + i} lacks {', '.join(map(repr, lacking))}")
            memory = [float(entry.get(name, value)) for name, value in self._memory.items()]
            scalars.append((int(step), int(pending), memory))
            for name in entry.keys() - scalar:
                if name not in buffers:
                    buffers[name] = plan.fresh(name)
                buffer, value = buffers[name][i], np.asarray(entry[name])
                if buffer is None or value.shape != buffer.shape:
                    raise ValueError(
                        f"{name!r} of parameter {first + i} has shape {value.shape}, the parameter {param.shape}"
                    )
                buffer[...] = value
        return scalars, buffers

    def _state_names(self, group: dict[str, Any], param: Array) -> list[str]:
        """The buffers that a step of `param` needs."""
        arguments: list[Any] = [resolved(group, 0), 1]
        if self._memory:
            arguments.append(tuple(self._memory.values()))
        if self._by_shape:
            arguments.append(param.shape)
        return [name for name in type(self)._scalars(*arguments)[0].state if not name.startswith("_")]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with the parameters, which stay the same arrays as elsewhere in what is copied; no hooks."""
        groups = []
        for group, given in zip(self.param_groups, self._given, strict=True):
            members = list(zip(group["param_names"], group["params"], strict=True)) if "param_names" in group else None
            groups.append({**_hyperparameters(group), "params": given or members or group["params"]})
        return _rebuilt, (type(self), groups), (self.defaults, self._state_dict(), self.last_grad_norm)

    def __setstate__(self, state: tuple[dict[str, Any], StateDict, float | None]) -> None:
        self.defaults = {**state[0]}
        self.load_state_dict(state[1])
        self._engine.norm = state[2]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"]
            lines += [f"    {key}: {value}" for key, value in sorted(_hyperparameters(group).items())]
        return "\n".join([f"{type(self).__name__} (", *lines[1:], ")"])


def _rebuilt(cls: type[Optimizer], groups: list[dict[str, Any]]) -> Optimizer:
    optimizer = cls.__new__(cls)
    Optimizer.__init__(optimizer, groups, {})
    return optimizer


def called(closure: Callable[[], Any]) -> tuple[Any, Any]:
    """The loss, and the gradients or None."""
    loss = closure()
    if not isinstance(loss, tuple):
        return loss, None
    if len(loss) != 2:
        raise ValueError(f"a closure returns loss or (loss, gradients), not a tuple of {len(loss)}")
    return loss


def check_state_dict(state_dict: Any) -> None:
    """Refuse what is no state dict."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        raise TypeError("a state dict is a mapping with 'state' and 'param_groups'")
    if not isinstance(state_dict["state"], Mapping):
        raise TypeError(f"the 'state' of a state dict is a mapping, not {type(state_dict['state']).__name__}")
    groups = state_dict["param_groups"]
    if not isinstance(groups, list | tuple) or not all(
        isinstance(group, Mapping) and isinstance(group.get("params"), Sequence) for group in groups
    ):
        raise TypeError("the 'param_groups' of a state dict are a list of mappings with lists 'params'")
    for key, entry in state_dict["state"].items():
        if not isinstance(entry, Mapping) or not all(isinstance(name, str) for name in entry):
            raise TypeError(f"the state of parameter {key!r} is a mapping from names, not {entry!r}")


def plain(value: Any) -> Any:
    """Numbers as Python's own: NumPy's would compute a step's scalars in their own precision."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    return value


def _without_open_mode(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without a `decay_mode` of None, which leaves the choice to the optimizer."""
    return {key: value for key, value in given.items() if key != "decay_mode" or value is not None}


def _or(new: Any, old: Any) -> Any:
    return old if new is None else new


def _hyperparameters(group: Mapping[str, Any], copied: bool = False) -> dict[str, Any]:
    """The group without its parameters."""
    return {key: copy.deepcopy(value) if copied else value for key, value in group.items() if key != "params"}


def _as_groups(params: Any) -> list[dict[str, Any]]:
    if isinstance(params, np.ndarray | Parameter | Mapping | set):
        return [{"params": params}]
    if not isinstance(params, Iterable):
        raise TypeError(
            "params argument given to the optimizer should be an array, FlatParams, or an iterable of arrays, "
            f"Parameters or dicts, but got {type(params).__name__}"
        )
    members = list(params)
    if members and isinstance(members[0], dict):
        return members
    return [{"params": members}] if members else []


def _as_members(params: Any) -> tuple[list[Any], list[str], list[Parameter | Array | None]]:
    """The members of a group, their names if they have any, and where step() finds their gradients."""
    if isinstance(params, FlatParams):
        return list(params.values()), list(params), list(params.grad.values())
    if isinstance(params, set):
        raise TypeError("optimizer parameters need to be organized in ordered collections, not in a set")
    if isinstance(params, np.ndarray | Parameter):
        params = [params]
    elif isinstance(params, Mapping):
        params = params.items()
    members, names = [], []
    for item in params:
        name = getattr(item, "name", None)
        if isinstance(item, tuple):
            if len(item) != 2:
                raise ValueError(f"a named parameter is a pair (name, array), not a tuple of {len(item)}")
            name, item = item
        members.append(item)
        if name is not None:
            names.append(name)
    if names and len(names) != len(members):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return members, names, [item if isinstance(item, Parameter) else None for item in members]


def _check_overlap(arrays: list[Array], before: int) -> None:
    """Refuse parameters that share memory; those from `before` on are being added."""
    spans = sorted(
        (array.__array_interface__["data"][0], array.nbytes, i) for i, array in enumerate(arrays) if array.size
    )
    for (start, nbytes, i), (follower, _, j) in zip(spans, spans[1:], strict=False):
        if start + nbytes > follower:
            if (i < before) != (j < before):
                raise ValueError(
                    f"some parameters appear in more than one parameter group (parameters {i} and {j} share memory)"
                )
            raise ValueError(f"parameters {min(i, j)} and {max(i, j)} share memory; each must have its own")
