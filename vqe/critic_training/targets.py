"""How a variant was made -> what the critic should say of it: the one home of these functions.

The challenge does not publish what its eleven scores mean. What `MEANINGS` says holds for critics
trained here alone. Scores lie within 0.05 and 0.95, so that a trained critic hardly ever meets a
clamp; a4 falls with quality, as the challenge's does.
"""

import math

from vqe.critic_training.variants import Variant
from vqe.schema import ATTRIBUTES
from vqe.synthesis.severity import damages as camera_damages

MEANINGS = {
    "a1": "overall quality",
    "a2": "brightness, neither too dark nor too bright",
    "a3": "sharpness",
    "a4": "noise (falls with quality)",
    "a5": "white balance",
    "a6": "saturation, neither pale nor gaudy",
    "a7": "freedom from compression",
    "a8": "contrast, neither flat nor harsh",
    "a9": "freedom from over-sharpening",
    "a10": "detail: sharpness, noise, compression, over-sharpening",
    "a11": "look: brightness, side light, white balance, saturation, contrast",
}
DETAIL = ("sharpness", "noise", "compression", "halo")
LOOK = ("brightness", "side_light", "cast", "saturation", "contrast")

GREY = 0.18  # of white, in linear light: the scene's middle
DISPLAY_GAMMA = 2.2  # sRGB's, about
P_REACH = 0.45  # p stays within 0.5 +- this, so that it never meets a clamp
P_SCALE = 0.3  # of the difference of severities
LOWEST, HIGHEST = 0.05, 0.95  # of the scores


def preference(severity1: float, severity2: float) -> float:
    """Return p, how likely frame 2 looks better than frame 1: 0.5 where they are as bad.

    `0.5 + 0.45 tanh((severity1 - severity2) / 0.3)`: smooth, and 1 - p the other way round.
    """
    return 0.5 + P_REACH * math.tanh((severity1 - severity2) / P_SCALE)


def severity(variant: Variant) -> float:
    """Return how bad a variant is: 0 clean, towards 1; `1 - exp(-sum of damages / 2)`."""
    return 1 - math.exp(-sum(damages(variant).values()) / 2)


def rate(variant: Variant) -> dict[str, float]:
    """Return the scores a1 to a11 of a variant, by name: 0.95 where all is well, towards 0.05.

    A score is `0.05 + 0.9 q`; q is `exp(-d)` of one kind of damage d, `exp(-sum / 2)` of several.
    a4, the other way round, is 0.05 without noise.
    """
    found = damages(variant)

    def quality(*kinds: str) -> float:
        return math.exp(-sum(found[kind] for kind in kinds) / min(2, len(kinds)))

    qualities = {
        "a1": quality(*found),
        "a2": quality("brightness"),
        "a3": quality("sharpness"),
        "a4": 1 - quality("noise"),
        "a5": quality("cast"),
        "a6": quality("saturation"),
        "a7": quality("compression"),
        "a8": quality("contrast"),
        "a9": quality("halo"),
        "a10": quality(*DETAIL),
        "a11": quality(*LOOK),
    }
    return {name: LOWEST + (HIGHEST - LOWEST) * qualities[name] for name in ATTRIBUTES}


def damages(variant: Variant) -> dict[str, float]:
    """Return each kind's amount over its scale, 0 or more; 1 is clearly bad on its own.

    What camera and edit do to one thing counts as their net effect: light taken away and given
    back is no damage. Scales: brightness 2.5 stops down or 1.25 up, side light 1.5 stops, colour
    cast 1.25 stops, saturation 0 or 2, contrast halved or doubled, noise 0.06 of white at mid-grey,
    blur and resize as `vqe.synthesis.severity` has them at twice the weight, sharpening by 1.5,
    H.264 a quantiser of 44 where 24 does no harm.
    """
    camera, edit = variant.camera, variant.edit
    by_kind = camera_damages(camera)
    stops = grey_stops(variant)
    warmth = camera.warmth_stops.start + edit.warmth_stops
    soft = 2 * (by_kind["blur"] + by_kind["resize"]) + edit.smooth_sigma / 2
    crisp = edit.sharpen / 1.5
    restored = min(crisp, soft / 2)  # sharpening brings half of the sharpness back, then halos
    coding = 0.0 if variant.h264_qp is None else max(0, variant.h264_qp - 24) / 20
    return {
        "brightness": max(-stops / 2.5, stops / 1.25),
        "side_light": abs(camera.side_light_stops.start) / 1.5,
        "cast": math.hypot(warmth, 2 * camera.tint_stops.start) / 1.25,
        "saturation": abs(1 - camera.saturation.start * edit.saturation),
        "contrast": abs(math.log2(edit.contrast)),
        "noise": grey_noise(variant) / 0.06,
        "sharpness": soft - restored,
        "halo": crisp - restored,
        "compression": by_kind["jpeg"] + coding,
    }


def grey_stops(variant: Variant) -> float:
    """Return how many stops brighter a grey of 18 % comes out, by exposure, gamma and gain."""
    camera = variant.camera
    light = min(1.0, GREY * 2**camera.exposure_stops.start)
    light = light**camera.gamma.start  # the coded value's exponent, about, acts on light too
    return math.log2(light / GREY) + variant.edit.stops


def grey_noise(variant: Variant) -> float:
    """Return the noise's standard deviation on a grey of 18 %, in coded values of white 1.

    Shot and read noise add up in the camera's linear light. Coding with gamma makes the relative
    spread 2.2 times smaller; smoothing by a Gaussian averages it; sharpening and contrast raise it.
    """
    camera, edit = variant.camera, variant.edit
    light = min(1.0, GREY * 2**camera.exposure_stops.start)
    read = sum(camera.read_noise) / 3
    relative = math.hypot(camera.shot_noise * math.sqrt(light), read) / light
    code = min(1.0, GREY * 2 ** grey_stops(variant)) ** (1 / DISPLAY_GAMMA)
    spread = code * relative * camera.gamma.start / DISPLAY_GAMMA
    averaged = math.sqrt(1 + 4 * math.pi * edit.smooth_sigma**2)
    return spread / averaged * (1 + edit.sharpen) * edit.contrast
