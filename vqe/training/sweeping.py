"""The number that a sweep optimises -> its direction, held against the sweeper's."""

from omegaconf import DictConfig

from vqe.schema import INVERTED_SCORES, SCORES

RISING = frozenset({"score", *SCORES}) - INVERTED_SCORES  # these grow with quality


def check_direction(name: str | None, sweeper: DictConfig) -> None:
    """See, before the first training, that a sweep goes where its number gets better.

    Args:
        name: `sweeper_object`.
        sweeper: Hydra's config of it; one without a `direction` only lists what it gets.

    Raises:
        ValueError: no number is named, or the direction is the wrong one.
    """
    direction = sweeper.get("direction")
    if direction is None:
        return
    if name is None:
        raise ValueError(
            "expected sweeper_object to name the number to optimise, got null. "
            "Set it: sweeper_object=val/mse"
        )
    given, fitting = getattr(direction, "name", direction), pick_direction(name)
    if given != fitting:
        raise ValueError(
            f"expected hydra.sweeper.direction to be {fitting} for sweeper_object={name}, "
            f"got {given}. Set hydra.sweeper.direction={fitting}"
        )


def pick_direction(name: str) -> str:
    """Return "maximize" for a number that grows with quality (val/score), else "minimize"."""
    return "maximize" if name.rpartition("/")[2] in RISING else "minimize"
