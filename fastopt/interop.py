"""Optimizer states between torch and fastopt: what a run began with one, the other continues."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastopt.optim.optimizer import OPTIONS, TORCHS_OWN, StateDict, check_state_dict, plain

__all__ = ["from_torch_state_dict", "to_torch_state_dict"]

# In an entry of the state: what torch computes anew or fastopt has on top of torch.
TORCHS_SCALARS = {"eta", "mu"}
OUR_STATE = {"accumulated", "grad_sum", "slow", "average", "trained"}
OUR_OPTIONS = {*OPTIONS, "accumulated"} - {"maximize"}


def from_torch_state_dict(state_dict: Mapping[str, Any]) -> StateDict:
    """The state dict of a torch optimizer, as the fastopt optimizer of the same name loads it.

    Parameters
    ----------
    state_dict : dict
        From ``torch_optimizer.state_dict()``, or read by ``torch.load``; with parameters numbered, as there, or named,
        as ``torch.distributed.checkpoint`` has them. Names are kept as ``param_names``.

    Returns
    -------
    state_dict : dict
        For ``load_state_dict``, of new arrays. Step counts are integers, and keys that only torch's implementations
        have (``foreach``, ``fused``, ``capturable``, ``differentiable``; ASGD's ``eta`` and ``mu``) are gone.

    Raises
    ------
    TypeError
        `state_dict` is none.
    ValueError
        It is that of LBFGS.

    Notes
    -----
    torch is not imported: a tensor is what has ``detach()``. SGD and Muon count no steps in torch, so theirs start at 1
    here. ASGD's and NAdam's scalars are of single precision in torch, and what continues from them is as precise.

    Examples
    --------
    >>> group = {"lr": 0.1, "momentum": 0.9, "foreach": None, "params": [0]}
    >>> theirs = {"state": {0: {"momentum_buffer": np.ones(2)}}, "param_groups": [group]}  # or torch_optimizer's
    >>> opt = fo.SGD(np.zeros(2))
    >>> opt.load_state_dict(fo.from_torch_state_dict(theirs))
    >>> opt.param_groups[0]["momentum"], opt.state[0]["momentum_buffer"]
    (0.9, array([1., 1.]))
    """
    check_state_dict(state_dict)
    _check_elementwise(state_dict)
    state: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    first = 0
    for theirs in state_dict["param_groups"]:
        group = {key: plain(_untensored(value)) for key, value in theirs.items() if key not in TORCHS_OWN}
        keys = theirs["params"]
        group["params"] = list(range(first, first + len(keys)))
        if all(isinstance(key, str) for key in keys):
            group.setdefault("param_names", list(keys))
        for i, key in zip(group["params"], keys, strict=True):
            entry = {
                name: _untensored(value)
                for name, value in state_dict["state"].get(key, {}).items()
                if name not in TORCHS_SCALARS and value is not None
            }
            if entry:
                state[i] = {"step": 1} | entry
                for name, number in {"step": int, "mu_product": float}.items():
                    if name in state[i]:
                        state[i][name] = number(state[i][name])
        groups.append(group)
        first += len(keys)
    return {"state": state, "param_groups": groups}


def to_torch_state_dict(state_dict: Mapping[str, Any], tensors: bool = False) -> StateDict:
    """The state dict of a fastopt optimizer, as the torch optimizer of the same name loads it.

    Parameters
    ----------
    state_dict : dict
        From ``state_dict()``, or read by `fastopt.load`.
    tensors : bool, default False
        Import torch and return tensors, ready for torch's ``load_state_dict``; else arrays, of which
        ``torch.from_numpy`` makes tensors.

    Returns
    -------
    state_dict : dict
        Of new arrays or tensors. Step counts are float32, but for SparseAdam's; SGD and Muon have none.

    Raises
    ------
    TypeError
        `state_dict` is none.
    ValueError
        It is that of LBFGS.
    ImportError
        torch is not installed, and `tensors` is set.

    Notes
    -----
    Options that torch lacks are left out with their state, so that the run continues without them; accumulated
    gradients and averaged weights (`Optimizer.eval_params`) among them. Callables among the hyperparameters are not in
    a state dict; give torch their values.

    Examples
    --------
    >>> opt = fo.Adam(np.ones(2), lr=0.1)
    >>> opt.step(np.ones(2))
    >>> theirs = fo.to_torch_state_dict(opt.state_dict())
    >>> theirs["state"][0]["step"]
    array(1., dtype=float32)
    """
    check_state_dict(state_dict)
    _check_elementwise(state_dict)
    state: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    for ours in state_dict["param_groups"]:
        group = {key: copy.deepcopy(value) for key, value in ours.items() if key not in OUR_OPTIONS}
        if "decay_mode" in ours and "decoupled_weight_decay" in ours:
            group["decoupled_weight_decay"] = ours["decay_mode"] == "decoupled"
        groups.append(group)
        for i in ours["params"]:
            entry = state_dict["state"].get(i, {})
            entry = {name: np.array(value) for name, value in entry.items() if name not in OUR_STATE}
            entry = _torchs_scalars(group, entry)
            if entry:
                state[i] = entry
    if tensors:
        torch = importlib.import_module("torch")
        for entry in state.values():
            for name, value in entry.items():
                entry[name] = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    return {"state": state, "param_groups": groups}


def _check_elementwise(state_dict: Mapping[str, Any]) -> None:
    """Refuse the state of LBFGS, which torch keeps in one piece, with a gradient to be compared with the next."""
    if any("history_size" in group for group in state_dict["param_groups"]):
        raise ValueError("the state of LBFGS cannot be carried over: begin anew from the parameters")


def _torchs_scalars(group: Mapping[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its scalars as torch has them; hyperparameters tell which class it is of."""
    step = int(entry.pop("step", 0))
    if step == 0:
        return {}
    if "dampening" in group or "ns_steps" in group:  # SGD and Muon count no steps
        return entry
    if "exp_avg_sq" in entry and not {"amsgrad", "decoupled_weight_decay"} & group.keys():
        # SparseAdam, which computes with its count: as float32 it would make its corrections float32, too
        return {"step": step, **entry}
    scalars = {"step": step} | {name: entry[name] for name in ("mu_product",) if name in entry}
    if "lambd" in group:
        try:
            lr, lambd, alpha, t0 = (group[name] for name in ("lr", "lambd", "alpha", "t0"))
        except KeyError as error:
            raise ValueError(f"ASGD's eta and mu need {error}; callables are not in a state dict") from None
        scalars |= {"eta": lr / (1 + lambd * lr * step) ** alpha, "mu": 1 / max(1, step - t0)}
    return entry | {name: np.array(value, np.float32) for name, value in scalars.items()}


def _untensored(value: Any) -> Any:
    """A copy in which tensors are arrays."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy().copy()
    if type(value) in (list, tuple):
        return type(value)(map(_untensored, value))
    return copy.deepcopy(value)
