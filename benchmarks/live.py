"""The page of live.py in a headless chromium that draws by the CPU: its speed and its pixels.

python benchmarks/live.py [--json FILE] [--weights FILE] [--seconds N] [--quick]

The camera is a drawn y4m file of 30 frames/s, of 60 for the small size. Without weights nano is
untrained but for its last layer, which is random: its pixels change, its cost is the same. What
else runs on the machine counts: `cores_busy` says how much of its cores others had.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from camera_page import (
    open_chromium,
    read_stats,
    save_picture,
    serve_site,
    wait_for_network,
    write_y4m,
)

from vqe.browser.runtime import find_runtime
from vqe.browser.site import build_site
from vqe.export.onnx import export_onnx
from vqe.inference.enhancer import Enhancer
from vqe.models import Nano
from vqe.pixels import from_unit
from vqe.video.facts import BT709, LIMITED, ColourTags
from vqe.video.planes import SampleScale

SIZES = {"720p": (720, 1280), "360p": (360, 640)}
CAMERA_FPS = {"720p": 30, "360p": 60}
ASK_FOR_MORE = """(() => {  // the page asks cameras for 30 frames/s
    const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
    const frameRate = { ideal: FPS };
    devices.getUserMedia = (wanted) =>
        ask(wanted.video ? { ...wanted, video: { ...wanted.video, frameRate } } : wanted);
})()"""
WARM_SECONDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--weights", help="as network= of live.py")
    parser.add_argument("--seconds", type=float, default=15, help="of each size")
    parser.add_argument("--quick", action="store_true", help="a second of each size")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = args.weights or str(export_untrained(Path(folder)))
        found = measure(weights, Path(folder), 1 if args.quick else args.seconds)
    for name, value in found.items():
        print(f"{name:16} {value:.2f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def export_untrained(folder: Path) -> Path:
    """Export a nano whose last layer is random."""
    network = Nano()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in network.to_maps.parameters():
            values.copy_(0.01 * torch.randn(values.shape, generator=generator))
    path = folder / "network.onnx"
    export_onnx(network.eval(), path, check_sizes=((72, 128),))
    return path


def measure(weights: str, folder: Path, seconds: float) -> dict[str, float]:
    """Return the numbers: each size in a browser of its own."""
    site = build_site([weights], find_runtime(None))
    found, levels, busy = {}, [], []
    for name, size in SIZES.items():
        picture = draw_picture(*size)
        fps = CAMERA_FPS[name]
        camera = write_y4m(folder / f"{name}.y4m", [picture] * fps, fps)
        stats, shown = watch_page(site, camera, size, fps, seconds)
        found[f"fps_{name}"] = stats["drawn_fps"]
        found[f"cpu_ms_{name}"] = stats["cpu_ms"]
        found["network_ms"] = stats["network_ms"]
        busy.append(stats["cores_busy"])
        wanted = from_unit(Enhancer(weights, device="cpu").planes(read_camera(picture)), np.uint8)
        levels.append(np.abs(shown.astype(int) - wanted))
        camera.unlink()
    found["max_level_error"] = float(max(difference.max() for difference in levels))
    found["mean_level_error"] = float(max(difference.mean() for difference in levels))
    return found | {"cores_busy": max(busy)}


def watch_page(
    site, camera: Path, size: tuple, fps: int, seconds: float
) -> tuple[dict, np.ndarray]:
    """Return the page's figures with the whole picture enhanced, and what it saves."""
    with serve_site(site) as url, open_chromium(camera) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(ASK_FOR_MORE.replace("FPS", str(fps)))
        page.goto(url)
        page.select_option("#size", f"{size[1]}x{size[0]}")
        page.uncheck("#compare")
        page.click("#camera")
        wait_for_network(page)
        page.wait_for_timeout(1000 * min(seconds, WARM_SECONDS))
        before, all_before = count_cpu_seconds(), count_busy_seconds()
        drawn = page.evaluate("picture.counts.drawn")
        stats = read_stats(page, seconds)
        drawn = page.evaluate("picture.counts.drawn") - drawn
        own, every = count_cpu_seconds() - before, count_busy_seconds() - all_before
        stats["cpu_ms"] = 1000 * own / max(drawn, 1)
        stats["cores_busy"] = max(0.0, every - own) / seconds
        return stats, save_picture(page)


def count_cpu_seconds() -> float:
    """Return what this process and those below it have used."""
    ticks = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        ticks[int(place.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in ticks.items() if parent in ours} - ours:
        ours |= more
    return sum(ticks[pid][1] for pid in ours & ticks.keys()) / os.sysconf("SC_CLK_TCK")


def count_busy_seconds() -> float:
    """Return what all processes of the machine have used."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def draw_picture(height: int, width: int) -> np.ndarray:
    """Draw smooth colours, uint8 RGB [H,W,3]."""
    colours = np.random.default_rng(1).uniform(30, 180, (6, 8, 3)).astype(np.float32)
    picture = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def read_camera(picture: np.ndarray) -> np.ndarray:
    """Return the planes of the camera's picture as chromium takes it, whose cameras are BT.709."""
    height, width = picture.shape[:2]
    samples = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    luma, chroma = samples[:height], samples[height:].reshape(2, height // 2, width // 2)
    return SampleScale(ColourTags(BT709, LIMITED, 2, 2), 8).to_rgb([luma, *chroma]).copy()


if __name__ == "__main__":
    main()
