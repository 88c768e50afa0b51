"""A seed -> a handful of variants of one picture, for the critic to compare with each other."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vqe.critic_training.variants import PostEdit, Variant
from vqe.synthesis import Parameters, Ranges, Span
from vqe.synthesis.ranges import check_range

Range = tuple[float, float]
EDIT_LIMITS = {
    "stops": (-4, 4),
    "warmth_stops": (-4, 4),
    "saturation": (0, 4),
    "contrast": (0.1, 4),
    "smooth_sigma": (0, 5),
    "sharpen": (0, 6),
}
KEPT = ("side_light_degrees", "blur_aspect", "blur_degrees", "blur_shape")  # say which, not how bad


@dataclass(frozen=True)
class VariantSampler:
    """Draw groups of four variants or more: clean, bad, corrected, and others.

    The bad one has a camera's faults. The corrected one is the bad one after an edit that undoes
    a share of its light and colour faults, too little or too much, and may overdo the rest. The
    fourth is, half of the time, the clean one after an edit it did not need, every other one of a
    single thing: what is too much of a thing is learnt from what has nothing else wrong. Else it
    is the bad one with only a share of its faults, or another bad one.

    Args:
        camera: what a bad camera's parameters are drawn from; H.264 is drawn by `h264_qp` instead.
        h264_qp: range of the quantiser.
        h264_probability: of H.264 in a bad variant.
        correction_strength: range of the share of light and cast that a correction takes
            back; 1 is right.
        finish: a range for each parameter of `PostEdit`.
        finish_probability: of each of them to be there in an edit.
        single_faults: how many more variants are the clean one with a single thing wrong, a
            camera's, the codec's or an edit's as often as the other.

    Raises:
        ValueError: a range is out of order or out of its limits, or is missing.
    """

    camera: Ranges
    h264_qp: Range
    h264_probability: float
    correction_strength: Range
    finish: Mapping[str, Range]
    finish_probability: float
    single_faults: int = 0

    def __post_init__(self) -> None:
        if self.camera.probability["h264"] != 0:
            raise ValueError(
                "expected camera.probability.h264 to be 0, got "
                f"{self.camera.probability['h264']}: a bit rate says nothing of a single frame. "
                "Set h264_probability instead"
            )
        if set(self.finish) != set(EDIT_LIMITS):
            raise ValueError(
                f"expected finish ranges of {', '.join(EDIT_LIMITS)}, got {', '.join(self.finish)}"
            )
        for name, limits in EDIT_LIMITS.items():
            check_range(f"finish.{name}", self.finish[name], limits)
        check_range("h264_qp", self.h264_qp, (0, 51))
        check_range("correction_strength", self.correction_strength, (-1, 3))
        for name in ("h264_probability", "finish_probability"):
            value = getattr(self, name)
            check_range(name, (value, value), (0, 1))

    def draw(self, random: np.random.Generator) -> list[Variant]:
        """Draw a group of variants, the clean one first."""
        bad = self._draw_bad(random)
        corrected = dataclasses.replace(bad, edit=self._draw_correction(bad.camera, random))
        way = random.integers(4)
        if way < 2:
            probability = self.finish_probability * way
            other = Variant(edit=self._draw_edit(random, probability, at_least_one=True))
        elif way == 2:
            other = shrink_variant(bad, random.uniform(0.2, 0.8))
        else:
            other = self._draw_bad(random)
        alone = [self._draw_single(random) for _ in range(self.single_faults)]
        return [Variant(), bad, corrected, other, *alone]

    def _draw_single(self, random: np.random.Generator) -> Variant:
        """Draw one fault, of a camera half of the time, on what is clean otherwise."""
        if random.random() < 0.5:
            return Variant(edit=self._draw_edit(random, 0.0, at_least_one=True))
        chances = self.camera.probability
        kind = random.choice([kind for kind, chance in chances.items() if chance] + ["h264"])
        if kind == "h264":
            return Variant(h264_qp=round(random.uniform(*self.h264_qp)))
        only = dataclasses.replace(
            self.camera, probability=dict.fromkeys(chances, 0.0) | {str(kind): 1.0}
        )
        return Variant(only.draw(int(random.integers(2**62))))

    def _draw_bad(self, random: np.random.Generator) -> Variant:
        camera = self.camera.draw(int(random.integers(2**62)))
        coded = random.random() < self.h264_probability
        return Variant(camera, round(random.uniform(*self.h264_qp)) if coded else None)

    def _draw_edit(
        self, random: np.random.Generator, probability: float, *, at_least_one: bool = False
    ) -> PostEdit:
        has = {name: random.random() < probability for name in EDIT_LIMITS}
        if at_least_one:
            has[list(has)[random.integers(len(has))]] = True
        drawn = {name: random.uniform(*self.finish[name]) for name, wanted in has.items() if wanted}
        return PostEdit(**drawn)

    def _draw_correction(self, camera: Parameters, random: np.random.Generator) -> PostEdit:
        edit = self._draw_edit(random, self.finish_probability)
        light, cast = (random.uniform(*self.correction_strength) for _ in range(2))
        return dataclasses.replace(
            edit,
            stops=-light * camera.exposure_stops.start,
            warmth_stops=-cast * camera.warmth_stops.start,
        )


def shrink_variant(variant: Variant, share: float) -> Variant:
    """Return a variant with a share in [0,1] of each of the camera's and codec's faults."""
    neutral = Parameters()
    changed: dict[str, Any] = {}
    for f in dataclasses.fields(Parameters):
        value, start = getattr(variant.camera, f.name), getattr(neutral, f.name)
        if f.name in KEPT or value is None:
            continue
        if isinstance(value, Span):
            changed[f.name] = Span(
                *[start.start + share * (v - start.start) for v in (value.start, value.end)]
            )
        elif isinstance(value, tuple):
            changed[f.name] = tuple(share * v for v in value)
        elif f.name == "jpeg_quality":
            changed[f.name] = round(95 + share * (value - 95))
        else:
            changed[f.name] = start + share * (value - start)
    qp = variant.h264_qp
    return Variant(
        dataclasses.replace(variant.camera, **changed),
        None if qp is None else round(24 + share * (qp - 24)),
        variant.edit,
    )
