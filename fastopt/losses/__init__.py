"""Losses, sorted by what they compare, and there by complexity."""

from fastopt.losses.classification import CrossEntropyLoss, FocalLoss, NLLLoss, NLLLoss2d
from fastopt.losses.counts import HalfGammaLoss, HalfPoissonLoss, HalfTweedieLoss, PoissonNLLLoss
from fastopt.losses.ctc import CTCLoss
from fastopt.losses.embedding import (
    CosineEmbeddingLoss,
    DiceLoss,
    NTXentLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from fastopt.losses.linear import AdaptiveLogSoftmaxWithLoss, LinearCrossEntropyLoss
from fastopt.losses.loss import Loss
from fastopt.losses.margin import (
    HingeEmbeddingLoss,
    HingeLoss,
    MarginRankingLoss,
    ModifiedHuberLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    SquaredHingeLoss,
)
from fastopt.losses.probability import BCELoss, BCEWithLogitsLoss, KLDivLoss, SigmoidFocalLoss
from fastopt.losses.regression import (
    CauchyLoss,
    EpsilonInsensitiveLoss,
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    LogCoshLoss,
    MSELoss,
    PinballLoss,
    SmoothL1Loss,
)

__all__ = [
    "AdaptiveLogSoftmaxWithLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CauchyLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "EpsilonInsensitiveLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HalfGammaLoss",
    "HalfPoissonLoss",
    "HalfTweedieLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LinearCrossEntropyLoss",
    "LogCoshLoss",
    "Loss",
    "MSELoss",
    "MarginRankingLoss",
    "ModifiedHuberLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "NLLLoss2d",
    "NTXentLoss",
    "PinballLoss",
    "PoissonNLLLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SquaredHingeLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]
