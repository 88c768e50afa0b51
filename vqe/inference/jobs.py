"""`input` and `output` -> which files become which: a file, or a mirrored folder."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from vqe.layout import VIDEO_SUFFIXES, find_files
from vqe.video.encoders import CONTAINERS

MORE_VIDEOS = frozenset({".3gp", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".nut", ".ts", ".wmv"})
VIDEOS = VIDEO_SUFFIXES | MORE_VIDEOS
PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FALLBACK = "mkv"  # holds nearly all


@dataclass(frozen=True)
class Job:
    """A file to enhance."""

    name: str  # for messages
    source: Path
    target: Path

    @property
    def is_picture(self) -> bool:
        """Whether it is a still picture."""
        return self.source.suffix.lower() in PICTURES


def find_jobs(source: Path, target: Path, *, container: str | None) -> list[Job]:
    """List what is to be done, in the names' order; hidden files are left out.

    Args:
        source: a file, or a folder with files at any depth.
        target: a file, or a folder; what is made has the names of the sources.
        container: of a folder's videos; None: the source's where it can be written, else mkv.

    Raises:
        FileNotFoundError: there is no such path, or nothing in the folder.
        ValueError: container is unknown.
    """
    if container is not None and container not in CONTAINERS:
        raise ValueError(f"expected container of {', '.join(CONTAINERS)}, got {container}")
    if source.is_file():
        to_folder = target.is_dir() or not target.suffix
        if to_folder:
            target = target / _rename(Path(source.name), container)
        elif container is not None:
            target = target.with_suffix(f".{container}")
        return [Job(source.name, source, target)]
    if not source.is_dir():
        raise FileNotFoundError(f"expected input to be a file or a folder, got {source}")
    names = [path.relative_to(source) for path in find_files(source, VIDEOS | PICTURES)]
    if not names:
        kinds = ", ".join(sorted(VIDEOS | PICTURES))
        raise FileNotFoundError(f"expected videos or pictures ({kinds}) in {source}, got none")
    jobs = [Job(n.as_posix(), source / n, target / _rename(n, container)) for n in names]
    return _name_apart(jobs)


def _rename(name: Path, container: str | None) -> Path:
    suffix = name.suffix.lower()
    if suffix in PICTURES:
        return name
    if container is not None:
        return name.with_suffix(f".{container}")
    return name if suffix[1:] in CONTAINERS else name.with_suffix(f".{FALLBACK}")


def _name_apart(jobs: list[Job]) -> list[Job]:
    """Keep the old suffix in the names of those that would become one file: a.avi.mkv."""
    counts = Counter(job.target for job in jobs)
    return [
        job
        if counts[job.target] == 1 or job.target.suffix == job.source.suffix
        else replace(job, target=job.target.with_name(job.source.name + job.target.suffix))
        for job in jobs
    ]
