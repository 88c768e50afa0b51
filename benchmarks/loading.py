"""Loading speed: frames a second of the data loaders against the bare decoders, and disk used.

python benchmarks/loading.py [--quick] [--json FILE]

Makes clips of its own, extracts them as JPG and as PNG, and times in one run: images in training
order, videos in order as a test reads them and in training order. The bare decoder is a loop of
cv2.imdecode, or of PyAV with one thread, that does nothing with the frames; a loader with n
workers is held against n processes of it. Videos in order are read by one worker with n decoder
threads, and held against one process with as many. Overhead is the time a frame that the loader
takes beyond the decoder's, in percent of that.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd

from vqe.data import LoaderOptions, VQEDataModule
from vqe.pixels import to_unit_range
from vqe.schema import FRAME_COLUMNS, VIDEO_COLUMNS, frame_stem
from vqe.video import VideoWriter, iter_frames

FPS = 30
SUBSET = "train_unsupervised"
WORKERS = (0, 1, 2)
BATCH = 8
CASES = {"jpg": "random", "png": "random", "video": "sequential", "video random": "random"}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    videos: int
    frames: int  # of each video
    height: int
    width: int
    repeats: int  # turns, the fastest counts


FULL = Scale(videos=4, frames=60, height=368, width=640, repeats=5)
QUICK = Scale(videos=2, frames=10, height=64, width=96, repeats=1)


def make_data(root: Path, scale: Scale) -> dict[str, int]:
    """Write clips, their extracted frames and a CSV for each; return the bytes by kind."""
    rows: dict[str, list[tuple]] = {"jpg": [], "png": [], "video": []}
    for number in range(scale.videos):
        video_id = f"video_{number:04d}"
        clip = root / f"{video_id}_x.mp4"
        with VideoWriter(clip, fps=FPS) as writer:
            for frame in draw_frames(number, scale):
                writer.write(frame)
        size = (scale.height, scale.width, SUBSET, video_id)
        for i, frame in enumerate(iter_frames(clip, FPS)):
            rows["video"].append((clip.name, "", *size, i, FPS))
            for kind in ("jpg", "png"):
                path = root / kind / video_id / f"{frame_stem(i)}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imencode(path.suffix, frame)[1].tofile(path)
                rows[kind].append((path.relative_to(root).as_posix(), "", *size, "", ""))
    for kind, table in rows.items():
        columns = (*FRAME_COLUMNS, *VIDEO_COLUMNS)
        pd.DataFrame(table, columns=columns).to_csv(root / f"{kind}.csv", index=False)
    suffixes = {"jpg": "*.jpg", "png": "*.png", "video": "*.mp4"}
    return {k: sum(p.stat().st_size for p in root.rglob(s)) for k, s in suffixes.items()}


def draw_frames(number: int, scale: Scale) -> Iterator[np.ndarray]:
    """A picture with detail that pans, under a camera's noise: uint8 BGR."""
    random = np.random.default_rng(number)
    shape = (scale.height + 2 * scale.frames, scale.width + 2 * scale.frames, 3)
    layers = [cv2.GaussianBlur(random.random(shape, np.float32), (0, 0), s) * s for s in (2, 8, 30)]
    picture = cv2.normalize(sum(layers), None, 20, 235, cv2.NORM_MINMAX)
    for i in range(scale.frames):
        view = picture[i : i + scale.height, 2 * i : 2 * i + scale.width]
        noise = random.normal(0, 2, view.shape)
        yield (view + noise).clip(0, 255).astype(np.uint8)


def decode_images(places: list[tuple[Path, None]]) -> None:
    for path, _ in places:
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def decode_videos(paths: list[Path], threads: int) -> None:
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = threads
            graph = None
            for frame in container.decode(stream):
                graph = graph or build_graph(frame, stream)
                graph.push(frame)
                graph.pull().to_ndarray()


def decode_at_random(places: list[tuple[Path, int]]) -> None:
    """Open, seek, decode up to each frame: what no loader that decodes one frame can avoid."""
    for path, number in places:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            wanted = round(number / FPS / stream.time_base)
            container.seek(wanted, stream=stream)
            frame = next(f for f in container.decode(stream) if f.pts >= wanted)
            graph = build_graph(frame, stream)
            graph.push(frame)
            graph.pull().to_ndarray()


def build_graph(frame: av.VideoFrame, stream: av.VideoStream) -> av.filter.Graph:
    """Convert to BGR as ffmpeg does."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=stream.time_base,
    )
    graph.link_nodes(source, graph.add("format", "bgr24"), graph.add("buffersink")).configure()
    return graph


def build_loader(root: Path, case: str, workers: int):
    """The loader that training, or a test for `sequential`, uses."""
    csv = f"{case.split()[0]}.csv"
    data = VQEDataModule(
        str(root),
        csv,
        csv,
        csv,
        source="video" if csv.startswith("video") else "frames",
        loader=LoaderOptions(BATCH, BATCH, num_workers=workers),
    )
    stage, name = ("fit", "train") if CASES[case] == "random" else ("test", "test")
    data.setup(stage)
    return getattr(data, f"{name}_dataloader")()


def time_case(root: Path, case: str, workers: int, repeats: int) -> tuple[float, float]:
    """Frames a second of the loader and of bare decoders, in turns; the fastest turn counts."""
    loader = build_loader(root, case, workers)
    frames = sum(len(batch["x"]) for batch in loader)  # the workers start
    with ExitStack() as stack:
        run_bare = prepare_bare(stack, root, case, max(1, workers))
        run_bare()
        turns = [(clock(lambda: [None for _ in loader]), clock(run_bare)) for _ in range(repeats)]
    return tuple(frames / min(times) for times in zip(*turns, strict=True))


def prepare_bare(stack: ExitStack, root: Path, case: str, processes: int) -> Callable[[], object]:
    """Return what runs bare decoders on the frames which the loader reads."""
    loader = build_loader(root, case, 0)
    rows = [loader.dataset.rows[i] for batch in loader.batch_sampler for i in positions(batch)]
    work = [(root / row.paths["img_source"], row.frame) for row in rows]
    decode = decode_images if not case.startswith("video") else decode_at_random
    if CASES[case] == "sequential":
        paths = list(dict.fromkeys(path for path, _ in work))
        return lambda: decode_videos(paths, processes)
    if processes == 1:
        return lambda: decode(work)
    shares = [work[i::processes] for i in range(processes)]
    pool = stack.enter_context(multiprocessing.Pool(processes))
    return lambda: pool.map(decode, shares, chunksize=1)


def positions(batch: list) -> list[int]:
    """Positions in the table: training batches hold seeds beside them."""
    return [key[0] if isinstance(key, tuple) else key for key in batch]


def time_conversion(root: Path, repeats: int) -> float:
    """Milliseconds a frame that bytes take to become float on this CPU, after loading."""
    x = next(iter(build_loader(root, "jpg", 0)))["x"]
    seconds = min(clock(lambda: to_unit_range(x)) for _ in range(3 * repeats))
    return seconds / len(x) * 1e3


def clock(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(scale: Scale) -> dict:
    """Measure all cases; the keys are those of the JSON file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        disk = make_data(root, scale)
        cases = []
        for case, order in CASES.items():
            for workers in WORKERS:
                speed, bare = time_case(root, case, workers, scale.repeats)
                cases.append(
                    {
                        "source": case.split()[0],
                        "order": order,
                        "workers": workers,
                        "frames_per_second": round(speed, 1),
                        "decoder_frames_per_second": round(bare, 1),
                        "overhead_percent": round((bare / speed - 1) * 100, 1),
                    }
                )
        to_float = time_conversion(root, scale.repeats)
    return {
        "scale": asdict(scale),
        "cases": cases,
        "to_float_ms": round(to_float, 3),
        "disk_bytes": disk,
        "disk_png_over_video": round(disk["png"] / disk["video"], 1),
        "disk_jpg_over_video": round(disk["jpg"] / disk["video"], 1),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny clips: does it run at all?")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    found = measure(QUICK if options.quick else FULL)
    print(f"{'source':8}{'order':12}{'workers':>8}{'frames/s':>10}{'decoder':>9}{'overhead':>10}")
    for case in found["cases"]:
        source, order, workers, speed, bare, overhead = case.values()
        print(f"{source:8}{order:12}{workers:8}{speed:10.1f}{bare:9.1f}{overhead:9.1f}%")
    print(f"bytes -> float: {found['to_float_ms']} ms a frame, on the device in a run")
    sizes = ", ".join(f"{kind} {size / 1e6:.2f} MB" for kind, size in found["disk_bytes"].items())
    print(f"disk: {sizes}; png / video {found['disk_png_over_video']}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
