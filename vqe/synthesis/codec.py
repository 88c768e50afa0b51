"""8-bit frames -> what JPEG or H.264 leaves of them, coded and decoded in memory."""

from collections.abc import Mapping
from fractions import Fraction

import av
import av.error
import cv2
import numpy as np


def compress_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """Code a uint8 BGR frame as JPEG and decode it."""
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def call_options(height: int, width: int, bits_per_pixel: float, fps: int) -> dict[str, str]:
    """Return libx264's options for a call: a bit rate over pixels a second, kept to each second."""
    rate = str(max(1000, round(bits_per_pixel * height * width * fps)))
    return {"preset": "veryfast", "b": rate, "maxrate": rate, "bufsize": rate}


def quantiser_options(qp: int) -> dict[str, str]:
    """Return libx264's options for a constant quantiser, 0 to 51: single frames have no rate."""
    return {"preset": "superfast", "qp": str(qp)}


class H264RoundTrip:
    """Code frames as a video call does, and decode each at once.

    libx264 without look-ahead and B-frames gives a packet a frame, in order. One thread: the same
    frames give the same bits.

    Args:
        height: of the frames; odd ones are padded for the codec and cut again.
        width: of the frames.
        options: libx264's: of `call_options` or `quantiser_options`.
        fps: frames a second.

    Attributes:
        coded_bytes: of all packets so far.
        frames: how many went through.
    """

    def __init__(self, height: int, width: int, options: Mapping[str, str], fps: int = 30) -> None:
        self.frames = self.coded_bytes = 0
        self._pad = ((0, height % 2), (0, width % 2), (0, 0))
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height = width + width % 2, height + height % 2
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, fps)
        self._encoder.framerate = Fraction(fps)
        self._encoder.thread_count = 1
        self._encoder.options = {"tune": "zerolatency", **options}
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Send a uint8 BGR frame through.

        Raises:
            RuntimeError: the codec fails.
        """
        height, width = frame.shape[:2]
        picture = av.VideoFrame.from_ndarray(np.pad(frame, self._pad, mode="edge"), format="bgr24")
        # a pool of threads for a frame this small would take longer than the frame
        picture = picture.reformat(format="yuv420p", threads=1)
        picture.pts = self.frames
        try:
            packets = self._encoder.encode(picture)
            decoded = [out for packet in packets for out in self._decoder.decode(packet)]
        except av.error.FFmpegError as e:
            raise RuntimeError(f"H.264 failed on frame {self.frames + 1}: {e.strerror}") from e
        if len(decoded) != 1:
            raise RuntimeError(
                f"expected one frame from H.264 for one, got {len(decoded)} "
                f"(frame {self.frames + 1}). Use a PyAV with a full libx264"
            )
        self.frames += 1
        self.coded_bytes += sum(packet.size for packet in packets)
        return np.ascontiguousarray(
            decoded[0].to_ndarray(format="bgr24", threads=1)[:height, :width]
        )
