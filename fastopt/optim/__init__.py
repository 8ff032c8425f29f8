"""Optimizers, sorted by complexity."""

from fastopt.optim.adam import Adam, AdamW
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
