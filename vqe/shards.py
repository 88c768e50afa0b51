"""A share of the videos for each of several processes that know nothing of each other.

No process group, no waiting: which videos are whose follows from their names and lengths alone.
"""

import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")  # which job, and how many
ARRAY_FIRST = "SLURM_ARRAY_TASK_MIN"
PROCESSES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))  # torchrun's, then srun's
AUTO = "auto"

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Shard:
    """One of several shares.

    Attributes:
        number: from 0.
        count: how many there are.
    """

    number: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.count}"


def read_shard(text: str | None) -> Shard:
    """Read which share is this process's.

    Args:
        text: `2/5`, the second of five; `auto`: what torchrun, SLURM or a SLURM array says; None:
            everything.

    Raises:
        ValueError: it is no share, or `auto` finds nothing.
    """
    if text is None:
        return Shard()
    if text == AUTO:
        return _read_environment()
    number, slash, count = str(text).partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise ValueError(f"expected shard=<i>/<n> such as 2/5, or auto, got {text}")
    return _check(Shard(int(number) - 1, int(count)), str(text))


def _read_environment() -> Shard:
    """Number the processes of all jobs of an array, or of the only job there is."""
    found = [pair for pair in PROCESSES if all(name in os.environ for name in pair)][:1]
    if all(name in os.environ for name in ARRAY):
        found.insert(0, ARRAY)
    if not found:
        names = "; ".join(" and ".join(pair) for pair in (ARRAY, *PROCESSES))
        raise ValueError(f"expected {names} for shard=auto, got none. Set shard=<i>/<n>")
    whole = Shard()
    for number, count in found:
        first = int(os.environ.get(ARRAY_FIRST, 0)) if number == ARRAY[0] else 0
        part = Shard(int(os.environ[number]) - first, int(os.environ[count]))
        _check(part, f"{number}={os.environ[number]} of {part.count}")
        whole = Shard(whole.number * part.count + part.number, whole.count * part.count)
    return whole


def _check(shard: Shard, text: str) -> Shard:
    if not 0 <= shard.number < shard.count:
        raise ValueError(f"expected shard=<i>/<n> with i from 1 to n, got {text}")
    return shard


def deal_out(loads: Mapping[Name, int], shares: int) -> list[list[Name]]:
    """Deal out videos, the longest first, each to the share with the least work so far.

    Args:
        loads: how much work each video is.
        shares: how many there are.

    Returns:
        The names of each share, in the order in which they were dealt out.
    """
    sums = [0] * shares
    dealt: list[list[Name]] = [[] for _ in range(shares)]
    for name in sorted(loads, key=lambda name: (-loads[name], name)):
        lightest = sums.index(min(sums))
        sums[lightest] += loads[name]
        dealt[lightest].append(name)
    return dealt
