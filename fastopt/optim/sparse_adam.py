"""Adam for sparse gradients."""

from __future__ import annotations

from typing import Any, Unpack

from fastopt._validation import check_betas, check_number
from fastopt.optim.adam import PLAIN
from fastopt.optim.optimizer import Optimizer, Options, Params, Rule, eps_terms


class SparseAdam(Optimizer):
    """Adam for gradients that touch few rows, as embeddings have: the other rows and their moments rest, at no cost.

    With g the gradient of the rows it touches (negated if `maximize`, plus ``weight_decay * p``) and t the number of
    steps of the whole parameter, for these rows alone::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps)

    Parameters
    ----------
    params : ndarray, FlatParams, or iterable of ndarray, Parameter, (name, ndarray) or group dict
        What to optimize; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, above 0.
    betas : pair of float, default (0.9, 0.999)
        Decay rates of the moments, each in [0, 1).
    eps : float, default 1e-8
        Added to the root, above 0; unlike in `Adam` before bias correction, as in torch. ``eps_mode="torch"`` is "hat".
    weight_decay : float, default 0
        L2 penalty on the rows touched, added to their gradient; at least 0. torch has none here.
    **options
        What every optimizer takes, `maximize` among them; see `Optimizer`. Those that need whole tensors are refused:
        `accumulate`, averages of the weights, and ``sparse="dense"``.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter of the wrong type or outside its range, or a parameter that cannot be updated in place.
    RuntimeError
        From `step`, a dense gradient.

    Notes
    -----
    State: ``step``, ``exp_avg``, ``exp_avg_sq``. A gradient without rows counts as a step. Every optimizer takes sparse
    gradients (`RowSparse`, scipy.sparse) in this way; this one takes no others.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, end of section 2, for the place of eps.

    Examples
    --------
    >>> w = np.ones((4, 2))
    >>> opt = fo.SparseAdam(w, lr=0.1)
    >>> opt.step([fo.RowSparse([2], np.ones((1, 2)), w.shape)])
    >>> w[:, 0].round(6)
    array([1. , 1. , 0.9, 1. ])
    """

    _dense = False
    _eps_modes = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0,
        **options: Unpack[Options],
    ) -> None:
        if not callable(lr):  # here alone, since a schedule may end at 0
            check_number(lr, "Invalid learning rate", "SparseAdam", "lr", low_open=True)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, **options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_number(group["eps"], "Invalid epsilon value", "SparseAdam", "eps", low_open=True)
        check_betas(group["betas"], "SparseAdam")

    @staticmethod
    def _scalars(group: dict[str, Any], t: int) -> tuple[Rule, tuple[float, ...]]:
        beta1, beta2 = group["betas"]
        correction2 = (1 - beta2**t) ** -0.5
        mode = "root" if group.get("eps_mode") == "root" else "hat"
        return PLAIN, (
            beta1,
            beta2,
            group["lr"] / (1 - beta1**t),
            correction2,
            *eps_terms({"eps": group["eps"], "eps_mode": mode}, correction2),
        )
