"""Muon: momentum, orthogonalized."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from fastopt._rules import RULES as ELEMENTWISE
from fastopt._tensor_rules import RULES
from fastopt._validation import check_choice, check_count, check_flag, check_number
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule
from fastopt.params import Array

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # for what is no matrix


@np.errstate(all="ignore")  # what is not finite goes into the parameter, as everywhere
def orthogonalize(
    group: dict[str, Any], param: Array, gradient: Array, scale: float, l2: float, state: dict[str, Array]
) -> None:
    """Fill ``_direction`` with the new momentum, its singular values brought near 1 by Newton-Schulz iterations."""
    momentum, (a, b, c) = group["momentum"], group["ns_coefficients"]
    direction, x, y = state["_direction"], state["_x"], state["_y"]
    gram, update = state["_gram"], state["_update"]
    tall = param.shape[0] > param.shape[1]
    held = y.T if tall else y
    np.multiply(gradient, scale, out=direction)
    if l2:
        direction += np.multiply(param, l2, out=held)
    np.subtract(direction, state["momentum_buffer"], out=held)  # g - b
    held *= momentum * momentum if group["nesterov"] else momentum
    direction -= held
    norm = np.linalg.norm(direction)
    if np.isinf(norm):  # the squares overflow before the gradient does
        direction /= max(direction.max(), -direction.min())
        norm = np.linalg.norm(direction)
    np.divide(direction.T if tall else direction, max(norm, group["eps"]), out=x)
    for _ in range(group["ns_steps"]):
        np.matmul(x, x.T, out=gram)
        np.matmul(gram, gram.T, out=update)  # symmetric: half the work of any other product
        update *= c
        gram *= b
        update += gram
        np.matmul(update, x, out=y)
        x *= a
        x += y
    direction[...] = x.T if tall else x


MATRIX = Rule(
    RULES["muon"],
    *("momentum_buffer", "_direction", "_x", "_y", "_gram", "_update"),
    whole=True,
    prologue=orthogonalize,
)
OTHER = Rule(ELEMENTWISE["adam"], "exp_avg", "exp_avg_sq")


class Muon(Optimizer):
    """Momentum whose singular values are all brought near 1, for matrices; AdamW for everything else.

    With g the gradient (negated if `maximize`), for a matrix of A rows and B columns::

        b = momentum * b + (1 - momentum) * g
        u = orthogonalized (1 - momentum) * g + momentum * b if nesterov else b
        p = (1 - lr * weight_decay) * p - lr * sqrt(max(1, A / B)) * u

    Orthogonalized is the result of `ns_steps` steps ``x = a x + (b x x^T + c (x x^T)^2) x`` from ``x = u / |u|``.

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, at least 0.
    weight_decay : float, default 0.1
        At least 0, decoupled, with `lr` itself, unless ``decay_mode="l2"``.
    momentum : float, default 0.95
        In [0, 1).
    nesterov : bool, default True
    ns_coefficients : three floats, default (3.4445, -4.775, 2.0315)
        a, b and c.
    eps : float, default 1e-7
        The least norm to divide by, at least 0.
    ns_steps : int, default 5
        From 1 to 99.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}, default None
        The factor on `lr`: that above, which is "original", or ``0.2 * sqrt(max(A, B))``, for rates tuned with AdamW.
    **options
        What every optimizer takes but `state_dtype`; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.

    Notes
    -----
    State: ``step``, ``momentum_buffer``, or AdamW's. torch's refuses parameters that are no matrices and computes in
    bfloat16, so that its results agree with these, in the parameter's own precision, to two digits. What is no matrix
    is updated by AdamW with this `lr` and `weight_decay`, betas (0.9, 0.999) and eps 1e-8: give it a group of its own
    to choose `lr`. The products of matrices are NumPy's, and their last bits may depend on the threads of its BLAS.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.

    Examples
    --------
    >>> w = np.diag([3.0, 4.0])
    >>> opt = fo.Muon(w, lr=0.1, weight_decay=0)
    >>> opt.step(np.eye(2))
    >>> w.round(2)
    array([[2.89, 0.  ],
           [0.  , 3.89]])
    """

    _by_shape = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
                "decay_mode": "decoupled",
            },
            **options,
        )

    def _check(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], float | int) and not group["lr"] >= 0:
            raise ValueError(f"Learning rate should be >= 0 but is: {group['lr']}")
        super()._check(group)
        check_number(group["momentum"], "momentum should be >= 0 but is", "Muon", "momentum", high=1.0)
        check_flag(group["nesterov"], "Muon", "nesterov")
        check_number(group["eps"], "Invalid epsilon value", "Muon", "eps")
        check_count(group["ns_steps"], "Muon", "ns_steps")
        if group["ns_steps"] >= 100:
            raise ValueError(f"Number of steps must be less than 100 for computational efficiency: {group['ns_steps']}")
        if not isinstance(group["ns_coefficients"], tuple | list) or len(group["ns_coefficients"]) != 3:
            raise ValueError(f"Coefficients must be a tuple of exactly 3 values, not {group['ns_coefficients']!r}")
        if group["adjust_lr_fn"] is not None:
            check_choice(group["adjust_lr_fn"], ("original", "match_rms_adamw"), "Muon", "adjust_lr_fn")

    @staticmethod
    def _state_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if (name in ("exp_avg", "exp_avg_sq")) == (len(shape) == 2):
            return None
        if name in ("_x", "_y"):
            return min(shape), max(shape)
        if name in ("_gram", "_update"):
            return min(shape), min(shape)
        return shape

    @staticmethod
    def _scalars(group: dict[str, Any], t: int, shape: tuple[int, ...]) -> tuple[Rule, tuple[float, ...]]:
        lr = group["lr"]
        if len(shape) != 2:
            beta1, beta2 = ADAM_BETAS
            return OTHER, (beta1, beta2, lr / (1 - beta1**t), (1 - beta2**t) ** -0.5, 0, ADAM_EPS)
        rows, columns = shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            lr *= 0.2 * math.sqrt(max(rows, columns))
        elif rows > columns:
            lr *= math.sqrt(rows / columns) if columns else 1
        return MATRIX, (lr, group["momentum"])
