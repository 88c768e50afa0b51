"""enhance.py at work: frames a second against what the cores allow, ffmpeg alone, and the baseline.

python benchmarks/enhance.py [--json FILE] [--frames N] [--video FILE] [--weights FILE] [--quick]

A 1280x720 H.264 video with sound goes through nano by ONNX Runtime and x264 veryfast. Beside it
each stage runs alone: cores divided by the CPU seconds of all stages is what no pipeline can beat.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from measuring import describe_machine

from vqe.cli import REPOSITORY
from vqe.export.onnx import export_onnx
from vqe.inference import Enhancer, VideoOptions, enhance_video
from vqe.inference.video_file import plan_video, single_threads
from vqe.models import Nano
from vqe.video import VideoWriter, iter_frames
from vqe.video.segments import SegmentWriter
from vqe.video.timed import Cut, read_timed

sys.path.insert(0, str(REPOSITORY / "baseline"))
from enhance_opencv import OpenCVEnhancer

WIDTH, HEIGHT, FPS = 1280, 720, 30
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
OPTIONS = VideoOptions(preset="veryfast")
EARLY = 300  # frames after which memory is first looked at
LATE = 5  # frames before the end, when it is looked at again: all stages still work


def draw_room(number: int) -> np.ndarray:
    """Draw a lit wall, a head that moves and a sensor's noise: uint8 BGR."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    wall = 90 + 50 * np.sin(columns / 260) * np.cos(rows / 190) + 12 * (np.sin(columns / 9) > 0.6)
    picture = np.stack([wall * 0.8, wall * 0.9, wall], axis=-1)
    middle = (
        WIDTH // 2 + int(60 * np.sin(number / 14)),
        HEIGHT // 2 + int(20 * np.cos(number / 9)),
    )
    cv2.ellipse(picture, middle, (150, 210), 4 * np.sin(number / 20), 0, 360, (110, 140, 190), -1)
    noise = np.random.default_rng(number).normal(0, 2, (HEIGHT, WIDTH, 1))
    return np.clip(cv2.GaussianBlur(picture, (5, 5), 0) + noise, 0, 255).astype(np.uint8)


def make_video(path: Path, frames: int) -> Path:
    """Write an mp4 with a tone; 60 drawn frames come and go."""
    drawn = [draw_room(number) for number in range(min(60, frames))]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(frames):
            place = number % (2 * len(drawn) - 1)
            picture = drawn[min(place, 2 * len(drawn) - 2 - place)]
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(video.encode(None))
        for number in range(frames * 48000 // FPS // 1024):
            tone = 0.2 * np.sin(np.arange(1024, dtype=np.float32) / 17)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, number * 1024
            frame.time_base = Fraction(1, 48000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def measure_cpu(run: Callable[[], object]) -> float:
    """Return the CPU seconds of this process and the children that ended in it."""
    before = os.times()
    run()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def measure_stages(source: Path, enhancer: Enhancer, frames: int, folder: Path) -> dict[str, float]:
    """Return each stage's CPU milliseconds a frame, each run alone."""
    plan = plan_video(source, folder / "alone.mp4", OPTIONS)
    frames = min(frames, plan.facts.frames)

    def read() -> list:
        last = None
        with closing(read_timed(source, plan.facts, Cut())) as reading:
            for _, frame in zip(range(frames), reading, strict=False):
                last = frame
        return last

    def enhance() -> None:
        for _ in range(frames):
            enhancer.planes(frame.planes)

    def encode() -> None:
        with closing(SegmentWriter(plan.settings, folder, plan.target)) as writer:
            for picture in kept:
                writer.write(picture)
            writer.close_segment(0)

    with single_threads():
        frame = read()
        enhancer.planes(frame.planes)  # the first one sets up
        with closing(read_timed(source, plan.facts, Cut())) as reading:
            kept = [f for _, f in zip(range(min(60, frames)), reading, strict=False)]
        nothing = measure_cpu(lambda: _encode_nothing(plan, folder))
        stages = {
            "read_ms": measure_cpu(read) / frames,
            "network_ms": measure_cpu(enhance) / frames,
            "encode_ms": (measure_cpu(encode) - nothing) / len(kept),
        }
    return {name: 1000 * value for name, value in stages.items()}


def _encode_nothing(plan: object, folder: Path) -> None:
    """Start and end the encoder's process: that is paid once a video, not a frame."""
    SegmentWriter(plan.settings, folder, plan.target).close()


def measure_pipeline(source: Path, enhancer: Enhancer, folder: Path) -> dict[str, float | None]:
    """Return frames a second of the whole, and how much memory grows on the way."""
    memory: dict[int, float] = {}

    def look(done: int, total: int | None) -> None:
        if done in (EARLY, (total or 0) - LATE):
            memory[done] = resident_mb()

    start, times = time.perf_counter(), os.times()
    report = enhance_video(source, folder / "out.mp4", enhancer, OPTIONS, look)
    seconds = time.perf_counter() - start
    spent = sum(os.times()[:4]) - sum(times[:4])
    last = max(memory, default=0)
    return {
        "fps_720p": report.frames / seconds,
        "cores_busy": spent / seconds,
        "rss_growth_mb": memory[last] - memory[EARLY] if last > EARLY in memory else None,
    }


def resident_mb() -> float:
    """Return the memory of this process and its children."""
    pids = [os.getpid()]
    for task in Path("/proc/self/task").iterdir():
        pids += [int(pid) for pid in (task / "children").read_text().split()]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def measure_ffmpeg(source: Path, frames: int, folder: Path) -> float:
    """Return frames a second of ffmpeg's decoding and encoding, with nothing between them."""
    import imageio_ffmpeg  # pipeline.py, which draws with this file, does without

    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", "-y", "-i", str(source), "-c:v", "libx264", "-preset"]
    command += ["veryfast", "-crf", "18", "-c:a", "copy", str(folder / "ffmpeg.mp4")]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return frames / (time.perf_counter() - start)


def measure_baseline(source: Path, frames: int, folder: Path) -> float:
    """Return frames a second of the OpenCV baseline, decoding and encoding included."""
    enhancer = OpenCVEnhancer()
    start = time.perf_counter()
    with VideoWriter(folder / "baseline.mp4", preset="veryfast") as writer:
        for _, frame in zip(range(frames), iter_frames(source), strict=False):
            writer.write(enhancer(frame))
    return writer.frames / (time.perf_counter() - start)


def measure(source: Path, weights: Path, folder: Path, frames: int) -> dict[str, object]:
    """Measure all in one run."""
    enhancer = Enhancer(weights, backend="onnx", device="cpu")
    stages = measure_stages(source, enhancer, 120, folder)
    result = measure_pipeline(source, enhancer, folder)
    result["cpu_bound_fps"] = 1000 * CORES / sum(stages.values())
    result["share_of_bound"] = result["fps_720p"] / result["cpu_bound_fps"]
    result["ffmpeg_fps"] = measure_ffmpeg(source, frames, folder)
    result["baseline_fps"] = measure_baseline(source, min(frames, 90), folder)
    return result | stages | {"frames": frames, "cores": CORES}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--frames", type=int, default=3000, help="of the drawn video")
    parser.add_argument("--video", type=Path, help="measure on this 1280x720 video instead")
    parser.add_argument("--weights", type=Path, help="a network.onnx; else an untrained nano")
    parser.add_argument("--quick", action="store_true", help="12 frames")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = options.weights or folder / "nano.onnx"
        if options.weights is None:
            export_onnx(Nano(), weights, height=HEIGHT, width=WIDTH, check_sizes=((HEIGHT, WIDTH),))
        frames = 12 if options.quick else options.frames
        source = options.video or make_video(folder / "in.mp4", frames)
        if options.video is not None:
            with av.open(str(source)) as container:
                frames = container.streams.video[0].frames
        result = measure(source, weights, folder, frames)
    result |= describe_machine(torch.device("cpu"))
    for name, value in result.items():
        print(f"{name:16} {value:.2f}" if isinstance(value, float) else f"{name:16} {value}")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
