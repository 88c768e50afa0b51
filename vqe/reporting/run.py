"""Folder of a run -> all that a report reads of it; no other file knows how a run lies."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vqe.files import read_csv
from vqe.inputs import require_tested
from vqe.schema import (
    CHALLENGE_FPS,
    FRAMES_CSV,
    FRAMES_NUMBERS,
    PROVENANCE_JSON,
    SCORE_OF_COLUMN,
    SUPERVISED_COLUMNS,
    SUPERVISED_CSV,
    UNSUPERVISED_COLUMNS,
    UNSUPERVISED_CSV,
)

SUPERVISED, UNSUPERVISED = "supervised", "unsupervised"  # a video_id is unique within each
KINDS = (SUPERVISED, UNSUPERVISED)
KEY = ["kind", "video_id"]
Key = tuple[str, str]  # kind and video_id
ADVICE = "Test the run again: python test_vqe.py checkpoint=<run>/checkpoints/best.ckpt"


@dataclass(eq=False)
class Run:
    """What a run's test left.

    Attributes:
        folder: of the run.
        name: for people, unique in a report.
        videos: a row a video, indexed by kind and video_id: `rmse`, or the raw scores.
        frames: a row a frame: kind, subset, video_id, frame, `FRAMES_NUMBERS`; None where a run is
            older than `frames.csv.gz`.
        log: rows of the training's CSV log, None where there is none.
        config: as Hydra kept it, unresolved; empty where there is none.
        config_text: the same as it stands in the file.
        command: what was typed.
        started_in: the working directory, which relative paths of the config start from.
        critics: precision, device and weights of both.
        provenance: of `vqe.provenance`, and the network; empty where a run is older.
    """

    folder: Path
    name: str
    videos: pd.DataFrame
    frames: pd.DataFrame | None = None
    log: pd.DataFrame | None = None
    config: DictConfig = field(default_factory=lambda: OmegaConf.create({}))
    config_text: str = ""
    command: str = ""
    started_in: Path = field(default_factory=Path)
    critics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def frames_of(self) -> dict[Key, dict[str, np.ndarray]]:
        """The columns of each video's frames, in order of time; none where there are no frames."""
        if self.frames is None:
            return {}
        columns = {name: self.frames[name].to_numpy() for name in ("subset", *FRAMES_NUMBERS)}
        return {
            key: {name: values[rows] for name, values in columns.items()}
            for key, rows in self.frames.groupby(KEY, sort=False).indices.items()
        }

    def rate(self, subset: str, video_id: str) -> int:
        """Return a video's frames per second."""
        return self.provenance.get("rates", {}).get(f"{subset}/{video_id}", CHALLENGE_FPS)

    def read_config(self, key: str, default: Any = None) -> Any:
        """Return a value of the config, the default where it has none or needs Hydra for it."""
        try:
            value = OmegaConf.select(self.config, key)
        except OmegaConfBaseException:
            return default
        return default if value is None else value


def read_run(folder: Path, name: str) -> Run:
    """Read a run that was tested.

    Raises:
        FileNotFoundError: there is no metric CSV.
        ValueError: a file is damaged.
    """
    require_tested(folder)
    hydra = folder / ".hydra"
    config_text = _read_text(hydra / "config.yaml")
    provenance = _read_json(folder / PROVENANCE_JSON)
    job = _parse_config(_read_text(hydra / "hydra.yaml"), hydra / "hydra.yaml")
    return Run(
        folder=folder,
        name=name,
        videos=_read_videos(folder / "results"),
        frames=_read_frames(folder / FRAMES_CSV),
        log=_read_log(folder / "csv" / "metrics.csv"),
        config=_parse_config(config_text, hydra / "config.yaml"),
        config_text=config_text,
        command=provenance.get("command") or _rebuild_command(job, hydra),
        started_in=Path(OmegaConf.select(job, "hydra.runtime.cwd") or "."),
        critics=_read_json(folder / "critics.json"),
        provenance=provenance,
    )


def name_runs(folders: list[Path]) -> list[str]:
    """Return a short name for each folder, no two alike."""
    folders = [folder.absolute() for folder in folders]
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    names = ["/".join(folder.parts[-2:]) for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({letter})" for name, letter in zip(names, "AB", strict=True)]


def _read_videos(results: Path) -> pd.DataFrame:
    parts = []
    for kind, name, columns in (
        (SUPERVISED, SUPERVISED_CSV, SUPERVISED_COLUMNS),
        (UNSUPERVISED, UNSUPERVISED_CSV, UNSUPERVISED_COLUMNS),
    ):
        if not (results / name).is_file():
            continue
        table = read_csv(results / name, dtype={columns[0]: str}, keep_default_na=False)
        if tuple(table.columns) != columns:
            raise ValueError(
                f"expected columns {','.join(columns)}, got {','.join(table.columns)} "
                f"({results / name}). {ADVICE}"
            )
        table = table.rename(columns=SCORE_OF_COLUMN | {columns[0]: "video_id"})
        numbers = table.columns.drop("video_id")
        table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
        parts.append(table.assign(kind=kind))
    videos = pd.concat(parts, ignore_index=True)
    twice = videos[videos.duplicated(KEY)]
    if len(twice):
        raise ValueError(
            f"expected each video once, got {twice['video_id'].iloc[0]} twice ({results}). {ADVICE}"
        )
    return videos.set_index(KEY)


def _read_frames(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        frames = read_csv(
            path, dtype={"subset": str, "video_id": str}, keep_default_na=False, na_values=""
        )
    except (OSError, EOFError) as error:  # gzip's own
        raise ValueError(f"expected a CSV in gzip, got: {error} ({path}). {ADVICE}") from error
    expected = ["subset", "video_id", "frame", *FRAMES_NUMBERS]
    if list(frames.columns) != expected:
        raise ValueError(
            f"expected columns {','.join(expected)}, got {','.join(map(str, frames.columns))} "
            f"({path}). {ADVICE}"
        )
    kinds = np.where(frames["luma_target"].notna(), SUPERVISED, UNSUPERVISED)
    frames.insert(0, "kind", kinds)
    return frames


def _read_log(path: Path) -> pd.DataFrame | None:
    return read_csv(path) if path.is_file() and path.stat().st_size else None


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"expected JSON, got: {error} ({path}). {ADVICE}") from error
    return found if isinstance(found, dict) else {}


def _parse_config(text: str, path: Path) -> DictConfig:
    try:
        config = OmegaConf.create(text)
    except Exception as error:  # YAML fails in many ways
        raise ValueError(f"expected a config in YAML, got: {error} ({path})") from error
    return config if isinstance(config, DictConfig) else OmegaConf.create({})


def _rebuild_command(job: DictConfig, hydra: Path) -> str:
    """Return the command of a run that did not keep it, from what Hydra kept."""
    name = OmegaConf.select(job, "hydra.job.name")
    overrides = OmegaConf.create(_read_text(hydra / "overrides.yaml") or "[]")
    return shlex.join(["python", f"{name}.py", *map(str, overrides)]) if name else ""
