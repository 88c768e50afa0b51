"""Config ranges and a video's seed -> the parameters of its degradation."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from vqe.synthesis.parameters import Parameters, Span

Range = tuple[float, float]
LIMITS: dict[str, Range] = {  # what a range must lie within
    "exposure_stops": (-8, 4),
    "gamma": (0.1, 10),
    "side_light_stops": (0, 4),
    "side_light_degrees": (-360, 360),
    "warmth_stops": (-4, 4),
    "tint_stops": (-4, 4),
    "saturation": (0, 4),
    "blur_sigma": (0, 20),
    "blur_aspect": (0.05, 1),
    "blur_degrees": (-360, 360),
    "blur_shape": (0.5, 8),
    "resize": (0.05, 1),
    "shot_noise": (0, 1),
    "read_noise": (0, 1),
    "jpeg_quality": (1, 100),
    "h264_bits_per_pixel": (0.002, 2),
    "drift": (0, 1),
}
KINDS = (
    *("exposure", "gamma", "side_light", "white_balance", "saturation", "blur", "resize"),
    *("shot_noise", "read_noise", "jpeg", "h264", "drift"),
)


@dataclass(frozen=True)
class Ranges:
    """Where each of the `Parameters` is drawn from, evenly: conf/faults/v1.yaml.

    Args:
        drift: how far a drifting clip's light and colour go towards a second draw, 0 to 1.
        probability: of each kind in `KINDS` to be there at all.
        **others: a range `[low, high]` for the parameter of that name.

    Raises:
        ValueError: a range is out of order or out of its limits, or a probability is missing.
    """

    limits: ClassVar[Mapping[str, Range]] = LIMITS
    kinds: ClassVar[tuple[str, ...]] = KINDS

    exposure_stops: Range
    gamma: Range
    side_light_stops: Range
    side_light_degrees: Range
    warmth_stops: Range
    tint_stops: Range
    saturation: Range
    blur_sigma: Range
    blur_aspect: Range
    blur_degrees: Range
    blur_shape: Range
    resize: Range
    shot_noise: Range
    read_noise: Range
    jpeg_quality: Range
    h264_bits_per_pixel: Range
    drift: Range
    probability: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, limits in self.limits.items():
            check_range(f"degradation.{name}", getattr(self, name), limits)
        if set(self.probability) != set(self.kinds):
            raise ValueError(
                f"expected degradation.probability of {', '.join(self.kinds)}, "
                f"got {', '.join(self.probability)}"
            )
        for name, value in self.probability.items():
            check_range(f"degradation.probability.{name}", (value, value), (0, 1))

    def draw(self, seed: int) -> Parameters:
        """Draw a video's parameters; the same seed gives the same ones.

        Every parameter has a random stream of its own: to change the range or probability of
        one leaves the others.
        """
        streams = np.random.SeedSequence(seed).spawn(len(fields(self)) + len(KINDS))
        random = [np.random.default_rng(stream) for stream in streams]
        chance = dict(zip(KINDS, random, strict=False))
        value = dict(zip(LIMITS, random[len(KINDS) :], strict=False))
        has = {kind: chance[kind].random() < self.probability[kind] for kind in KINDS}
        away = self._pick(value, "drift") if has["drift"] else 0.0

        def pick(name: str, kind: str, neutral: float) -> float:
            return self._pick(value, name) if has[kind] else neutral

        def drift(name: str, kind: str, neutral: float) -> Span:
            start, other = pick(name, kind, neutral), pick(name, kind, neutral)
            return Span(start, round_draw(start + away * (other - start)))

        return Parameters(
            exposure_stops=drift("exposure_stops", "exposure", 0.0),
            gamma=drift("gamma", "gamma", 1.0),
            side_light_stops=drift("side_light_stops", "side_light", 0.0),
            side_light_degrees=pick("side_light_degrees", "side_light", 0.0),
            warmth_stops=drift("warmth_stops", "white_balance", 0.0),
            tint_stops=drift("tint_stops", "white_balance", 0.0),
            saturation=drift("saturation", "saturation", 1.0),
            blur_sigma=pick("blur_sigma", "blur", 0.0),
            blur_aspect=pick("blur_aspect", "blur", 1.0),
            blur_degrees=pick("blur_degrees", "blur", 0.0),
            blur_shape=pick("blur_shape", "blur", 1.0),
            resize=pick("resize", "resize", 1.0),
            shot_noise=pick("shot_noise", "shot_noise", 0.0),
            read_noise=tuple(pick("read_noise", "read_noise", 0.0) for _ in "rgb"),
            jpeg_quality=round(pick("jpeg_quality", "jpeg", 0)) or None,
            h264_bits_per_pixel=pick("h264_bits_per_pixel", "h264", 0.0) or None,
        )

    def _pick(self, random: dict[str, np.random.Generator], name: str) -> float:
        return round_draw(random[name].uniform(*getattr(self, name)))


def check_range(name: str, values: Range, limits: Range) -> None:
    """Check that a range is in order and within limits.

    Raises:
        ValueError: it is not.
    """
    numbers = len(values) == 2 and all(isinstance(v, int | float) for v in values)
    if not (numbers and limits[0] <= values[0] <= values[1] <= limits[1]):
        low, high = limits
        raise ValueError(
            f"expected {name} as [low, high] within [{low}, {high}], got {list(values)}. "
            "Fix it in the config"
        )


def round_draw(value: float) -> float:
    """Keep six digits: what the CSV records is then all there is."""
    return float(f"{value:.6g}")
