"""Clean frame + parameters -> degraded frame: the steps in the order in which a webcam does them.

Scene light (exposure, side light), lens (blur), sensor (fewer pixels, shot and read noise) and
white balance act on linear light, where photons add up; saturation and gamma on the coded picture,
as in a camera; then it grows back to its size and goes through JPEG and H.264. A step whose
parameters are neutral is left out, so that neutral parameters change no bit.
"""

import cv2
import numpy as np

from vqe.synthesis.codec import H264RoundTrip, call_options, compress_jpeg
from vqe.synthesis.light import balance_white, grade, light_scene, to_linear, to_srgb
from vqe.synthesis.parameters import Parameters
from vqe.synthesis.sensor import add_noise, blur_kernel, grow, shrink

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

    @property
    def h264_kbps(self) -> float | None:
        """The bit rate that H.264 took so far, None where there is none."""
        if self._h264 is None:
            return None
        return self._h264.coded_bytes * 8 * FPS / self._h264.frames / 1000

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Degrade the next frame, uint8 BGR [H,W,3]."""
        picture = self._take_picture(frame)
        parameters = self.parameters
        if parameters.jpeg_quality is not None:
            picture = compress_jpeg(picture, parameters.jpeg_quality)
        if parameters.h264_bits_per_pixel is not None:
            if self._h264 is None:
                height, width = frame.shape[:2]
                options = call_options(height, width, parameters.h264_bits_per_pixel, FPS)
                self._h264 = H264RoundTrip(height, width, options, FPS)
            picture = self._h264(picture)
        self._number += 1
        return picture

    def _take_picture(self, frame: np.ndarray) -> np.ndarray:
        """Return what the camera would hand to its codec, uint8 BGR."""
        parameters = self.parameters
        time = self._number / max(1, self.frames - 1)
        light = light_scene(to_linear(frame), parameters, time)
        if self._kernel is not None:
            light = cv2.filter2D(light, -1, self._kernel, borderType=cv2.BORDER_REFLECT_101)
            light = np.maximum(light, 0)  # large kernels go through an FFT, which errs around 0
        if parameters.resize != 1:
            light = shrink(light, parameters.resize)
        light = add_noise(light, parameters, np.random.default_rng((self.seed, self._number)))
        light = balance_white(light, parameters, time)
        picture = grade(to_srgb(light), parameters, time)
        if parameters.resize != 1:
            picture = grow(picture, *frame.shape[:2])
        return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def degrade_clip(clip: np.ndarray, parameters: Parameters, *, seed: int) -> np.ndarray:
    """Degrade a whole clip, uint8 BGR [T,H,W,3], into another one.

    Args:
        clip: clean frames.
        parameters: what to do.
        seed: of the noise.
    """
    degrade = Degrader(parameters, seed=seed, frames=len(clip))
    return np.stack([degrade(frame) for frame in clip])
