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


PARTS = {"read_noise": ("_r", "_g", "_b"), "backlight_place": ("_x", "_y", "_radius")}
WHOLE = ("jpeg_quality", "band_levels")  # numbers, or None


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
        pumping_stops: how far the exposure swings up and down, as its control hunts.
        pumping_hertz: how often.
        wander_stops: how far the white balance swings between warm and cold, half as often.
        backlight_stops: a window behind gets so many stops more than the rest.
        backlight_place: its centre, x and y, and its radius, over width, height and height.
        mixed_stops: the lit side is warmer than the other by so many stops on either hand.
        screen_light: what a screen adds in front of it, over the light that is there.
        screen_degrees: hue of that light, 0 red, 120 green, 240 blue.
        flare: share of the mean light that the lens strews over the frame: flat contrast.
        grain: how far demosaicing spreads noise, in pixels of the sensor; red and blue further.
        denoise: share of the detail in shadows that the camera takes for noise, in [0,1].
        blotches: standard deviation, on the sRGB code, of slow colour noise left in shadows.
        contrast: of the sRGB code about its middle; below 1 is flat, above 1 crushes both ends.
        sharpen: share of unsharp masking: halos.
        band_levels: levels of each colour, None for all 256.
        chroma_scale: scale of the colour planes, 0.5 is 4:2:0; 1 leaves them.
        skipped: share of frames that a call drops: the one before stays.
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
    pumping_stops: float = 0.0
    pumping_hertz: float = 0.0
    wander_stops: float = 0.0
    backlight_stops: float = 0.0
    backlight_place: tuple[float, ...] = (0.5, 0.5, 0.5)
    mixed_stops: float = 0.0
    screen_light: Span = Span(0.0, 0.0)
    screen_degrees: float = 0.0
    flare: float = 0.0
    grain: float = 0.0
    denoise: float = 0.0
    blotches: float = 0.0
    contrast: float = 1.0
    sharpen: float = 0.0
    band_levels: int | None = None
    chroma_scale: float = 1.0
    skipped: float = 0.0

    def to_row(self) -> dict[str, str]:
        """Return the CSV's columns: a drift as `_start` and `_end`, a tuple by its parts."""
        row: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Span):
                parts = {"_start": value.start, "_end": value.end}
            elif isinstance(value, tuple):
                parts = dict(zip(PARTS[field.name], value, strict=True))
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
                values[name] = tuple(float(row[f"{name}{part}"]) for part in PARTS[name])
            elif row[name] == "":
                values[name] = None
            else:
                values[name] = (int if name in WHOLE else float)(row[name])
        return cls(**values)
