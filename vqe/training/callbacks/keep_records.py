"""Videos that are tested and rendered -> a record each, from which a test that was cut goes on."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from vqe.data import VQEDataModule
from vqe.records import Head, Record, RecordWriter
from vqe.training.callbacks.frame_callback import FrameCallback
from vqe.training.callbacks.render_videos import RenderVideos
from vqe.training.callbacks.write_metrics import Video, WriteMetrics


def name_video(video: Video) -> str:
    """Name a video in a record."""
    return "/".join(video)


class KeepRecords(FrameCallback):
    """Write down each video's numbers, and the size of its file, once both are there.

    It comes behind the callbacks that it looks at.

    Args:
        run: the run's folder.
        head: what the numbers are made with.
        stamps: of the videos' sources, before they are read.
        metrics: has the numbers; None where none are wanted.
        rendering: has the files; None where none are wanted.

    Attributes:
        adopted: what was taken over from earlier runs.
    """

    def __init__(
        self,
        run: Path,
        head: Head,
        stamps: Mapping[Video, str],
        metrics: WriteMetrics | None,
        rendering: RenderVideos | None,
    ) -> None:
        self.run, self.head, self.stamps = run, head, stamps
        self.metrics, self.rendering = metrics, rendering
        self.adopted: dict[Video, Record] = {}
        self._writer: RecordWriter | None = None
        self._ended: list[Video] = []
        self._videos = {name_video(video): video for video in stamps}

    def adopt(self, run: Path, record: Record, rendered: Collection[Video]) -> None:
        """Take over what another run knows of a video, if that is all that is wanted here.

        Args:
            run: the other run's folder.
            record: of the video, which may be none of this process's.
            rendered: videos that have a file, where files are wanted.
        """
        video = self._videos.get(record.video)
        if video is None or video in self.adopted or record.stamp != self.stamps[video]:
            return
        file, numbers = record.content["file"], record.content["numbers"]
        if self.metrics is not None and numbers is None:
            return
        wants_file = self.rendering is not None and video in rendered
        if wants_file:
            if file is None or file != self._describe(run / file["path"], run):
                return
            self.rendering.adopt(video, run / file["path"])
        if self.metrics is not None:
            self.metrics.known[video] = numbers
        self.adopted[video] = record

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Open this process's file; the main process's gets what was taken over."""
        self._writer = RecordWriter(self.run, self.head)
        if data.trainer is None or data.trainer.is_global_zero:
            for video in self.adopted:
                known = None if self.metrics is None else self.metrics.known[video]
                self._writer.append(self._make_record(video, known))

    def end_video(self, video: Video) -> None:
        """Write a record, now or once the video's file is complete."""
        self._ended.append(video)
        self._write_complete()

    def take(
        self, video: Video, outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Write the records of files that are complete by now."""
        self._write_complete()

    def _write_complete(self) -> None:
        ended, self._ended = self._ended, []
        for video in ended:
            if self._is_encoded(video):
                numbers = None if self.metrics is None else self.metrics.means[video]
                self._writer.append(self._make_record(video, numbers))
            else:
                self._ended.append(video)

    def _is_encoded(self, video: Video) -> bool:
        if self.rendering is None or video not in self.rendering.files_of:
            return True
        self.rendering.files.collect()
        return not self.rendering.files.is_ending(self.rendering.files_of[video])

    def _make_record(self, video: Video, numbers: dict[str, list[float]] | None) -> Record:
        path = None if self.rendering is None else self.rendering.files_of.get(video)
        file = None if path is None else self._describe(path, self.run)
        return Record(name_video(video), self.stamps[video], {"numbers": numbers, "file": file})

    def _describe(self, path: Path, run: Path) -> dict[str, Any] | None:
        """Return what is known of a rendered file, by its path from a run's folder."""
        if not path.is_file():
            return None
        options = {"fps": self.rendering.fps, "crf": self.rendering.files.crf}
        return {"path": os.path.relpath(path, run), "bytes": path.stat().st_size, **options}

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Write the last records."""
        self._write_complete()
        self._writer.close()

    def abort(self) -> None:
        """Write what is complete, and close the file."""
        if self._writer is not None and not self._writer.closed:
            self._write_complete()
            self._writer.close()
