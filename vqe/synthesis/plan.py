"""Source files and options -> which clip of which file becomes which video, and how bad."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqe.schema import SUBSETS, TEST_SUBSETS, TRAIN_SUBSETS
from vqe.synthesis.parameters import Parameters
from vqe.synthesis.presets import Faults
from vqe.synthesis.ranges import check_range
from vqe.synthesis.record import Record
from vqe.synthesis.severity import severity
from vqe.synthesis.sources import Camera


@dataclass(frozen=True)
class VideoPlan:
    """One video to make: all that its pixels depend on."""

    subset: str
    video_id: str
    source: Path
    name: str  # of the source, relative to the folder it was found in
    clip: int  # which of this source's clips, from 0
    start: int  # first frame, at 30 fps
    length: int
    seed: int
    parameters: Parameters
    camera: Camera | None = None  # for pictures

    def to_row(self) -> dict[str, str]:
        """Return the plan's columns of synthesis.csv."""
        row = {
            "subset": self.subset,
            "video_id": self.video_id,
            "source": self.name,
            "source_bytes": str(self.source.stat().st_size),
            **{name: str(getattr(self, name)) for name in ("clip", "start", "length", "seed")},
            "severity": f"{severity(self.parameters):.4f}",
        }
        for name in ("zoom", "pan_x", "pan_y"):
            span = getattr(self.camera, name) if self.camera else None
            row[f"{name}_start"] = repr(span.start) if span else ""
            row[f"{name}_end"] = repr(span.end) if span else ""
        return row | self.parameters.to_row()


@dataclass(frozen=True)
class Clips:
    """What is cut from each source.

    Args:
        frames: length of a clip, at 30 fps; shorter where the source is.
        per_source: at most so many clips of a video, as they fit without overlap; of a picture
            exactly so many.
        max_size: height and width that frames are shrunk to fit into.
        zoom: range of the zoom over pictures, 1 or more.
    """

    frames: int
    per_source: int
    max_size: Sequence[int]
    zoom: tuple[float, float]

    def __post_init__(self) -> None:
        sizes = list(self.max_size)
        for name, value in {"frames": self.frames, "per_source": self.per_source}.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"expected clips.{name} to be a whole number above 0, got {value}")
        if len(sizes) != 2 or min(sizes) < 16:
            raise ValueError(f"expected clips.max_size as [height, width] from 16, got {sizes}")
        check_range("clips.zoom", self.zoom, (1, 8))

    def starts(self, total: int | None) -> list[int]:
        """Return where the clips of a video of so many frames start; None: a picture."""
        if total is None:
            return [0] * self.per_source
        count = max(1, min(self.per_source, total // self.frames))
        return [i * total // count for i in range(count)]


@dataclass(frozen=True)
class Layout:
    """Where the videos go.

    Args:
        train_subsets: subsets that a training source's clips go to in turn; name one twice for
            twice the share.
        test_subsets: the same for held-out sources.
        test_share: share of the source files that is held out: no frame of theirs is trained on.
    """

    train_subsets: Sequence[str]
    test_subsets: Sequence[str]
    test_share: float

    def __post_init__(self) -> None:
        check_range("layout.test_share", (self.test_share,) * 2, (0, 1))
        for key, valid in (("train_subsets", TRAIN_SUBSETS), ("test_subsets", TEST_SUBSETS)):
            names = list(getattr(self, key))
            if not names or set(names) - set(valid):
                raise ValueError(f"expected layout.{key} of {', '.join(valid)}, got {names}")

    def split(self, names: list[str], known: Mapping[str, bool], seed: int) -> set[str]:
        """Return the names that are held out; those `known` to be (True) or not (False) stay so."""
        held_out = {name for name in names if known.get(name)}
        new = sorted((n for n in names if n not in known), key=lambda n: derive_seed(seed, n))
        missing = round(self.test_share * len(names)) - len(held_out)
        return held_out | set(new[: max(0, missing)])


def derive_seed(seed: int, *words: object) -> int:
    """Derive a seed from names: the same on every machine, whatever else there is."""
    text = "\n".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def plan_videos(
    totals: Mapping[Path, int | None],
    root: Path,
    record: Record,
    *,
    layout: Layout,
    clips: Clips,
    ranges: Faults,
    seed: int,
) -> list[VideoPlan]:
    """Plan every video; one that the record knows keeps its place.

    Args:
        totals: each source's number of frames, None for a picture.
        root: what the sources' names are relative to.
        record: what was planned before.
        layout: where videos go.
        clips: what is cut.
        ranges: what parameters are drawn from.
        seed: with a source's name and the clip's number it gives the video's seed.
    """
    names = {source.relative_to(root).as_posix(): source for source in totals}
    held_out = layout.split(list(names), record.held_out(), seed)
    free = {subset: record.next_number(subset) for subset in SUBSETS}
    plans = []
    for name, source in names.items():
        subsets = layout.test_subsets if name in held_out else layout.train_subsets
        turn = derive_seed(seed, name, "subset")
        for clip, start in enumerate(clips.starts(totals[source])):
            place = record.find_place(name, clip)
            if place is None:
                subset = subsets[(turn + clip) % len(subsets)]
                place = (subset, f"video_{free[subset]:04d}")
                free[subset] += 1
            own = derive_seed(seed, name, clip)
            total = totals[source]
            length = clips.frames if total is None else min(clips.frames, total - start)
            camera = Camera.draw(clips.zoom, derive_seed(own, "camera")) if total is None else None
            drawn = ranges.draw(own)
            plans.append(VideoPlan(*place, source, name, clip, start, length, own, drawn, camera))
    return plans
