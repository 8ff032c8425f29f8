"""Optimizers, sorted by complexity."""

from fastopt.optim.adafactor import Adafactor
from fastopt.optim.adagrad import Adadelta, Adagrad, RMSprop
from fastopt.optim.adam import Adam, Adamax, AdamW, NAdam, NAdamW, RAdam
from fastopt.optim.adaptive import AdaBelief, Adan, Yogi
from fastopt.optim.ftrl import FTRL
from fastopt.optim.layerwise import LAMB, LARS
from fastopt.optim.lbfgs import LBFGS
from fastopt.optim.muon import Muon
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.prodigy import Prodigy
from fastopt.optim.rprop import Rprop
from fastopt.optim.schedule_free import AdamWScheduleFree, SGDScheduleFree
from fastopt.optim.sgd import ASGD, SGD
from fastopt.optim.sign import Lion, SignSGD, Signum
from fastopt.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "FTRL",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Adan",
    "Lion",
    "Muon",
    "NAdam",
    "NAdamW",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
    "SignSGD",
    "Signum",
    "SparseAdam",
    "Yogi",
]
