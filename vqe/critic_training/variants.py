"""Clean picture -> a variant of it: a camera's faults, a call's codec, and what an editor did then.

The camera is `vqe.synthesis`'s. What comes after it stands for enhancement, good or overdone: it
may undo the camera's faults, leave them, or go too far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vqe.synthesis import Degrader, Parameters
from vqe.synthesis.codec import H264RoundTrip, quantiser_options
from vqe.synthesis.light import LUMA_BGR, to_linear, to_srgb

SHARPEN_SIGMA = 1.2  # pixels, of the unsharp mask


@dataclass(frozen=True)
class PostEdit:
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
class Variant:
    """How a variant of a picture is made; the defaults leave it clean.

    Attributes:
        camera: its faults. A clip's bit rate says nothing of a single frame, so that
            `h264_bits_per_pixel` stays None; drifting values count at their start.
        h264_qp: quantiser of H.264 after the camera, 0 to 51; None for no H.264.
        edit: what is done after that.
    """

    camera: Parameters = field(default_factory=Parameters)
    h264_qp: int | None = None
    edit: PostEdit = field(default_factory=PostEdit)


def make_variant(picture: np.ndarray, variant: Variant, *, seed: int) -> np.ndarray:
    """Make a variant of a clean picture, uint8 BGR [H,W,3] with even sides.

    Args:
        picture: the clean one; unchanged.
        variant: what to do.
        seed: of the noise.
    """
    return edit_picture(_shoot(picture, variant, seed), variant.edit)


def make_group(picture: np.ndarray, variants: Sequence[Variant], *, seed: int) -> list[np.ndarray]:
    """Make variants of a clean picture; those of one camera and codec are edits of one shot.

    Args:
        picture: the clean one, uint8 BGR [H,W,3] with even sides; unchanged.
        variants: what to do.
        seed: of the noise, which differs from shot to shot.
    """
    shots: dict[tuple[Parameters, int | None], np.ndarray] = {}
    made = []
    for variant in variants:
        taken = (variant.camera, variant.h264_qp)
        if taken not in shots:
            shots[taken] = _shoot(picture, variant, seed + len(shots))
        made.append(edit_picture(shots[taken], variant.edit))
    return made


def _shoot(picture: np.ndarray, variant: Variant, seed: int) -> np.ndarray:
    """Take a picture with a variant's camera and codec."""
    made = Degrader(variant.camera, seed=seed, frames=1)(picture)
    if variant.h264_qp is not None:
        height, width = made.shape[:2]
        made = H264RoundTrip(height, width, quantiser_options(variant.h264_qp))(made)
    return made


def edit_picture(picture: np.ndarray, edit: PostEdit) -> np.ndarray:
    """Apply an edit to a uint8 BGR picture: light, colour, contrast, smoothing, sharpening."""
    if edit == PostEdit():
        return picture
    light = to_linear(picture)
    if edit.stops or edit.warmth_stops:
        warm = edit.warmth_stops / 2
        gains = np.exp2(np.array([-warm, 0, warm]) + edit.stops).astype(np.float32)
        light = light * gains
    coded = to_srgb(light)
    if edit.saturation != 1:
        luma = cv2.transform(coded, LUMA_BGR[None])[:, :, None]
        coded = luma + np.float32(edit.saturation) * (coded - luma)
    if edit.contrast != 1:
        mean = np.float32(coded.mean())
        coded = mean + np.float32(edit.contrast) * (coded - mean)
    if edit.smooth_sigma:
        coded = cv2.GaussianBlur(coded, (0, 0), edit.smooth_sigma)
    if edit.sharpen:
        coded = coded + np.float32(edit.sharpen) * (
            coded - cv2.GaussianBlur(coded, (0, 0), SHARPEN_SIGMA)
        )
    return np.rint(np.clip(coded, 0, 1) * 255).astype(np.uint8)
