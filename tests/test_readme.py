"""Every command of README and docs runs as it stands, on a small data folder with real videos."""

import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import pytest
import torch
from conftest import degrade, draw_frame, run_command
from file_server import pack, run_server

from vqe.cli import REPOSITORY
from vqe.critics import DOVER, UNetLite
from vqe.critics.weights import untrained_
from vqe.video import VideoWriter

# in the order of their steps: later ones need what earlier ones made
PAGES = (
    *("docs/data.md", "README.md", "docs/training.md", "docs/networks.md", "docs/critics.md"),
    *("docs/enhance.md", "docs/benchmarks.md"),
)
PAGES_ELSEWHERE = ("docs/ratings.md",)  # whose commands tests/subjective/test_docs.py runs


def read_commands(page: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (REPOSITORY / page).read_text(), re.S)
    return [line for block in blocks for line in block.splitlines() if line[:1] not in ("#", "")]


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in read_commands(page)))
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
    "dataset_builder.py": (),
    "download.py": (
        "archives.train.unpacked_bytes=null",
        "archives.test.unpacked_bytes=null",
        "archives.train.files={train_supervised_synthetic:8,train_supervised_real:4,train_unsupervised:2}",
        "archives.test.files={test_supervised_synthetic:4,test_unsupervised:1}",
    ),
    "score_videos.py": ("every=1000", "device=cpu"),
    "synthesize.py": ("clips.max_size=[48,64]", "clips.per_source=2", "data.jobs=1"),
    "train_vqa.py": ("samples=4", "held_out_samples=8", "side=32", "trainer=cpu"),
}
STAGE_2_SHORT = ("crop=[32,32]", "dataset.clip_length=2")
# one clip instead of three: the weights are random anyway
DOVER_SHORT = (
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
    write_clean(root / "clean")
    (root / "results").mkdir()
    folders = {name: root / name for name in ("data", "outputs", "results", "clean", "own")}
    with run_server() as server:
        serve(server, data)
        yield folders | {"url": server.url}


def write_clean(folder: Path) -> None:
    """Write a clip and two pictures, as somebody's own footage."""
    folder.mkdir()
    with VideoWriter(folder / "clip.mp4") as writer:
        for f in range(20):
            writer.write(draw_frame(7, f))
    for i in range(2):
        cv2.imwrite(str(folder / f"picture_{i}.jpg"), draw_frame(8 + i, 0))


def serve(server, data: Path) -> None:
    """Put the data folder and the weights where `download.py` looks for them."""
    for part in ("train", "test"):
        files = sorted(path for path in (data / part).rglob("*") if path.is_file())
        members = {path.relative_to(data).as_posix(): path.read_bytes() for path in files}
        server.files[f"{part}.tar.gz"] = pack(members)
    for name in ("VQA.ckpt", "DOVER.pth"):
        server.files[name] = (data / name).read_bytes()
    server.files["v0.5.0/DOVER-Mobile.pth"] = b"nothing reads it"


def newest_run(outputs: Path) -> Path:
    runs = [p.parents[1] for p in outputs.glob("*/*/results/metrics_unsupervised.csv")]
    trained = [run for run in runs if (run / "checkpoints").is_dir()]
    return max(trained, key=lambda run: run.stat().st_mtime)


def fill_in(command: str, places: dict[str, Path]) -> list[str]:
    command = command.replace("<data>", str(places["data"]))
    command = command.replace("<mp4s>", str(places["data"] / "test/unsupervised"))
    for name in ("results", "clean", "own"):
        command = command.replace(f"<{name}>", str(places[name]))
    if "<run>" in command:
        command = command.replace("<run>", str(newest_run(places["outputs"])))
    words = shlex.split(command)
    assert words[0] == "python", command
    script = Path(words[1]).name
    in_benchmarks = command.startswith("python") and "--quick" in command
    if script in SHORT and not in_benchmarks:
        words += [f"paths.outputs='{places['outputs']}'", *SHORT[script]]
    if "DOVER.pth" in command:
        words.append("model_dover.num_clips=1")
        words += DOVER_SHORT if script == "train_vqe.py" else ()
    if "experiment=stage2" in command:
        words += STAGE_2_SHORT
    if script == "download.py":  # into a folder of its own
        folder = str(places["outputs"] / "data")
        words = [word.replace(str(places["data"]), folder) for word in words]
        words += [f"base_url={places['url']}", f"dover_url={places['url']}"]
    return words[1:]


def run(command: str, places: dict[str, Path]) -> None:
    folder = REPOSITORY if command.startswith("python codalab_scoring/") else REPOSITORY / "vqe"
    if command.startswith("cd "):
        into, command = command.removeprefix("cd ").split(" && ")
        folder = REPOSITORY / into
    run_command([sys.executable, *fill_in(command, places)], folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(("python", "cd "))])
def test_command_runs(command, places):  # in the README's order: later ones need a run
    run(command, places)


@pytest.mark.slow
def test_builder_s_benchmark_names_its_figures(places):  # as the commands above left them
    result = json.loads((places["results"] / "dataset_builder.json").read_text())
    assert result["machine"]["cores"] >= 1
    assert result["extract_left_out"] == []
    assert result["extract_frames"] == 16
    assert result["rows"] == 2000
    assert min(result[f"{name}_ratio"] for name in ("extract", "csv")) > 0
    assert result["rows_seconds"] > 0
    assert 50 < result["rows_peak_mb"] < 2000
    assert result["rows_4m_seconds"] is None  # 2000 rows say nothing of 4 million


@pytest.mark.slow
def test_loading_benchmark_measures_every_case(places):
    found = json.loads((places["results"] / "loading.json").read_text())
    pairs = {("jpg", "random"), ("png", "random"), ("video", "sequential"), ("video", "random")}
    cases = {(*pair, workers) for pair in pairs for workers in (0, 1, 2)}
    assert {(c["source"], c["order"], c["workers"]) for c in found["cases"]} == cases
    for case in found["cases"]:
        assert case["frames_per_second"] > 0
        ratio = case["decoder_frames_per_second"] / case["frames_per_second"]
        expected = (ratio - 1) * 100
        assert abs(case["overhead_percent"] - expected) < 1 + 0.05 * abs(expected)
    assert found["disk_bytes"]["png"] > found["disk_bytes"]["video"] > 0


def test_no_command_is_left_out():
    others = [c for c in COMMANDS if not c.startswith(("python", "cd "))]
    assert others == ["make demo", "make test"]  # test_demo.py, and what runs this


def test_every_page_with_commands_is_run():
    pages = ["README.md", *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md"))]
    assert {page for page in pages if read_commands(page)} == {*PAGES, *PAGES_ELSEWHERE}


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().split()) <= 900


def test_make_demo_runs_the_demo():
    assert "-m vqe.demo" in run_command(["make", "--dry-run", "demo"], REPOSITORY)
