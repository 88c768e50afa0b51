"""Footage -> a data folder to train on, and the held-out clips that networks are measured on."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from loading import QUICK, draw_frames

from vqe.building.build import build_dataset
from vqe.demo.footage import MAX_SIZE, SEED, ZOOM, build_demo_data, demo_ranges, fetch_footage
from vqe.pixels import rgb_chw_u8
from vqe.synthesis.plan import Clips, Layout
from vqe.synthesis.synthesize import synthesize

HELD_OUT = "test/supervised/synthetic"
CLEAN_FRAMES, CLEAN_CLIPS = 16, 2  # of each source of --clean
QUICK_SOURCES = 4


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


def _synthesize(clean: Path, data: Path, *, frames: int, test_share: float) -> None:
    synthesize(
        source=clean,
        target_dir=data,
        ranges=demo_ranges(),
        clips=Clips(frames=frames, per_source=CLEAN_CLIPS, max_size=MAX_SIZE, zoom=ZOOM),
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
