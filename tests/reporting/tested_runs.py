"""Runs to report on: really tested on small drawn videos, and large ones that are only written."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from conftest import compose_config, make_once

from vqe.models import SampleConv
from vqe.reporting.report import report, report_if_asked
from vqe.schema import (
    FRAME_COLUMNS,
    FRAMES_NUMBERS,
    SCORES,
    SUPERVISED_COLUMNS,
    UNSUPERVISED_COLUMNS,
)
from vqe.training import testing

HOSTILE = """<b id="hacked">&"'Müller 視頻</b><img src=x onerror=hacked=1>"""  # no slash: a name
HOSTILE = HOSTILE.replace("</b>", "<b>")
BRIGHTER = (0.05, 0.2)  # by which both runs lift all colours; 30 / 255 would be right
SIZE = (48, 64)  # height and width
FRAMES = {"test_supervised_synthetic": 5, "test_unsupervised": 8}
VIDEOS = {
    "test_supervised_synthetic": ("video_0001", "video_0002", HOSTILE),
    "test_unsupervised": ("video_0001", "video_0012"),
}
OPTIONS = (
    "model_vqa=standin",
    "model_dover=off",
    "trainer=cpu",
    "dataloader.eval_batch_size=3",
    "dataloader.num_workers=0",
    "callbacks.progress_bar=null",
    "callbacks.split_screen=null",
    "callbacks.before_after=null",
)


def draw(video: int, number: int) -> np.ndarray:
    """Draw an input, uint8 BGR: as bright as its number says, with a mark that is its video's."""
    frame = np.full((*SIZE, 3), 60 + 8 * number, np.uint8)
    frame[4:12, 4 + 6 * video : 10 + 6 * video] = 200
    return frame


def write_data(root: Path) -> Path:
    """Write a data folder whose test videos have hostile names."""
    rows = []
    for subset, video_ids in VIDEOS.items():
        for video, video_id in enumerate(video_ids):
            for number in range(FRAMES[subset]):
                paths = {}
                for side in "xy" if "_supervised" in subset else "x":
                    path = f"{subset}/{video}/{side}/frame_{number + 1:04d}.png"
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    frame = draw(video, number) if side == "x" else draw(video, number) + 30
                    cv2.imwrite(str(root / path), frame)
                    paths[side] = path
                row = (paths["x"], paths.get("y", ""), *SIZE, subset, video_id)
                rows.append(row)
    rows.reverse()  # time is told by the names, not by the rows
    pd.DataFrame(rows, columns=FRAME_COLUMNS).to_csv(root / "test.csv", index=False)
    return root


def make_runs(factory) -> list[Path]:
    """Make two runs on the same data, once for all workers; tests do not change them."""

    def make(root: Path) -> None:
        data = write_data(root / "data")
        for i, brighter in enumerate(BRIGHTER):
            make_run(root / f"run {i}", data, brighter)

    root = make_once(factory, "tested_runs", make)
    return [root / f"run {i}" for i in range(len(BRIGHTER))]


def make_run(run: Path, data: Path, brighter: float, *overrides: str) -> Path:
    """Test a network that adds so much light, as test_vqe.py does, with `report=true`."""
    network = SampleConv()
    torch.nn.init.constant_(network.conv.bias, brighter)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    config = {"_target_": "vqe.models.SampleConv"}
    run.mkdir(parents=True)
    torch.save({"state_dict": state, "network_config": config}, run / "tested.ckpt")
    cfg = compose_config(
        *(run, f"dataset.path='{data}'", f"checkpoint='{run}/tested.ckpt'", *OPTIONS),
        *("report=true", *overrides),
        name="test_vqe",
    )
    keep_config(cfg, run)
    testing.test(cfg)
    report_if_asked(cfg)
    return run


def keep_config(cfg, run: Path) -> None:
    """Write what Hydra keeps of a run."""
    from omegaconf import OmegaConf

    (run / ".hydra").mkdir()
    OmegaConf.save(cfg, run / ".hydra/config.yaml")
    (run / ".hydra/overrides.yaml").write_text("- checkpoint=tested.ckpt\n")
    job = {"hydra": {"job": {"name": "test_vqe"}, "runtime": {"cwd": str(run)}}}
    OmegaConf.save(OmegaConf.create(job), run / ".hydra/hydra.yaml")


def write_report(output: Path, *runs: Path, **options) -> Path:
    """Report as `report.py` does."""
    overrides = [f"options.{name}={value}" for name, value in options.items()]
    listed = ",".join(f"'{run}'" for run in runs)
    config = compose_config(
        output.parent, f"runs=[{listed}]", f"output='{output}'", *overrides, name="report"
    )
    return report(config)


def write_large_run(run: Path, videos: int, frames: int, seed: int = 0) -> Path:
    """Write the files of a test of so many videos, half of them with targets; no pictures."""
    random = np.random.default_rng(seed)
    half = videos // 2
    ids = [f"video_{number:04d}" for number in range(half)]
    (run / "results").mkdir(parents=True)
    rmse = pd.DataFrame({"video_i": ids, "rmse": random.uniform(0.1, 0.3, half)})
    rmse[list(SUPERVISED_COLUMNS)].to_csv(run / "results/metrics_supervised.csv", index=False)
    scores = pd.DataFrame(random.uniform(0.3, 0.9, (half, 12)), columns=UNSUPERVISED_COLUMNS[1:])
    scores.insert(0, "video_i", ids)
    scores.to_csv(run / "results/metrics_unsupervised.csv", index=False)
    rows = videos * frames
    numbers = random.uniform(0.3, 0.6, (rows, len(FRAMES_NUMBERS)))
    table = pd.DataFrame(numbers, columns=FRAMES_NUMBERS)
    table[["luma_input", "luma_enhanced", "luma_target"]] *= 200
    supervised = np.arange(rows) < half * frames
    table.loc[supervised, [*SCORES, *(f"input_{name}" for name in SCORES)]] = np.nan
    table.loc[~supervised, ["rmse_input", "rmse", "luma_target"]] = np.nan
    table.insert(0, "subset", np.where(supervised, "test_supervised_real", "test_unsupervised"))
    table.insert(1, "video_id", np.repeat([*ids, *ids], frames))
    table.insert(2, "frame", np.tile(np.arange(frames), videos))
    table.to_csv(run / "frames.csv.gz", index=False, float_format="%.5g")
    (run / "provenance.json").write_text(json.dumps({"command": "test_vqe.py", "rates": {}}))
    return run
