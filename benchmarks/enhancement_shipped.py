"""Weights that are there + clean or bad footage -> what each network does to it; no training.

On clean footage, degraded, beside what `enhancement_quality.py` measures:
- `rmse_ratio`, `delta_e_ratio`, `flicker_ratio`: the network's mean over the input's.
- `worst_ratio`, `clips_worse`: the largest RMSE ratio of a clip; how many clips got worse by more
  than 2 %. An input within 0.02 of its target (40 dB) counts as 0.02 away.
- `delta_e`: mean CIEDE2000. `skin_hue_error`: degrees by which the hue of skin is off.
- `static_flicker`: of the clip's first input frame, still, with new noise in each frame, once the
  network's memory has settled: standard deviation over time of the mean luma, in 8-bit levels.
- `clean_psnr`: of what the network makes of the clean clip, against it; `clean_worst_psnr`.
- `clipping_added`: share of pixels that reach white in a channel, less the input's.
On bad footage without a target, `real_clipping_added` and `real_flicker_ratio`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from colour_difference import ciede2000, find_skin, skin_hue_errors, to_lab
from enhancement_data import Clip, list_clips, read_clip, read_real
from enhancement_quality import (
    QUALITY,
    Enhance,
    enhance_by,
    enhance_opencv,
    keep_input,
    measure_clip,
)
from enhancement_sheet import Sheet
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio
from tqdm import tqdm

from vqe.critics.frozen_critics import FrozenCritics
from vqe.inputs import SHIPPED
from vqe.pixels import LUMA_BT601, dequantise, quantise
from vqe.synthesis.record import Record
from vqe.training.checkpoints import load_network

OWN = ("delta_e", "skin_hue_error", "static_flicker", "clean_psnr", "clipping_added")
RATIOS = ("rmse", "delta_e", "flicker")
JUDGED = (
    *("rmse", "rmse_ratio", "worst_ratio", "clips_worse", "psnr", "ssim", "delta_e"),
    *("delta_e_ratio", "skin_hue_error", "flicker", "flicker_ratio", "static_flicker"),
    *("clean_psnr", "clean_worst_psnr", "clipping_added", "critic_p"),
)
REAL = ("real_clipping_added", "real_flicker_ratio")
ORDER = ("nano", "lut", "base", "recurrent")
WORSE, NEAREST = 1.02, 0.02
EVERY = 4  # frames between those that colours, SSIM and the critic are taken of
CLEAN_FRAMES = 4
# What is smoothed by 0.98 has forgotten half of its start then; the noise is in 8-bit levels.
SETTLING, STATIC_FRAMES, NOISE = 40, 24, 4.0
WHITE = 254  # from here on a channel counts as clipped
Row = dict[str, float | None]


@dataclass(frozen=True)
class Candidate:
    """What is judged: a function of videos, and the network behind it, if there is one."""

    enhance: Enhance
    network: nn.Module | None = None


def load_candidates(folder: Path | None, names: list[str] | None = None) -> dict[str, Candidate]:
    """Return input, OpenCV baseline and the networks of a folder, by the stems of their files.

    Args:
        folder: of `.safetensors` or `.ckpt` files; None: what ships.
        names: which; None: all.

    Raises:
        FileNotFoundError: the folder holds no network, or not one of `names`.
    """
    folder = folder or SHIPPED
    files = {p.stem: p for p in sorted(folder.glob("*")) if p.suffix in (".safetensors", ".ckpt")}
    wanted = [name for name in names or files if name not in ("input", "opencv")]
    missing = [name for name in wanted if name not in files]
    if missing or not files:
        raise FileNotFoundError(
            f"expected networks {', '.join(missing) or ', '.join(ORDER)} as .safetensors or .ckpt "
            f"in {folder}, got {', '.join(files) or 'none'}"
        )
    wanted.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    found = {"input": Candidate(keep_input), "opencv": Candidate(enhance_opencv)}
    for name in wanted:
        network = load_network(files[name])[0].eval()
        found[name] = Candidate(enhance_by(network), network)
    return found


def judge_clean(
    data: Path, candidates: Mapping[str, Candidate], critics: FrozenCritics, sheet: Sheet
) -> tuple[dict[str, Row], list[dict]]:
    """Judge all candidates on the held-out pairs of a data folder.

    Returns:
        The numbers of `JUDGED` by candidate, and the rows of all clips they come from.
    """
    rows: dict[str, list[dict]] = {name: [] for name in candidates}
    made = {video_id: row for (_, video_id), row in Record(data).rows.items()}
    for folder in tqdm(list_clips(data), desc="clips", unit="clip"):
        clip, shown = read_clip(folder), {}
        about = {name: made[clip.name][name] for name in ("source", "severity")}
        for name, candidate in candidates.items():
            enhanced = candidate.enhance(clip.x)
            shown[name] = enhanced[len(enhanced) // 2]
            row = judge_clip(clip, enhanced, candidate.enhance, critics)
            rows[name].append({"clip": clip.name, **about, **row})
        sheet.add(about["source"], shown | {"target": clip.y[len(clip.y) // 2]})
    numbers = {name: summarise(rows[name], rows["input"]) for name in candidates}
    return numbers, [{"network": name, **row} for name in rows for row in rows[name]]


@torch.inference_mode()
def judge_clip(
    clip: Clip, enhanced: Tensor, enhance: Enhance, critics: FrozenCritics
) -> dict[str, float]:
    """Measure one enhanced clip, uint8 RGB [T,3,H,W], and what else its enhancer does."""
    result, y = dequantise(enhanced[::EVERY]), dequantise(clip.y[::EVERY])
    lab, target = to_lab(result), to_lab(y)
    clean = clip.y[:CLEAN_FRAMES]
    kept = peak_signal_noise_ratio(dequantise(enhance(clean)), dequantise(clean), data_range=1.0)
    return {
        **measure_clip(clip, enhanced, critics, every=EVERY),
        "delta_e": ciede2000(lab, target).mean().item(),
        "skin_hue_error": skin_hue_errors(lab, target, find_skin(y)).mean().item(),
        "static_flicker": measure_static(clip.x[0], enhance),
        "clean_psnr": kept.item(),
        "clipping_added": clipped(enhanced) - clipped(clip.x),
    }


def summarise(rows: list[dict], inputs: list[dict]) -> Row:
    """Average a candidate's clips and set them beside the input's; what is not finite is None."""
    found = {name: mean([row[name] for row in rows]) for name in (*QUALITY, *OWN)}
    ratios = [
        row["rmse"] / max(before["rmse"], NEAREST) for row, before in zip(rows, inputs, strict=True)
    ]
    for name in RATIOS:
        before = mean([row[name] for row in inputs])
        found[f"{name}_ratio"] = found[name] / before if before > 0 else float("nan")
    found["worst_ratio"] = max(ratios)
    found["clips_worse"] = sum(ratio > WORSE for ratio in ratios)
    found["clean_worst_psnr"] = min(row["clean_psnr"] for row in rows)
    return {name: found[name] if abs(found[name]) < float("inf") else None for name in JUDGED}


@torch.inference_mode()
def judge_real(
    folder: Path, candidates: Mapping[str, Candidate], sheet: Sheet
) -> tuple[dict[str, Row], list[dict]]:
    """Judge all candidates on bad footage without targets: the numbers of `REAL`, rows of clips."""
    rows: dict[str, list[dict]] = {name: [] for name in candidates}
    for source, video in read_real(folder):
        shown = {}
        for name, candidate in candidates.items():
            enhanced = candidate.enhance(video)
            shown[name] = enhanced[len(enhanced) // 2]
            row = {"clip": source, "clipping_added": clipped(enhanced) - clipped(video)}
            rows[name].append(row | {"flicker": unrest(enhanced)})
        sheet.add(source, shown)
    found: dict[str, Row] = {}
    for name in candidates:
        flicker, before = (mean([r["flicker"] for r in rows[n]]) for n in (name, "input"))
        added = mean([r["clipping_added"] for r in rows[name]])
        found[name] = dict(zip(REAL, (added, flicker / before), strict=True))
        if not before > 0:
            found[name]["real_flicker_ratio"] = None  # photographs alone
    return found, [{"network": name, **row} for name in rows for row in rows[name]]


def measure_static(frame: Tensor, enhance: Enhance) -> float:
    """Return the flicker of a still frame, uint8 RGB [3,H,W], whose noise is new in each frame."""
    return luma(enhance(make_static(frame)))[SETTLING:].std(correction=0).item()


def make_static(frame: Tensor) -> Tensor:
    """Repeat a frame, uint8 RGB [3,H,W], with noise of its own in each: [T,3,H,W]."""
    random = torch.Generator().manual_seed(0)
    frames = range(SETTLING + STATIC_FRAMES)
    noisy = (frame + NOISE * torch.randn(frame.shape, generator=random) for _ in frames)
    return torch.stack([quantise(each / 255) for each in noisy])


def luma(video: Tensor) -> Tensor:
    """Return the mean luma of each frame, uint8 RGB [T,3,H,W], in 8-bit levels."""
    return video.float().mean((2, 3)) @ torch.tensor(LUMA_BT601)


def unrest(video: Tensor) -> float:
    """Return how much the mean luma changes from frame to frame, over itself; NaN for a picture."""
    means = luma(video)
    if len(means) < 2:
        return float("nan")
    return (means.diff().std(correction=0) / means.mean().clamp(min=1)).item()


def clipped(video: Tensor) -> float:
    """Return the share of pixels whose largest channel is white."""
    return (video.amax(1) >= WHITE).float().mean().item()


def mean(values: list[float]) -> float:
    """Average what is a number; NaN if nothing is."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def print_judged(rows: Mapping[str, Row]) -> None:
    """Print a line a measure, a column a network."""
    print(f"\n{'':20}" + "".join(f"{name:>12}" for name in rows))
    for key in next(iter(rows.values())):
        cells = ("-" if row[key] is None else f"{row[key]:.4g}" for row in rows.values())
        print(f"{key:20}" + "".join(f"{cell:>12}" for cell in cells))
