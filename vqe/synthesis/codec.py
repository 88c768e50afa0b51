"""8-bit frames -> what JPEG or H.264 leaves of them, coded and decoded in memory."""

from fractions import Fraction

import av
import av.error
import cv2
import numpy as np


def compress_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """Code a uint8 BGR frame as JPEG and decode it."""
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


class H264RoundTrip:
    """Code frames at a low bit rate as a video call does, and decode each at once.

    libx264 without look-ahead and B-frames gives a packet a frame, in order, and its rate control
    keeps to the rate over a second. One thread: the same frames give the same bits.

    Args:
        height: of the frames; odd ones are padded for the codec and cut again.
        width: of the frames.
        bits_per_pixel: the bit rate over pixels a second.
        fps: frames a second.

    Attributes:
        coded_bytes: of all packets so far.
        frames: how many went through.
    """

    def __init__(self, height: int, width: int, bits_per_pixel: float, fps: int = 30) -> None:
        self.frames = self.coded_bytes = 0
        self._pad = ((0, height % 2), (0, width % 2), (0, 0))
        rate = max(1000, round(bits_per_pixel * height * width * fps))
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height = width + width % 2, height + height % 2
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, fps)
        self._encoder.framerate = Fraction(fps)
        self._encoder.thread_count = 1
        self._encoder.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "b": str(rate),
            "maxrate": str(rate),
            "bufsize": str(rate),
        }
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Send a uint8 BGR frame through.

        Raises:
            RuntimeError: the codec fails.
        """
        height, width = frame.shape[:2]
        picture = av.VideoFrame.from_ndarray(np.pad(frame, self._pad, mode="edge"), format="bgr24")
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
        return np.ascontiguousarray(decoded[0].to_ndarray(format="bgr24")[:height, :width])
