"""fastopt: optimizers, losses, schedules and solvers for NumPy, on in-place Cython kernels."""

from fastopt import lr_scheduler
from fastopt._threads import get_num_threads, set_num_threads
from fastopt.losses import CrossEntropyLoss, Loss, MSELoss
from fastopt.optim import SGD, Adam, AdamW, Optimizer
from fastopt.params import FlatParams, Parameter
from fastopt.serialize import load, save

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CrossEntropyLoss",
    "FlatParams",
    "Loss",
    "MSELoss",
    "Optimizer",
    "Parameter",
    "get_num_threads",
    "load",
    "lr_scheduler",
    "save",
    "set_num_threads",
]
