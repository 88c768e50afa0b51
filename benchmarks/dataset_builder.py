"""Speed and memory of the dataset builder, against the plain ways to do the same.

python benchmarks/dataset_builder.py [--quick] [--rows N] [--clips FOLDER] [--json FILE]

- `extract_ratio`: wall time of one ffmpeg process a video, as many at a time as there are cores,
  over ours, mp4s to PNG; the pixels are compared. Null without ffmpeg (pip install imageio-ffmpeg,
  or on the PATH).
  Damaged files among --clips are left out and named in `extract_left_out`.
- `csv_ratio`: time a row of decoding each frame with cv2 and appending its row to the CSV, over
  ours.
- `rows_4m_seconds`, `rows_4m_peak_mb`: CSV stage over 4 million images, 7 % of them with a target,
  all headers read; peak = this process + cores x the largest worker. Null with other --rows.
  The files are hard links to a few pictures, freshly made: all is in memory, a cold disk is not
  measured. Takes about 0.5 GB of disk and five minutes; nothing stays.
"""

import argparse
import csv
import errno
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import av
import cv2
import joblib
import numpy as np

from vqe.building.build import build_dataset
from vqe.video import VideoWriter

CORES = joblib.cpu_count()
FPS = 30
FULL_ROWS = 4_000_000
SUBTREES = (  # folder, sides, frames a video, share of the rows; as in the challenge's data
    ("train/supervised/synthetic", ("x", "y"), 150, 0.07),
    ("train/unsupervised", ("x",), 300, 0.93),
)
STAGE = """
import json, resource, sys, time
from joblib.externals.loky import get_reusable_executor
from vqe.building.build import build_dataset
start = time.perf_counter()
report = build_dataset(source_dir=sys.argv[1], video_fps=30, verify=sys.argv[2])
seconds = time.perf_counter() - start
get_reusable_executor().shutdown(wait=True)
peaks = [resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"rows": report.frames, "seconds": seconds, "peaks": peaks}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds, for a test")
    parser.add_argument("--rows", type=int, help=f"of the CSV stage, default {FULL_ROWS}")
    parser.add_argument("--clips", type=Path, help="folder of mp4s to extract, else drawn ones")
    parser.add_argument("--folder", type=Path, help="where to put the files, else the system's")
    parser.add_argument("--json", type=Path, help="file for the result")
    args = parser.parse_args()
    rows = args.rows or (2_000 if args.quick else FULL_ROWS)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        result = {"machine": describe_machine()}
        result |= measure_extraction(Path(folder) / "clips", args.clips, quick=args.quick)
        result |= measure_csv_stage(Path(folder) / "tree", rows, quick=args.quick)
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


def describe_machine() -> dict[str, str | int]:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": CORES,
        "cpu": models[0] if models else platform.processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cv2": cv2.__version__,
        "av": av.__version__,
    }


def measure_extraction(root: Path, clips: Path | None, *, quick: bool) -> dict:
    """Extract the same clips both ways, in turns; compare the best times and all pixels."""
    videos = root / "train/unsupervised"
    videos.mkdir(parents=True)
    names = {}
    if clips:
        names = copy_clips(clips, videos)
    else:
        count, frames, width, height = (2, 8, 320, 180) if quick else (6, 90, 1280, 720)
        for number in range(count):
            draw_clip(videos / f"video_{number:04d}_x.mp4", number, frames, width, height)
    left_out = remove_damaged(root, names)  # starts the worker processes, too
    ffmpeg = find_ffmpeg()
    ours, theirs = [], []
    for _ in range(1 if quick else 3):
        for folder in videos.glob("video_*"):
            if folder.is_dir():
                shutil.rmtree(folder)
        start = time.perf_counter()
        report = build_dataset(source_dir=root, video_fps=FPS)
        ours.append(time.perf_counter() - start)
        if ffmpeg:
            shutil.rmtree(root / "ffmpeg", ignore_errors=True)
            start = time.perf_counter()
            run_ffmpeg(ffmpeg, sorted(videos.glob("*.mp4")), root / "ffmpeg")
            theirs.append(time.perf_counter() - start)
    if ffmpeg:
        compare_pixels(videos, root / "ffmpeg", report.frames)
    return {
        "extract_left_out": left_out,
        "extract_frames": report.frames,
        "extract_seconds": min(ours),
        "extract_ffmpeg_seconds": min(theirs) if theirs else None,
        "extract_ratio": min(theirs) / min(ours) if theirs else None,
    }


def copy_clips(folder: Path, videos: Path) -> dict[str, str]:
    """Copy a folder's mp4s; return what each was named."""
    names = {}
    for number, clip in enumerate(sorted(folder.rglob("*.mp4"))):
        copy = videos / f"video_{number:04d}_x.mp4"
        shutil.copyfile(clip, copy)
        names[copy.name] = clip.relative_to(folder).as_posix()
    if not names:
        raise FileNotFoundError(f"expected mp4s, got none ({folder}). Name another with --clips")
    return names


def remove_damaged(root: Path, names: dict[str, str]) -> list[str]:
    """Remove the copies that cannot be read; say and return what they were named."""
    bad_files = build_dataset(source_dir=root, video_fps=FPS, on_error="skip").bad
    for bad in bad_files:
        bad.path.unlink()
        print(f"left out: {names[bad.path.name]}: {bad.reason}", file=sys.stderr)
    return [names[bad.path.name] for bad in bad_files]


def draw_clip(path: Path, seed: int, frames: int, width: int, height: int) -> None:
    """Write a soft picture that drifts, with a camera's noise."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (12, 20, 3)).astype(np.float32)
    picture = cv2.resize(small, (width + frames, height), interpolation=cv2.INTER_CUBIC)
    with VideoWriter(path, fps=FPS) as writer:
        for shift in range(frames):
            noise = random.normal(0, 4, (height, width, 3))
            writer.write((picture[:, shift : shift + width] + noise).clip(0, 255).astype(np.uint8))


def find_ffmpeg() -> str | None:
    if importlib.util.find_spec("imageio_ffmpeg"):
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    return shutil.which("ffmpeg")


def run_ffmpeg(ffmpeg: str, clips: list[Path], out: Path) -> None:
    """Run one process a video, as many at a time as there are cores."""

    def extract(clip: Path) -> None:
        folder = out / clip.stem.removesuffix("_x")
        folder.mkdir(parents=True)
        command = [ffmpeg, "-v", "error", "-i", str(clip), "-vf", f"fps={FPS}"]
        subprocess.run([*command, str(folder / "frame_%04d.png")], check=True)

    joblib.Parallel(CORES, backend="threading")(joblib.delayed(extract)(clip) for clip in clips)


def compare_pixels(ours: Path, theirs: Path, frames: int) -> None:
    expected = sorted(theirs.glob("*/*.png"))
    if len(expected) != frames:
        raise RuntimeError(f"expected {len(expected)} frames as ffmpeg's, got {frames}")
    for path in expected:
        own = ours / path.parent.name / "x" / path.name
        if not np.array_equal(cv2.imread(str(own)), cv2.imread(str(path))):
            raise RuntimeError(f"expected ffmpeg's pixels, got others ({own})")


def measure_csv_stage(root: Path, rows: int, *, quick: bool) -> dict:
    start = time.perf_counter()
    make_tree(root, rows, (320, 180) if quick else (1280, 720))
    made = time.perf_counter() - start
    every, first = (run_stage(root, verify) for verify in ("all", "first"))
    plain = time_plain_rows(root, 50 if quick else 400)
    peak_mb = (every["peaks"][0] + CORES * every["peaks"][1]) / peak_unit()
    is_full = every["rows"] == FULL_ROWS
    return {
        "rows": every["rows"],
        "rows_tree_seconds": made,
        "rows_seconds": every["seconds"],
        "rows_verify_first_seconds": first["seconds"],
        "rows_peak_mb": peak_mb,
        "rows_4m_seconds": every["seconds"] if is_full else None,
        "rows_4m_peak_mb": peak_mb if is_full else None,
        "plain_ms_a_row": plain * 1e3,
        "csv_ratio": plain / (every["seconds"] / every["rows"]),
    }


def peak_unit() -> int:
    """How many units of ru_maxrss are a megabyte."""
    return 2**20 if sys.platform == "darwin" else 2**10


def run_stage(root: Path, verify: str) -> dict:
    """Run the CSV stage in a process of its own, whose memory is then its own, too."""
    command = [sys.executable, "-c", STAGE, str(root), verify]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def make_tree(root: Path, rows: int, size: tuple[int, int]) -> None:
    """Make image folders of `rows` rows out of hard links to a few pictures."""
    root.mkdir(parents=True)
    original = new_original(root, 0, size)
    left, originals = rows, 1
    for folder, sides, length, share in SUBTREES:
        todo = left if folder == SUBTREES[-1][0] else round(rows * share)
        left -= todo
        for video, start in enumerate(range(0, todo, length)):
            for side in sides:
                place = root / folder / f"video_{video:05d}" / side
                place.mkdir(parents=True)
                for number in range(1, min(length, todo - start) + 1):
                    name = f"{place}/frame_{number:04d}.jpg"
                    try:
                        os.link(original, name)
                    except OSError as e:
                        if e.errno != errno.EMLINK:  # a file may have so many names
                            raise
                        original = new_original(root, originals, size)
                        originals += 1
                        os.link(original, name)


def new_original(root: Path, number: int, size: tuple[int, int]) -> Path:
    path = root / f"original_{number}.jpg"
    noise = np.random.default_rng(number).integers(0, 256, (90, 160, 3), np.uint8)
    picture = cv2.GaussianBlur(cv2.resize(noise, size), (9, 9), 3)
    path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    return path


def time_plain_rows(root: Path, count: int) -> float:
    """Return the seconds a row of decoding a frame for its size and appending to the CSV."""
    with (root / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.DictReader(file), count))
    start = time.perf_counter()
    for row in rows:
        height, width = cv2.imread(str(root / row["img_source"])).shape[:2]
        with (root / "plain.csv").open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(
                [
                    row["img_source"],
                    row["img_target"],
                    height,
                    width,
                    row["subset"],
                    row["video_id"],
                ]
            )
    return (time.perf_counter() - start) / count


if __name__ == "__main__":
    main()
