"""Drawn pictures for the critic's tests: shapes with edges and soft shading on many colours."""

import cv2
import numpy as np


def draw_picture(seed: int, height: int = 160, width: int = 160) -> np.ndarray:
    """Draw a uint8 BGR picture that no other seed gives."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    shade = 0.35 + 0.3 * np.sin(3 * x + random.uniform(0, 6)) * np.cos(2 * y + random.uniform(0, 6))
    picture = shade[:, :, None] * random.uniform(0.7, 1.1, 3)
    for _ in range(14):
        centre = random.integers(0, [width, height]).tolist()
        axes = random.integers(4, height // 4, 2).tolist()
        grey = random.uniform(0.1, 0.95)
        colour = np.clip(grey + random.uniform(-0.2, 0.2, 3), 0.02, 0.98).tolist()
        cv2.ellipse(picture, centre, axes, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
