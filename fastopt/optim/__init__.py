"""Optimizers, sorted by complexity."""

from fastopt.optim.adafactor import Adafactor
from fastopt.optim.adam import Adam, AdamW
from fastopt.optim.adaptive import AdaBelief, Adan, Yogi
from fastopt.optim.ftrl import FTRL
from fastopt.optim.layerwise import LAMB, LARS
from fastopt.optim.muon import Muon
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.prodigy import Prodigy
from fastopt.optim.schedule_free import AdamWScheduleFree, SGDScheduleFree
from fastopt.optim.sgd import SGD
from fastopt.optim.sign import Lion, SignSGD, Signum

__all__ = [
    "FTRL",
    "LAMB",
    "LARS",
    "SGD",
    "AdaBelief",
    "Adafactor",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adan",
    "Lion",
    "Muon",
    "Optimizer",
    "Prodigy",
    "SGDScheduleFree",
    "SignSGD",
    "Signum",
    "Yogi",
]
