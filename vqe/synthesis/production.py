"""Planned videos -> their files, in parallel, with synthesis.csv kept up to date."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqe.files import BadFile
from vqe.layout import FOLDERS
from vqe.parallel import map_parallel, open_backend
from vqe.synthesis.degradation import Degrader
from vqe.synthesis.plan import VideoPlan
from vqe.synthesis.record import Place, Record
from vqe.synthesis.sources import read_clip
from vqe.synthesis.writing import open_pair
from vqe.temporary import clear_folder
from vqe.video import VideoError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeVideo:
    """What became of a plan: frames and bit rate, or why the source is bad."""

    place: Place
    frames: int = 0
    h264_kbps: float | None = None
    bad: BadFile | None = None


def make_videos(
    plans: Sequence[VideoPlan],
    target_dir: Path,
    *,
    max_size: Sequence[int],
    jobs: int = -1,
    backend: str = "loky",
    dask_address: str | None = None,
) -> tuple[int, list[BadFile]]:
    """Make the videos that are not there yet.

    Args:
        plans: what to make.
        target_dir: the data folder; no other command is at work there.
        max_size: height and width that frames are shrunk to fit into.
        jobs: videos at a time, -1 for one per core.
        backend: joblib's backend.
        dask_address: of the scheduler, for backend "dask" only.

    Returns:
        How many were made now, and the bad sources, each once.

    Raises:
        ValueError: a place holds a video of other settings; nothing was made then.
    """
    record = Record(target_dir)
    todo = [plan for plan in plans if not record.add(plan.to_row())]
    record.save()  # the places are taken from now on, whatever happens
    places = [(plan.subset, plan.video_id) for plan in todo]
    bad: dict[Path, BadFile] = {}
    try:
        with open_backend(backend, dask_address, jobs):
            results = map_parallel(make_video, todo, target_dir, tuple(max_size), in_order=False)
            for made in tqdm(results, total=len(todo), desc="videos", unit="video"):
                if made.bad is None:
                    record.set_made(made.place, made.frames, made.h264_kbps)
                else:
                    bad.setdefault(made.bad.path, made.bad)
                    record.drop([made.place])
                    log.warning("%s: %s", made.bad.path, made.bad.reason)
    finally:
        for subset in {plan.subset for plan in todo}:
            clear_folder(target_dir / FOLDERS[subset])  # an interrupt ends workers where they stand
        record.save()
    return len(todo) - sum(place not in record.rows for place in places), list(bad.values())


def make_video(plan: VideoPlan, target_dir: Path, max_size: tuple[int, int]) -> MadeVideo:
    """Make one video; a bad source is returned, not raised, and leaves no file."""
    place = (plan.subset, plan.video_id)
    degrade = Degrader(plan.parameters, seed=plan.seed, frames=plan.length)
    cut: dict[str, Any] = {"start": plan.start, "length": plan.length, "camera": plan.camera}
    frames = 0
    try:
        with open_pair(target_dir, place) as write:
            for frame in read_clip(plan.source, **cut, max_size=max_size):
                write(degrade(frame), frame)
                frames += 1
    except VideoError as e:
        if e.path != plan.source:
            raise  # the disk's fault, not the source's
        return MadeVideo(place, bad=BadFile(plan.source, e.reason))
    return MadeVideo(place, frames, degrade.h264_kbps)
