"""A training step written plainly, the yardstick for speed: PyTorch's own loader, plain critics.

Frames become float where they are read, batches are waited for on their way to the device, DOVER
scores frame by frame, the VQA encodes both frames at every step. Shares no loading with `vqe`.
"""

from pathlib import Path

import cv2
import pandas as pd
import torch
from measuring import Stopwatch
from plain_dover import PlainDOVER
from plain_vqa import PlainVQA
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vqe.critics.dover.views import draw_offsets


class PlainPairs(Dataset):
    """Pairs of images that a CSV names, float RGB [0,1] [3,H,W]."""

    def __init__(self, folder: Path, csv: str):
        self.folder = folder
        self.table = pd.read_csv(folder / csv)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = self.table.iloc[index]
        return self.read(row["img_source"]), self.read(row["img_target"])

    def read(self, name: str) -> Tensor:
        """Decode an image."""
        picture = cv2.cvtColor(cv2.imread(str(self.folder / name)), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(picture).permute(2, 0, 1).float() / 255


class PlainCritics:
    """Score enhanced frames; the gradient goes through the VQA.

    Args:
        states: weights of `dover` and `vqa`, on the device.
        num_clips: that DOVER cuts out of a frame.
    """

    def __init__(self, states: dict[str, dict[str, Tensor]], num_clips: int):
        self.dover = PlainDOVER(states["dover"])
        self.vqa = PlainVQA(states["vqa"])
        self.num_clips = num_clips

    def loss(self, x: Tensor, enhanced: Tensor) -> Tensor:
        """Return the mean squared distance of the scores to 1."""
        d_x, d_enhanced = (self.score(frames) for frames in (x, enhanced))
        seen = ((f.flip(1) * 255 - 128) / 128 for f in (x, enhanced.clamp(0, 1)))
        scores = torch.cat(self.vqa(*seen, d_x, d_enhanced), 1)
        return (scores - 1).square().mean()

    @torch.no_grad()
    def score(self, frames: Tensor) -> Tensor:
        """Return DOVER's scores, [B,1]."""
        frames_u8 = (frames.clamp(0, 1) * 255).round().byte().flip(1)
        offsets = draw_offsets(*frames.shape[2:], self.num_clips)
        scores = [self.dover.score_still(frame, *offsets)["fused"] for frame in frames_u8]
        return torch.tensor(scores, device=frames.device)[:, None]


def run_plain_loop(
    pairs: PlainPairs,
    network: nn.Module,
    critics: PlainCritics | None,
    device: torch.device,
    *,
    batch: int,
    steps: int,
    workers: int,
) -> dict[str, float]:
    """Train for some steps; return seconds a step: of the wait for `data`, and the `whole`."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    loader = DataLoader(pairs, batch, shuffle=True, num_workers=workers, drop_last=True)
    watch = Stopwatch(device)
    batches = iter(loader)

    def fetch() -> list[Tensor]:
        return [side.to(device) for side in next(batches)]

    def learn() -> None:
        x, y = watch.run("data", fetch)
        enhanced = network(x)
        loss = (enhanced - y).square().mean()
        if critics is not None:
            loss = loss + critics.loss(x, enhanced)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    fetch()  # a pass is under way
    for _ in range(steps):
        watch.run("whole", learn)
    return {part: watch.seconds[part] / steps for part in ("data", "whole")}
