"""Take a training step apart: data wait, network, DOVER, VQA, backward; without and with cache."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas as pd
import torch
from golden_weights import golden_state, image
from measuring import synchronise

from vqe.critics import FrozenDOVER, FrozenVQA, frozen_critics
from vqe.critics.feature_cache import FeatureCache
from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import LoaderOptions, VQEDataModule
from vqe.device import settle_precision
from vqe.files import write_csv
from vqe.losses import Step, SupervisedMSE, VQALoss
from vqe.models import BilateralGrid
from vqe.pixels import to_unit_range
from vqe.schema import FRAME_COLUMNS

SIZE = (368, 640)
SMALL = (224, 256)  # the least that DOVER cuts its views from, or a little more


class Stopwatch:
    """Add up the seconds of named calls."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def run(self, name: str, call: Callable, *args, **options):
        """Call and note how long it took."""
        synchronise(self.device)
        start = time.perf_counter()
        result = call(*args, **options)
        synchronise(self.device)
        self.seconds[name] += time.perf_counter() - start
        return result

    def wrap(self, holder: object, attribute: str, name: str) -> None:
        """Time every call of a holder's function from now on."""
        call = getattr(holder, attribute)
        setattr(holder, attribute, lambda *args, **options: self.run(name, call, *args, **options))


def measure_step(device: torch.device, quick: bool, compiled: bool) -> dict:
    """Return seconds a step by part, without the cache and in a second epoch with it."""
    batch, steps, variant = (1, 1, "mobile") if quick else (8, 1, "dover")
    size, num_clips = (SMALL, 1) if quick else (SIZE, 3)
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), batch * steps, batch, size)
        state = {"vqa": golden_state("vqa"), "dover": golden_state(DOVER_NAMES[variant])}
        paths = {name: str(Path(folder) / f"{name}.pth") for name in state}
        for name, weights in state.items():
            torch.save(weights, paths[name])
        plain, cached = (
            run_epochs(data, variant, paths, cache, device, compiled, num_clips)
            for cache in (None, FeatureCache(Path(folder)))
        )
    figures = {"step_batch": batch, "step_seconds": sum(plain.values()) / steps}
    figures["step_dover_type"] = settle_precision("auto", device)
    figures |= {f"step_{part}_seconds": value / steps for part, value in plain.items()}
    figures["step_dover_fraction"] = plain["dover"] / sum(plain.values())
    figures["step_seconds_cached"] = sum(cached.values()) / steps
    figures |= {f"step_{part}_seconds_cached": value / steps for part, value in cached.items()}
    # what is left of DOVER's time
    figures["step_dover_share_cached"] = cached["dover"] / plain["dover"]
    return figures


DOVER_NAMES = {"dover": "dover", "mobile": "dover_mobile"}


def write_data(folder: Path, frames: int, batch: int, size: tuple[int, int]) -> VQEDataModule:
    """Write PNG pairs and their CSV; return what loads them in one worker."""
    rows = []
    for side, seed in (("x", 1), ("y", 2)):
        (folder / side).mkdir()
        for i, frame in enumerate(image(*size, seed, frames)):
            cv2.imwrite(str(folder / side / f"{i:04d}.png"), frame.transpose(1, 2, 0))
    for i in range(frames):
        names = (f"{side}/{i:04d}.png" for side in "xy")
        rows.append((*names, *size, "train_supervised_synthetic", "video_0001"))
    write_csv(pd.DataFrame(rows, columns=FRAME_COLUMNS), folder / "train.csv")
    loader = LoaderOptions(batch_size=batch, num_workers=1)
    return VQEDataModule(str(folder), valid="train.csv", loader=loader)


def run_epochs(
    data: VQEDataModule,
    variant: str,
    weights: dict[str, str],
    cache: FeatureCache | None,
    device: torch.device,
    compiled: bool,
    num_clips: int,
) -> dict[str, float]:
    """Train an epoch to warm up and to fill the cache, then a timed one: seconds by part."""
    network = BilateralGrid().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    options = {"compiled": compiled, "num_clips": num_clips}
    dover = FrozenDOVER(variant, weights["dover"], **options)
    vqa = FrozenVQA(weights["vqa"], compiled=compiled)
    critics = FrozenCritics(vqa, dover, cache).to(device)
    watch = Stopwatch(device)
    original = frozen_critics.digest_frames
    watch.wrap(frozen_critics, "digest_frames", "dover")
    watch.wrap(critics, "_score", "dover")
    watch.wrap(critics, "_encode", "vqa")
    watch.wrap(critics.vqa, "compare", "vqa")
    terms = SupervisedMSE(), VQALoss().to(device)
    data.setup("fit")
    loader = data.train_dataloader()
    for _ in range(2):
        watch.seconds.clear()
        batches = iter(loader)
        for _ in range(len(loader)):
            sample = watch.run("data", next, batches)
            sample = {key: value.to(device) for key, value in sample.items()}
            x, y = (watch.run("data", to_unit_range, sample[name]) for name in ("x", "y"))
            has_target = sample["has_target"]
            enhanced = watch.run("network", network, x)
            scores = critics(x, enhanced, sample["seed"])
            step = Step(x, enhanced, y, has_target, scores)
            loss = sum(term(step) for term in terms)
            watch.run("backward", loss.backward)
            watch.run("network", optimizer.step)
            optimizer.zero_grad()
    frozen_critics.digest_frames = original
    return {part: watch.seconds[part] for part in ("data", "network", "dover", "vqa", "backward")}
