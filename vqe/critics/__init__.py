"""The two frozen critics: UNetLite (VQA) compares two frames, DOVER scores one."""

from vqe.critics.dover import DOVER
from vqe.critics.frozen_critics import FrozenCritics
from vqe.critics.frozen_dover import ConstantDOVER, FrozenDOVER
from vqe.critics.frozen_vqa import FrozenVQA, Scores
from vqe.critics.unetlite import UNetLite
from vqe.critics.weights import load_weights, untrained_

__all__ = [
    "DOVER",
    "ConstantDOVER",
    "FrozenCritics",
    "FrozenDOVER",
    "FrozenVQA",
    "Scores",
    "UNetLite",
    "load_weights",
    "untrained_",
]
