"""The two frozen critics: UNetLite (VQA) compares two frames, DOVER scores one."""

from vqe.critics.dover import DOVER
from vqe.critics.unetlite import UNetLite
from vqe.critics.weights import load_weights, untrained_

__all__ = ["DOVER", "UNetLite", "load_weights", "untrained_"]
