"""Folder of mp4s -> folder of enhanced mp4s, without a network: what networks have to beat.

Frames in = frames out, at the video's own average rate; sound is left out.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from autoadjust import enhance_autoadjust, find_tool
from enhance_opencv import OpenCVEnhancer
from tqdm import tqdm

from vqe.video import VideoError, VideoWriter, iter_frames, probe_video

METHODS = ("auto", "autoadjust", "opencv")
Enhance = Callable[[Path, Path], None]  # (source, target)


def enhance_opencv(source: Path, target: Path) -> None:
    """Enhance one video frame by frame; memory does not grow with its length.

    Raises:
        VideoError: a video cannot be read or written; `target` is left as it was.
    """
    enhancer = OpenCVEnhancer()
    with VideoWriter(target, fps=probe_video(source).fps) as writer:
        for frame in iter_frames(source, fps=None):
            writer.write(enhancer(frame))


def choose_method(method: str, tool: Path | None = None) -> tuple[str, Enhance]:
    """Return the method's name and function.

    "auto" is AutoAdjust where it is found or named, else OpenCV.

    Raises:
        RuntimeError: AutoAdjust is asked for, and this is not Windows.
        FileNotFoundError: AutoAdjust is asked for, and is not found.
    """
    if method == "opencv":
        return method, enhance_opencv
    try:
        return "autoadjust", partial(enhance_autoadjust, tool=find_tool(tool))
    except (RuntimeError, FileNotFoundError):
        if method == "autoadjust" or tool is not None:
            raise
        return "opencv", enhance_opencv


def list_videos(dir_in: Path, dir_out: Path) -> list[Path]:
    """List the folder's mp4s, sorted.

    Raises:
        FileNotFoundError: there is no such folder, or no mp4 in it.
        ValueError: the results would overwrite the sources.
    """
    if not dir_in.is_dir():
        raise FileNotFoundError(f"expected a folder, got none: {dir_in}. Check --dir_in")
    videos = sorted(path for path in dir_in.iterdir() if path.suffix.lower() == ".mp4")
    if not videos:
        raise FileNotFoundError(f"expected mp4 files, got none in {dir_in}. Check --dir_in")
    if dir_out.exists() and dir_out.samefile(dir_in):
        raise ValueError(f"expected two folders, got {dir_in} twice. Name another --dir_out")
    return videos


def enhance_videos(videos: list[Path], dir_out: Path, enhance: Enhance) -> dict[str, str]:
    """Enhance each video to a file of the same name; return the reason of every failure by name."""
    failures = {}
    for video in tqdm(videos, unit="video"):
        try:
            enhance(video, dir_out / video.name)
        except (VideoError, RuntimeError, OSError, ValueError) as error:
            failures[video.name] = str(error)
    return failures


def main(argv: list[str] | None = None) -> int:
    """Enhance a folder; return 0, 1 if a video failed, 2 if none was begun, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir_in", type=Path, required=True, help="folder with mp4 files")
    parser.add_argument("--dir_out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--method", choices=METHODS, default="auto")
    parser.add_argument("--tool", type=Path, help="AutoAdjustCmdTool.exe, if not beside this file")
    args = parser.parse_args(argv)
    try:
        videos = list_videos(args.dir_in, args.dir_out)
        method, enhance = choose_method(args.method, args.tool)
        args.dir_out.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        failures = enhance_videos(videos, args.dir_out, enhance)
    except KeyboardInterrupt:
        print("interrupted; what is complete stays", file=sys.stderr)
        return 130
    print(f"{len(videos) - len(failures)} of {len(videos)} videos ({method}): {args.dir_out}")
    for name, reason in failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
