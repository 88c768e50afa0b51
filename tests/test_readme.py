"""Every command of the README runs as it stands, on a small data folder with real videos."""

import re
import shlex
import sys
from pathlib import Path

import cv2
import pytest
import torch
from conftest import degrade, draw_frame, run_command

from vqe.config import REPOSITORY
from vqe.critics import DOVER, UNetLite
from vqe.critics.weights import untrained_
from vqe.video import VideoWriter

BLOCKS = re.findall(r"```bash\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line[:1] not in ("#", "")]
# added to what stands in the README, so that a command ends in seconds
SHORT = {
    "train_vqe.py": (
        "trainer.limit_train_batches=1",
        "trainer.limit_val_batches=2",
        "dataset.size=[64,64]",
        "dataset.valid_fraction=0.5",
        "dataloader.batch_size=2",
        "dataloader.num_workers=0",
        "callbacks.progress_bar=null",
    ),
    "test_vqe.py": ("dataloader.num_workers=0", "callbacks.progress_bar=null"),
}
# one clip instead of three: the weights are random anyway
DOVER_SHORT = (
    "model_dover.num_clips=1",
    "dataloader.batch_size=1",
    "dataloader.num_workers=1",
    "export_onnx=false",
)


def write_side(place: Path, side: str, video: int, frames: int) -> None:
    draw = degrade if side == "x" else (lambda frame: frame)
    pictures = [draw(draw_frame(video, f)) for f in range(frames)]
    if "synthetic" not in place.parts:
        with VideoWriter(place.with_name(f"{place.name}_{side}.mp4")) as writer:
            for picture in pictures:
                writer.write(picture)
        return
    (place / side).mkdir(parents=True)
    for f, picture in enumerate(pictures, start=1):
        cv2.imwrite(str(place / side / f"{f:04d}.jpg"), picture)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Data folder with videos and both critics' weights; where <run> and <results> will be."""
    root = tmp_path_factory.mktemp("readme")
    data = root / "data"
    for place, sides in {
        "train/supervised/synthetic": "xy",
        "train/supervised/real": "xy",
        "train/unsupervised": "x",
        "test/supervised/synthetic": "xy",
        "test/unsupervised": "x",
    }.items():
        (data / place).mkdir(parents=True)
        for video in range(1, 3 if place.startswith("train") else 2):
            for side in sides:
                frames = 1 if "unsupervised" in place else 2  # DOVER takes seconds a frame
                write_side(data / place / f"video_{video:04d}", side, video, frames)
    vqa = {f"_model.{k}": v for k, v in untrained_(UNetLite()).state_dict().items()}
    torch.save({"state_dict": vqa}, data / "VQA.ckpt")
    torch.save(untrained_(DOVER("dover")).state_dict(), data / "DOVER.pth")
    return {"data": data, "outputs": root / "outputs", "results": root / "baseline"}


def newest_run(outputs: Path) -> Path:
    runs = outputs.glob("vqe/*/results/metrics_unsupervised.csv")
    return max(runs, key=lambda p: p.stat().st_mtime).parents[1]


def fill_in(command: str, places: dict[str, Path]) -> list[str]:
    command = command.replace("<data>", str(places["data"]))
    command = command.replace("<mp4s>", str(places["data"] / "test/unsupervised"))
    command = command.replace("<results>", str(places["results"]))
    if "<run>" in command:
        command = command.replace("<run>", str(newest_run(places["outputs"])))
    words = shlex.split(command)
    assert words[0] == "python", command
    script = Path(words[1]).name
    if script in ("train_vqe.py", "dataset_builder.py", "test_vqe.py"):
        words += [f"paths.outputs='{places['outputs']}'", *SHORT.get(script, ())]
    if "DOVER.pth" in command:
        words += DOVER_SHORT
    return [sys.executable, *words[1:]]


def run(command: str, places: dict[str, Path]) -> None:
    folder = REPOSITORY if "codalab_scoring/" in command else REPOSITORY / "vqe"
    if command.startswith("cd "):
        into, command = command.removeprefix("cd ").split(" && ")
        folder = REPOSITORY / into
    run_command(fill_in(command, places), folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(("python", "cd "))])
def test_command_runs(command, places):  # in the README's order: later ones need a run
    run(command, places)


def test_no_command_is_left_out():
    others = [c for c in COMMANDS if not c.startswith(("python", "cd "))]
    assert others == ["make demo", "make test"]  # test_demo.py, and what runs this


def test_make_demo_runs_the_demo():
    assert "-m vqe.demo" in run_command(["make", "--dry-run", "demo"], REPOSITORY)
