"""Clean frames, or a table of rated pairs -> samples: variants of one content, p and scores.

A sample is a dict: `frames` uint8 RGB [V,3,S,S], V variants of one content in one square crop;
`p` [V,V], entry [i,j] is how likely variant j looks better than variant i; `a` [V,11], the scores
of each variant. What is unknown is NaN.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from vqe.critic_training.pairs_csv import IMAGES, SCORE_COLUMNS
from vqe.critic_training.targets import preference, rate, severity
from vqe.critic_training.variant_sampler import VariantSampler
from vqe.critic_training.variants import PostEdit, edit_picture, make_group
from vqe.pixels import rgb_chw_u8
from vqe.schema import ATTRIBUTES
from vqe.synthesis.sources import read_picture

Sample = dict[str, torch.Tensor]
SEEDS = 2**62


class _Samples(Dataset):
    """Samples from a random generator each: new ones in training, the same ones every time else."""

    def __init__(self, count: int, *, side: int, seed: int | None) -> None:
        self.count = count
        self.side = side
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        drawn = torch.randint(SEEDS, ()).item() if self.seed is None else self.seed
        return self.make(index, np.random.default_rng((drawn, index)))

    def make(self, index: int, random: np.random.Generator) -> Sample:
        raise NotImplementedError


class DrawnVariants(_Samples):
    """Variants of clean frames with targets from how they were made: no rating is needed.

    Args:
        sources: for each source, its frames: uint8 BGR [H,W,3].
        sampler: draws the variants.
        count: samples in an epoch.
        side: of the square crops, in pixels, even.
        collages: share of the samples whose content is put together from four sources: with few
            sources a critic would learn what they look like instead of what is wrong with them.
        seed: None draws new variants every time, by torch's generator; a number fixes them.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[np.ndarray]],
        sampler: VariantSampler,
        *,
        count: int,
        side: int,
        collages: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(count, side=side, seed=seed)
        self.sources = sources
        self.sampler = sampler
        self.collages = collages

    def make(self, index: int, random: np.random.Generator) -> Sample:
        """Make a sample; fixed ones take the sources in turn."""
        place = index if self.seed is not None else random.integers(len(self.sources))
        if random.random() < self.collages:
            clean = self._make_collage(random)
        else:
            clean = self._crop(self.sources[place % len(self.sources)], random)
        variants, seed = self.sampler.draw(random), int(random.integers(SEEDS))
        frames = make_group(clean, variants, seed=seed)
        bad = [severity(variant) for variant in variants]
        p = [[preference(first, second) for second in bad] for first in bad]
        rated = [rate(variant) for variant in variants]
        a = [[scores[name] for name in ATTRIBUTES] for scores in rated]
        return {
            "frames": torch.stack([rgb_chw_u8(frame) for frame in frames]),
            "p": torch.tensor(p),
            "a": torch.tensor(a),
        }

    def _crop(self, source: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
        return crop_frames([source[random.integers(len(source))]], self.side, random)[0]

    def _make_collage(self, random: np.random.Generator) -> np.ndarray:
        """Put parts of four crops side by side, each a little lighter or darker, or tinted."""
        collage = np.empty((self.side, self.side, 3), np.uint8)
        row, column = random.integers(self.side // 5, self.side - self.side // 5, 2)
        for rows in (slice(0, row), slice(row, None)):
            for columns in (slice(0, column), slice(column, None)):
                crop = self._crop(self.sources[random.integers(len(self.sources))], random)
                look = PostEdit(
                    stops=random.uniform(-0.3, 0.3), warmth_stops=random.uniform(-0.15, 0.15)
                )
                collage[rows, columns] = edit_picture(crop, look)[rows, columns]
        return collage


class RatedPairs(_Samples):
    """Pairs of a table: two variants, p both ways round, and the scores of the second.

    Args:
        pairs: of `pairs_csv.read_pairs`.
        side: see `DrawnVariants`.
        seed: None draws new crops every time, by torch's generator; a number fixes them.
    """

    def __init__(self, pairs: pd.DataFrame, *, side: int, seed: int | None = None) -> None:
        super().__init__(len(pairs), side=side, seed=seed)
        self.pairs = pairs

    def make(self, index: int, random: np.random.Generator) -> Sample:
        """Read a pair and take one crop of both.

        Raises:
            VideoError: an image cannot be read.
            ValueError: the two differ in size.
        """
        row = self.pairs.iloc[index]
        images = [read_picture(Path(row[name])) for name in IMAGES]
        if images[0].shape != images[1].shape:
            sizes = [f"{i.shape[1]}x{i.shape[0]}" for i in images]
            raise ValueError(
                f"expected two images of one size, got {sizes[0]} and {sizes[1]} "
                f"({row['where']}: {row['img_1']}, {row['img_2']})"
            )
        frames = crop_frames(images, self.side, random)
        scores = torch.tensor([float(row[name]) for name in SCORE_COLUMNS])
        p, nothing = scores[0], torch.full((len(ATTRIBUTES),), math.nan)
        unknown = torch.tensor(math.nan)
        return {
            "frames": torch.stack([rgb_chw_u8(frame) for frame in frames]),
            "p": torch.stack([unknown, p, 1 - p, unknown]).reshape(2, 2),
            "a": torch.stack([nothing, scores[1:]]),
        }


def crop_frames(
    frames: Sequence[np.ndarray], side: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Cut one random square from frames of one size, scale it to a side, mirror half of them.

    The square is between `side`, at the frame's own scale, and all of the frame's shorter side, so
    that a critic sees both the pixels of large frames and whole scenes. Frames are enlarged only
    where they are smaller than the square.
    """
    height, width = frames[0].shape[:2]
    short = min(height, width)
    cut = short if short <= side else round(math.exp(random.uniform(*np.log([side, short]))))
    top, left = random.integers(height - cut + 1), random.integers(width - cut + 1)
    mirrored = random.random() < 0.5
    crops = []
    for frame in frames:
        crop = frame[top : top + cut, left : left + cut]
        if cut != side:
            way = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
            crop = cv2.resize(crop, (side, side), interpolation=way)
        crops.append(np.ascontiguousarray(crop[:, ::-1] if mirrored else crop))
    return crops
