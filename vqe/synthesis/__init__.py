"""Clean videos and pictures -> pairs in the challenge's layout, a step a file."""

from vqe.synthesis.degradation import Degrader, degrade_clip
from vqe.synthesis.parameters import Parameters, Span
from vqe.synthesis.ranges import Ranges
from vqe.synthesis.severity import severity

__all__ = ["Degrader", "Parameters", "Ranges", "Span", "degrade_clip", "severity"]
