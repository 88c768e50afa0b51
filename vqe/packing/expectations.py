"""Test set's CSV, or the counts alone -> which videos a submission must have, and of what size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CHALLENGE_COUNTS = {"supervised": 500, "unsupervised": 3000}
HYDRA = ".hydra"  # folder of a run that holds its configs


@dataclass(frozen=True)
class SourceVideo:
    """A video of the test set; width and height in pixels, before any padding."""

    frames: int
    width: int
    height: int


@dataclass(frozen=True)
class Expectations:
    """What a submission must hold.

    Attributes:
        supervised: rows of `metrics_supervised.csv`.
        unsupervised: rows of `metrics_unsupervised.csv`, and videos.
        supervised_ids: of the videos with a target, None where no test set is known.
        videos: those without a target by id, None likewise.
    """

    supervised: int
    unsupervised: int
    supervised_ids: frozenset[str] | None = None
    videos: dict[str, SourceVideo] | None = None

    def tell_counts(self) -> None:
        """Print the counts where they are not the challenge's."""
        counts = {"supervised": self.supervised, "unsupervised": self.unsupervised}
        if counts != CHALLENGE_COUNTS:
            print(
                f"counting {self.supervised} videos with a target and {self.unsupervised} without; "
                "the challenge has {supervised} and {unsupervised}".format(**CHALLENGE_COUNTS)
            )


def expect(cfg: DictConfig, run: Path | None) -> Expectations:
    """Gather what a submission must hold from a command's config; tell unusual counts.

    Args:
        cfg: with reference, supervised and unsupervised.
        run: what names the test set where `reference` does not.

    Raises:
        FileNotFoundError: there is no such CSV.
        ValueError: it is no CSV of frames, or there is none to take a number from.
    """
    reference, query = Path(cfg.reference) if cfg.reference else None, None
    if reference is None and run is not None:
        reference, query = find_reference(run)
    expected = read_expectations(
        reference, supervised=cfg.supervised, unsupervised=cfg.unsupervised, query=query
    )
    expected.tell_counts()
    return expected


def read_expectations(
    reference: Path | None,
    *,
    supervised: int | None,
    unsupervised: int | None,
    query: str | None = None,
) -> Expectations:
    """Gather what a submission must hold.

    Args:
        reference: CSV of the test frames, or the folder of a `test.csv`; None where there is none.
        supervised: number of videos with a target; None takes the reference's.
        unsupervised: of those without, likewise.
        query: which rows of the reference were tested.

    Raises:
        FileNotFoundError: there is no such CSV.
        ValueError: it is no CSV of frames, or there is none to take a number from.
    """
    if reference is None:
        if supervised is None or unsupervised is None:
            raise ValueError(
                "expected reference=<test.csv> where supervised or unsupervised is null, got none"
            )
        return Expectations(supervised, unsupervised)
    ids, videos = _read_reference(
        reference / "test.csv" if reference.is_dir() else reference, query
    )
    return Expectations(
        supervised=len(ids) if supervised is None else supervised,
        unsupervised=len(videos) if unsupervised is None else unsupervised,
        supervised_ids=ids,
        videos=videos,
    )


def _read_reference(path: Path, query: str | None) -> tuple[frozenset[str], dict[str, SourceVideo]]:
    from vqe.data.index import check_unique_ids, read_index  # slow to import

    table = read_index(path, query, allow_outside=True)  # no image is opened
    check_unique_ids(table)
    paired = table["img_target"] != ""
    ids = frozenset(table.loc[paired, "video_id"].astype(str))
    plain = table.loc[~paired].groupby("video_id", observed=True)
    rows = plain.agg(frames=("h", "size"), width=("w", "first"), height=("h", "first"))
    videos = {
        str(row.Index): SourceVideo(int(row.frames), int(row.width), int(row.height))
        for row in rows.itertuples()
    }
    return ids, videos


def find_reference(run: Path) -> tuple[Path | None, str | None]:
    """Find the CSV that a run was tested on, and the query; None where it is not there."""
    config = read_config(run)
    folder, name = read_value(config, "dataset.path"), read_value(config, "dataset.holdout")
    if folder is None or name is None:
        return None, None
    cwd = read_value(read_config(run, "hydra.yaml"), "hydra.runtime.cwd") or "."
    path = Path(cwd, str(folder), str(name))
    return (path, read_value(config, "dataset.holdout_query")) if path.is_file() else (None, None)


def read_config(run: Path, name: str = "config.yaml") -> DictConfig:
    """Read a run's config, empty where there is none.

    Raises:
        ValueError: it is no config.
    """
    path = run / HYDRA / name
    if not path.is_file():
        return OmegaConf.create()
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise ValueError(f"expected a run's config in {path}, got: {error}") from error
    if not isinstance(config, DictConfig):
        raise ValueError(f"expected a run's config in {path}, got {type(config).__name__}")
    return config


def read_value(config: DictConfig, key: str) -> Any:
    """Return a config's value; None where it is not there or stands for what is no more."""
    try:
        return OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None
