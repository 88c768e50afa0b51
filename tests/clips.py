"""Small videos made by PyAV, and the ffmpeg command's view of a video to compare with."""

import io
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

from vqe.video.encoder import encode_stream

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def draw_frame(number, width, height):
    """A gradient that moves, with some noise: every frame differs from every other."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([columns * 3 + number * 9, rows * 4 - number * 5, rows + columns], axis=-1)
    noise = np.random.default_rng(number).integers(0, 20, picture.shape)
    return ((picture + noise) % 256).astype(np.uint8)


def make_clip(
    path,
    *,
    rate=25,
    frames=12,
    width=64,
    height=48,
    codec="libx264",
    pix_fmt="yuv420p",
    times=None,  # milliseconds at which the frames are shown, instead of `rate`
    audio=False,
    rotation=None,
    hflip=False,
    options=None,  # of the container
):
    """Encode moving gradients; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=hflip)
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio else None
        for number in range(len(times) if times is not None else frames):
            picture = av.VideoFrame.from_ndarray(draw_frame(number, width, height), format="bgr24")
            picture.pts = number if times is None else times[number]
            picture.time_base = Fraction(1) / Fraction(rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound:
            _add_tone(container, sound)
    return path


def write_mp4(path, frames):
    """Write uint8 BGR frames as a `VideoWriter` does, which starts a process for each file."""
    frames = list(frames)
    height, width = frames[0].shape[:2]
    settings = {"fps": "30", "pix_fmt": "yuv420p", "options": {"crf": "18"}}
    raw = io.BytesIO(b"".join(map(bytes, frames)))
    encode_stream(raw, str(path), width=width, height=height, **settings)


def make_sound(path):
    """A file with a sound track only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        _add_tone(container, container.add_stream("aac", rate=16000, layout="mono"))
    return path


def _add_tone(container, stream):
    for number in range(8):
        tone = np.sin(np.arange(1024) / 9).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, number * 1024, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def ffmpeg_frames(path, fps, width, height):
    """Decode with the ffmpeg command: NxHxWx3, BGR."""
    rate = ["-fps_mode", "passthrough"] if fps is None else ["-vf", f"fps={fps}"]
    command = [FFMPEG, "-v", "error", "-i", str(path), *rate, "-pix_fmt", "bgr24"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
