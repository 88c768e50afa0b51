"""Linear light through a cheap lens onto a small, noisy sensor: blur, fewer pixels, noise."""

import math

import cv2
import numpy as np

from vqe.synthesis.parameters import Parameters

TAIL = 3e-3  # the kernel ends where it has fallen to this part of its peak
MANY_PHOTONS = 20  # from here on a Gaussian of the same spread stands for Poisson, 3 times as fast


def blur_kernel(parameters: Parameters) -> np.ndarray:
    """Return the generalised Gaussian kernel, float32, odd and square, sum 1.

    `exp(-(d' S^-1 d)^shape / 2)` of the distance d, where S has the squares of sigma and of
    sigma * aspect along axes turned by the angle.
    """
    sigma, shape = parameters.blur_sigma, parameters.blur_shape
    radius = math.ceil(sigma * (-2 * math.log(TAIL)) ** (1 / (2 * shape)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    angle = math.radians(parameters.blur_degrees)
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma
    across = (y * math.cos(angle) - x * math.sin(angle)) / (sigma * parameters.blur_aspect)
    kernel = np.exp(-((along**2 + across**2) ** shape) / 2)
    return (kernel / kernel.sum()).astype(np.float32)


def strew(light: np.ndarray, share: float) -> np.ndarray:
    """Strew a share of all light evenly over the frame: veiling glare (ISO 9358), flat contrast."""
    mean = light.mean(axis=(0, 1), dtype=np.float32)
    return (1 - np.float32(share)) * light + np.float32(share) * mean


def shrink(light: np.ndarray, scale: float) -> np.ndarray:
    """Average light onto fewer pixels."""
    height, width = light.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(light, size, interpolation=cv2.INTER_AREA)


def grow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a picture back to its size, bilinearly, as cameras' scalers do."""
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def add_noise(light: np.ndarray, parameters: Parameters, random: np.random.Generator) -> np.ndarray:
    """Add shot noise (photons counted: Poisson) and read noise (Gaussian) to BGR linear light."""
    if parameters.shot_noise:
        photons = np.float32(1 / parameters.shot_noise**2)  # at white: the spread is the root
        light = _count_photons(light * photons, random) / photons
    if any(parameters.read_noise):
        spread_bgr = np.array(parameters.read_noise[::-1], np.float32)
        light = light + spread_bgr * random.standard_normal(light.shape, dtype=np.float32)
    return light


def _count_photons(expected: np.ndarray, random: np.random.Generator) -> np.ndarray:
    counts = random.standard_normal(expected.shape, dtype=np.float32) * np.sqrt(expected) + expected
    few = expected < MANY_PHOTONS
    counts[few] = random.poisson(expected[few])
    return counts
