"""fastopt: optimizers, losses, schedules and solvers for NumPy, on in-place Cython kernels."""

from fastopt import lr_scheduler
from fastopt._threads import get_num_threads, set_num_threads
from fastopt.losses import CrossEntropyLoss, Loss, MSELoss
from fastopt.minimize import LBFGSMinimizer, lbfgs, minimize
from fastopt.optim import (
    FTRL,
    SGD,
    AdaBelief,
    Adam,
    AdamW,
    AdamWScheduleFree,
    Adan,
    Lion,
    Optimizer,
    SGDScheduleFree,
    SignSGD,
    Signum,
    Yogi,
)
from fastopt.params import FlatParams, Parameter
from fastopt.serialize import load, save
from fastopt.sparse import RowSparse
from fastopt.versions import show_versions

__all__ = [
    "FTRL",
    "SGD",
    "AdaBelief",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adan",
    "CrossEntropyLoss",
    "FlatParams",
    "LBFGSMinimizer",
    "Lion",
    "Loss",
    "MSELoss",
    "Optimizer",
    "Parameter",
    "RowSparse",
    "SGDScheduleFree",
    "SignSGD",
    "Signum",
    "Yogi",
    "get_num_threads",
    "lbfgs",
    "load",
    "lr_scheduler",
    "minimize",
    "save",
    "set_num_threads",
    "show_versions",
]
