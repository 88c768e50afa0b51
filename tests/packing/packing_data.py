"""A small run that can be handed in, what it was tested on, and ways to change copies of it."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clips import draw_frame
from conftest import compose_config, make_once
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vqe.cli import CONF_DIR
from vqe.packing.check import check
from vqe.packing.pack import pack
from vqe.schema import (
    FRAME_COLUMNS,
    SUPERVISED_CSV,
    UNSUPERVISED_COLUMNS,
    UNSUPERVISED_CSV,
)
from vqe.video import VideoWriter

FRAMES = 6
SIZES = {"video_0001": (64, 48), "video_0002": (63, 47), "video_0007": (64, 48)}  # width, height
PAIRS = ("video_0001", "video_0002")
COUNTS = ("supervised=2", "unsupervised=3")
RMSE = (0.05, 0.15)
SCORES = [  # p, a1..a11; a4, the fifth, falls as the others rise
    [0.25, 0.2, 0.2, 0.3, 0.8, *[0.3] * 7],
    [0.50, 0.5, 0.4, 0.5, 0.4, *[0.6] * 7],
    [0.75, 0.8, 0.6, 0.7, -0.2, *[0.9] * 7],
]


def write_reference(folder: Path) -> Path:
    """Write a test.csv; no image of it is there, as none is opened."""
    rows = []
    for subset, videos in {
        "test_supervised_synthetic": dict.fromkeys(PAIRS, (64, 48)),
        "test_unsupervised": SIZES,
    }.items():
        for video, (width, height) in videos.items():
            for frame in range(FRAMES):
                paths = [f"test/{subset}/{video}/{side}/{frame:04d}.png" for side in "xy"]
                target = "" if subset == "test_unsupervised" else paths[1]
                rows.append((paths[0], target, height, width, subset, video))
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=FRAME_COLUMNS).to_csv(folder / "test.csv", index=False)
    return folder


def write_run(run: Path, data: Path, checkpoint: Path) -> Path:
    """Write what a training leaves behind, in three small videos."""
    (run / "results").mkdir(parents=True)
    (run / "videos").mkdir()
    pairs = [f"{video},{rmse}" for video, rmse in zip(PAIRS, RMSE, strict=True)]
    (run / "results" / SUPERVISED_CSV).write_text("\n".join(["video_i,rmse", *pairs]) + "\n")
    rows = [",".join([v, *map(str, s)]) for v, s in zip(SIZES, SCORES, strict=True)]
    header = ",".join(UNSUPERVISED_COLUMNS)
    (run / "results" / UNSUPERVISED_CSV).write_text("\n".join([header, *rows]) + "\n")
    for first, (video, (width, height)) in zip((0, 10, 20), SIZES.items(), strict=True):
        with VideoWriter(run / "videos" / f"{video}.mp4") as writer:
            for number in range(first, first + FRAMES):
                writer.write(draw_frame(number, width, height))
    (run / "checkpoints").mkdir()
    shutil.copy(checkpoint, run / "checkpoints/best.ckpt")
    config = compose_config(
        run, f"dataset.path='{data}'", "model_vqa.weights=VQA.ckpt", "model_dover.weights=D.pth"
    )
    (run / ".hydra").mkdir()
    OmegaConf.save(config, run / ".hydra/config.yaml")
    write_log(run)
    return run


def write_log(run: Path) -> None:
    """Write what the run logged of its test: the means of its CSVs."""
    means = dict(zip(["p", *(f"a{i}" for i in range(1, 12))], np.mean(SCORES, axis=0), strict=True))
    row = {f"test/{name}": value for name, value in means.items()} | {"test/rmse": np.mean(RMSE)}
    (run / "csv").mkdir(exist_ok=True)
    pd.DataFrame([{"train/loss": 0.1}, row]).to_csv(run / "csv/metrics.csv", index=False)


def compose_command(name: str, *overrides: str):
    """Compose the config of a command of submission.py for a small submission."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(f"submission_{name}", [*COUNTS, "parallel.jobs=1", *overrides])


def pack_run(run: Path, output: Path, *overrides: str) -> int:
    """Pack a run without measuring its network; return the number of errors."""
    settings = (f"run='{run}'", f"output='{output}'", "efficiency=false", *overrides)
    return pack(compose_command("pack", *settings))


def find(path: Path | list[Path], report: Path, *overrides: str) -> tuple[set[str], set[str]]:
    """Check a submission; return the names of errors and of notes."""
    paths = path if isinstance(path, list) else [path]
    named = ",".join(f"'{one}'" for one in paths)
    named = f"[{named}]" if len(paths) > 1 else named
    errors = check(compose_command("check", f"check={named}", f"report='{report}'", *overrides))
    table = pd.read_csv(report)
    assert errors == (table["kind"] == "error").sum()
    assert table[["file", "found", "expected", "mend"]].notna().all(axis=None)
    kinds = {kind: set(table.loc[table["kind"] == kind, "name"]) for kind in ("error", "note")}
    return kinds["error"], kinds["note"]


def read_zip(path: Path) -> dict[str, bytes]:
    """Return the members of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip as somebody else's tool would."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_manifest_text(folder: Path) -> dict:
    """Return a manifest's content."""
    return json.loads((folder / "manifest.json").read_text())


def make_all(factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """Make the run, what it was tested on and its submission: run, data, packed; once for all."""

    def make(root: Path) -> None:
        run = write_run(root / "run", write_reference(root / "data"), checkpoint)
        assert pack_run(run, root / "packed") == 0

    return make_once(factory, "submission", make)
