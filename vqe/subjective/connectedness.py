"""Wins between methods -> whether they can be ranked together, and if not, what is missing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Connectedness:
    """What the comparisons allow.

    Attributes:
        groups: methods, by index, that comparisons connect; one group where all is well.
        tiers: of methods with wins both ways, the best first; one tier where all is well.
    """

    groups: list[list[int]]
    tiers: list[list[int]]

    @property
    def is_whole(self) -> bool:
        """Whether a finite strength exists for all, as far as wins tell."""
        return len(self.groups) == 1 and len(self.tiers) == 1

    def explain(self, names: list[str]) -> str:
        """Say what is missing, an empty text where nothing is."""

        def join(members: list[int]) -> str:
            return ", ".join(names[i] for i in members)

        if len(self.groups) > 1:
            groups = "; ".join(join(group) for group in self.groups)
            missing = f"{names[self.groups[0][0]]} and {names[self.groups[1][0]]}"
            return (
                f"no common ranking: nothing compares these groups of methods: {groups}. "
                f"Missing are votes on a pair such as {missing}"
            )
        if len(self.tiers) > 1:
            tiers = " > ".join(f"({join(tier)})" for tier in self.tiers)
            return (
                f"no finite strengths: in {tiers} no method ever won against one further left. "
                "The order of the groups stands, how far apart they are is unknown: more votes "
                "between them are missing"
            )
        return ""


def check_connectedness(wins: np.ndarray, compared: np.ndarray) -> Connectedness:
    """Find what connects the methods.

    Args:
        wins: [K,K], how often the row's method won against the column's.
        compared: [K,K] bool, symmetric, whether the two were compared at all.
    """
    groups = _components(_reach(compared | compared.T))
    beats = _reach(wins > 0)
    tiers = _components(beats & beats.T)
    # who reaches more of the others stands further up
    tiers.sort(key=lambda tier: (-int(beats[tier[0]].sum()), tier[0]))
    return Connectedness(groups, tiers)


def _reach(edges: np.ndarray) -> np.ndarray:
    """Return who leads to whom, each to itself."""
    reach = edges | np.eye(len(edges), dtype=bool)
    for middle in range(len(edges)):
        reach |= reach[:, [middle]] & reach[[middle]]
    return reach


def _components(mutual: np.ndarray) -> list[list[int]]:
    """Return the classes of a symmetric, transitive relation, in order of their first member."""
    return [
        np.flatnonzero(row).tolist() for i, row in enumerate(mutual) if np.flatnonzero(row)[0] == i
    ]
