"""The stand-in critic, or one of your own: does it see what is wrong with frames it never saw?

python benchmarks/standin.py --clean FOLDER... [--match PATTERN] [--critic FILES] [--frames N]
                             [--samples N] [--json FILE]

Two things are measured on clean pictures and videos that the critic did not learn from:
- each of `FAULTS` alone, about as bad as 0.6 of "clearly bad" (vqe/critic_training/targets.py):
  the share of whole frames, fitted into 640x360, where p prefers the clean one, both orders;
- drawn groups of variants as in training: the share of clearly different pairs in the right order,
  and the linear correlation of p and of each score with the truth.

What is below its bar is marked by `<`; a score that is withdrawn has no correlation.
"""

import argparse
import json
import math
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from measuring import describe_machine
from omegaconf import OmegaConf
from torch import Tensor
from tqdm import tqdm

from vqe.cli import CONF_DIR
from vqe.critic_training.module import CriticModule
from vqe.critic_training.report import build_report
from vqe.critic_training.samples import DrawnVariants
from vqe.critic_training.targets import MEANINGS
from vqe.critic_training.variants import PostEdit, Variant, make_variant
from vqe.critics import UNetLite, load_weights
from vqe.critics.frozen_vqa import STANDIN_FILE
from vqe.critics.weights import read_own
from vqe.files import complete_or_absent
from vqe.layout import PICTURE_SUFFIXES, VIDEO_SUFFIXES, find_files
from vqe.pixels import dequantise, rgb_chw_u8, to_challenge_range
from vqe.schema import ATTRIBUTES
from vqe.synthesis import Parameters, Span
from vqe.synthesis.degradation import FPS
from vqe.synthesis.sources import fit_frame, is_picture, read_clip, read_picture
from vqe.training.assembly import instantiate
from vqe.video.frame_index import count_frames

SIZE = (360, 640)


def camera(**faults: float | tuple | int) -> Variant:
    """Return a variant with a camera's faults; a light or colour stays through the clip."""
    spans = {n: Span(v, v) for n, v in faults.items() if isinstance(getattr(Parameters(), n), Span)}
    return Variant(Parameters(**(faults | spans)))


FAULTS = {
    "dark": camera(exposure_stops=-1.5),
    "bright": camera(exposure_stops=0.8),
    "warm": camera(warmth_stops=0.8),
    "cool": camera(warmth_stops=-0.8),
    "gaudy": Variant(edit=PostEdit(saturation=1.6)),
    "pale": camera(saturation=0.4),
    "harsh": Variant(edit=PostEdit(contrast=1.52)),
    "flat": Variant(edit=PostEdit(contrast=0.66)),
    "side_light": camera(side_light_stops=0.9, side_light_degrees=20.0),
    "noise": camera(shot_noise=0.073),
    "blur": camera(blur_sigma=1.2),
    "small": camera(resize=0.53),
    "jpeg": camera(jpeg_quality=27),
    "h264": Variant(h264_qp=36),
    "sharpened": Variant(edit=PostEdit(sharpen=0.95)),
}

BARS = {"accuracy": 0.92} | dict.fromkeys(ATTRIBUTES, 0.6) | dict.fromkeys(FAULTS, 0.9)


def load_critic(path: Path) -> CriticModule:
    """Read a critic that `train_vqa.py` wrote.

    Raises:
        ValueError: the file is none.
    """
    held = read_own(path)
    if held is None:
        raise ValueError(f"expected a critic.safetensors of train_vqa.py, got {path}")
    module = CriticModule(UNetLite(**held[0]))
    load_weights(module.network, path)
    return module.eval()


@torch.inference_mode()
def measure_faults(critic: CriticModule, frames: list[np.ndarray]) -> dict[str, float]:
    """Return for each fault the share of frames, uint8 BGR, whose clean one p prefers."""
    right = dict.fromkeys(FAULTS, 0)
    for number, clean in enumerate(tqdm(frames, desc="frames", unit="frame")):
        good = encode(critic, clean)
        for name, variant in FAULTS.items():
            bad = encode(critic, make_variant(clean, variant, seed=number))
            nothing = torch.zeros(2, 1)
            p, _, _ = critic.network.heads(
                torch.cat([bad, good]), torch.cat([good, bad]), nothing, nothing
            )
            right[name] += int(p[0] > 0.5) + int(p[1] < 0.5)
    return {name: count / len(frames) / 2 for name, count in right.items()}


def encode(critic: CriticModule, frame: np.ndarray) -> Tensor:
    """Compute the features of a frame, uint8 BGR."""
    return critic.network.features(to_challenge_range(dequantise(rgb_chw_u8(frame)[None])))


@torch.inference_mode()
def measure_draws(
    critic: CriticModule, sources: list[list[np.ndarray]], samples: int
) -> dict[str, float]:
    """Return `accuracy` over clearly different pairs, and the correlation of p and each score."""
    config = OmegaConf.load(CONF_DIR / "train_vqa.yaml")
    drawn = DrawnVariants(
        sources, instantiate(config.draws), count=samples, side=config.side, seed=0
    )
    predictions = []
    for number in tqdm(range(samples), desc="draws", unit="draw"):
        sample = {name: value[None] for name, value in drawn[number].items()}
        predictions.append(critic.predict_step(rename(sample), 0))
    report = build_report(predictions).set_index("score")
    found = {name: float(report["plcc"][name]) for name in report.index}
    return {"accuracy": float(report["accuracy"]["p"])} | found


def rename(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the targets the type of the predictions, as a loader does."""
    return sample | {name: sample[name].float() for name in ("p", "a")}


def read_sources(folder: Path, match: str, per_video: int) -> list[list[np.ndarray]]:
    """Read clean frames, by source, of the files whose names match.

    Raises:
        FileNotFoundError: there is none.
    """
    files = find_files(folder, VIDEO_SUFFIXES | PICTURE_SUFFIXES)
    files = [path for path in files if fnmatch(path.name, match)]
    if not files:
        raise FileNotFoundError(f"expected pictures or videos {match} in {folder}, got none")
    return [read_frames(path, per_video) for path in tqdm(files, desc="decoding", unit="file")]


def read_frames(path: Path, count: int) -> list[np.ndarray]:
    """Read a picture, or frames evenly spread over a video."""
    if is_picture(path):
        return [fit_frame(read_picture(path), SIZE)]
    total = count_frames(path, FPS)
    starts = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    cut = {"length": 1, "camera": None, "max_size": SIZE}
    return [next(iter(read_clip(path, start=start, **cut))) for start in starts]


def print_table(found: dict[str, dict[str, float]]) -> None:
    """Print a line a number, a column a critic, `<` where it is below the bar."""
    print(f"\n{'':12}{'bar':>6}" + "".join(f"{name:>14}" for name in found))
    for key in next(iter(found.values())):
        bar = BARS.get(key, math.nan)
        cells = "".join(
            f"{numbers[key]:13.3f}{'<' if numbers[key] < bar else ' '}"
            for numbers in found.values()
        )
        print(f"{key:12}{bar:6.2f}{cells}  {MEANINGS.get(key, '')}".replace("nan", "  -"))


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=Path, nargs="+", required=True, help="clean footage")
    parser.add_argument("--match", default="*", help="pattern of the file names to take")
    parser.add_argument("--critic", type=Path, nargs="*", default=[], help="others beside it")
    parser.add_argument("--frames", type=int, default=2, help="of each video")
    parser.add_argument("--samples", type=int, default=400, help="drawn groups of variants")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    sources = [
        source
        for folder in options.clean
        for source in read_sources(folder, options.match, options.frames)
    ]
    found = {}
    for path in (STANDIN_FILE, *options.critic):
        critic = load_critic(path)
        faults = measure_faults(critic, [frame for source in sources for frame in source])
        found[path.stem] = measure_draws(critic, sources, options.samples) | faults
    print(describe_machine(torch.device("cpu")))
    print(f"{len(sources)} sources, {sum(map(len, sources))} frames, {options.samples} groups")
    print_table(found)
    if options.json:
        with complete_or_absent(options.json) as part:
            part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
