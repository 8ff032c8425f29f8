"""fastopt: optimizers, losses, schedules and solvers for NumPy, on in-place Cython kernels."""

from fastopt import lr_scheduler
from fastopt._threads import get_num_threads, set_num_threads
from fastopt.losses import CrossEntropyLoss, Loss, MSELoss
from fastopt.minimize import LBFGSMinimizer, lbfgs, minimize
from fastopt.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    NAdamW,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from fastopt.params import FlatParams, Parameter
from fastopt.serialize import load, save
from fastopt.sparse import RowSparse
from fastopt.versions import show_versions

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "CrossEntropyLoss",
    "FlatParams",
    "LBFGSMinimizer",
    "Loss",
    "MSELoss",
    "NAdam",
    "NAdamW",
    "Optimizer",
    "Parameter",
    "RAdam",
    "RMSprop",
    "RowSparse",
    "Rprop",
    "get_num_threads",
    "lbfgs",
    "load",
    "lr_scheduler",
    "minimize",
    "save",
    "set_num_threads",
    "show_versions",
]
