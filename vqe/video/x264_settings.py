"""The words that x264 leaves in a stream's first picture -> the settings that it encoded with."""

import re
from dataclasses import dataclass

UUID = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")  # of x264's own user data in H.264
# What tells x264's presets apart: each has a subpixel refinement of its own.
PRESET_OF_SUBME = {
    0: "ultrafast",
    1: "superfast",
    2: "veryfast",
    4: "faster",
    6: "fast",
    7: "medium",
    8: "slow",
    9: "slower",
    10: "veryslow",
    11: "placebo",
}


@dataclass(frozen=True)
class EncoderSettings:
    """How x264 encoded a stream.

    Attributes:
        rate_control: crf, cqp, abr, cbr or 2pass.
        crf: constant quality, None where the rate control is another.
        preset: the preset whose subpixel refinement it has, None where none has it.
    """

    rate_control: str
    crf: float | None
    preset: str | None


def read_settings(user_data: bytes) -> EncoderSettings | None:
    """Read the user data of a stream's first picture; None where they are not x264's.

    Args:
        user_data: a UUID of 16 bytes and what follows it.
    """
    if not user_data.startswith(UUID):
        return None
    text = user_data[len(UUID) :].decode("ascii", "replace")
    options = dict(re.findall(r"(\w+)=([^\s\0]+)", text.partition("options:")[2]))
    if "rc" not in options:
        return None
    crf, subme = options.get("crf", ""), options.get("subme", "")
    return EncoderSettings(
        rate_control=options["rc"],
        crf=float(crf) if re.fullmatch(r"-?\d+(\.\d+)?", crf) else None,
        preset=PRESET_OF_SUBME.get(int(subme)) if subme.isdecimal() else None,
    )
