"""Votes -> the same with `removed_by`, the rule that removed each; none is deleted.

The rules work in turn, each on what the ones before left. Thresholds are the P.910 toolkit's where
it has one; the shares and significances are such that few honest raters are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.stats import binom

from vqe.subjective.votes import GOLD, PAIR, TRAINING, TRAP

REMOVED = "removed_by"


class Rule(Protocol):
    """Finds what to remove."""

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Return [N] bool, true where a vote is to be removed; `votes` are those still used."""


def clean(votes: pd.DataFrame, rules: Mapping[str, Rule | None]) -> pd.DataFrame:
    """Return the votes with a column `removed_by`, empty where a vote is used.

    Args:
        votes: of `check_votes`.
        rules: by name, in the order in which they work; None is left out.
    """
    removed = np.where(votes["kind"] == TRAINING, "training", "").astype(object)
    for name, rule in rules.items():
        used = np.flatnonzero(removed == "")
        if rule is None or not len(used):
            continue
        found = rule.find(votes.iloc[used].reset_index(drop=True))
        removed[used[found]] = name
    return votes.assign(**{REMOVED: removed})


def count_removed(cleaned: pd.DataFrame, rules: Mapping[str, Rule | None]) -> pd.DataFrame:
    """Return a row a rule: how many votes on pairs, sessions and raters it touched."""
    pairs = cleaned[cleaned["kind"] == PAIR]
    rows = []
    for name in (*rules, ""):
        part = pairs[pairs[REMOVED] == name]
        counts = (len(part), part["session"].nunique(), part["rater"].nunique())
        off = name and rules[name] is None
        rows.append((name or "used", *(("off",) * 3 if off else counts)))
    return pd.DataFrame(rows, columns=["rule", "votes", "sessions", "raters"])


@dataclass(frozen=True)
class Trap:
    """Sessions with wrong answers to trapping clips, which say what to answer.

    Attributes:
        wrong: more than so many are too many.
        share: of a rater's sessions; who fails as many loses all of them.
    """

    wrong: int = 0
    share: float = 0.5

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the sessions' votes."""
        failed = (votes["kind"] == TRAP) & (votes["vote"] != votes["expected"])
        return _of_failed(votes, failed, self.wrong, self.share)


@dataclass(frozen=True)
class Gold:
    """Sessions with wrong answers to gold clips, whose answer is obvious.

    Attributes:
        tolerance: grades that an answer may be off.
        wrong: more than so many are too many.
        share: of a rater's sessions; who fails as many loses all of them.
    """

    tolerance: int = 1
    wrong: int = 0
    share: float = 0.5

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the sessions' votes."""
        off = (votes["vote"] - votes["expected"]).abs() > self.tolerance
        failed = (votes["kind"] == GOLD) & off
        return _of_failed(votes, failed, self.wrong, self.share)


@dataclass(frozen=True)
class PlayTime:
    """Votes whose clips played too short or too long; sessions with many of them as a whole.

    Attributes:
        least: of the clips' length.
        most: of the clips' length.
        share: of a session's votes, more make the session go.
    """

    least: float = 0.9
    most: float = 1.15
    share: float = 0.3

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the votes; one whose play time is unknown stays."""
        ratio = votes["played"] / votes["length"]
        bad = (ratio < self.least) | (ratio > self.most)
        whole = _of_sessions(votes, bad.groupby(votes["session"]).mean() > self.share)
        return bad.to_numpy() | whole


@dataclass(frozen=True)
class StraightLine:
    """Sessions that give one answer to nearly everything, gold and trapping clips included.

    Attributes:
        share: of the answers.
        answers: a session with fewer stays.
    """

    share: float = 0.9
    answers: int = 6

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the sessions' votes."""
        counts = votes.groupby(["session", "vote"]).size()
        top, total = counts.groupby("session").max(), counts.groupby("session").sum()
        return _of_sessions(votes, (top >= self.share * total) & (total >= self.answers))


@dataclass(frozen=True)
class OneSided:
    """Raters who find one place better, the first or the second, whatever is shown there.

    Attributes:
        significance: a rater who tosses a coin is removed this often.
    """

    significance: float = 1e-4

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the raters' votes."""
        second = (votes["vote"] > 0).groupby(votes["rater"]).sum()
        first = (votes["vote"] < 0).groupby(votes["rater"]).sum()
        chance = 2 * binom.cdf(np.minimum(first, second), first + second, 0.5)
        return _of_raters(votes, pd.Series(chance < self.significance, second.index))


@dataclass(frozen=True)
class SessionVariance:
    """Sessions whose answers hardly vary, gold and trapping clips included.

    Attributes:
        least: variance, in squared grades.
        answers: a session with fewer stays.
    """

    least: float = 0.15
    answers: int = 6

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the sessions' votes."""
        grouped = votes.groupby("session")["vote"]
        return _of_sessions(votes, (grouped.var() < self.least) & (grouped.size() >= self.answers))


def _of_failed(votes: pd.DataFrame, failed: pd.Series, wrong: int, share: float) -> np.ndarray:
    """Return the votes of failed sessions, and all of raters who fail most of theirs."""
    sessions = failed.groupby([votes["rater"], votes["session"]]).sum() > wrong
    raters = sessions.groupby("rater").mean() >= share
    bad = sessions.index[sessions].get_level_values("session")
    return votes["session"].isin(bad).to_numpy() | _of_raters(votes, raters)


def _of_sessions(votes: pd.DataFrame, bad: pd.Series) -> np.ndarray:
    return votes["session"].isin(bad.index[bad]).to_numpy()


def _of_raters(votes: pd.DataFrame, bad: pd.Series) -> np.ndarray:
    return votes["rater"].isin(bad.index[bad]).to_numpy()
