"""Clean picture -> a version of it: a camera's faults, a call's codec, and what an editor did then.

The camera is `vqe.synthesis`'s. What comes after it stands for enhancement, good or overdone: it
may undo the camera's faults, leave them, or go too far.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import av
import cv2
import numpy as np

from vqe.synthesis import Degrader, Parameters
from vqe.synthesis.light import LUMA_BGR, to_linear, to_srgb

SHARPEN_SIGMA = 1.2  # pixels, of the unsharp mask


@dataclass(frozen=True)
class Finish:
    """What is done to a picture after the camera; the defaults do nothing.

    Attributes:
        stops: gain in linear light; light doubles with each.
        warmth_stops: red over blue, in linear light.
        saturation: 0 is grey, 1 leaves the colours.
        contrast: slope of the coded values about the picture's mean.
        smooth_sigma: of a Gaussian, in pixels.
        sharpen: amount of an unsharp mask.
    """

    stops: float = 0.0
    warmth_stops: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    smooth_sigma: float = 0.0
    sharpen: float = 0.0


@dataclass(frozen=True)
class Version:
    """How a version of a picture is made; the defaults leave it clean.

    Attributes:
        camera: its faults. A clip's bit rate says nothing of a single frame, so that
            `h264_bits_per_pixel` stays None; drifting values count at their start.
        h264_qp: quantiser of H.264 after the camera, 0 to 51; None for no H.264.
        finish: what is done after that.
    """

    camera: Parameters = field(default_factory=Parameters)
    h264_qp: int | None = None
    finish: Finish = field(default_factory=Finish)


def make_version(picture: np.ndarray, version: Version, *, seed: int) -> np.ndarray:
    """Make a version of a clean picture, uint8 BGR [H,W,3] with even sides.

    Args:
        picture: the clean one; unchanged.
        version: what to do.
        seed: of the noise.
    """
    made = Degrader(version.camera, seed=seed, frames=1)(picture)
    if version.h264_qp is not None:
        made = code_h264(made, version.h264_qp)
    return finish_picture(made, version.finish)


def finish_picture(picture: np.ndarray, finish: Finish) -> np.ndarray:
    """Apply a finish to a uint8 BGR picture: light, colour, contrast, smoothing, sharpening."""
    if finish == Finish():
        return picture
    light = to_linear(picture)
    if finish.stops or finish.warmth_stops:
        warm = finish.warmth_stops / 2
        gains = np.exp2(np.array([-warm, 0, warm]) + finish.stops).astype(np.float32)
        light = light * gains
    coded = to_srgb(light)
    if finish.saturation != 1:
        luma = cv2.transform(coded, LUMA_BGR[None])[:, :, None]
        coded = luma + np.float32(finish.saturation) * (coded - luma)
    if finish.contrast != 1:
        mean = np.float32(coded.mean())
        coded = mean + np.float32(finish.contrast) * (coded - mean)
    if finish.smooth_sigma:
        coded = cv2.GaussianBlur(coded, (0, 0), finish.smooth_sigma)
    if finish.sharpen:
        coded = coded + np.float32(finish.sharpen) * (
            coded - cv2.GaussianBlur(coded, (0, 0), SHARPEN_SIGMA)
        )
    return np.rint(np.clip(coded, 0, 1) * 255).astype(np.uint8)


def code_h264(picture: np.ndarray, qp: int) -> np.ndarray:
    """Send a uint8 BGR picture with even sides through H.264 at a constant quantiser."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "qp": str(qp)}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = encoder.encode(av.VideoFrame.from_ndarray(picture, format="bgr24"))
    packets += encoder.encode(None)
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return np.ascontiguousarray(frames[0].to_ndarray(format="bgr24"))
