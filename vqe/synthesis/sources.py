"""Folder of your own footage -> the clean frames of each clip that is cut from it."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vqe.layout import MAX_PIXELS, PICTURE_SUFFIXES, VIDEO_SUFFIXES, find_files
from vqe.synthesis.degradation import FPS
from vqe.synthesis.parameters import Span
from vqe.video import VideoError, iter_frames


@dataclass(frozen=True)
class Camera:
    """A slow pan and zoom over a picture.

    Attributes:
        zoom: 1 shows the whole picture.
        pan_x: 0 is as far left as the zoom lets go, 1 as far right.
        pan_y: 0 is as far up, 1 as far down.
    """

    zoom: Span
    pan_x: Span
    pan_y: Span

    @classmethod
    def draw(cls, zoom: tuple[float, float], seed: int) -> "Camera":
        """Draw where it starts and ends."""
        random = np.random.default_rng(seed)
        bounds = (zoom, (0, 1), (0, 1))
        draws = [[float(f"{random.uniform(*b):.6g}") for _ in range(2)] for b in bounds]
        return cls(*(Span(*ends) for ends in draws))


def find_sources(source: Path, target: Path) -> list[Path]:
    """List the videos and pictures of a folder and those below it, sorted, or the file given.

    Raises:
        FileNotFoundError: there is none.
        ValueError: `target`, where pairs go, lies within the source: they would come round again.
    """
    if source.is_file():
        return [source]
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f"expected data.target_dir outside the source, got {target} in {source}. Move one"
        )
    suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES
    shown = find_files(source, suffixes)
    if not shown:
        raise FileNotFoundError(
            f"expected clean videos or pictures ({', '.join(sorted(suffixes))}) in {source}, "
            "got none"
        )
    return shown


def is_picture(path: Path) -> bool:
    """Tell pictures from videos by the suffix."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_clip(
    path: Path, *, start: int, length: int, camera: Camera | None, max_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield a clip's clean frames: uint8 BGR [H,W,3], H and W even.

    Frames before `start` are decoded and dropped. A video that ends early gives fewer.

    Args:
        path: a video, or a picture if there is a camera.
        start: first frame at 30 fps.
        length: how many.
        camera: its way over the picture.
        max_size: height and width that frames are shrunk to fit into.

    Raises:
        VideoError: the file cannot be read, or ends before the clip starts.
    """
    if camera is not None:
        yield from move_camera(read_picture(path), camera, length, max_size)
        return
    frames = itertools.islice(iter_frames(path, FPS, threads=1), start, start + length)
    empty = True
    for frame in frames:
        empty = False
        yield fit_frame(frame, max_size)
    if empty:
        raise VideoError(path, f"expected more than {start} frames at {FPS} fps, got fewer")


def read_picture(path: Path) -> np.ndarray:
    """Read a picture as uint8 BGR, upright.

    Raises:
        VideoError: it is not whole.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise VideoError(
                    path,
                    f"expected a picture of at most {MAX_PIXELS} pixels, got "
                    f"{image.width}x{image.height}. Shrink it",
                )
            image.load()  # OpenCV would fill the missing part of a cut file with grey
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise VideoError(path, f"cannot be read as a picture: {e}") from e
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise VideoError(path, "cannot be read as a picture by OpenCV. Convert it to PNG")
    return picture


def fit_frame(frame: np.ndarray, max_size: tuple[int, int]) -> np.ndarray:
    """Shrink a frame to fit; an odd last row or column is cut, as yuv420p wants it."""
    height, width = frame.shape[:2]
    scale = min(1.0, max_size[0] / height, max_size[1] / width)
    if scale < 1:
        frame = _resize(frame, height * scale, width * scale)
    return np.ascontiguousarray(frame[: _even(frame.shape[0]), : _even(frame.shape[1])])


def move_camera(
    picture: np.ndarray, camera: Camera, length: int, max_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield frames of a slow pan and zoom; a frame never shows fewer pixels than it has."""
    nearest = max(camera.zoom.start, camera.zoom.end)
    room = (round(max_size[0] * nearest), round(max_size[1] * nearest))
    picture = fit_frame(picture, room)  # before, so that zooming shrinks little and cannot alias
    full_h, full_w = picture.shape[:2]
    height, width = _even(full_h / nearest), _even(full_w / nearest)
    for number in range(length):
        time = number / max(1, length - 1)
        zoom = camera.zoom.at(time)
        step = min(full_w / zoom / width, full_h / zoom / height)  # picture pixels a pixel
        left = camera.pan_x.at(time) * (full_w - step * width) + (step - 1) / 2
        top = camera.pan_y.at(time) * (full_h - step * height) + (step - 1) / 2
        matrix = np.array([[step, 0, left], [0, step, top]], np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        yield cv2.warpAffine(
            picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )


def _resize(frame: np.ndarray, height: float, width: float) -> np.ndarray:
    size = (max(1, round(width)), max(1, round(height)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _even(pixels: float) -> int:
    return max(2, int(pixels) // 2 * 2)
