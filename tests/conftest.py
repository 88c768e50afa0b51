"""Fixtures every test file may use: a small data folder and composed configs."""

import contextlib
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from challenge_data import make_data
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from network_checks import perturb
from omegaconf import DictConfig

import vqe.cli
from vqe.export.onnx import export_onnx
from vqe.models import Nano
from vqe.schema import FRAME_COLUMNS
from vqe.training.checkpoints import NETWORK_CONFIG, NETWORK_PREFIX

os.environ.setdefault("OMP_NUM_THREADS", "2")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker start with its share of what takes long, so that all end together.

    pytest-xdist first hands each worker as many tests as the others, in this order, and later moves
    tests from the end of a worker's list: quick ones, in files whose fixtures cost little anew.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    items.clear()
    for workers in range(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)), 0, -1):
        count, first = (len(slow) + len(quick)) // workers, len(slow) // workers
        items += slow[:first] + quick[: count - first]
        del slow[:first], quick[: count - first]


def draw_frame(video: int, frame: int, height: int = 72, width: int = 96) -> np.ndarray:
    """Draw a uint8 BGR frame [H,W,3] that no other video or frame number gives."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / (5 + c + video) + frame / 3) + np.cos(y / (7 + c)) for c in range(3)]
    return (127.5 + 55 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8)


def degrade(frame: np.ndarray) -> np.ndarray:
    """Darken and tint a uint8 BGR frame, the same way every time."""
    return (frame * np.array([0.5, 0.6, 0.7])).astype(np.uint8)


def write_subset(root: Path, folder: str, subset: str, sizes: list[tuple], frames: int) -> list:
    """Write a subset's images, PNG; return its rows. One video for each (height, width)."""
    rows = []
    for v, (height, width) in enumerate(sizes, start=1):
        for f in range(1, frames + 1):
            clean = draw_frame(v, f, height, width)
            paths = {}
            for side, picture in {"x": degrade(clean), "y": clean}.items():
                if side == "y" and "unsupervised" in subset:
                    continue
                relative = Path(folder) / f"video_{v:04d}" / side / f"frame_{f:04d}.png"
                (root / relative).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / relative), picture)
                paths[side] = relative.as_posix()
            row = (paths["x"], paths.get("y", ""), height, width, subset, f"video_{v:04d}")
            rows.append(row)
    return rows


def write_data(root: Path) -> Path:
    """Write a data folder with all four CSVs."""
    small, odd = (72, 96), (71, 95)
    train = [
        *write_subset(
            root, "train/supervised/synthetic", "train_supervised_synthetic", [small] * 3, 4
        ),
        *write_subset(root, "train/unsupervised", "train_unsupervised", [small] * 2, 4),
    ]
    test = [
        *write_subset(
            root, "test/supervised/synthetic", "test_supervised_synthetic", [small, odd], 3
        ),
        *write_subset(root, "test/unsupervised", "test_unsupervised", [small, odd, small], 5),
    ]
    for name, rows in {"train": train, "test": test}.items():
        for kind in ("", "_minimal"):
            table = pd.DataFrame(rows, columns=FRAME_COLUMNS)
            table.to_csv(root / f"{name}{kind}.csv", index=False)
    return root


HANGS = 3600  # seconds after which a command counts as hanging; no test is about time
ENDS = 120  # seconds in which workers of a killed parent end, idle ones too: loky's wait for 300


def run_command(command: list[str], folder: Path, *, threads: int = 1) -> str:
    """Run a command as a user would; return what it printed. It must end well."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


HAS_PROC = Path("/proc/self").is_dir()


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie, by /proc."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_end(group: int) -> list[int]:
    """Wait until no process of a group is running, by /proc; not as long as loky's keep idle.

    Returns:
        Those that are left.
    """
    deadline = time.monotonic() + ENDS
    while (left := _list_group(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _list_group(group: int) -> list[int]:
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            if os.getpgid(int(entry.name)) == group and is_running(int(entry.name)):
                left.append(int(entry.name))
    return left


def run_here(script: Path, arguments: list[str], folder: Path) -> int:
    """Run a script as `python <script> <arguments>` in this process: torch is imported already.

    Working directory, environment, logging, signal handlers and thread counts are put back.

    Returns:
        The exit status.
    """
    root, cwd, environment = logging.getLogger(), Path.cwd(), dict(os.environ)
    handlers, level, argv, path = root.handlers[:], root.level, sys.argv, sys.path[:]
    on_sigterm = signal.getsignal(signal.SIGTERM)
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    sys.argv = [str(script), *map(str, arguments)]
    sys.path.insert(0, str(script.parent))
    os.chdir(folder)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os.chdir(cwd)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        signal.signal(signal.SIGTERM, on_sigterm)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
        GlobalHydra.instance().clear()
    return 0


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Make a folder that all workers of a test run share: the first that needs it fills it.

    Args:
        factory: tells where a run's folders lie.
        name: of the folder.
        make: fills the new folder.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a maker that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(autouse=True)
def no_handlers_left():
    """Take away what a command run here has told logging: it would write to closed streams."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that tests read and do not change."""
    return write_data(tmp_path_factory.mktemp("data with ünicode"))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenge's layout with nine small videos, as they came; tests do not change it."""
    return make_data(tmp_path_factory.mktemp("original"))


@pytest.fixture
def source_dir(original: Path, tmp_path: Path) -> Path:
    """A copy of `original` for the builder to work in."""
    return shutil.copytree(original, tmp_path / "Daten für 視頻 100%")


TINY = (
    "model_vqa.weights=untrained",
    "model_dover=off",
    "trainer=cpu",
    "dataloader.batch_size=4",
    "dataloader.eval_batch_size=2",
    "dataloader.num_workers=0",
    "dataset.size=[64,64]",
    "dataset.valid_fraction=0.34",
    "trainer.limit_train_batches=1",
    "trainer.log_every_n_steps=1",
    "callbacks.progress_bar=null",
    "export_onnx=false",
)


def compose_config(run: Path, *overrides: str, name: str = "vqe") -> DictConfig:
    """Compose a config as the entries do, writing into `run`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(vqe.cli.CONF_DIR), version_base="1.3"):
        return compose(name, overrides=[f"paths.run='{run}'", f"paths.runs='{run}'", *overrides])


@pytest.fixture
def tiny_config(tmp_path: Path, data_folder: Path):
    """Return a function that composes the training config for one step on the small data."""

    def make(*overrides: str, run: Path = tmp_path / "run") -> DictConfig:
        return compose_config(run, f"dataset.path='{data_folder}'", *TINY, *overrides)

    return make


SMALL_NANO = {"_target_": "vqe.models.Nano", "grid_size": 8, "low_res": 32, "width": 4}


@pytest.fixture(scope="session")
def small_nano():
    """A small network that changes much and remembers."""
    arguments = {name: value for name, value in SMALL_NANO.items() if name != "_target_"}
    with torch.random.fork_rng():
        torch.manual_seed(0)  # whatever test comes first: how much it changes is part of tests
        return perturb(Nano(**arguments)).eval()


@pytest.fixture(scope="session")
def nano_checkpoint(small_nano, tmp_path_factory) -> Path:
    """`small_nano` as train_vqe.py keeps it."""
    path = tmp_path_factory.mktemp("weights") / "best.ckpt"
    weights = {NETWORK_PREFIX + name: value for name, value in small_nano.state_dict().items()}
    torch.save({"state_dict": weights, NETWORK_CONFIG: SMALL_NANO}, path)
    return path


@pytest.fixture(scope="session")
def nano_onnx(small_nano, tmp_path_factory) -> Path:
    """`small_nano` as ONNX, which all workers share and none changes."""

    def make(folder: Path) -> None:
        export_onnx(small_nano, folder / "network.onnx", check_sizes=((48, 64),))

    return make_once(tmp_path_factory, "nano_onnx", make) / "network.onnx"
