"""Learning-rate schedules, each a function of the epoch: those of torch, and warm-ups, plateaus and more."""

from fastopt.lr_scheduler.annealing import SWALR, CosineAnnealingLR, CosineAnnealingWarmRestarts
from fastopt.lr_scheduler.composition import ChainedScheduler, ParamScheduler, SequentialLR
from fastopt.lr_scheduler.cycles import CyclicLR, OneCycleLR
from fastopt.lr_scheduler.decay import (
    REXLR,
    ConstantLR,
    ExponentialLR,
    ExponentialWarmupLR,
    InverseSqrtLR,
    LambdaLR,
    LinearLR,
    LinearWarmupLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
    WarmupStableDecayLR,
)
from fastopt.lr_scheduler.plateau import ReduceLROnPlateau
from fastopt.lr_scheduler.scheduler import LRScheduler

__all__ = [
    "REXLR",
    "SWALR",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "ExponentialWarmupLR",
    "InverseSqrtLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "LinearWarmupLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "ParamScheduler",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "WarmupStableDecayLR",
]
