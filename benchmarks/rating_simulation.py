"""Raters with known strengths, biases and noise, and spammers -> votes, and the truth about them.

A vote is a sum of normal variables, cut and rounded to a grade, so that what a study of endless
length would find is known exactly.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import norm

from vqe.subjective.bradley_terry import Counts, fit_strengths
from vqe.subjective.votes import COLUMNS, GRADES

SECONDS = 10.0  # of both clips
SPAMMERS = ("random", "left", "straight", "bot", "clicker")


@dataclass(frozen=True)
class World:
    """What is true; all in grades.

    Attributes:
        quality: of each method by name.
        order: how much better the second clip looks because it is the second.
        by_content: standard deviation of a method's quality over contents.
        by_rater: the same over raters.
        lean: of raters' leaning to the second clip.
        noise: of one vote.
    """

    quality: dict[str, float] = field(
        default_factory=lambda: {"input": 0.0, "a": 0.3, "b": 0.8, "c": 1.2}
    )
    order: float = 0.15
    by_content: float = 0.25
    by_rater: float = 0.2
    lean: float = 0.2
    noise: float = 0.9

    def shares(self, first: str, second: str) -> np.ndarray:
        """Return how likely each grade is, over all raters and contents."""
        mean = self.quality[second] - self.quality[first] + self.order
        variance = 2 * self.by_content**2 + 2 * self.by_rater**2 + self.lean**2 + self.noise**2
        edges = np.array([-np.inf, *(np.array(GRADES[:-1]) + 0.5), np.inf])
        return np.diff(norm.cdf((edges - mean) / variance**0.5))

    def cmos(self, a: str, b: str) -> float:
        """Return b compared with a, both orders equally often."""
        grades = np.array(GRADES)
        return float(self.shares(a, b) @ grades - self.shares(b, a) @ grades) / 2

    def strengths(self) -> dict[str, float]:
        """Return what Bradley-Terry fits to endless votes on all pairs in both orders."""
        names = sorted(self.quality)
        pairs = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]
        wins = []
        for i, j in pairs:
            share = self.shares(names[i], names[j])
            wins.append([share[:3].sum(), share[3], share[4:].sum()])
        first, second = np.array(pairs).T
        fit = fit_strengths(Counts(first, second, np.array(wins), len(names)))
        return dict(zip(names, np.exp(fit.theta), strict=True))


def simulate(
    world: World,
    *,
    raters: int,
    contents: int,
    sessions: int = 2,
    pairs: int = 10,
    spammers: dict[str, int] | None = None,
    seed: int,
) -> pd.DataFrame:
    """Return votes; raters are named by what they are: honest-0001, random-0001.

    Args:
        world: what is true.
        raters: honest ones.
        contents: videos; at least `pairs`.
        sessions: of each rater.
        pairs: of each session, beside a gold and a trapping clip.
        spammers: how many of each kind of `SPAMMERS`.
        seed: of all that is drawn.
    """
    random = np.random.default_rng(seed)
    counts = {"honest": raters, **(spammers or {})}
    names = [f"{kind}-{i:04d}" for kind, n in counts.items() for i in range(n)]
    kinds = np.repeat(list(counts), list(counts.values()))
    votes = _draw_pairs(world, random, len(names), contents, sessions, pairs)
    votes = pd.concat([votes, _draw_checks(votes, random)], ignore_index=True)
    kind = kinds[votes["rater"]]
    votes["vote"] = votes["vote"].where(kind == "honest", _spam(kind, votes, random))
    slow = random.uniform(1.0, 1.1, len(votes))
    votes["length"] = SECONDS
    votes["played"] = SECONDS * np.where(kind == "clicker", random.uniform(0, 0.8), slow)
    votes["session"] = [
        f"{names[r]}-{s}" for r, s in zip(votes["rater"], votes["session"], strict=True)
    ]
    votes["rater"] = np.array(names)[votes["rater"]]
    return votes.reindex(columns=COLUMNS)


def _draw_pairs(
    world: World, random: np.random.Generator, raters: int, contents: int, sessions: int, pairs: int
) -> pd.DataFrame:
    """Draw who sees what and answers honestly."""
    methods = np.array(sorted(world.quality))
    quality = np.array([world.quality[m] for m in methods])
    by_content = random.normal(0, world.by_content, (contents, len(methods)))
    by_rater = random.normal(0, world.by_rater, (raters, len(methods)))
    lean = random.normal(0, world.lean, raters)
    order = random.random((raters * sessions, contents)).argsort(1)[:, :pairs]
    content = order.ravel()
    rater = np.repeat(np.arange(raters), sessions * pairs)
    session = np.tile(np.repeat(np.arange(sessions), pairs), raters)
    first = random.integers(len(methods), size=len(rater))
    second = (first + random.integers(1, len(methods), len(rater))) % len(methods)

    def level(method: np.ndarray) -> np.ndarray:
        return quality[method] + by_content[content, method] + by_rater[rater, method]

    latent = level(second) - level(first) + world.order + lean[rater]
    latent += random.normal(0, world.noise, len(rater))
    return pd.DataFrame(
        {
            "rater": rater,
            "session": session,
            "position": np.tile(np.arange(1, pairs + 1), raters * sessions),
            "kind": "pair",
            "content": [f"video_{c:04d}" for c in content],
            "first": methods[first],
            "second": methods[second],
            "expected": np.nan,
            "vote": np.clip(np.round(latent), GRADES[0], GRADES[-1]),
        }
    )


def _draw_checks(votes: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Draw a gold and a trapping clip for each session; one honest answer in 500 is a slip."""
    sessions = votes[["rater", "session"]].drop_duplicates()
    gold = sessions.assign(kind="gold", expected=random.choice([-3, 3], len(sessions)))
    spread = np.clip(np.round(random.normal(4, 0.9, len(sessions))), -3, 3)
    gold["vote"] = spread * np.sign(gold["expected"])
    trap = sessions.assign(kind="trap", expected=random.choice(GRADES, len(sessions)))
    trap["vote"] = trap["expected"]
    checks = pd.concat([gold, trap], ignore_index=True)
    slip = random.random(len(checks)) < 0.002
    checks.loc[slip, "vote"] = random.choice(GRADES, slip.sum())
    return checks.assign(content="check", first="input", second="check", position=99)


def _spam(kind: np.ndarray, votes: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """Return what spammers answer; bots answer like honest raters and cannot read."""
    size = len(votes)
    grade = random.choice(GRADES, size)
    spam = votes["vote"].to_numpy(float)
    trap = (votes["kind"] == "trap").to_numpy()
    left = -random.integers(1, 4, size)
    favourite = random.choice(GRADES, votes["rater"].max() + 1)[votes["rater"]]
    for name, answer in {"random": grade, "left": left, "straight": favourite}.items():
        spam = np.where(kind == name, answer, spam)
    return np.where((kind == "bot") & trap, grade, spam)
