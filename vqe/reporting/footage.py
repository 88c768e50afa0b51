"""Run -> the frames of its test by number: inputs and targets from the data, enhanced ones.

Enhanced frames come from the rendered videos; where none was rendered, as of videos with targets,
the tested weights make them again. Frames meet by number; counts, and the luma that the test
recorded of each frame, have to agree.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vqe.data.index import group_videos, read_index
from vqe.data.reading import FrameReader
from vqe.data.rows import FrameRows
from vqe.inputs import require_csv
from vqe.models.enhancement import VideoEnhancer, has_memory
from vqe.pixels import LUMA_BT601, bgr_hwc_u8, dequantise, quantise, rgb_chw_u8
from vqe.reporting.run import SUPERVISED, UNSUPERVISED, Key, Run
from vqe.schema import LUMAS
from vqe.state_dict import digest_tensors
from vqe.training.checkpoints import load_network
from vqe.video import VideoFrames, probe_video

log = logging.getLogger(__name__)

LUMA_TOLERANCE = 4.0  # 8-bit levels: rendering in 4:2:0 moves that of bright frames by two
Sides = dict[str, np.ndarray]  # uint8 BGR [H,W,3] by `input`, `run 0`, `run 1`, `target`


class FrameMismatch(ValueError):
    """Frames are not those that were tested."""


class Inputs:
    """Inputs and targets of a run's test.

    Args:
        run: the run.
        data: the data folder; None: where the run's config says.

    Raises:
        FileNotFoundError: the data folder or its CSV is not there.
        ValueError: the config names no data, or the CSV is wrong.
    """

    def __init__(self, run: Run, data: Path | None) -> None:
        path = data or run.read_config("dataset.path")
        holdout = run.read_config("dataset.holdout")
        if path is None or holdout is None:
            raise ValueError(f"expected dataset.path in the config of {run.folder}, got none")
        root = run.started_in / path
        require_csv(root / holdout)
        table = read_index(
            root / holdout,
            run.read_config("dataset.holdout_query"),
            allow_outside=bool(run.read_config("dataset.allow_outside", False)),
        )
        self._rows = FrameRows(table)
        self._reader = FrameReader(root, table.attrs.get("csv"), open_videos=2, threads=1)
        has_target = (table["img_target"] != "").to_numpy()
        self._positions = {
            (SUPERVISED if has_target[positions[0]] else UNSUPERVISED, str(video_id)): positions
            for (_, video_id), positions in group_videos(table).items()
        }

    def count(self, key: Key) -> int:
        """Return how many frames a video has, 0 where it is not in the data."""
        return len(self._positions.get(key, ()))

    def read(self, key: Key, number: int, side: str) -> np.ndarray:
        """Return a frame of `input` or `target`, uint8 BGR [H,W,3]."""
        row = self._rows[int(self._positions[key][number])]
        return self._reader.read(row, {"input": "img_source", "target": "img_target"}[side])


class Enhanced:
    """Enhanced frames of a run.

    Args:
        run: the run.
        inputs: its inputs.
    """

    def __init__(self, run: Run, inputs: Inputs) -> None:
        self.run = run
        self.inputs = inputs
        self._network: torch.nn.Module | None = None

    def stream(self, key: Key, numbers: list[int]) -> Iterator[np.ndarray]:
        """Yield frames of a video, uint8 BGR [H,W,3]; the numbers rise.

        Raises:
            FrameMismatch: they are not those that were tested.
            FileNotFoundError: neither a video nor weights are there.
            ValueError: either is damaged, or the weights are another network's.
        """
        video = self.run.folder / "videos" / f"{key[1]}.mp4"
        if key[0] == UNSUPERVISED and video.is_file():
            return self._read_rendered(key, video, numbers)
        return self._enhance(key, numbers)

    def _read_rendered(self, key: Key, video: Path, numbers: list[int]) -> Iterator[np.ndarray]:
        info, expected = probe_video(video), self.inputs.count(key)
        if info.frames != expected:
            raise FrameMismatch(
                f"expected the input's {expected} frames in {video.name}, got {info.frames}"
            )
        frames = VideoFrames(video, round(info.fps))
        try:
            for number in numbers:
                yield frames.read(number)
        finally:
            frames.close()

    def _enhance(self, key: Key, numbers: list[int]) -> Iterator[np.ndarray]:
        if self._network is None:
            self._network = _load_tested(self.run)
        # a network without memory sees each frame alone
        needed = range(max(numbers) + 1) if has_memory(self._network) else numbers
        enhancer, wanted = VideoEnhancer(), set(numbers)
        for number in needed:
            frame = rgb_chw_u8(self.inputs.read(key, number, "input"))
            with torch.inference_mode():
                enhanced = enhancer.enhance(self._network, dequantise(frame)[None], 0)[0]
            if number in wanted:
                yield bgr_hwc_u8(quantise(enhanced))


class Footage:
    """Inputs, targets and each run's enhanced frames.

    Args:
        runs: one run or two, of the same videos.
        data: the data folder; None: where the first run's config says.

    Raises:
        FileNotFoundError: the data is not there.
        ValueError: the config names no data, or its CSV is wrong.
    """

    def __init__(self, runs: list[Run], data: Path | None) -> None:
        self.inputs = Inputs(runs[0], data)
        self._enhanced = [Enhanced(run, self.inputs) for run in runs]
        self._luma = [_index_luma(run) for run in runs]

    def stream(self, key: Key, numbers: list[int]) -> Iterator[Sides]:
        """Yield the sides of frames of a video; the numbers rise.

        Raises:
            FrameMismatch: frames are not those that were tested.
            FileNotFoundError: an image, or what the enhanced frames come from, is missing.
            ValueError: a file is damaged.
        """
        self._check_count(key)
        streams = [frames.stream(key, numbers) for frames in self._enhanced]
        for number, *enhanced in zip(numbers, *streams, strict=True):
            sides = {"input": self.inputs.read(key, number, "input")}
            height, width = sides["input"].shape[:2]
            for i, frame in enumerate(enhanced):
                sides[f"run {i}"] = frame[:height, :width]  # less an odd size's padding
            if key[0] == SUPERVISED:
                sides["target"] = self.inputs.read(key, number, "target")
            self._check_luma(key, number, sides)
            yield sides

    def _check_count(self, key: Key) -> None:
        there = self.inputs.count(key)
        for luma in self._luma:
            if key in luma and len(luma[key]) != there:
                raise FrameMismatch(
                    f"expected the {len(luma[key])} frames that were tested, got {there} in the "
                    "data folder"
                )
        if not there:
            raise FrameMismatch("expected the video in the data folder, got none")

    def _check_luma(self, key: Key, number: int, sides: Sides) -> None:
        for i, luma in enumerate(self._luma):
            if key not in luma:
                continue
            recorded = dict(zip(("input", f"run {i}", "target"), luma[key][number], strict=True))
            for side in recorded.keys() & sides.keys():
                got = find_luma(sides[side])
                if not abs(got - recorded[side]) <= LUMA_TOLERANCE:
                    raise FrameMismatch(
                        f"expected a mean luma of {recorded[side]:.1f} as in the test, got "
                        f"{got:.1f} ({side}, frame {number})"
                    )


def find_luma(frame_bgr: np.ndarray) -> float:
    """Return the mean luma, BT.601, of a uint8 BGR frame [H,W,3], in levels."""
    return float(np.dot(cv2.mean(frame_bgr)[2::-1], LUMA_BT601))


def _index_luma(run: Run) -> dict[Key, np.ndarray]:
    return {
        key: np.stack([frames[name] for name in LUMAS], axis=1)
        for key, frames in run.frames_of.items()
    }


def _load_tested(run: Run) -> torch.nn.Module:
    """Load the weights that a run tested; only networks of `vqe.models`, whatever a config says."""
    path = next(_find_checkpoints(run), None)
    if path is None:
        raise FileNotFoundError(f"expected a checkpoint in {run.folder / 'checkpoints'}, got none")
    network, _ = load_network(path)
    strength = run.read_config("strength")
    if strength is not None:
        network.strength = strength
    tested: dict[str, Any] = run.provenance.get("network", {})
    if tested and digest_tensors(network.state_dict()) != tested.get("tensors_sha256"):
        raise FrameMismatch(f"expected the tested weights, got others in {path}")
    return network.eval()


def _find_checkpoints(run: Run) -> Iterator[Path | str]:
    """Yield what a test names, a path or a shipped network, then what a training wrote."""
    named = run.read_config("checkpoint")
    if isinstance(named, str):
        path = run.started_in / named
        yield path if path.is_file() else named
    for name in ("best.ckpt", "last.ckpt"):
        if (run.folder / "checkpoints" / name).is_file():
            yield run.folder / "checkpoints" / name
