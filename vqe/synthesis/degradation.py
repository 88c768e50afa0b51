"""Clean frame + parameters -> degraded frame: the steps in the order in which a webcam does them.

Scene light (exposure, side light, windows, screens), lens (blur, flare), sensor (fewer pixels, shot
and read noise) and white balance act on linear light, where photons add up; denoising, saturation,
gamma, contrast and sharpening on the coded picture, as in a camera; then it grows back to its size
and goes through JPEG and H.264. A step whose parameters are neutral is left out, so that neutral
parameters change no bit.
"""

import cv2
import numpy as np

from vqe.synthesis.codec import H264RoundTrip, call_options, compress_jpeg
from vqe.synthesis.light import balance_white, grade, light_scene, to_linear, to_srgb
from vqe.synthesis.parameters import Parameters
from vqe.synthesis.processor import (
    change_contrast,
    denoise_shadows,
    make_bands,
    sharpen,
    smear_chroma,
    spread_noise,
)
from vqe.synthesis.scene import hunt, light_places
from vqe.synthesis.sensor import add_noise, blur_kernel, grow, shrink, strew

FPS = 30


class Degrader:
    """Degrade the frames of one clip, in order.

    Light and colour follow their curves over the clip; noise is new in each frame and depends on
    the seed and the frame's number alone.

    Args:
        parameters: what to do.
        seed: of the noise.
        frames: the clip's length, over which values drift.
    """

    def __init__(self, parameters: Parameters, *, seed: int, frames: int) -> None:
        self.parameters = parameters
        self.seed = seed
        self.frames = frames
        self._number = 0
        self._kernel = blur_kernel(parameters) if parameters.blur_sigma else None
        self._h264: H264RoundTrip | None = None
        self._shown: np.ndarray | None = None

    @property
    def h264_kbps(self) -> float | None:
        """The bit rate that H.264 took so far, None where there is none."""
        if self._h264 is None:
            return None
        return self._h264.coded_bytes * 8 * FPS / self._h264.frames / 1000

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Degrade the next frame, uint8 BGR [H,W,3]."""
        p = self.parameters
        number, self._number = self._number, self._number + 1
        if self._shown is not None and p.skipped and self._draw(number, "skip") < p.skipped:
            return self._shown
        picture = self._take_picture(frame, number)
        if p.band_levels is not None:
            picture = make_bands(picture, p.band_levels)
        if p.chroma_scale != 1:
            picture = smear_chroma(picture, p.chroma_scale)
        if p.jpeg_quality is not None:
            picture = compress_jpeg(picture, p.jpeg_quality)
        if p.h264_bits_per_pixel is not None:
            if self._h264 is None:
                height, width = frame.shape[:2]
                options = call_options(height, width, p.h264_bits_per_pixel, FPS)
                self._h264 = H264RoundTrip(height, width, options, FPS)
            picture = self._h264(picture)
        self._shown = picture
        return picture

    def _draw(self, number: int, what: str) -> float:
        return np.random.default_rng((self.seed, number, len(what))).random()

    def _take_picture(self, frame: np.ndarray, number: int) -> np.ndarray:
        """Return what the camera would hand to its codec, uint8 BGR."""
        p = self.parameters
        random = np.random.default_rng((self.seed, number))
        light = self._sense(frame, number, random)
        picture = self._process(light, number, random)
        if p.resize != 1:
            picture = grow(picture, *frame.shape[:2])
        return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)

    def _time(self, number: int) -> float:
        return number / max(1, self.frames - 1)

    def _sense(self, frame: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
        """Return the linear light that the sensor gives."""
        p, time = self.parameters, self._time(number)
        light = light_places(light_scene(to_linear(frame), p, time), p, time)
        if p.pumping_stops:
            light = light * np.exp2(np.float32(hunt(p, number / FPS)[0]))
        if self._kernel is not None:
            light = cv2.filter2D(light, -1, self._kernel, borderType=cv2.BORDER_REFLECT_101)
            light = np.maximum(light, 0)  # large kernels go through an FFT, which errs around 0
        if p.flare:
            light = strew(light, p.flare)
        if p.resize != 1:
            light = shrink(light, p.resize)
        noisy = add_noise(light, p, random)
        return spread_noise(light, noisy, p.grain) if p.grain and noisy is not light else noisy

    def _process(self, light: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
        """Return the sRGB-coded picture that the camera makes of its light."""
        p, time = self.parameters, self._time(number)
        light = balance_white(light, p, time, hunt(p, number / FPS)[1])
        picture = to_srgb(light)
        if p.denoise or p.blotches:
            picture = np.clip(denoise_shadows(picture, p, random), 0, 1)
        picture = grade(picture, p, time)
        if p.contrast != 1:
            picture = change_contrast(picture, p.contrast)
        return sharpen(picture, p.sharpen) if p.sharpen else picture


def degrade_clip(clip: np.ndarray, parameters: Parameters, *, seed: int) -> np.ndarray:
    """Degrade a whole clip, uint8 BGR [T,H,W,3], into another one.

    Args:
        clip: clean frames.
        parameters: what to do.
        seed: of the noise.
    """
    degrade = Degrader(parameters, seed=seed, frames=len(clip))
    return np.stack([degrade(frame) for frame in clip])
