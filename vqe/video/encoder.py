"""Raw BGR frames on standard input -> an h264 mp4: the process behind each `VideoWriter`.

It is a process of its own because libx264 reads memory it has not written (in its macroblock
tree): in a heap that was used before, some clips get other bits than the ffmpeg command's, whose
memory is fresh and thus zero. Here it is zero too.
"""

import json
import sys
from fractions import Fraction
from typing import BinaryIO

import av
import av.error


def encode_stream(
    raw: BinaryIO, path: str, *, width: int, height: int, fps: str, pix_fmt: str, options: dict
) -> None:
    """Encode all frames of `raw`, width x height x 3 bytes each, with libx264.

    Args:
        raw: the frames, one after the other.
        path: the mp4 to make, whatever its suffix.
        width: even.
        height: even.
        fps: a whole number or a fraction such as 24000/1001.
        pix_fmt: pixel format of the stream.
        options: libx264's own, such as crf and preset.

    Raises:
        FFmpegError: the library fails, or the input ends within a frame.
    """
    size = width * height * 3
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        # PyAV's own choice, slice threads, makes other bits than ffmpeg's frame threads
        stream.thread_type = "FRAME"
        stream.thread_count = 0
        number = 0
        while data := raw.read(size):
            if len(data) < size:
                raise EOFError(f"input ends within frame {number + 1}")
            frame = _make_frame(data, width, height)
            frame.pts = number
            container.mux(stream.encode(frame))
            number += 1
        container.mux(stream.encode(None))


def _make_frame(data: bytes, width: int, height: int) -> av.VideoFrame:
    """Do what `from_ndarray` does, without NumPy, which takes as long to import as PyAV."""
    frame, row = av.VideoFrame(width, height, "bgr24"), 3 * width
    plane = frame.planes[0]
    place, whole = memoryview(plane), memoryview(data)
    for y in range(height):  # FFmpeg's rows may be longer
        start = y * plane.line_size
        place[start : start + row] = whole[y * row : (y + 1) * row]
    return frame


if __name__ == "__main__":
    try:
        encode_stream(sys.stdin.buffer, **json.loads(sys.argv[1]))
    except (av.error.FFmpegError, EOFError) as e:
        sys.exit(getattr(e, "strerror", None) or str(e))
