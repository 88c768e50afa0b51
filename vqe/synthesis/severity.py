"""Parameters -> one number in [0,1] that says how bad a video they make."""

import math
from collections.abc import Callable

from vqe.synthesis.parameters import Parameters, Span


def severity(parameters: Parameters) -> float:
    """Rate a degradation: 0 does nothing, 1 leaves nothing.

    It is `1 - exp(-sum / 2)` over the kinds' `damages`: it grows with every single one, and each
    counts less where the rest is bad already. One kind at its scale gives 0.39, three give 0.78;
    draws from conf/faults/v1.yaml lie around 0.5. Drifting values count by the
    mean of their two ends. It knows the parameters alone: not what a scene makes of them.
    """
    return 1 - math.exp(-sum(damages(parameters).values()) / 2)


def damages(parameters: Parameters) -> dict[str, float]:
    """Return each kind's amount over its scale, 0 or more.

    The scales are what is clearly bad on its own: exposure 3 stops down or 1.5
    up, gamma of 4 or a quarter, side light and colour cast 2 stops, saturation 0, blur 4 pixels,
    resize 3 halvings, shot noise 0.25, read noise 0.05, JPEG 3 halvings of quality from 95,
    H.264 6 halvings from 0.2 bits a pixel. Of the others see their lines: the divisor is the scale.
    """
    p = parameters
    bits = p.h264_bits_per_pixel
    return {
        "exposure": _mean(p.exposure_stops, lambda v: max(-v / 3, v / 1.5)),
        "gamma": _mean(p.gamma, lambda v: abs(math.log2(v)) / 2),
        "side_light": _mean(p.side_light_stops, lambda v: abs(v) / 2),
        "white_balance": _mean(p.warmth_stops, lambda v: abs(v) / 2)
        + _mean(p.tint_stops, lambda v: abs(v) / 2),
        "saturation": _mean(p.saturation, lambda v: abs(1 - v)),
        "blur": p.blur_sigma * (1 + p.blur_aspect) / 2 / 4,
        "resize": -math.log2(p.resize) / 3,
        "shot_noise": p.shot_noise / 0.25,
        "read_noise": sum(p.read_noise) / 3 / 0.05,
        "jpeg": 0.0 if p.jpeg_quality is None else max(0.0, math.log2(95 / p.jpeg_quality)) / 3,
        "h264": 0.0 if bits is None else max(0.0, math.log2(0.2 / bits)) / 6,
    } | _webcam_damages(p)


def _webcam_damages(p: Parameters) -> dict[str, float]:
    return {
        "pumping": p.pumping_stops / 0.7,
        "wander": p.wander_stops / 0.7,
        "backlight": p.backlight_stops / 3,
        "mixed": p.mixed_stops / 2,
        "screen": _mean(p.screen_light, lambda v: v / 1.5),
        "flare": p.flare / 0.3,
        "denoise": p.denoise / 2,
        "blotches": p.blotches / 0.06,
        "contrast": abs(math.log2(p.contrast)) / 1.5,
        "sharpen": p.sharpen / 3,
        "bands": 0.0 if p.band_levels is None else 16 / p.band_levels,
        "chroma": -math.log2(p.chroma_scale) / 4,
        "skipped": p.skipped / 0.5,
    }


def _mean(span: Span, amount: Callable[[float], float]) -> float:
    return (amount(span.start) + amount(span.end)) / 2
