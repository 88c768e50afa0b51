"""Score finished videos, for those who want numbers alone: videos -> pairs -> scores."""

from vqe.scoring.pairs import find_reference, find_videos
from vqe.scoring.scorer import VideoScorer

__all__ = ["VideoScorer", "find_reference", "find_videos"]
