"""Small clips of an input and methods of a known order, and a study of them."""

from pathlib import Path

import numpy as np
from clips import write_mp4
from conftest import compose_config, draw_frame

from vqe.subjective.plan import plan

QUALITY = {"input": 0.35, "opencv": 0.55, "nano": 0.8, "base": 1.0}  # brightness, here


def write_clips(root: Path, *, contents=4, frames=6, methods=QUALITY, size=(72, 96)) -> Path:
    """Write a folder of clips for each method; inputs are called <name>_x.mp4."""
    for method, light in methods.items():
        folder = root / method
        folder.mkdir(parents=True)
        side = "_x" if method == "input" else ""
        for c in range(contents):
            pictures = (draw_frame(c, f, *size) * light for f in range(frames))
            path = folder / f"video_{c:04d}{side}.mp4"
            write_mp4(path, (picture.astype(np.uint8) for picture in pictures))
    return root


def make_study(root: Path, *overrides: str, clips: Path | None = None) -> Path:
    """Write clips, unless there are some, and plan a study of them."""
    clips = clips or write_clips(root / "clips")
    methods = [str(clips / m) for m in QUALITY if m != "input"]
    config = compose_config(
        root / "run",
        f"methods={methods}",
        f"reference='{clips / 'input'}'",
        f"output='{root / 'study'}'",
        "votes=8",
        "pairs_per_session=4",
        "trap_seconds=0.2",
        "gold=2",
        "traps=2",
        *overrides,
        name="ratings_plan",
    )
    plan(config)
    return root / "study"
