"""Enhanced test frames -> one h264 video for each unsupervised video, a frame at a time."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from vqe.data import VQEDataModule
from vqe.data.index import check_unique_ids
from vqe.files import complete_or_absent, link_or_copy
from vqe.training.callbacks.frame_callback import FrameCallback
from vqe.video.sequence import VideoFiles

log = logging.getLogger(__name__)


class RenderVideos(FrameCallback):
    """Stream each unsupervised video's enhanced frames to `<folder>/<video_id>.mp4`.

    As many files are open at a time as the loader has lanes (`vqe.data.samplers.VideoBatches`), and
    the memory does not grow with the videos. A file has its name once it is complete.

    Args:
        folder: where the videos go.
        fps: frame rate; None: that of the rows, 30 as in the challenge where they have none.
        crf: x264's quality; the challenge's is 18.

    Attributes:
        files_of: where each video went that was rendered.
    """

    def __init__(self, folder: str, *, fps: int | None = None, crf: int = 18) -> None:
        self.folder = Path(folder)
        self.fps = fps
        self.files = VideoFiles(crf=crf)
        self.files_of: dict[tuple[str, str], Path] = {}
        self._rates: dict[tuple[str, str], int] = {}

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Make the folder and check that no two videos share a name."""
        check_unique_ids(data.tables[split])
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rates = data.rates(split)
        self.files.written = 0

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Append the frames of a batch without targets."""
        if outputs["rmse"] is None:
            path = self.files_of[video] = self.folder / f"{video[1]}.mp4"
            self.files.write(path, outputs["enhanced_u8"], fps=self.fps or self._rates[video])

    def end_video(self, video: tuple[str, str]) -> None:
        """Complete the video, beside what comes next."""
        if video in self.files_of:
            self.files.end(self.files_of[video])

    def adopt(self, video: tuple[str, str], file: Path) -> None:
        """Take over what an earlier run rendered."""
        path = self.files_of[video] = self.folder / f"{video[1]}.mp4"
        if not (path.exists() and path.samefile(file)):
            with complete_or_absent(path) as part:
                link_or_copy(file, part)

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Complete the last videos."""
        self.files.close()
        log.info("wrote %d videos to %s", self.files.written, self.folder)

    def abort(self) -> None:
        """Leave no half-written video."""
        self.files.abort()
