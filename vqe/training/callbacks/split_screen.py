"""Input and enhanced test frames -> an h264 video: left half the input, right half the result."""

import logging
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from vqe.data import VQEDataModule
from vqe.training.callbacks.frame_callback import FrameCallback
from vqe.video.sequence import VideoFiles

log = logging.getLogger(__name__)

WHITE = 255


class SplitScreen(FrameCallback):
    """Stream the first videos to `<folder>/<subset>_<video_id>.mp4`: input | enhanced.

    Both halves belong to one picture: a face in the middle is half as it came, half as the network
    leaves it. Each rank takes its own first videos, with targets or without. A file has its name
    once it is complete.

    Args:
        folder: where the videos go.
        videos: how many, of each rank.
        line: width in pixels of the white line between the halves.
        fps: frame rate; None: that of the rows, 30 where they have none.
        crf: x264's quality.
    """

    def __init__(
        self,
        folder: str,
        *,
        videos: int = 4,
        line: int = 2,
        fps: int | None = None,
        crf: int = 18,
    ) -> None:
        self.folder = Path(folder)
        self.videos = videos
        self.line = line
        self.fps = fps
        self.files = VideoFiles(crf=crf)
        self._rates: dict[tuple[str, str], int] = {}
        self._seen: set[tuple[str, str]] = set()

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Make the folder and start counting."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rates = data.rates(split)
        self.files.written, self._seen = 0, set()

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Append the frames of a batch, if its video is one of the first."""
        if len(self._seen) < self.videos:
            self._seen.add(video)
        if video in self._seen:
            halves = join_halves(batch["x"], outputs["enhanced_u8"], self.line)
            self.files.write(self._path(video), halves, fps=self.fps or self._rates[video])

    def end_video(self, video: tuple[str, str]) -> None:
        """Complete the video, beside what comes next."""
        self.files.end(self._path(video))

    def _path(self, video: tuple[str, str]) -> Path:
        return self.folder / f"{'_'.join(video)}.mp4"

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Complete the last videos."""
        self.files.close()
        log.info("wrote %d videos to %s", self.files.written, self.folder)

    def abort(self) -> None:
        """Leave no half-written video."""
        self.files.abort()


def join_halves(left_bchw: torch.Tensor, right_bchw: torch.Tensor, line: int) -> torch.Tensor:
    """Join the left half of one and the right half of the other, uint8 [B,3,H,W], by a line."""
    middle = left_bchw.shape[3] // 2
    joined = torch.cat([left_bchw[..., :middle], right_bchw[..., middle:]], dim=3)
    start = middle - line // 2
    joined[..., max(0, start) : start + line] = WHITE
    return joined
