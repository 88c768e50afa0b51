"""Linear light -> what windows, lamps and screens make of it, and how the camera hunts after them.

A webcam sees people in front of windows, under a lamp on one side with daylight on the other, in
the light of a screen. These act on linear light before the lens, where light adds up.
"""

import functools
import math

import cv2
import numpy as np

from vqe.synthesis.light import side_gradient
from vqe.synthesis.parameters import Parameters

COARSE = 32  # cells along each side of the maps, which are smooth
SCREEN_PLACE = (0.5, 0.55, 0.45)  # what sits before a screen: centre x, y, radius over height


def light_places(light: np.ndarray, parameters: Parameters, time: float) -> np.ndarray:
    """Add backlight, mixed light and a screen's light to linear light [H,W,3]."""
    p = parameters
    height, width = light.shape[:2]
    if p.backlight_stops:
        light = light * backlight_gain(height, width, p.backlight_stops, p.backlight_place)
    if p.mixed_stops:
        light = light * mixed_gain(height, width, p.mixed_stops, p.side_light_degrees)
    screen = p.screen_light.at(time)
    if screen:
        light = light * (1 + np.float32(screen) * screen_map(height, width, p.screen_degrees))
    return light


@functools.lru_cache(maxsize=4)
def backlight_gain(
    height: int, width: int, stops: float, place: tuple[float, float, float]
) -> np.ndarray:
    """Return the gain [H,W,1] of a window: `stops` more inside, with a soft edge.

    The eye adapts to both sides of a window, a sensor of ten bits to one: P. Debevec, J. Malik,
    "Recovering High Dynamic Range Radiance Maps from Photographs", SIGGRAPH 1997, measures rooms
    with windows that span more. Exposure is drawn apart: the camera meters for the window.
    """
    inside = 1 / (1 + np.exp(np.clip(8 * (_distance(height, width, place) - 1), -30, 30)))
    return _grow(np.exp2(stops * inside), height, width)[:, :, None]


@functools.lru_cache(maxsize=4)
def mixed_gain(height: int, width: int, stops: float, degrees: float) -> np.ndarray:
    """Return the gains [H,W,3] of a warm lamp on one side and daylight on the other.

    One white balance cannot serve both: E. Hsu et al., "Light Mixture Estimation for Spatially
    Varying White Balance", SIGGRAPH 2008.
    """
    slope = side_gradient(COARSE, COARSE, degrees)
    return _grow(np.exp2(slope * np.array([-stops, 0, stops]) / 2), height, width)


@functools.lru_cache(maxsize=4)
def screen_map(height: int, width: int, degrees: float) -> np.ndarray:
    """Return what a screen of one hue lights [H,W,3], 1 at most: the middle, falling off."""
    hue = np.array([[[degrees % 360, 0.7, 1.0]]], np.float32)  # no screen shows one hue alone
    colour = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0]
    near = np.exp(-(_distance(height, width, SCREEN_PLACE) ** 2))
    return _grow(near[:, :, None] * colour, height, width)


def hunt(parameters: Parameters, seconds: float) -> tuple[float, float]:
    """Return by how many stops exposure and warmth are off, as their controls swing.

    A control loop with delay overshoots and comes back: the pumping of cheap webcams when a
    person moves or a screen changes.
    """
    phase = 2 * math.pi * parameters.pumping_hertz * seconds
    return parameters.pumping_stops * math.sin(phase), parameters.wander_stops * math.sin(phase / 2)


def _distance(height: int, width: int, place: tuple[float, ...]) -> np.ndarray:
    """Return distances from a place over its radius, on the coarse grid."""
    x, y, radius = place
    across = (np.arange(COARSE) + 0.5) / COARSE
    dx = (across - x)[None] * (width / height)
    return np.hypot(dx, (across - y)[:, None]) / max(radius, 1e-3)


def _grow(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    size = (width, height)
    return cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
