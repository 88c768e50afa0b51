"""A drawn call, a webcam's faults and what a trained network makes of them: the README's picture.

python benchmarks/before_after.py CHECKPOINT PICTURE

CHECKPOINT is of train_vqe.py, PICTURE a PNG. Nothing is photographed: the scene may be published.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from vqe.models.enhancement import VideoEnhancer
from vqe.pixels import bgr_hwc_u8, dequantise, quantise, rgb_chw_u8
from vqe.synthesis import Parameters, Span
from vqe.synthesis.degradation import degrade_clip
from vqe.training.checkpoints import load_network

HEIGHT, WIDTH, FRAMES = 360, 640, 12
FAULTS = {  # a dark room with warm light from one side, and a cheap sensor
    "dark, warm": Parameters(
        exposure_stops=Span(-1.7, -1.7),
        warmth_stops=Span(0.4, 0.4),
        shot_noise=0.012,
        read_noise=(0.001, 0.001, 0.001),
    ),
    "side light, pale": Parameters(
        exposure_stops=Span(-1.2, -1.2),
        side_light_stops=Span(0.8, 0.8),
        saturation=Span(0.55, 0.55),
        warmth_stops=Span(-0.3, -0.3),
        h264_bits_per_pixel=0.08,
    ),
}


def draw_scene() -> np.ndarray:
    """Draw somebody before a wall with a shelf and a window, softly lit: uint8 BGR [H,W,3]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    light = 0.9 - 0.25 * np.hypot((x - 430) / WIDTH, (y - 100) / HEIGHT)
    scene = light[:, :, None] * np.array([0.72, 0.8, 0.86], np.float32)
    fill(scene, cv2.rectangle, (30, 40), (190, 210), colour=(0.95, 0.9, 0.82))
    fill(scene, cv2.rectangle, (30, 120), (190, 128), colour=(0.6, 0.62, 0.62))
    fill(scene, cv2.rectangle, (470, 120), (640, 132), colour=(0.25, 0.38, 0.5))
    books = (
        (0.5, 0.3, 0.2),
        (0.25, 0.5, 0.3),
        (0.2, 0.3, 0.7),
        (0.3, 0.65, 0.75),
        (0.6, 0.55, 0.3),
    )
    for i, colour in enumerate(books):
        left = 490 + 26 * i
        fill(scene, cv2.rectangle, (left, 55 + 7 * (i % 3)), (left + 20, 119), colour=colour)
    skin, hair, shirt = (0.5, 0.62, 0.82), (0.1, 0.14, 0.2), (0.55, 0.38, 0.22)
    fill(scene, cv2.ellipse, (320, 390), (165, 130), 0, 0, 360, colour=shirt)
    fill(scene, cv2.rectangle, (292, 225), (348, 290), colour=tuple(0.85 * c for c in skin))
    fill(scene, cv2.ellipse, (320, 150), (82, 98), 0, 0, 360, colour=hair)
    fill(scene, cv2.ellipse, (320, 172), (68, 88), 0, 0, 360, colour=skin)
    for side in (-1, 1):
        fill(scene, cv2.ellipse, (320 + 27 * side, 160), (11, 6), 0, 0, 360, colour=(0.95,) * 3)
        fill(scene, cv2.circle, (320 + 27 * side, 160), 5, colour=(0.2, 0.25, 0.3))
        fill(scene, cv2.ellipse, (320 + 27 * side, 142), (16, 4), 0, 0, 360, colour=hair)
    fill(scene, cv2.ellipse, (320, 190), (8, 13), 0, 0, 360, colour=tuple(0.9 * c for c in skin))
    fill(scene, cv2.ellipse, (320, 222), (22, 7), 0, 0, 180, colour=(0.35, 0.35, 0.7))
    roundness = np.exp(-(((x - 345) / 120) ** 2 + ((y - 160) / 150) ** 2))
    scene = cv2.GaussianBlur(scene, (0, 0), 0.9) * (0.88 + 0.16 * roundness)[:, :, None]
    texture = np.random.default_rng(0).normal(0, 0.012, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.rint(np.clip(scene + texture, 0, 1) * 255).astype(np.uint8)


def fill(scene: np.ndarray, draw, *place, colour: tuple[float, ...]) -> None:
    """Fill a shape with a colour, BGR in [0,1], shaded as the wall is."""
    mask = np.zeros(scene.shape[:2], np.float32)
    draw(mask, *place, 1.0, -1, cv2.LINE_AA)
    height = np.linspace(1.05, 0.9, len(scene), dtype=np.float32)[:, None, None]
    scene += mask[:, :, None] * (height * np.array(colour, np.float32) - scene)


def enhance_last(network: torch.nn.Module, clip: np.ndarray) -> np.ndarray:
    """Enhance a clip, uint8 BGR [T,H,W,3], as a video; return its last frame."""
    frames = dequantise(torch.stack([rgb_chw_u8(frame) for frame in clip]))
    with torch.no_grad():
        return bgr_hwc_u8(quantise(VideoEnhancer().enhance(network.eval(), frames, 0)[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="<run>/checkpoints/best.ckpt")
    parser.add_argument("picture", type=Path, help="a PNG to write")
    args = parser.parse_args()
    network = load_network(args.checkpoint)[0]
    scene, rows = draw_scene(), []
    for seed, parameters in enumerate(FAULTS.values()):
        bad = degrade_clip(np.stack([scene] * FRAMES), parameters, seed=seed)
        rows.append(np.hstack([bad[-1], enhance_last(network, bad), scene]))
    cv2.imwrite(
        str(args.picture),
        cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    )


if __name__ == "__main__":
    main()
