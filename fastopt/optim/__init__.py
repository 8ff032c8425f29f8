"""Optimizers, sorted by complexity."""

from fastopt.optim.adafactor import Adafactor
from fastopt.optim.adam import Adam, AdamW
from fastopt.optim.layerwise import LAMB, LARS
from fastopt.optim.muon import Muon
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.prodigy import Prodigy
from fastopt.optim.sgd import SGD

__all__ = ["LAMB", "LARS", "SGD", "Adafactor", "Adam", "AdamW", "Muon", "Optimizer", "Prodigy"]
