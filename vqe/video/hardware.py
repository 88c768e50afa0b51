"""Video file and a decoder's name -> the open container, decoding on a CPU or an NVIDIA GPU.

H.264, HEVC and the like say which samples a decoder gives: a GPU's are those of a CPU. They come
back from it as NV12, which `build_graph` turns into the planes that a CPU's decoder gives before
anything else: colours are converted by the same code.
"""

import logging
from functools import lru_cache
from pathlib import Path

import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.reformatter import ColorRange

from vqe.video.pyav import open_container

log = logging.getLogger(__name__)

CPU, CUDA, AUTO = DECODERS = ("cpu", "cuda", "auto")
PACKED = "nv12"  # what a GPU hands out: 4:2:0 whose two colours lie side by side
ADVICE = (
    "It takes an NVIDIA GPU, its driver (in a container NVIDIA_DRIVER_CAPABILITIES with `video`), "
    "and a codec that this GPU decodes. Use decoder=cpu, or auto, which falls back"
)


class DecoderError(RuntimeError):
    """A GPU does not decode a file; the message says what to do."""


def check_decoder(name: str) -> str:
    """Return a decoder's name, `cpu`, `cuda`, `auto`, or with a GPU's number such as `cuda:1`.

    Raises:
        ValueError: it is none.
    """
    kind, colon, number = str(name).partition(":")
    if kind not in DECODERS or (colon and (kind == CPU or not number.isdecimal())):
        raise ValueError(f"expected decoder to be one of {', '.join(DECODERS)}, got {name!r}")
    return name


def open_for_decoding(path: Path, decoder: str) -> InputContainer:
    """Open a file whose streams decode where a decoder's name says.

    With `auto`, what the GPU does not decode is decoded on the CPU, all else being equal.

    Raises:
        DecoderError: there is no GPU for `cuda`.
        FFmpegError: the library fails on the file.
    """
    kind, _, number = check_decoder(decoder).partition(":")
    if kind == CPU:
        return open_container(path)
    hardware = HWAccel(CUDA, device=number or None, allow_software_fallback=kind == AUTO)
    try:
        return open_container(path, hwaccel=hardware)
    except av.error.FFmpegError as error:
        container = open_container(path)  # or the file is at fault
        if kind == AUTO:
            _tell_once(str(error.strerror))
            return container
        container.close()
        reason = f"expected a GPU that decodes, got: {error.strerror}"
        raise DecoderError(f"{reason}. {ADVICE}") from error


def require_hardware(context: av.VideoCodecContext, decoder: str) -> None:
    """See that `cuda` decodes a stream's codec at all.

    Raises:
        DecoderError: it does not.
    """
    if decoder.partition(":")[0] == CUDA and not context.is_hwaccel:
        raise DecoderError(f"expected a codec that GPUs decode, got {context.name}. {ADVICE}")


def find_planes(frame: av.VideoFrame) -> str | None:
    """Return the format that a CPU's decoder gives in place of a GPU's; None: it is a CPU's."""
    if frame.format.name != PACKED:
        return None
    return "yuvj420p" if frame.color_range == ColorRange.JPEG else "yuv420p"


@lru_cache(maxsize=16)
def _tell_once(reason: str) -> None:
    log.info("decoder=auto: videos are decoded on the CPU, as there is no GPU for it: %s", reason)
