"""Optimizers, sorted by complexity."""

from fastopt.optim.adam import Adam, AdamW
from fastopt.optim.adaptive import AdaBelief, Adan, Yogi
from fastopt.optim.ftrl import FTRL
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.schedule_free import AdamWScheduleFree, SGDScheduleFree
from fastopt.optim.sgd import SGD
from fastopt.optim.sign import Lion, SignSGD, Signum

__all__ = [
    "FTRL",
    "SGD",
    "AdaBelief",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adan",
    "Lion",
    "Optimizer",
    "SGDScheduleFree",
    "SignSGD",
    "Signum",
    "Yogi",
]
