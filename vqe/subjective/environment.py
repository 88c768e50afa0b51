"""What a browser tells of itself and its rater's answers -> whether both are fit to judge."""

from typing import Any

from vqe.subjective.study import Study

LONGEST_AGENT = 300  # letters
SLACK_HZ = 2  # a browser's measure is a little off


def check_environment(study: Study, told: dict) -> list[str]:
    """Return what is wrong, in words for the rater; nothing where all is well.

    Args:
        study: whose clips are to be shown.
        told: of the page: screen {width, height, ratio}, refresh_hz, plates and matrices, the
            answers by picture. Whatever is missing or of another kind counts as wrong.
    """
    settings = study.settings
    wrong = []
    screen = told.get("screen") if isinstance(told.get("screen"), dict) else {}
    ratio = _read_number(screen.get("ratio")) or 1
    needed = [max(getattr(c, side) for c in study.clips.values()) for side in ("width", "height")]
    there = [_read_number(screen.get(side)) * ratio for side in ("width", "height")]
    if any(have < need - 1 for have, need in zip(there, needed, strict=True)):
        wrong.append(
            f"The screen must be at least {needed[0]} by {needed[1]} pixels, "
            f"yours has {there[0]:.0f} by {there[1]:.0f}."
        )
    if _read_number(told.get("refresh_hz")) < settings["least_refresh_hz"] - SLACK_HZ:
        wrong.append(
            f"The screen must refresh at {settings['least_refresh_hz']} Hz or more. "
            "Close other programs, or plug the computer in."
        )
    right = _count_right(told.get("plates"), study.plates)
    if right < settings["plates_right"]:
        wrong.append("Not all numbers in the coloured dots were read as drawn.")
    right = _count_right(told.get("matrices"), study.matrices)
    if right < settings["matrices_right"]:
        wrong.append(
            "The shapes were not all seen. Make the screen brighter, and avoid light falling on it."
        )
    return wrong


def keep_environment(told: dict) -> dict:
    """Return what is kept of what a page told: numbers, and the start of the browser's name."""
    kept: dict[str, Any] = {
        place: {side: _read_number(sizes.get(side)) for side in ("width", "height", "ratio")}
        for place in ("screen", "window")
        if isinstance(sizes := told.get(place), dict)
    }
    kept["refresh_hz"] = _read_number(told.get("refresh_hz"))
    return kept | {"agent": str(told.get("agent", ""))[:LONGEST_AGENT]}


def _count_right(given: object, answers: dict) -> int:
    if not isinstance(given, dict):
        return 0
    return sum(_plain(given.get(name)) == _plain(answer) for name, answer in answers.items())


def _plain(answer: object) -> object:
    parts = answer if isinstance(answer, list) else [answer]
    return [str(part).strip() for part in parts]


def _read_number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e6 else 0.0
