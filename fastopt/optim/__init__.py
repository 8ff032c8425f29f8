"""Optimizers, sorted by complexity."""

from fastopt.optim.adam import Adam, AdamW
from fastopt.optim.optimizer import Optimizer
from fastopt.optim.sgd import SGD
from fastopt.optim.sparse_adam import SparseAdam

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "SparseAdam"]
