"""Optimizers, sorted by complexity."""

from fastopt.optim.adagrad import Adadelta, Adagrad, RMSprop
from fastopt.optim.adam import Adam, Adamax, AdamW, NAdam, NAdamW, RAdam
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.rprop import Rprop
from fastopt.optim.sgd import ASGD, SGD

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "NAdamW",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
]
