"""Enhanced frames -> a virtual camera that other programs take for a webcam."""

import importlib
import logging
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from vqe.pixels import from_unit
from vqe.video.facts import VideoFacts
from vqe.video.timed import TimedFrame

log = logging.getLogger(__name__)
HOW = "modprobe v4l2loopback devices=1 video_nr=10 exclusive_caps=1 card_label=Enhanced"


class OtherCamera:
    """A virtual camera of pyvirtualcam, where there is no Video4Linux (GPL-2.0: not a dependency).

    Args:
        facts: of the frames.

    Raises:
        RuntimeError: pyvirtualcam is not installed, or finds no camera.
    """

    def __init__(self, facts: VideoFacts) -> None:
        try:
            package = importlib.import_module("pyvirtualcam")
        except ImportError as error:
            raise RuntimeError(
                "expected Video4Linux or the package pyvirtualcam (GPL-2.0) for output=camera, "
                "got neither. Do pip install pyvirtualcam"
            ) from error
        self._camera = package.Camera(width=facts.width, height=facts.height, fps=float(facts.rate))

    def __enter__(self) -> "OtherCamera":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._camera.close()

    def write(self, item: TimedFrame | av.Packet) -> None:
        """Show a frame; sound is left out."""
        if isinstance(item, TimedFrame):
            self._camera.send(from_unit(item.planes, np.uint8))


def check_device(device: str) -> None:
    """See that a virtual camera's device is there.

    Raises:
        FileNotFoundError: it is not.
    """
    if not Path(device).exists():
        raise FileNotFoundError(
            f"expected camera.output to be a device of v4l2loopback, got none at {device}. "
            f"Do: {HOW}"
        )
