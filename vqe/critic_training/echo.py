"""Batches of new samples -> more batches: each sample again and again, among others, mirrored.

To make a sample takes a processor milliseconds, to learn from it a GPU microseconds.
"""

from collections.abc import Iterator, Sized
from typing import Protocol

import torch

Batch = dict[str, torch.Tensor]


class Batches(Sized, Protocol):
    """A loader: its length and its batches."""

    def __iter__(self) -> Iterator[Batch]: ...


class EchoedLoader:
    """Keep the samples made last and draw several batches from them for each new one.

    Args:
        loader: gives the new batches, of one size but for the last of an epoch.
        echoes: batches for each new one; each sample is learnt from so many times on average.
        kept: samples that are kept.
        device: where they are kept, and learnt from.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, loader: Batches, *, echoes: int, kept: int, device: torch.device) -> None:
        if echoes < 1 or kept < 1:
            raise ValueError(
                f"expected echo.echoes and echo.kept of at least 1, got {echoes} and {kept}"
            )
        self.loader = loader
        self.echoes = echoes
        self.kept = kept
        self.device = device

    def __len__(self) -> int:
        return len(self.loader) * self.echoes

    def __iter__(self) -> Iterator[Batch]:
        store: Batch = {}
        seen = 0
        for batch in self.loader:
            size = len(batch["frames"])
            room = max(self.kept, size)
            if not store:
                store = {
                    name: torch.empty(room, *value.shape[1:], dtype=value.dtype, device=self.device)
                    for name, value in batch.items()
                }
            places = (torch.arange(seen, seen + size) % room).to(self.device)
            for name, value in batch.items():
                store[name][places] = value.to(self.device)
            seen += size
            for _ in range(self.echoes):
                drawn = torch.randint(min(seen, room), (size,)).to(self.device)
                yield mirror({name: value[drawn] for name, value in store.items()})


def mirror(batch: Batch) -> Batch:
    """Turn half of the samples left to right and half upside down: no fault has a side."""
    frames = batch["frames"]  # [B,V,3,S,S]
    for axis in (-1, -2):
        turned = torch.rand(len(frames), 1, 1, 1, 1).to(frames.device) < 0.5
        frames = torch.where(turned, frames.flip(axis), frames)
    return batch | {"frames": frames}
