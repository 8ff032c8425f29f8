"""Losses, sorted by complexity."""

from fastopt.losses.classification import CrossEntropyLoss
from fastopt.losses.loss import Loss
from fastopt.losses.regression import MSELoss

__all__ = ["CrossEntropyLoss", "Loss", "MSELoss"]
