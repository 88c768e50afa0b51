"""A camera's own processing: demosaicing, denoising, contrast, sharpening, bands, colour planes.

Each step is what a cheap webcam does to its picture before it codes it; none is undone by
knowing the light alone.
"""

import cv2
import numpy as np

from vqe.synthesis.light import LUMA_BGR
from vqe.synthesis.parameters import Parameters

SHADOW = 0.35  # sRGB code up to which it is shadow, fading out
BLOTCH = 12  # pixels of a blotch
CHROMA_SPREAD = 1.7  # of demosaicing: red and blue have half as many photosites as green


def spread_noise(clean: np.ndarray, noisy: np.ndarray, grain: float) -> np.ndarray:
    """Correlate what `noisy` has beyond `clean`, BGR, as demosaicing does.

    Interpolated photosites share their neighbours' noise, so that it is coarser than a pixel and
    coarsest in red and blue: T. Brooks et al., "Unprocessing Images for Learned Raw Denoising",
    CVPR 2019.
    """
    noise = noisy - clean
    for channel, wider in enumerate((CHROMA_SPREAD, 1.0, CHROMA_SPREAD)):
        noise[:, :, channel] = cv2.GaussianBlur(noise[:, :, channel], (0, 0), grain * wider)
    return clean + noise


def denoise_shadows(
    picture: np.ndarray, parameters: Parameters, random: np.random.Generator
) -> np.ndarray:
    """Smooth the shadows of an sRGB-coded picture, and leave slow colour noise: blotches.

    What a small kernel cannot average away is noise that is wider than it: A. Foi et al.,
    "Noise Measurement for Raw-Data of Digital Imaging Sensors by Automatic Segmentation of
    Nonuniform Targets", IEEE Sensors 2007, measure it on the raw; a webcam shows what is left.
    """
    p = parameters
    luma = cv2.transform(picture, LUMA_BGR[None])
    shadow = np.clip(2 - luma / SHADOW, 0, 1)[:, :, None].astype(np.float32)
    if p.denoise:
        smooth = cv2.GaussianBlur(picture, (0, 0), 1 + 1.5 * p.denoise)
        # edges that stand out of the noise stay
        edge = np.clip(np.abs(smooth - picture).mean(axis=2, keepdims=True) * 12, 0, 1)
        picture = picture + p.denoise * shadow * (1 - edge) * (smooth - picture)
    if p.blotches:
        height, width = picture.shape[:2]
        cells = (max(2, height // BLOTCH), max(2, width // BLOTCH), 3)
        slow = np.float32(p.blotches) * random.standard_normal(cells, dtype=np.float32)
        slow = cv2.resize(slow, (width, height), interpolation=cv2.INTER_CUBIC)
        picture = picture + shadow * slow
    return picture


def change_contrast(picture: np.ndarray, contrast: float) -> np.ndarray:
    """Stretch or flatten an sRGB-coded picture about its middle; both ends are clipped."""
    return np.clip(0.5 + np.float32(contrast) * (picture - 0.5), 0, 1)


def sharpen(picture: np.ndarray, share: float) -> np.ndarray:
    """Add a share of what a blur takes away: unsharp masking, whose overshoot is the halo."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.5)
    return picture + np.float32(share) * (picture - blurred)


def make_bands(frame: np.ndarray, levels: int) -> np.ndarray:
    """Round a uint8 frame to so many levels a colour: bands, where a codec saves bits."""
    codes = np.rint(np.rint(np.arange(256) * (levels - 1) / 255) * 255 / (levels - 1))
    return cv2.LUT(frame, codes.astype(np.uint8))


def smear_chroma(frame: np.ndarray, scale: float) -> np.ndarray:
    """Shrink the colour planes of a uint8 BGR frame and bring them back: 4:2:0 and less.

    ITU-T H.273 calls the half in both directions 4:2:0; cheap cameras halve once more.
    """
    height, width = frame.shape[:2]
    planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    chroma = cv2.resize(planes[:, :, 1:], small, interpolation=cv2.INTER_AREA)
    planes[:, :, 1:] = cv2.resize(chroma, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR)
