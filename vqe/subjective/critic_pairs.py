"""A study's votes and clips -> rated_pairs.csv and frames, to train a critic on."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from vqe.critic_training.pairs_csv import IMAGES, SCORE_COLUMNS
from vqe.files import complete_or_absent, write_csv
from vqe.inputs import RATED_PAIRS
from vqe.schema import P
from vqe.subjective.cleaning import REMOVED
from vqe.subjective.study import CLIPS, Study, load_study
from vqe.subjective.votes import PAIR
from vqe.video import iter_frames

FRAMES = "rated_frames"


def write_critic_pairs(votes: pd.DataFrame, folder: Path, *, frames: int) -> None:
    """Write frames of the rated clips, evenly spread, and p of every pair.

    p is the share of votes for the second clip, ties as half, with half a vote added to each
    side: one vote alone is no certainty.

    Args:
        votes: with `removed_by`.
        folder: of the study.
        frames: of each clip.
    """
    used = votes[(votes[REMOVED] == "") & (votes["kind"] == PAIR)]
    shares = _share_wins(used)
    study = load_study(folder)
    pictures = _write_frames(study, shares, folder, frames)
    rows = []
    for (content, a, b), p in shares.items():
        for first, second in zip(pictures[content, a], pictures[content, b], strict=True):
            rows.append((first, second, round(p, 4)))
    table = pd.DataFrame(rows, columns=[*IMAGES, P]).reindex(columns=[*IMAGES, *SCORE_COLUMNS])
    write_csv(table, folder / RATED_PAIRS)


def _share_wins(used: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return p that b looks better than a, by content and methods a < b."""
    turned = used["first"] > used["second"]
    table = pd.DataFrame(
        {
            "content": used["content"],
            "a": used["first"].where(~turned, used["second"]),
            "b": used["second"].where(~turned, used["first"]),
            "won": (np.sign(used["vote"].where(~turned, -used["vote"])) + 1) / 2,
        }
    )
    grouped = table.groupby(["content", "a", "b"])["won"]
    return ((grouped.sum() + 0.5) / (grouped.size() + 1)).to_dict()


def _write_frames(
    study: Study, shares: dict, folder: Path, frames: int
) -> dict[tuple[str, str], list[str]]:
    """Write the frames of each clip that is in a pair; return their paths in the study."""
    wanted = {(content, method) for content, a, b in shares for method in (a, b)}
    pictures: dict[tuple[str, str], list[str]] = {}
    for name, clip in study.clips.items():
        key = (clip.content, clip.method)
        if key not in wanted or key in pictures:
            continue
        whole = list(iter_frames(folder / CLIPS / name, None))
        numbers = np.linspace(0, len(whole) - 1, frames + 2)[1:-1].round().astype(int)
        pictures[key] = []
        for number in numbers:
            place = Path(FRAMES, clip.content, f"{clip.method}_{number:04d}.png")
            data = cv2.imencode(".png", whole[number])[1]
            with complete_or_absent(folder / place) as part:
                part.write_bytes(data.tobytes())
            pictures[key].append(place.as_posix())
    return pictures
