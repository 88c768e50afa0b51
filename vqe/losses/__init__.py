"""Enhanced frames, targets and critic scores -> named, weighted loss terms."""

from vqe.losses.critics import VQALoss
from vqe.losses.fidelity import (
    SSIM,
    Charbonnier,
    ColourAngle,
    Detail,
    Harm,
    SupervisedMSE,
    SupervisedRMSE,
    TemporalDifference,
)
from vqe.losses.luts import LUTMonotonicity, LUTSmoothness
from vqe.losses.step import LossTerm, Step
from vqe.losses.structure import StructureAnchor
from vqe.losses.weighted import WeightedTerms

__all__ = [
    "SSIM",
    "Charbonnier",
    "ColourAngle",
    "Detail",
    "Harm",
    "LUTMonotonicity",
    "LUTSmoothness",
    "LossTerm",
    "Step",
    "StructureAnchor",
    "SupervisedMSE",
    "SupervisedRMSE",
    "TemporalDifference",
    "VQALoss",
    "WeightedTerms",
]
