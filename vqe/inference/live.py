"""Standard input or a camera -> standard output, a virtual camera or a file, while it comes.

There is no way back in such a stream: frames and all else go through in one pass, and a run that
is cut off begins anew.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from vqe.files import complete_or_absent
from vqe.inference.compare import split_screen
from vqe.inference.enhancer import Enhancer
from vqe.inference.overlap import in_background
from vqe.inference.progress import Progress
from vqe.inference.video_file import VideoOptions, check_hdr, single_threads
from vqe.inference.virtual_camera import OtherCamera, check_device
from vqe.inputs import LIVE
from vqe.video.encoders import CONTAINERS, choose_encoder
from vqe.video.live import (
    Item,
    LiveInput,
    LiveOutput,
    OneWay,
    open_camera,
    open_live_out,
    open_pipe_in,
)
from vqe.video.source import open_video
from vqe.video.timed import TimedFrame

log = logging.getLogger(__name__)
PIPE, CAMERA = LIVE
V4L2 = "v4l2"


@dataclass(frozen=True)
class Ends:
    """Where a stream comes from and goes to.

    Attributes:
        source: a path, - for standard input, or camera.
        target: the same.
        container: of the target; None: by its suffix, nut for a pipe.
        camera_input: the webcam's device.
        camera_output: the virtual camera's.
        camera_size: width and height asked of the webcam.
    """

    source: str
    target: str
    container: str | None = None
    camera_input: str = "/dev/video0"
    camera_output: str = "/dev/video10"
    camera_size: tuple[int, int] | None = None


def is_live(name: str) -> bool:
    """Whether a name stands for something else than a file."""
    return name in LIVE


def enhance_live(ends: Ends, enhancer: Enhancer, options: VideoOptions, progress: str) -> int:
    """Enhance a stream from one end to the other; return how many frames.

    From a camera, frames that the network is too slow for are left out, and Ctrl-C is the end.

    Raises:
        VideoError: an end cannot be read or written.
        FileNotFoundError: there is no virtual camera.
        ValueError: an option does not fit.
    """
    to_pipe = ends.target == PIPE
    bar = Progress(progress, 1, sys.stderr if to_pipe else None)
    enhancer.reset()
    frames = 0
    bar.begin(ends.source)
    with ExitStack() as stack:
        stack.enter_context(single_threads())
        live = LiveInput(
            stack.enter_context(_open_source(ends)), ends.source, restart=ends.source == CAMERA
        )
        check_hdr(live.facts, options.hdr, Path(ends.source))
        output = _open_target(stack, ends, live, options)
        items = in_background(
            live.read(options.cut), depth=1, newest=ends.source == CAMERA, keep=av.Packet
        )
        items = stack.enter_context(closing(items))
        enhanced = in_background(_enhance(items, enhancer, compare=options.compare), depth=1)
        try:
            for item in stack.enter_context(closing(enhanced)):
                output.write(item)
                if isinstance(item, TimedFrame):
                    frames += 1
                    bar.update(frames, live.facts.frames)
        except KeyboardInterrupt:
            if ends.source != CAMERA:
                raise
        if isinstance(output, LiveOutput):
            output.close()
    bar.end("done")
    return frames


def _enhance(items: Iterator[Item], enhancer: Enhancer, *, compare: bool) -> Iterator[Item]:
    for item in items:
        if isinstance(item, av.Packet):
            yield item
            continue
        enhanced = enhancer.planes(item.planes)
        if compare:
            enhanced = split_screen(item.planes, enhanced)
        yield TimedFrame(item.pts, item.duration, enhanced)


@contextmanager
def _open_source(ends: Ends) -> Iterator[InputContainer]:
    if ends.source == PIPE:
        with open_pipe_in() as container:
            yield container
    elif ends.source == CAMERA:
        with open_camera(ends.camera_input, ends.camera_size) as container:
            yield container
    else:
        with open_video(ends.source) as (container, _):
            yield container


def _open_target(
    stack: ExitStack, ends: Ends, live: LiveInput, options: VideoOptions
) -> LiveOutput | OtherCamera:
    container, codec, pix_fmt = ends.container, options.codec, options.pix_fmt
    target: str | OneWay
    if ends.target == CAMERA:
        if V4L2 not in {name for form in av.formats_available for name in form.split(",")}:
            return stack.enter_context(OtherCamera(live.facts))
        check_device(ends.camera_output)
        target, name, container = ends.camera_output, ends.camera_output, V4L2
        codec, pix_fmt = "rawvideo", "yuv420p"
    elif ends.target == PIPE:
        target, name = OneWay(sys.stdout.buffer), "standard output"
        container = container or "nut"
        codec = codec or "rawvideo"
    else:
        path = Path(ends.target)
        container = container or path.suffix.lower().lstrip(".")
        target, name = str(stack.enter_context(complete_or_absent(path))), str(path)
    if container not in CONTAINERS and container != V4L2:
        raise ValueError(f"expected output of {', '.join(CONTAINERS)}, got {ends.target}")
    settings = choose_encoder(
        live.facts,
        container=container,
        time_base=options.cut.time_base(live.facts),
        rate=options.cut.rate(live.facts),
        codec=codec,
        crf=options.crf,
        preset=options.preset,
        pix_fmt=pix_fmt,
        options=options.encoder,
    )
    output = stack.enter_context(open_live_out(target, container, name))
    opened = LiveOutput(output, settings, live.others)
    for stream in live.others.lost:
        log.warning("%s: %s cannot hold %s", name, container, stream)
    return opened
