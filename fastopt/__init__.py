"""fastopt: optimizers, losses, schedules and solvers for NumPy, on in-place Cython kernels."""

from fastopt import gradients, init, losses, lr_scheduler, optim, penalties, training
from fastopt._threads import get_num_threads, set_num_threads
from fastopt.gradients import *  # noqa: F403
from fastopt.interop import from_torch_state_dict, to_torch_state_dict
from fastopt.losses import *  # noqa: F403
from fastopt.minimize import LBFGSMinimizer, lbfgs, minimize
from fastopt.optim import *  # noqa: F403
from fastopt.params import FlatParams, Parameter
from fastopt.penalties import *  # noqa: F403
from fastopt.serialize import load, save
from fastopt.sparse import RowSparse
from fastopt.training import *  # noqa: F403
from fastopt.versions import show_versions

__all__ = [
    *optim.__all__,
    *losses.__all__,
    *gradients.__all__,
    *penalties.__all__,
    *training.__all__,
    "FlatParams",
    "LBFGSMinimizer",
    "Parameter",
    "RowSparse",
    "from_torch_state_dict",
    "get_num_threads",
    "init",
    "lbfgs",
    "load",
    "lr_scheduler",
    "minimize",
    "save",
    "set_num_threads",
    "show_versions",
    "to_torch_state_dict",
]
