"""Footage -> a data folder to train on, and the held-out clips that networks are measured on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from loading import QUICK, draw_frames

from vqe.building.build import build_dataset
from vqe.demo.footage import (
    CUTS,
    MAX_SIZE,
    SEED,
    ZOOM,
    build_demo_data,
    demo_ranges,
    fetch_footage,
    find_footage,
    plan_cut,
)
from vqe.pixels import rgb_chw_u8
from vqe.synthesis.degradation import FPS
from vqe.synthesis.plan import Clips, Layout
from vqe.synthesis.presets import Faults
from vqe.synthesis.production import make_videos
from vqe.synthesis.sources import find_sources, fit_frame, is_picture, read_picture
from vqe.synthesis.sources import read_clip as read_frames
from vqe.synthesis.synthesize import synthesize
from vqe.video.frame_index import count_frames

HELD_OUT = "test/supervised/synthetic"
CLEAN_FRAMES, CLEAN_CLIPS = 16, 2  # of each source of --clean
QUICK_SOURCES = 4
REAL_FRAMES = 32  # of a video of --real, from its middle


@dataclass(frozen=True)
class Clip:
    """A held-out pair: uint8 RGB [T,3,H,W] each."""

    name: str
    x: torch.Tensor
    y: torch.Tensor


def make_training_data(folder: Path, footage: Path | None) -> Path:
    """Build the demo's data folder, CSVs included; what is there is kept."""
    data = folder / "data"
    if footage is None:
        footage = fetch_footage(folder / "footage")
    build_demo_data(footage, data)
    build_dataset(source_dir=data, video_fps=30, minimal_videos=1, minimal_frames=10)
    return data


def make_quick_data(folder: Path) -> Path:
    """Build a tiny data folder from drawn frames: needs no footage."""
    clean, data = folder / "quick_clean", folder / "quick_data"
    clean.mkdir(parents=True, exist_ok=True)
    for number in range(QUICK_SOURCES):
        frame = next(draw_frames(number, QUICK))
        cv2.imencode(".png", frame)[1].tofile(clean / f"{number}.png")
    _synthesize(clean, data, frames=4, test_share=1 / QUICK_SOURCES)
    build_dataset(source_dir=data, video_fps=30, minimal_videos=1, minimal_frames=1)
    return data


def make_clean_data(clean: Path, folder: Path) -> Path:
    """Degrade other clean footage as the demo's is, all of it held out."""
    data = folder / "clean_data"
    _synthesize(clean, data, frames=CLEAN_FRAMES, test_share=1)
    return data


def make_judged_data(
    clean: Path | None, folder: Path, ranges: Faults, *, footage: Path | None, clips: int
) -> Path:
    """Degrade clean footage, all of it held out; what is there already is kept.

    Args:
        clean: videos and pictures; None: the demo's held-out clips.
        folder: for the pairs; each footage and faults have one of their own below it.
        ranges: the faults.
        footage: folder with the demo's clips; None fetches them.
        clips: of each source.
    """
    key = f"{clean and clean.absolute()}\n{ranges}\n{clips}"
    data = folder / f"judged_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if clean is not None:
        _synthesize(clean, data, frames=CLEAN_FRAMES, test_share=1, ranges=ranges, clips=clips)
        return data
    sources = find_footage(footage or fetch_footage(folder / "footage"))
    numbers = [n for n, cut in enumerate(CUTS) if cut.place.startswith(HELD_OUT)]
    plans = [plan_cut(n, sources[CUTS[n].source], ranges) for n in numbers]
    data.mkdir(parents=True, exist_ok=True)
    make_videos(plans, data, max_size=MAX_SIZE, backend="threading")
    return data


def read_real(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name and frames of each bad video or picture, uint8 RGB [T,3,H,W]."""
    for path in find_sources(folder, folder.parent):
        if is_picture(path):
            frames = [fit_frame(read_picture(path), MAX_SIZE)]
        else:
            start = max(0, (count_frames(path, FPS) - REAL_FRAMES) // 2)
            cut = {"start": start, "length": REAL_FRAMES, "camera": None}
            frames = list(read_frames(path, **cut, max_size=MAX_SIZE))
        yield path.name, torch.stack([rgb_chw_u8(frame) for frame in frames])


def _synthesize(
    clean: Path,
    data: Path,
    *,
    frames: int,
    test_share: float,
    ranges: Faults | None = None,
    clips: int = CLEAN_CLIPS,
) -> None:
    synthesize(
        source=clean,
        target_dir=data,
        ranges=ranges or demo_ranges(),
        clips=Clips(frames=frames, per_source=clips, max_size=MAX_SIZE, zoom=ZOOM),
        layout=Layout(["train_supervised_synthetic"], ["test_supervised_synthetic"], test_share),
        seed=SEED,
        backend="threading",
    )


def list_clips(data: Path) -> list[Path]:
    """List the folders of the held-out pairs.

    Raises:
        FileNotFoundError: there is none.
    """
    folders = sorted((data / HELD_OUT).glob("video_*"))
    if not folders:
        raise FileNotFoundError(f"expected held-out pairs in {data / HELD_OUT}, got none")
    return folders


def read_clip(folder: Path) -> Clip:
    """Read a pair: one clip is in memory at a time."""
    sides = {}
    for side in "xy":
        files = sorted((folder / side).glob("*.jpg"))
        frames = [cv2.imdecode(np.fromfile(f, np.uint8), cv2.IMREAD_COLOR) for f in files]
        sides[side] = torch.stack([rgb_chw_u8(frame) for frame in frames])
    return Clip(folder.name, **sides)
