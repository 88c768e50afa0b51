"""The commands of README.md and docs/*.md: which there are, what their places hold, how they run.

A new command needs nothing if its script is in `SHORT` and its `<places>` are in `Workshop`.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import pytest
import torch
from clips import write_mp4
from conftest import degrade, draw_frame, make_once, run_command, run_here
from file_server import FileServer, pack

from vqe.cli import REPOSITORY
from vqe.critics import DOVER, UNetLite
from vqe.critics.weights import untrained_

PLACE = re.compile(r"<(\w+)>")
# tests/subjective/test_docs.py rates a study in between; tests/browser/test_live_docs.py: Ctrl-C
RUN_ELSEWHERE = {"ratings.md", "live.md"}
PAGES = [
    REPOSITORY / "README.md",
    *(p for p in sorted((REPOSITORY / "docs").glob("*.md")) if p.name not in RUN_ELSEWHERE),
]
# added to what stands on the page, so that a command ends in seconds; by script
SHORT = {
    "vqe/train_vqe.py": (
        "trainer.limit_train_batches=1",
        "trainer.limit_val_batches=1",
        "trainer.log_every_n_steps=1",
        "dataset.size=[64,64]",
        "dataset.valid_fraction=0.5",
        "dataloader.batch_size=2",
        "dataloader.num_workers=0",
        "callbacks.progress_bar=null",
    ),
    "vqe/test_vqe.py": ("dataloader.num_workers=0", "callbacks.progress_bar=null"),
    "vqe/dataset_builder.py": ("data.jobs=1",),
    "vqe/download.py": (
        "base_url={url}",
        "dover_url={url}",
        "archives.train.unpacked_bytes=null",
        "archives.test.unpacked_bytes=null",
        "archives.train.files={{train_supervised_synthetic:8,train_supervised_real:4,train_unsupervised:2}}",
        "archives.test.files={{test_supervised_synthetic:4,test_unsupervised:1}}",
    ),
    "vqe/report.py": (),
    "vqe/score_videos.py": ("every=1000", "device=cpu"),
    "vqe/merge_results.py": (),
    "vqe/enhance.py": (),
    "vqe/submission.py": (),
    "vqe/synthesize.py": ("clips.max_size=[48,64]", "clips.per_source=2", "data.jobs=1"),
    "vqe/train_vqa.py": ("samples=4", "held_out_samples=8", "side=32", "trainer=cpu"),
    "benchmarks/critics.py": (),
    "benchmarks/enhance.py": (),
    "benchmarks/dataset_builder.py": (),
    "benchmarks/loading.py": (),
    "benchmarks/pipeline.py": (),
    "benchmarks/enhancement.py": ("--folder", "{results}/enhancement"),
    "benchmarks/before_after.py": (),
    "benchmarks/standin.py": ("--samples", "2", "--frames", "1"),
    "baseline/baseline.py": (),
    "codalab_scoring/score.py": (),
}
# other tests start these in processes of their own
STARTED_ELSEWHERE = {"vqe/train_vqe.py", "vqe/test_vqe.py", "vqe/enhance.py", "vqe/report.py"}
STARTED_ELSEWHERE |= {"vqe/dataset_builder.py", "vqe/download.py", "vqe/synthesize.py"}
STARTED_ELSEWHERE |= {"codalab_scoring/score.py"}
WITHOUT_RUN_FOLDER = {
    "vqe/enhance.py",
    "vqe/submission.py",
}  # these write where they are told to alone
# added where a command of that script says these words
SHORT_WHERE = (
    ("vqe/", "DOVER.pth", ("model_dover.num_clips=1",)),  # the weights are random anyway
    ("vqe/train_vqe.py", "DOVER.pth", ("dataloader.batch_size=1", "dataloader.eval_batch_size=1")),
    ("vqe/train_vqe.py", "experiment=stage2", ("crop=[32,32]", "dataset.clip_length=2")),
    ("vqe/train_vqe.py", "_context='spawn'", ("dataloader.num_workers=1",)),
)
# how pages make what other commands start from
BUILD = "python dataset_builder.py --config-name data/all_30fps data.source_dir=<data>"
TRAIN = "python train_vqe.py dataset.path='<data>' model_vqa.weights=untrained model_dover=off"
# tests/training/test_ddp.py runs it, and holds what it writes against what one process writes
TWO_PROCESSES = f"{TRAIN} trainer=ddp trainer.accelerator=cpu trainer.devices=2"
STAGE_1 = (
    "python train_vqe.py experiment=stage1_fidelity model_vqe=base dataset.path='<data>' "
    "model_vqa=standin model_dover=off"
)
SYNTHESIZE = (
    "python synthesize.py source='<clean>' data.target_dir='<own>' clips.frames=8 "
    "'layout.train_subsets=[train_supervised_real]'"
)
BUILD_OWN = (
    "python dataset_builder.py --config-name data/all_30fps data.source_dir='<own>' "
    "data.source=video"
)
SCORE = "python score_videos.py input='<mp4s>' model_dover=off resume=auto"
STEPS = {  # and what of the workshop each of them makes
    BUILD: "data",
    TRAIN: "trained",
    STAGE_1: "trained_base",
    SYNTHESIZE: "own_pairs",
    BUILD_OWN: "own",
    SCORE: "scored",
}
OF_BASE = ("model_vqe=base", "strength=")  # what needs a run of the network `base`


def read_commands() -> list[str]:
    """Return the lines of all bash blocks, each once, without comments."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = [block for text in texts for block in re.findall(r"```bash\n(.*?)```", text, re.S)]
    lines = [line for block in blocks for line in block.splitlines() if line[:1] not in ("#", "")]
    return list(dict.fromkeys(lines))


@dataclass(frozen=True)
class Call:
    """A command of a page, taken apart.

    Attributes:
        folder: where it is run.
        script: from the repository, such as `vqe/train_vqe.py`.
        arguments: as they stand there, with their places.
    """

    folder: Path
    script: str
    arguments: list[str]


def parse(command: str) -> Call:
    """Take a line apart: from vqe/ where it does not say `cd`, from the root for a path."""
    into, _, rest = command.rpartition(" && ")
    words = shlex.split(rest)
    assert words[0] == "python", f"expected `python <script>`, got {command}"
    folder = REPOSITORY / (into.removeprefix("cd ") if into else "vqe")
    if not into and "/" in words[1] and not words[1].startswith("."):
        folder = REPOSITORY
    script = (folder / words[1]).resolve().relative_to(REPOSITORY).as_posix()
    return Call(folder, script, words[2:])


def first_of_each_script(commands: list[str]) -> set[str]:
    """Return those that run in processes of their own: one a script."""
    others = [command for command in commands if command not in STEPS]
    first = {parse(command).script: command for command in reversed(others)}
    return {first[script] for script in first.keys() - STARTED_ELSEWHERE}


class Workshop:
    """The places that commands name, each made by the commands that pages give for it.

    Workers of a test run share what is made; a command writes into new places alone.

    Args:
        factory: tells where to make them.
        server: what `download.py` fetches from.
    """

    def __init__(self, factory: pytest.TempPathFactory, server: FileServer) -> None:
        self.factory = factory
        self.server = server

    def run(self, command: str, *, own_process: bool = False, **given: Path) -> Path:
        """Run a command of a page, which must end well; return its `<results>`.

        Args:
            command: a line of a page.
            own_process: whether Python is started anew for it.
            given: places by name, instead of the usual ones.
        """
        call = parse(command)
        places = self._find_places(command, call, given)
        arguments = [_fill_in(word, places, command) for word in call.arguments]
        arguments += [word.format(**places) for word in _shorten(command, call)]
        if own_process:
            run_command([sys.executable, str(REPOSITORY / call.script), *arguments], call.folder)
        else:
            assert run_here(REPOSITORY / call.script, arguments, call.folder) == 0, command
        return Path(places["results"])

    def _find_places(self, command: str, call: Call, given: dict[str, Path]) -> dict[str, object]:
        """Return what a command's places are; what it does not name is not made."""
        named = set(PLACE.findall(command)) - given.keys()
        scratch = self.factory.mktemp("doc", numbered=True)
        places = {"outputs": scratch / "outputs", "results": scratch, "url": self.server.url}
        if "mp4s" in named:
            places["mp4s"] = self.raw / "test/unsupervised"
        if "clean" in named:
            places["clean"] = make_once(self.factory, "doc_clean", write_clean)
        if "run" in named:
            trained = self.trained_base if any(w in command for w in OF_BASE) else self.trained
            places["run"] = find_run(trained)
        if "scored" in named:
            [records] = self.scored.glob("*/*/records")
            places["scored"] = records.parent
        if "resume_from=auto" in command:
            copy(self.trained, scratch / "outputs")
        if "data" in named:
            places["data"] = self._find_data(command, call, scratch)
        if "own" in named:
            places["own"] = self._find_own(command, scratch)
        return places | given

    def _find_data(self, command: str, call: Call, scratch: Path) -> Path:
        if call.script == "vqe/download.py":
            return scratch / "downloaded"
        return copy(self.raw, scratch / "data") if command == BUILD else self.data

    def _find_own(self, command: str, scratch: Path) -> Path:
        if command == SYNTHESIZE:
            return scratch / "own"
        return copy(self.own_pairs, scratch / "own") if command == BUILD_OWN else self.own

    @cached_property
    def raw(self) -> Path:
        """A data folder as it is downloaded: images, videos and both critics' weights."""
        return make_once(self.factory, "doc_raw", write_raw)

    @cached_property
    def data(self) -> Path:
        """The same with the builder's frames and CSVs."""
        return self._make("data", "data", BUILD, self.raw)

    @cached_property
    def own_pairs(self) -> Path:
        """A data folder of pairs made of the clean footage."""
        return self._make("own_pairs", "own", SYNTHESIZE)

    @cached_property
    def own(self) -> Path:
        """The same with the builder's CSVs."""
        return self._make("own", "own", BUILD_OWN, self.own_pairs)

    @cached_property
    def trained(self) -> Path:
        """Outputs of a run that trained, tested and rendered the default network."""
        return self._make("trained", "outputs", TRAIN)

    @cached_property
    def trained_base(self) -> Path:
        """The same of `base`, as the recipe's first stage makes it."""
        return self._make("trained_base", "outputs", STAGE_1)

    @cached_property
    def scored(self) -> Path:
        """Outputs of a run that scored videos."""
        return self._make("scored", "outputs", SCORE)

    def _make(self, name: str, place: str, command: str, start: Path | None = None) -> Path:
        """Run a command on a copy of `start`, once for all workers; return the place it filled."""

        def make(folder: Path) -> None:
            if start is not None:
                copy(start, folder / place)
            self.run(command, **{place: folder / place})

        return make_once(self.factory, f"doc_{name}", make) / place


def _shorten(command: str, call: Call) -> Iterator[str]:
    assert call.script in SHORT, (
        f"{call.script} is new on a page ({command}): add what makes it short to SHORT in "
        "tests/doc_commands.py, () if nothing has to"
    )
    if call.script.startswith("vqe/") and call.script not in WITHOUT_RUN_FOLDER:
        yield "paths.outputs='{outputs}'"
    yield from SHORT[call.script]
    if call.script == "vqe/train_vqe.py" and command != TRAIN:
        yield "export_onnx=false"  # one run's network.onnx is enough for what others start from
    for script, words, short in SHORT_WHERE:
        if call.script.startswith(script) and words in command:
            yield from short


def _fill_in(word: str, places: dict[str, object], command: str) -> str:
    for name in PLACE.findall(word):
        assert name in places, (
            f"<{name}> is new on a page ({command}): say what it is in Workshop._find_places, "
            "tests/doc_commands.py"
        )
        word = word.replace(f"<{name}>", str(places[name]))
    return word


def copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, symlinks=True))


def find_run(outputs: Path) -> Path:
    (checkpoints,) = outputs.glob("*/*/checkpoints")
    return checkpoints.parent


def write_raw(root: Path) -> None:
    """Write small videos of every subset, and random weights, linked so that copies are cheap."""
    for place, sides in {
        "train/supervised/synthetic": "xy",
        "train/supervised/real": "xy",
        "train/unsupervised": "x",
        "test/supervised/synthetic": "xy",
        "test/unsupervised": "x",
    }.items():
        (root / place).mkdir(parents=True)
        for video in range(1, 3 if place.startswith("train") else 2):
            for side in sides:
                frames = 1 if "unsupervised" in place else 2  # DOVER takes seconds a frame
                write_side(root / place / f"video_{video:04d}", side, video, frames)
    weights = root.with_name(f"{root.name}_weights")
    weights.mkdir()
    vqa = {f"_model.{k}": v for k, v in untrained_(UNetLite()).state_dict().items()}
    torch.save({"state_dict": vqa}, weights / "VQA.ckpt")
    torch.save(untrained_(DOVER("dover")).state_dict(), weights / "DOVER.pth")
    for path in weights.iterdir():
        (root / path.name).symlink_to(path)


def write_side(place: Path, side: str, video: int, frames: int) -> None:
    draw = degrade if side == "x" else (lambda frame: frame)
    pictures = [draw(draw_frame(video, f)) for f in range(frames)]
    if "synthetic" not in place.parts:
        write_mp4(place.with_name(f"{place.name}_{side}.mp4"), pictures)
        return
    (place / side).mkdir(parents=True)
    for f, picture in enumerate(pictures, start=1):
        cv2.imwrite(str(place / side / f"{f:04d}.jpg"), picture)


def write_clean(folder: Path) -> None:
    """Write a clip and two pictures, as somebody's own footage."""
    write_mp4(folder / "clip.mp4", (draw_frame(7, f) for f in range(20)))
    for i in range(2):
        cv2.imwrite(str(folder / f"picture_{i}.jpg"), draw_frame(8 + i, 0))


def serve(server: FileServer, data: Path) -> None:
    """Put a data folder's archives and the weights, which nothing reads, on a server."""
    for part in ("train", "test"):
        files = sorted(path for path in (data / part).rglob("*") if path.is_file())
        members = {path.relative_to(data).as_posix(): path.read_bytes() for path in files}
        server.files[f"{part}.tar.gz"] = pack(members)
    for name in ("VQA.ckpt", "DOVER.pth", "v0.5.0/DOVER-Mobile.pth"):
        server.files[name] = b"PK\x03\x04" + f"in place of {name}".encode()  # as torch begins
