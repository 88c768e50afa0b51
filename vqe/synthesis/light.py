"""8-bit frames <-> linear light, and what light, colour and tone do to them."""

import functools

import cv2
import numpy as np

from vqe.synthesis.parameters import Parameters

LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)  # BT.601, as cameras code colour


@functools.cache
def _linear_of_code() -> np.ndarray:
    code = np.arange(256, dtype=np.float64) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def to_linear(frame: np.ndarray) -> np.ndarray:
    """Turn a uint8 sRGB frame into float32 linear light [0,1]."""
    return _linear_of_code()[frame]


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Turn linear light, clipped to [0,1], into float32 sRGB [0,1]."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def light_scene(light: np.ndarray, parameters: Parameters, time: float) -> np.ndarray:
    """Change exposure and side light of linear light [H,W,3]; `time` in [0,1] of the clip."""
    stops = parameters.exposure_stops.at(time)
    side = parameters.side_light_stops.at(time)
    if side:
        stops = stops + side * side_gradient(*light.shape[:2], parameters.side_light_degrees)
    return light * np.exp2(np.float32(stops)) if np.any(stops) else light


@functools.lru_cache(maxsize=4)
def side_gradient(height: int, width: int, degrees: float) -> np.ndarray:
    """Return a smooth slope [H,W,1] from -1 to 1 between opposite sides, flat where it ends."""
    x = np.cos(np.deg2rad(degrees)) * np.linspace(-1, 1, width)
    y = np.sin(np.deg2rad(degrees)) * np.linspace(-1, 1, height)
    slope = y[:, None] + x[None, :]
    slope = slope / max(float(np.abs(slope).max()), 1e-6)  # a single pixel has no sides
    return np.sin(np.pi / 2 * slope)[:, :, None].astype(np.float32)


def balance_white(
    light: np.ndarray, parameters: Parameters, time: float, wander: float = 0.0
) -> np.ndarray:
    """Give each channel of linear light its gain: warmth pulls red and blue apart.

    Warmth runs along the daylight line (CIE 015: blue sky to lamp light), tint across it.
    `wander` is warmth in stops that comes on top.
    """
    warmth, tint = parameters.warmth_stops.at(time) + wander, parameters.tint_stops.at(time)
    if not (warmth or tint):
        return light
    return light * np.exp2(np.array([-warmth / 2, tint, warmth / 2], np.float32))


def grade(picture: np.ndarray, parameters: Parameters, time: float) -> np.ndarray:
    """Change saturation and gamma of an sRGB-coded picture [0,1], as a camera's last stage does."""
    saturation, gamma = parameters.saturation.at(time), parameters.gamma.at(time)
    if saturation != 1:
        luma = cv2.transform(picture, LUMA_BGR[None])[:, :, None]
        picture = np.clip(luma + np.float32(saturation) * (picture - luma), 0, 1)
    return picture ** np.float32(gamma) if gamma != 1 else picture
