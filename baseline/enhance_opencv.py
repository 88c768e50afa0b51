"""Frame -> frame with white balance, exposure and local contrast corrected (`OpenCVEnhancer`).

What to correct is estimated on a thumbnail of each frame and smoothed over time, so the picture
does not flicker; the correction itself is gentle, because viewers punish over-processed skin more
than dim light.
"""

from dataclasses import astuple, dataclass

import cv2
import numpy as np

THUMBNAIL_PIXELS = 160 * 90
LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)  # BT.601, the luma of 8-bit video

NEUTRAL_SPREAD = 0.12  # log-chroma distance at which a pixel no longer counts as grey
MAX_CAST = 0.45  # largest gain of a channel, as a logarithm
CAST_STRENGTH = 0.9
# Log-casts corrected by half; weaker ones stay. A little warmth flatters a face, a tint never does.
WARMTH_TOLERANCE, COLDNESS_TOLERANCE, TINT_TOLERANCE = 0.12, 0.03, 0.03

KEY_TARGET = 0.45  # luma wanted in the middle of the picture
KEY_STRENGTH = 0.6
KEY_LIMIT = 0.55  # the stretch pushes the middle no further: a flat wall need not be white
WHITE_TARGET = 0.9  # luma wanted for the brightest spots
WHITE_STRENGTH = 0.8
MAX_STRETCH = 2.2  # beyond it, noise is all that is left to brighten
MAX_BLACK = 0.04
MAX_LIFT = 1.5
BRIGHT_LIMIT = 0.7  # the lift pushes the brightest pixels, often the face, no further
DETAIL = 1.08  # local contrast
NOISE_GUARD = 0.7  # detail follows the local brightening to this power

SMOOTHING_FRAMES = 30
# Mean change of a tiny luma picture, relative to its mean. Measured on real clips: at most 0.1
# within a shot, at least 0.48 at a cut.
CUT_CHANGE = 0.3
CUT_SIZE = (32, 18)


@dataclass(frozen=True)
class Correction:
    """What is done to a picture; every field is smoothed over time.

    Attributes:
        gains: factor of each channel, BGR, float32 [3].
        black: luma that becomes 0.
        white: luma that becomes 1.
        lift: the tone curve is `x (1 + lift) / (1 + lift x)`, so shadows gain `1 + lift` at most.
    """

    gains: np.ndarray
    black: float
    white: float
    lift: float

    def blend(self, other: "Correction", share: float) -> "Correction":
        """Move by `share` towards another correction."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Correction(*(mine + share * (theirs - mine) for mine, theirs in pairs))


class OpenCVEnhancer:
    """Enhance the frames of one video, in order; memory does not grow with its length."""

    def __init__(self, smoothing_frames: int = SMOOTHING_FRAMES):
        self._share = 1 / smoothing_frames
        self.reset()

    def reset(self) -> None:
        """Forget the frames seen so far: the next one starts a new video."""
        self._correction: Correction | None = None
        self._scene: np.ndarray | None = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Enhance the next frame: uint8 HxWx3 BGR in, the same out."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"expected uint8 HxWx3 frames, got {frame.dtype} {frame.shape}")
        thumbnail = _shrink(frame)
        wanted = estimate_correction(thumbnail)
        new_scene = self._starts_scene(thumbnail)
        if self._correction is None or new_scene:
            self._correction = wanted
        else:
            self._correction = self._correction.blend(wanted, self._share)
        return apply_correction(frame, self._correction)

    def _starts_scene(self, thumbnail: np.ndarray) -> bool:
        before = self._scene
        self._scene = cv2.resize(thumbnail @ LUMA_BGR, CUT_SIZE, interpolation=cv2.INTER_AREA)
        if before is None:
            return True
        brightness = max((float(before.mean()) + float(self._scene.mean())) / 2, 0.05)
        return float(np.abs(self._scene - before).mean()) / brightness > CUT_CHANGE


def _shrink(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = min(1.0, (THUMBNAIL_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def estimate_correction(picture: np.ndarray) -> Correction:
    """Estimate what a picture needs; float32 HxWx3 BGR in [0, 1]."""
    gains = _estimate_gains(picture)
    luma = (picture * gains) @ LUMA_BGR
    low, bright, high = (float(level) for level in np.percentile(luma, [0.5, 85, 99.5]))
    key = float(np.average(luma, weights=_centre_weights(*luma.shape)))
    stretch = (WHITE_TARGET / max(high, 0.1)) ** WHITE_STRENGTH
    stretch = min(stretch, KEY_LIMIT / max(key, 0.1), MAX_STRETCH)
    black, white = min(low, MAX_BLACK), 1 / max(stretch, 1.0)
    key, bright = (min(max(x - black, 0) / (white - black), 1.0) for x in (key, bright))
    lift = min(
        _find_lift(key, key + KEY_STRENGTH * (KEY_TARGET - key)),
        _find_lift(bright, BRIGHT_LIMIT),
    )
    return Correction(gains, black, white, min(max(lift, 0.0), MAX_LIFT))


def _find_lift(level: float, target: float) -> float:
    """Solve `target = level (1 + lift) / (1 + lift level)` for the lift."""
    return (target - level) / max(level * (1 - target), 1e-3)


def _estimate_gains(picture: np.ndarray) -> np.ndarray:
    """Find the gains that make nearly grey pixels grey and leave the mean luma alone.

    Shades of grey (Finlayson and Trezzi, 2004) gives the first guess; then the pixels that look
    grey under it decide alone, so that a large face is not taken for a cast.
    """
    pixels = picture.reshape(-1, 3)
    luma = pixels @ LUMA_BGR
    usable = (pixels.max(axis=1) < 0.98) & (luma > 0.04)
    if usable.mean() < 0.05:
        return np.ones(3, np.float32)
    pixels, luma = pixels[usable], luma[usable]
    logs = np.log(np.maximum(pixels, 1 / 255))
    cast = np.log((pixels**4).mean(axis=0)) / 4
    for _ in range(5):
        chroma = logs - cast
        chroma -= chroma.mean(axis=1, keepdims=True)
        distance = np.square(chroma).sum(axis=1)
        weights = luma * np.exp(-distance / (2 * NEUTRAL_SPREAD**2)) + 1e-6
        cast = np.average(logs, axis=0, weights=weights)
    tint, temperature = (2 * cast[1] - cast[0] - cast[2]) / 3, (cast[2] - cast[0]) / 2
    tint = _ease(tint, TINT_TOLERANCE)
    temperature = _ease(temperature, WARMTH_TOLERANCE if temperature > 0 else COLDNESS_TOLERANCE)
    cast = np.array([-tint / 2 - temperature, tint, -tint / 2 + temperature])
    gains = np.exp(-np.clip(CAST_STRENGTH * cast, -MAX_CAST, MAX_CAST))
    mean = pixels.mean(axis=0)
    return (gains * (mean @ LUMA_BGR) / ((mean * gains) @ LUMA_BGR)).astype(np.float32)


def _ease(cast: float, tolerance: float) -> float:
    """Shrink a weak cast towards 0 and keep a strong one."""
    return cast**3 / (cast**2 + tolerance**2)


def _centre_weights(height: int, width: int) -> np.ndarray:
    rows = np.linspace(-1, 1, height)[:, None]
    columns = np.linspace(-1, 1, width)[None]
    return np.exp(-(rows**2 + columns**2))


def apply_correction(frame: np.ndarray, correction: Correction) -> np.ndarray:
    """Apply a correction to a uint8 BGR frame.

    The tone curve acts on the smooth part of the luma, so that edges and skin keep their local
    contrast; colours are scaled with the luma, and fade to white rather than clip.
    """
    picture = frame.astype(np.float32) * (correction.gains / 255)
    luma = cv2.transform(picture, LUMA_BGR[None])
    base = _smooth(luma)
    span = max(correction.white - correction.black, 0.1)
    level = np.maximum(base - correction.black, 0) / span
    curved = level * (1 + correction.lift) / (1 + correction.lift * level)
    ratio = curved / np.maximum(base, 1e-2)
    target = np.clip(curved + DETAIL * ratio**NOISE_GUARD * (luma - base), 0, 1)
    # The smooth ratio, not the pixel's own: noise in the dark would turn colourful.
    colours = (picture - luma[..., None]) * ratio[..., None]
    return _fit_range(colours, target)


def _smooth(luma: np.ndarray) -> np.ndarray:
    """Smooth the luma but for its strong edges (fast guided filter, He and Sun, 2015)."""
    height, width = luma.shape
    small = cv2.resize(
        luma, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA
    )
    radius = max(small.shape) // 16
    size = (2 * radius + 1,) * 2
    mean = cv2.blur(small, size)
    variance = np.maximum(cv2.blur(small * small, size) - mean * mean, 0)
    a = variance / (variance + 0.01)
    b = mean * (1 - a)
    a, b = (cv2.resize(cv2.blur(plane, size), (width, height)) for plane in (a, b))
    return a * luma + b


def _fit_range(colours: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Add luma and colours (differences from it); fade what exceeds white, round to uint8."""
    keep = np.minimum((1 - luma) / np.maximum(colours.max(axis=2), 1e-6), 1)
    picture = luma[..., None] + colours * keep[..., None]
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
