"""Config ranges and a video's seed -> the parameters of a webcam's faults, drawn together.

Faults do not come each for itself: little light means gain, gain means noise, noise means
denoising and what it smears; a poor camera has a soft lens, sharpening against it and few pixels.
One draw says how poor the camera is, one how poor its line, one how much light there is, and the
rest follows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from vqe.synthesis.parameters import Parameters, Span
from vqe.synthesis.ranges import KINDS, LIMITS, Range, Ranges, round_draw

OWN = 0.35  # share of a strength that is its own draw, not the camera's or the line's
LINKED = {
    "camera": ("blur_sigma", "flare", "sharpen", "grain", "shot_noise", "denoise", "chroma_scale"),
    "line": ("h264_bits_per_pixel", "jpeg_quality", "resize", "skipped", "band_levels"),
}
LOW_IS_POOR = ("chroma_scale", "h264_bits_per_pixel", "jpeg_quality", "resize", "band_levels")
MORE_LIMITS: dict[str, Range] = {
    "light_stops": (-10, 4),
    "gain_stops": (0, 10),
    "pumping_stops": (0, 2),
    "pumping_hertz": (0, 15),
    "wander_stops": (0, 2),
    "backlight_stops": (0, 5),
    "mixed_stops": (0, 4),
    "screen_light": (0, 4),
    "screen_degrees": (-360, 360),
    "flare": (0, 1),
    "grain": (0, 4),
    "denoise": (0, 1),
    "blotches": (0, 0.5),
    "contrast": (0.1, 3),
    "sharpen": (0, 5),
    "band_levels": (2, 256),
    "chroma_scale": (0.05, 1),
    "skipped": (0, 0.9),
}
MORE_KINDS = (
    *("clean", "dim", "pumping", "wander", "backlight", "mixed", "screen", "flare", "contrast"),
    *("sharpen", "bands", "chroma", "skipped"),
)


@dataclass(frozen=True)
class Webcams(Ranges):
    """Where a webcam's `Parameters` are drawn from: conf/faults/webcam.yaml.

    What `Ranges` has means what it means there, but for `exposure_stops`: how far the camera's
    metering is off; and `shot_noise` and `read_noise`, which are those without gain.

    Args:
        light_stops: light of a dim scene against what the camera needs: gain makes up for it.
        gain_stops: how much gain it has: what is missing beyond that stays dark.
        probability: of each kind in `KINDS` and `MORE_KINDS`; `clean`: nothing is wrong at all.
        **others: a range for the parameter of that name.
    """

    limits: ClassVar[Mapping[str, Range]] = LIMITS | MORE_LIMITS
    kinds: ClassVar[tuple[str, ...]] = KINDS + MORE_KINDS

    light_stops: Range
    gain_stops: Range
    pumping_stops: Range
    pumping_hertz: Range
    wander_stops: Range
    backlight_stops: Range
    mixed_stops: Range
    screen_light: Range
    screen_degrees: Range
    flare: Range
    grain: Range
    denoise: Range
    blotches: Range
    contrast: Range
    sharpen: Range
    band_levels: Range
    chroma_scale: Range
    skipped: Range

    def draw(self, seed: int) -> Parameters:
        """Draw a video's parameters; the same seed gives the same ones."""
        webcam = _Webcam(self, seed)
        if webcam.has("clean"):
            return Parameters()
        base = super().draw(seed)
        return replace(base, **webcam.light(base), **webcam.camera(base), **webcam.line(base))


class _Webcam:
    """A camera, its line and the light before it, as one seed draws them.

    As in `Ranges`, every parameter has a random stream of its own.
    """

    def __init__(self, ranges: Webcams, seed: int) -> None:
        self.ranges = ranges
        names = (*LINKED, *ranges.kinds, *ranges.limits)
        streams = np.random.SeedSequence((seed, 1)).spawn(len(names))
        random = [np.random.default_rng(stream) for stream in streams]
        first, last = len(LINKED), len(LINKED) + len(ranges.kinds)
        poor = dict(zip(LINKED, (r.random() for r in random[:first]), strict=True))
        self.poor = {name: poor[link] for link, linked in LINKED.items() for name in linked}
        self.chance = dict(zip(ranges.kinds, random[first:last], strict=True))
        self.value = dict(zip(ranges.limits, random[last:], strict=True))
        dark = max(0.0, -self.pick("light_stops", "dim"))
        self.gain = min(dark, self.pick("gain_stops"))
        self.missing = dark - self.gain

    def has(self, kind: str) -> bool:
        return self.chance[kind].random() < self.ranges.probability[kind]

    def pick(self, name: str, kind: str | None = None, neutral: float = 0.0) -> float:
        """Draw from a range: evenly, or by how poor the camera or the line is."""
        if kind and not self.has(kind):
            return neutral
        share = self.value[name].random()
        if name in self.poor:
            poor = 1 - self.poor[name] if name in LOW_IS_POOR else self.poor[name]
            share = OWN * share + (1 - OWN) * poor
        low, high = getattr(self.ranges, name)
        return round_draw(low + share * (high - low))

    def light(self, base: Parameters) -> dict[str, Any]:
        """Return what the scene's light and the camera's controls do."""
        backlight = self.pick("backlight_stops", "backlight")
        # half-way between the window and the room: most cameras meter the whole frame
        metered = -self.missing - backlight / 2
        exposure = (base.exposure_stops.start, base.exposure_stops.end)
        place = self.value["backlight_stops"].uniform((0.1, 0.1, 0.3), (0.9, 0.6, 0.8))
        screen = self.has("screen")
        return {
            "exposure_stops": Span(*(round_draw(stops + metered) for stops in exposure)),
            "backlight_stops": backlight,
            "backlight_place": tuple(map(round_draw, place)) if backlight else (0.5, 0.5, 0.5),
            "mixed_stops": self.pick("mixed_stops", "mixed"),
            "side_light_degrees": self.pick("side_light_degrees"),
            "screen_light": Span(*(screen * self.pick("screen_light") for _ in "ab")),
            "screen_degrees": self.pick("screen_degrees"),
            "pumping_stops": self.pick("pumping_stops", "pumping"),
            "pumping_hertz": self.pick("pumping_hertz"),
            "wander_stops": self.pick("wander_stops", "wander"),
        }

    def camera(self, base: Parameters) -> dict[str, Any]:
        """Return what lens, sensor and processor do; gain and noise are of the light's making."""
        shot = self.pick("shot_noise") * 2 ** (self.gain / 2) if base.shot_noise else 0.0
        return {
            "blur_sigma": self.pick("blur_sigma") if base.blur_sigma else 0.0,
            "shot_noise": round_draw(shot),
            "read_noise": tuple(round_draw(v * 2**self.gain) for v in base.read_noise),
            "grain": self.pick("grain") if shot else 0.0,
            "denoise": round_draw(self.pick("denoise") * min(1.0, 0.3 + self.gain / 4)),
            "blotches": round_draw(self.pick("blotches") * min(1.0, self.gain / 4)),
            "flare": self.pick("flare", "flare"),
            "contrast": self.pick("contrast", "contrast", 1.0),
            "sharpen": self.pick("sharpen", "sharpen"),
            "chroma_scale": self.pick("chroma_scale", "chroma", 1.0),
        }

    def line(self, base: Parameters) -> dict[str, Any]:
        """Return what the way to the other side does."""
        bands = round(self.pick("band_levels", "bands"))
        return {
            "resize": self.pick("resize") if base.resize != 1 else 1.0,
            "jpeg_quality": base.jpeg_quality and round(self.pick("jpeg_quality")),
            "h264_bits_per_pixel": base.h264_bits_per_pixel and self.pick("h264_bits_per_pixel"),
            "band_levels": bands or None,
            "skipped": self.pick("skipped", "skipped"),
        }
