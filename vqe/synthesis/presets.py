"""The name of a preset in conf/faults -> what degradations are drawn from."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from omegaconf import OmegaConf

from vqe.cli import CONF_DIR
from vqe.synthesis.parameters import Parameters
from vqe.synthesis.ranges import Ranges, check_range
from vqe.synthesis.webcams import Webcams


class Faults(Protocol):
    """What degradations are drawn from."""

    def draw(self, seed: int) -> Parameters:
        """Draw a video's parameters; the same seed gives the same ones."""


@dataclass(frozen=True)
class Mixture:
    """Several presets, one of which is drawn from for each video.

    Args:
        presets: how often each preset of conf/faults is drawn from, relative to the others.
        clean: share of videos with nothing wrong, beside the presets' own.

    Raises:
        ValueError: a preset is unknown, or a share is out of range.
    """

    presets: Mapping[str, float]
    clean: float = 0.0

    def __post_init__(self) -> None:
        check_range("degradation.clean", (self.clean, self.clean), (0, 1))
        for name, share in self.presets.items():
            check_range(f"degradation.presets.{name}", (share, share), (1e-6, 1e6))
            find_preset(name)

    def draw(self, seed: int) -> Parameters:
        """Draw a preset, then a video's parameters from it."""
        random = np.random.default_rng((seed, 2))
        if random.random() < self.clean:
            return Parameters()
        shares = np.array(list(self.presets.values())) / sum(self.presets.values())
        return find_preset(list(self.presets)[random.choice(len(shares), p=shares)]).draw(seed)


def load_preset(name: str) -> dict[str, Any]:
    """Return a preset as a plain dict, to change and build by `build_faults`.

    Raises:
        ValueError: there is no such preset.
    """
    path = CONF_DIR / "faults" / f"{name}.yaml"
    known = sorted(p.stem for p in path.parent.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"expected faults of {', '.join(known)}, got {name!r}")
    return OmegaConf.to_container(OmegaConf.load(path))


def build_faults(degradation: Mapping[str, Any]) -> Faults:
    """Build what a preset describes: `Mixture`, `Webcams` or `Ranges`, by the keys that it has.

    Raises:
        ValueError: a range is missing, unknown or out of its limits.
    """
    if "presets" in degradation:
        return Mixture(**degradation)
    kind = Webcams if "gain_stops" in degradation else Ranges
    expected = {*kind.limits, "probability"}
    missing, unknown = expected - set(degradation), set(degradation) - expected
    if missing or unknown:
        raise ValueError(
            f"expected degradation with all ranges of a preset in conf/faults, got "
            f"{', '.join(sorted(unknown)) or 'nothing'} beyond them and "
            f"{', '.join(sorted(missing)) or 'nothing'} missing"
        )
    return kind(**degradation)


@functools.cache
def find_preset(name: str) -> Faults:
    """Return what a preset draws from.

    Raises:
        ValueError: there is no such preset.
    """
    return build_faults(load_preset(name))
