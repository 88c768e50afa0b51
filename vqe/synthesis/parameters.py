"""What happens to one video: every parameter of its degradation, as numbers and as a CSV row."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Span:
    """A value at the first and at the last frame of a clip, with a smooth way between them."""

    start: float
    end: float

    def at(self, time: float) -> float:
        """Return the value at a time in [0,1]: it leaves and arrives slowly (smoothstep)."""
        return self.start + (self.end - self.start) * time * time * (3 - 2 * time)


@dataclass(frozen=True)
class Parameters:
    """The degradation of one video; the defaults do nothing.

    Attributes:
        exposure_stops: light doubles with each; below 0 is too dark.
        gamma: exponent on the sRGB-coded value; above 1 darkens the middle tones.
        side_light_stops: the frame's one side gets so many stops more, the other so many less.
        side_light_degrees: where the light comes from: 0 right, 90 bottom.
        warmth_stops: red over blue; above 0 is too warm.
        tint_stops: green; below 0 turns to magenta.
        saturation: 0 is grey, 1 leaves the colours.
        blur_sigma: of the blur kernel along its wider axis, in pixels; 0 is sharp.
        blur_aspect: its narrower axis over the wider, in (0,1].
        blur_degrees: direction of the wider axis.
        blur_shape: exponent of the generalised Gaussian: 1 is Gaussian, higher a flat disc,
            lower a sharp peak with a haze.
        resize: scale to which the frame shrinks before it grows back, in (0,1].
        shot_noise: standard deviation at white in linear light; Poisson, so the variance grows
            with the light.
        read_noise: standard deviations in linear light of red, green and blue; Gaussian.
        jpeg_quality: of each frame, None for no JPEG.
        h264_bits_per_pixel: bit rate over pixels a second, None for no H.264.
    """

    exposure_stops: Span = Span(0.0, 0.0)
    gamma: Span = Span(1.0, 1.0)
    side_light_stops: Span = Span(0.0, 0.0)
    side_light_degrees: float = 0.0
    warmth_stops: Span = Span(0.0, 0.0)
    tint_stops: Span = Span(0.0, 0.0)
    saturation: Span = Span(1.0, 1.0)
    blur_sigma: float = 0.0
    blur_aspect: float = 1.0
    blur_degrees: float = 0.0
    blur_shape: float = 1.0
    resize: float = 1.0
    shot_noise: float = 0.0
    read_noise: tuple[float, ...] = (0.0, 0.0, 0.0)
    jpeg_quality: int | None = None
    h264_bits_per_pixel: float | None = None

    def to_row(self) -> dict[str, str]:
        """Return the CSV's columns: a drift as `_start` and `_end`, the read noise by channel."""
        row: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Span):
                parts = {"_start": value.start, "_end": value.end}
            elif isinstance(value, tuple):
                parts = dict(zip(("_r", "_g", "_b"), value, strict=True))
            else:
                parts = {"": value}
            row |= {f"{field.name}{k}": "" if v is None else repr(v) for k, v in parts.items()}
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Parameters":
        """Read back what `to_row` gave; other columns are passed over.

        Raises:
            KeyError: a column is missing.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = field.name
            if isinstance(field.default, Span):
                values[name] = Span(float(row[f"{name}_start"]), float(row[f"{name}_end"]))
            elif isinstance(field.default, tuple):
                values[name] = tuple(float(row[f"{name}_{c}"]) for c in "rgb")
            elif row[name] == "":
                values[name] = None
            else:
                values[name] = int(row[name]) if name == "jpeg_quality" else float(row[name])
        return cls(**values)
