"""Name the CSV columns, the subsets and the twelve scores: the one home of these names."""

import math
import re
import zlib

FRAME_COLUMNS = ("img_source", "img_target", "h", "w", "subset", "video_id")
VIDEO_COLUMNS = ("frame", "fps")  # of CSVs whose rows name a video; empty where they name an image
CHALLENGE_FPS = 30  # of all its videos
VIDEO_KEY = ["subset", "video_id"]  # a video_id repeats across subsets

TRAIN_SUBSETS = ("train_supervised_synthetic", "train_supervised_real", "train_unsupervised")
TEST_SUBSETS = ("test_supervised_synthetic", "test_unsupervised")
SUBSETS = TRAIN_SUBSETS + TEST_SUBSETS

P = "p"  # probability that the enhanced frame is better than the input
ATTRIBUTES = tuple(f"a{i}" for i in range(1, 12))  # of the enhanced frame, meaning unpublished
SCORES = (P, *ATTRIBUTES)
INVERTED_SCORES = frozenset({"a4"})  # falls as quality grows; every other score rises

SUPERVISED_COLUMNS = ("video_i", "rmse")
UNSUPERVISED_COLUMNS = ("video_i", *(f"m_{i}" for i in range(1, len(SCORES) + 1)))
SCORE_OF_COLUMN = dict(zip(UNSUPERVISED_COLUMNS[1:], SCORES, strict=True))  # m_5 -> a4, raw

SUPERVISED_CSV = "metrics_supervised.csv"
UNSUPERVISED_CSV = "metrics_unsupervised.csv"

LUMAS = ("luma_input", "luma_enhanced", "luma_target")
INPUT_SCORES = tuple(f"input_{name}" for name in SCORES)
FRAMES_NUMBERS = ("rmse_input", "rmse", *LUMAS, *SCORES, *INPUT_SCORES)
FRAMES_CSV = "frames.csv.gz"  # of a test, a row a frame
PROVENANCE_JSON = "provenance.json"

VIDEO_FILE = re.compile(r"^(?P<video_id>video_\d+)_(?P<side>[xy])\.mp4$")
VIDEO_FOLDER = re.compile(r"^video_\d+$")


def frame_stem(number: int) -> str:
    """Name frame `number`, from 0, of a video as its extracted image is named, less the suffix."""
    return f"frame_{number + 1:04d}"


def frame_seed(subset: str, video_id: str, frame: str) -> int:
    """Return the seed that stands for a frame: the same for the same frame on any machine."""
    return zlib.crc32(f"{subset}/{video_id}/{frame}".encode())


def orient_scores(scores: dict[str, float]) -> dict[str, float]:
    """Return scores that all grow with quality: the inverted ones become `1 - score`."""
    return {k: 1 - v if k in INVERTED_SCORES else v for k, v in scores.items()}


def leaderboard_score(mean_scores: dict[str, float], mean_rmse: float) -> float:
    """Compute the challenge's score from means over videos.

    Args:
        mean_scores: the mean of every name in `SCORES` over the unsupervised videos, raw.
        mean_rmse: the mean RMSE over the supervised videos, in challenge range.

    Raises:
        ValueError: a score is missing or not finite, or the RMSE is not positive.
    """
    missing = [name for name in SCORES if not math.isfinite(mean_scores.get(name, math.nan))]
    if missing:
        raise ValueError(f"expected finite means of {SCORES}, got none for {missing}")
    if not (math.isfinite(mean_rmse) and mean_rmse > 0):
        raise ValueError(f"expected a finite mean RMSE above 0, got {mean_rmse}")
    oriented = orient_scores({name: mean_scores[name] for name in SCORES})
    return sum(oriented.values()) / len(SCORES) / mean_rmse
