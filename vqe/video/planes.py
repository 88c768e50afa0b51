"""Decoded picture <-> float RGB planes, upright, by the video's own colour matrix and range.

The formulas are those of ITU-T H.273, in floats: what is not changed comes back sample for sample.
swscale loses up to three levels of 255 on its quick path, and more in full range. It only brings
samples into another order here. Chroma samples stand for all pixels that they cover, as in
ffmpeg's conversion to 8-bit RGB, which the networks are trained on.
"""

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from vqe.video.facts import BT709, FULL, LIMITED, RGB, UNSPECIFIED, ColourTags, VideoFacts

LUMA_SHARES = {  # of red and blue
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
    UNSPECIFIED: (0.299, 0.114),  # as ffmpeg takes it
}
TURNS = {
    "hflip": lambda planes: planes[:, :, ::-1],
    "vflip": lambda planes: planes[:, ::-1],
    "transpose clock": lambda planes: planes.transpose(0, 2, 1)[:, :, ::-1],
    "transpose cclock": lambda planes: planes.transpose(0, 2, 1)[:, ::-1],
    "transpose cclock_flip": lambda planes: planes.transpose(0, 2, 1),
    "transpose clock_flip": lambda planes: planes.transpose(0, 2, 1)[:, ::-1, ::-1],
}
PLANAR_RGB = {8: "gbrp", 9: "gbrp9le", 10: "gbrp10le", 12: "gbrp12le", 14: "gbrp14le"}


class PlaneReader:
    """Turn decoded pictures of one video into RGB planes.

    Args:
        facts: of the video.
    """

    def __init__(self, facts: VideoFacts) -> None:
        self.facts = facts
        self._scale = SampleScale(facts.colour, facts.bits)
        self._layout = _find_layout(facts.pix_fmt, facts.bits)
        self._reformatter = VideoReformatter()

    def read(self, frame: av.VideoFrame) -> np.ndarray:
        """Return float32 RGB [3,H,W] in [0,1], upright."""
        if frame.format.name != self._layout:
            frame = self._reformatter.reformat(frame, format=self._layout, threads=1)
        samples = view_planes(frame)
        if self._layout.startswith("gbrp"):
            peak = 2 ** frame.format.components[0].bits - 1
            planes = np.stack([samples[n] for n in (2, 0, 1)]).astype(np.float32) / peak
        else:
            planes = self._scale.to_rgb(samples)
        for turn in self.facts.turns:
            planes = TURNS[turn](planes)
        return np.ascontiguousarray(planes)


class PictureMaker:
    """Turn RGB planes into pictures of the format that an encoder wants.

    Args:
        pix_fmt: of the pictures.
        colour: what matrix and range they are to have.
    """

    def __init__(self, pix_fmt: str, colour: ColourTags) -> None:
        self.pix_fmt = pix_fmt
        self._bits = max(c.bits for c in av.VideoFormat(pix_fmt).components)
        self._layout = _find_layout(pix_fmt, self._bits)
        self._scale = SampleScale(colour, self._bits)
        self._reformatter = VideoReformatter()

    def make(self, planes: np.ndarray) -> av.VideoFrame:
        """Return a picture of float32 RGB planes [3,H,W]; what is not in [0,1] is clamped."""
        _, height, width = planes.shape
        frame = av.VideoFrame(width, height, self._layout)
        views = view_planes(frame)
        if self._layout.startswith("gbrp"):
            peak = 2 ** frame.format.components[0].bits - 1
            for plane, number in zip(planes, (2, 0, 1), strict=True):
                views[number][:] = round_samples(plane, peak, 0, views[number].dtype, peak)
        else:
            self._scale.from_rgb(planes, views)
        if self.pix_fmt == self._layout:
            return frame
        return self._reformatter.reformat(frame, format=self.pix_fmt, threads=1)


class SampleScale:
    """Between samples of YUV and RGB in [0,1].

    Args:
        colour: matrix and range; what is not specified is BT.601 and limited.
        bits: of a sample.
    """

    def __init__(self, colour: ColourTags, bits: int) -> None:
        self.red, self.blue = LUMA_SHARES.get(colour.matrix, LUMA_SHARES[UNSPECIFIED])
        self.peak = 2**bits - 1
        step = 2 ** (bits - 8)
        full = colour.range == FULL
        self.black = 0 if full else 16 * step
        self.luma = self.peak if full else 219 * step  # samples from black to white
        self.chroma = self.peak if full else 224 * step
        self.grey = 128 * step
        self._buffers: dict[int, np.ndarray] = {}

    def _reuse(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 memory that was used before: new memory costs more than the sums."""
        if number not in self._buffers or self._buffers[number].shape != shape:
            self._buffers[number] = np.empty(shape, np.float32)
        return self._buffers[number]

    def to_rgb(self, samples: list[np.ndarray]) -> np.ndarray:
        """Return float32 RGB [3,H,W] of planes Y, U and V; of Y alone where it is grey."""
        height, width = samples[0].shape
        luma, spread = self._reuse(0, (height, width)), self._reuse(1, (height, width))
        np.copyto(luma, samples[0])
        luma -= np.float32(self.black)
        luma /= np.float32(self.luma)
        rgb = np.empty((3, height, width), np.float32)
        if len(samples) == 1:
            rgb[:] = luma
            return np.clip(rgb, 0, 1, out=rgb)
        u, v = ((s.astype(np.float32) - self.grey) / self.chroma for s in samples[1:3])
        green = 1 - self.red - self.blue
        of_red, of_blue = 2 * (1 - self.red) * v, 2 * (1 - self.blue) * u
        of_green = -(self.red * of_red + self.blue * of_blue) / green
        for plane, offset in zip(rgb, (of_red, of_green, of_blue), strict=True):
            np.add(luma, _spread(offset, spread), out=plane)
            np.clip(plane, 0, 1, out=plane)
        return rgb

    def from_rgb(self, rgb: np.ndarray, samples: list[np.ndarray]) -> None:
        """Write the planes Y, U and V, or Y alone, of float32 RGB [3,H,W]."""
        rgb = np.clip(rgb, 0, 1, out=self._reuse(2, rgb.shape))
        luma, dtype = self._reuse(0, rgb.shape[1:]), samples[0].dtype
        cv2.addWeighted(rgb[0], self.red, rgb[1], 1 - self.red - self.blue, 0, dst=luma)
        cv2.scaleAdd(rgb[2], self.blue, luma, dst=luma)
        samples[0][:] = round_samples(luma, self.luma, self.black, dtype, self.peak)
        if len(samples) == 1:
            return
        size = samples[1].shape
        small = _gather(luma, size)
        for samples_out, plane, share in (
            (samples[1], rgb[2], self.blue),
            (samples[2], rgb[0], self.red),
        ):
            chroma = (_gather(plane, size) - small) / (2 * (1 - share))
            samples_out[:] = round_samples(chroma, self.chroma, self.grey, dtype, self.peak)


def round_samples(
    values: np.ndarray, scale: float, offset: float, dtype: np.dtype, peak: int
) -> np.ndarray:
    """Return `values * scale + offset`, rounded and clamped to 0..peak; none may be negative."""
    if dtype == np.uint8:
        return cv2.convertScaleAbs(values, alpha=scale, beta=offset)
    scaled = values * np.float32(scale)
    scaled += np.float32(offset)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, peak, out=scaled).astype(dtype)


def choose_output_colour(facts: VideoFacts) -> ColourTags:
    """Return the tags to encode with: the video's own; RGB becomes BT.709, limited."""
    colour = facts.colour
    if colour.matrix != RGB:
        return colour
    return ColourTags(BT709, LIMITED, colour.primaries, colour.transfer)


def view_planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """Return a planar frame's planes as arrays [H,W] over its own memory."""
    dtype = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        views.append(rows.view(dtype)[:, : plane.width])
    return views


def _find_layout(pix_fmt: str, bits: int) -> str:
    """Name the planar format that holds the same samples as another one."""
    form = av.VideoFormat(pix_fmt, 64, 64)
    if form.is_rgb:
        return PLANAR_RGB.get(bits, "gbrp16le")
    depth = "" if bits <= 8 else f"{bits}le"
    if len(form.components) < 3:  # grey, with or without transparency
        return f"gray{depth}"
    chroma = {(32, 32): "420", (32, 64): "422", (64, 64): "444", (64, 32): "440"}
    sizes = (form.chroma_width(64), form.chroma_height(64))
    name = f"yuv{chroma.get(sizes, '444')}p{depth}"
    return pix_fmt if pix_fmt == name.replace("yuv", "yuvj") else name


def _spread(plane: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Repeat the samples of a plane over the pixels that they cover; `out` may be used for it."""
    height, width = out.shape
    down, across = -(-height // plane.shape[0]), -(-width // plane.shape[1])
    if down == across == 1:
        return plane
    size = (plane.shape[1] * across, plane.shape[0] * down)
    if size == (width, height):
        return cv2.resize(plane, size, dst=out, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)[:height, :width]


def _gather(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average the pixels that each sample covers."""
    height, width = plane.shape
    if (height, width) == size:
        return plane
    down, across = -(-height // size[0]), -(-width // size[1])
    missing = size[0] * down - height, size[1] * across - width
    if any(missing):
        border = (0, missing[0], 0, missing[1])
        plane = cv2.copyMakeBorder(plane, *border, cv2.BORDER_REPLICATE)
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
