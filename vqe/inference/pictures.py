"""A still picture -> the enhanced one, of the same format, depth and profile."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vqe.files import complete_or_absent
from vqe.inference.compare import split_screen
from vqe.inference.enhancer import Enhancer
from vqe.pixels import from_unit, to_unit

DEEP = (".png", ".tif", ".tiff")  # may hold 16 bits a channel
JPEG_QUALITY = 95
ORIENTATION = 0x0112  # Exif's tag


def enhance_picture(source: Path, target: Path, enhancer: Enhancer, *, compare: bool) -> None:
    """Enhance a picture as a video of one frame.

    It is turned upright; transparency, colour profile, Exif and resolution stay.

    Raises:
        ValueError: it is no picture that can be read, or the suffix none that can be written.
    """
    deep = _read_deep(source)
    if deep is not None and target.suffix.lower() in DEEP:
        with complete_or_absent(target) as part:
            rgb = _enhance(deep[:, :, 2::-1], enhancer, compare)
            result = np.concatenate([rgb[:, :, ::-1], deep[:, :, 3:]], axis=2)
            part.write_bytes(cv2.imencode(target.suffix, result)[1].tobytes())
        return
    picture, profile, exif, dpi = _read(source)
    alpha = picture.getchannel("A") if "A" in picture.getbands() else None
    result = Image.fromarray(_enhance(np.array(picture.convert("RGB")), enhancer, compare))
    if alpha is not None:
        result.putalpha(alpha)
    kept = {"icc_profile": profile, "exif": exif, "dpi": dpi}
    form = Image.registered_extensions().get(target.suffix.lower())
    if form is None:
        raise ValueError(f"expected output of a picture's suffix, got {target.name}")
    with complete_or_absent(target) as part:
        quality = {"quality": JPEG_QUALITY} if form in ("JPEG", "WEBP") else {}
        result.save(part, form, **{k: v for k, v in kept.items() if v}, **quality)


def _enhance(rgb: np.ndarray, enhancer: Enhancer, compare: bool) -> np.ndarray:
    enhancer.reset()
    before = to_unit(rgb)
    after = enhancer.planes(before)
    return from_unit(split_screen(before, after) if compare else after, rgb.dtype)


def _read_deep(source: Path) -> np.ndarray | None:
    """Return a 16-bit picture, BGR or BGRA; None for any other."""
    if source.suffix.lower() not in DEEP:
        return None
    data = cv2.imdecode(np.fromfile(source, np.uint8), cv2.IMREAD_UNCHANGED)
    if data is None or data.dtype != np.uint16:
        return None
    return data if data.ndim == 3 else np.repeat(data[:, :, None], 3, axis=2)


def _read(source: Path) -> tuple[Image.Image, bytes | None, bytes | None, tuple | None]:
    try:
        with Image.open(source) as opened:
            profile, dpi = opened.info.get("icc_profile"), opened.info.get("dpi")
            picture = ImageOps.exif_transpose(opened)
            exif = picture.getexif()
            exif.pop(ORIENTATION, None)
            bands = "RGBA" if picture.has_transparency_data else "RGB"
            return picture.convert(bands), profile, exif.tobytes() if exif else None, dpi
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"expected a picture, got {source}: {error}") from error
