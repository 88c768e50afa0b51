"""test_vqe.py at work: frames a second against what the cores allow, with real decoding and x264.

python benchmarks/pipeline.py [--json FILE] [--videos N] [--frames N] [--lanes N] [--quick]
    [--device cpu|cuda] [--data FOLDER]

Drawn 1280x720 H.264 videos without targets go through nano, the stand-in critic (`model_dover=off`)
and the challenge's x264; `before` is one video after the other. Each stage also runs alone: cores
divided by the CPU seconds that all stages take a frame is what no pipeline can beat. On a GPU both
critics score, and no stage runs alone: see `pipeline_on_gpu.py`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import enhance as drawing
import pandas as pd
import torch
from enhance import CORES, draw_room, measure_cpu
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from measuring import describe_machine
from pipeline_on_gpu import WORKERS, measure_on_gpu

from vqe.cli import CONF_DIR, register_resolvers
from vqe.critics import ConstantDOVER, FrozenVQA
from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import VQEDataModule
from vqe.data.datamodule import LoaderOptions
from vqe.models import Nano
from vqe.models.enhancement import VideoEnhancer
from vqe.pixels import bgr_hwc_u8, dequantise, quantise
from vqe.schema import FRAME_COLUMNS, VIDEO_COLUMNS
from vqe.training import testing
from vqe.training.checkpoints import NETWORK_CONFIG, NETWORK_PREFIX
from vqe.video import VideoWriter

FPS, BATCH = 30, 8
KEPT = 24  # frames that a stage alone is given
LEFT_OUT = ("before_after", "split_screen", "progress_bar")
ON_CPU = (f"dataloader.eval_batch_size={BATCH}", "model_vqa=standin", "model_dover=off")
CSV = "test.csv"


def make_data(folder: Path, videos: int, frames: int) -> Path:
    """Write videos, each of other moments of the drawn room, and the CSV of their frames."""
    draw, rows = lru_cache(maxsize=None)(draw_room), []
    for number in range(videos):
        name = f"video_{number:04d}"
        with VideoWriter(folder / f"{name}_x.mp4", fps=FPS, crf=20) as writer:
            for frame in range(frames):
                writer.write(draw(number * 7 + frame % 60))
        size = (drawing.HEIGHT, drawing.WIDTH)
        rows += [
            (f"{name}_x.mp4", "", *size, "test_unsupervised", name, frame, FPS)
            for frame in range(frames)
        ]
    table = pd.DataFrame(rows, columns=[*FRAME_COLUMNS, *VIDEO_COLUMNS])
    table.to_csv(folder / CSV, index=False)
    return folder


def write_checkpoint(path: Path) -> Path:
    """Write an untrained nano as train_vqe.py keeps it."""
    weights = {NETWORK_PREFIX + name: value for name, value in Nano().state_dict().items()}
    torch.save({"state_dict": weights, NETWORK_CONFIG: {"_target_": "vqe.models.Nano"}}, path)
    return path


def run_test(
    run: Path, data: Path, checkpoint: Path, lanes: int, workers: int, *overrides: str
) -> dict[str, object]:
    """Test as test_vqe.py does; return the stages' figures, and what the whole command took."""
    GlobalHydra.instance().clear()
    register_resolvers()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose(
            "test_vqe",
            overrides=[
                f"paths.run='{run}'",
                f"paths.runs='{run}'",
                f"dataset.path='{data}'",
                f"checkpoint='{checkpoint}'",
                f"dataloader.lanes={lanes}",
                f"dataloader.num_workers={workers}",
                "dataset.source=video",
                *(f"callbacks.{name}=null" for name in LEFT_OUT),
                *overrides,
            ],
        )
    times, start = os.times(), time.perf_counter()
    testing.test(config)
    seconds = time.perf_counter() - start
    spent = sum(os.times()[:4]) - sum(times[:4])
    facts = json.loads((run / "stages.json").read_text(encoding="utf-8"))
    return facts | {
        "whole_fps": facts["frames"] / seconds,
        "cores_busy": spent / seconds,
        "cpu_ms": 1000 * spent / facts["frames"],
    }


def measure_stages(data: Path, folder: Path) -> dict[str, float]:
    """Return each stage's CPU seconds a frame, each run alone on the first video's frames."""
    module = VQEDataModule(
        str(data), source="video", loader=LoaderOptions(eval_batch_size=BATCH, num_workers=0)
    )
    module.setup("test")
    module.tables["holdout"] = module.tables["holdout"].head(KEPT)
    network, videos = Nano().eval(), VideoEnhancer()
    critics = FrozenCritics(FrozenVQA("standin"), ConstantDOVER())
    batches, rendered = [], []

    def decode() -> None:
        batches.extend(
            {k: v.clone() for k, v in batch.items()} for batch in module.test_dataloader()
        )

    def render() -> None:
        videos.begin()
        rendered.extend(quantise(videos.enhance(network, dequantise(b["x"]), 0)) for b in batches)

    def compare() -> None:
        for batch, frames in zip(batches, rendered, strict=True):
            critics(batch["x"], frames, batch["seed"])

    def encode(count: int = KEPT) -> None:
        with VideoWriter(folder / "alone.mp4", fps=FPS) as writer:
            for frame in torch.cat(rendered)[:count]:
                writer.write(bgr_hwc_u8(frame))

    with torch.inference_mode():
        seconds = {"decode": measure_cpu(decode)}
        warm_up(network, critics, batches[0])
        seconds |= {"network": measure_cpu(render), "critics": measure_cpu(compare)}
        seconds["encode"] = measure_cpu(encode)
    count = len(torch.cat(rendered))
    return {name: value / count for name, value in seconds.items()}


def warm_up(network: Nano, critics: FrozenCritics, batch: dict[str, torch.Tensor]) -> None:
    """Let network and critics set up what they keep."""
    frames = quantise(VideoEnhancer().enhance(network, dequantise(batch["x"]), 0))
    critics(batch["x"], frames, batch["seed"])


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Measure all in one run; on a CPU the stages, then before and after in turn."""
    data = options.data or folder
    if not (data / CSV).exists():
        make_data(data, options.videos, options.frames)
    checkpoint = write_checkpoint(folder / "nano.ckpt")

    def run(name: str, lanes: int, *overrides: str) -> dict[str, object]:
        return run_test(folder / name, data, checkpoint, lanes, options.workers, *overrides)

    if options.device != "cpu":
        return measure_on_gpu(run, folder, options.json) | {"cores": CORES}
    alone = measure_stages(data, folder)
    before, after = (
        run(name, lanes, "trainer=cpu", *ON_CPU)
        for name, lanes in (("before", 1), ("after", options.lanes))
    )
    cpu_bound = CORES / sum(alone.values())
    return {
        "frames_per_second": after["frames_per_second"],
        "slowest_stage_fps": min(1 / value for value in alone.values()),
        "cpu_bound_fps": cpu_bound,
        "share_of_bound": after["frames_per_second"] / cpu_bound,
        "before_fps": before["frames_per_second"],
        "whole_fps": after["whole_fps"],
        "cores_busy": after["cores_busy"],
        "cpu_ms": after["cpu_ms"],  # a frame, the command's start included
        "alone_cpu_ms": 1000 * sum(alone.values()),
        "bottleneck": after["bottleneck"],
        "stages": {
            name: stage | {"alone_cpu_ms": 1000 * alone[name]}
            for name, stage in after["stages"].items()
        },
        "lanes": options.lanes,
        "frames": after["frames"],
        "cores": CORES,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--frames", type=int, default=60, help="of each video")
    parser.add_argument("--lanes", type=int, default=2, help="videos at a time, on a CPU")
    parser.add_argument("--workers", type=int, help="loading processes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--data", type=Path, help="folder to draw the videos in, or to find them")
    parser.add_argument("--quick", action="store_true", help="2 videos of 4 frames of 320x180")
    options = parser.parse_args(arguments)
    if options.quick:
        options.videos, options.frames, options.workers = 2, 4, 0
        drawing.WIDTH, drawing.HEIGHT = 320, 180
    if options.workers is None:
        options.workers = 2 if options.device == "cpu" else WORKERS
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options)
    result |= describe_machine(torch.device(options.device))
    for key, value in result.items():
        print(f"{key:20} {value:.2f}" if isinstance(value, float) else f"{key:20} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
