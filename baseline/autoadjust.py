"""Video -> enhanced video through AutoAdjust, the challenge's own baseline, a Windows binary."""

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from vqe.video import VideoWriter, iter_frames, probe_video

TOOL = "AutoAdjustCmdTool.exe"
ARCHIVE = "autoadjust_bin_win-x64.tar.gz"


def find_tool(path: Path | None = None) -> Path:
    """Find the tool: where it is said to be, else beside this file, else on PATH.

    Raises:
        RuntimeError: this is not Windows.
        FileNotFoundError: the tool is nowhere.
    """
    if platform.system() != "Windows":
        raise RuntimeError(
            f"expected Windows, got {platform.system()}: AutoAdjust ({ARCHIVE} of the challenge's "
            "storage) is a Windows binary. Take --method opencv"
        )
    beside, on_path = Path(__file__).with_name(TOOL), shutil.which(TOOL)
    places = [path] if path else [beside, *([Path(on_path)] if on_path else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"expected {TOOL} at {path or f'{beside} or on PATH'}, got nothing there. Unpack "
            f"{ARCHIVE} of the challenge's storage and name it with --tool, or take --method opencv"
        )
    return found.resolve()


def enhance_autoadjust(source: Path, target: Path, tool: Path) -> None:
    """Enhance one video with the tool, then encode its .avi as the challenge does.

    The tool takes folders. It gets one with this video alone, so that a video it fails on does
    not stop the others, and only one raw .avi lies on disk at a time.

    Raises:
        RuntimeError: the tool failed or wrote something else than one .avi.
        VideoError: its .avi cannot be read, or the mp4 cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".autoadjust-") as folder:
        dir_in, dir_out = Path(folder, "in"), Path(folder, "out")
        dir_in.mkdir()
        dir_out.mkdir()
        shutil.copy(source, dir_in)
        words = _run_tool([str(tool), "-in", str(dir_in), "-out", str(dir_out)])
        written = sorted(dir_out.iterdir())
        if [path.suffix.lower() for path in written] != [".avi"]:
            names = [path.name for path in written]
            raise RuntimeError(f"expected one .avi from {tool.name}, got {names}: {words}")
        avi = written[0]
        with VideoWriter(
            target, fps=probe_video(avi).fps, crf=19, pix_fmt="yuvj420p", preset="veryslow"
        ) as writer:
            for frame in iter_frames(avi, fps=None):
                writer.write(frame)


def _run_tool(command: list[str]) -> str:
    """Run a command and return the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    words = " ".join(f"{done.stdout} {done.stderr}".split())[-500:] or "it said nothing"
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {words}")
    return words
