"""Pairs and their shares -> sessions: every order, no content twice in one, all balanced."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

Shown = tuple[str, str, str]  # content, first, second


def spread_pairs(
    shares: Mapping[tuple[str, str], float],
    contents: Sequence[str],
    votes: int,
    random: np.random.Generator,
) -> list[Shown]:
    """Return every vote to collect: contents evenly, both orders equally often.

    Args:
        shares: of the votes, by pair.
        contents: the videos.
        votes: in all.
        random: draws which contents have one vote more and which order comes first.
    """
    shown = []
    for (a, b), share in shares.items():
        number = math.ceil(round(share * votes, 6))
        rounds = math.ceil(number / len(contents))
        order = [c for _ in range(rounds) for c in random.permutation(contents).tolist()][:number]
        seen: Counter[str] = Counter()
        start = {c: int(random.integers(2)) for c in contents}
        for content in order:
            turned = (seen[content] + start[content]) % 2
            seen[content] += 1
            shown.append((content, b, a) if turned else (content, a, b))
    return shown


def fill_sessions(
    shown: Sequence[Shown], size: int, random: np.random.Generator
) -> list[list[Shown]]:
    """Deal votes into sessions of up to `size`, no content twice in one.

    Each session takes a vote from the contents that have most left, of a pair that it has least
    of; so contents last, and a session compares many methods.

    Raises:
        ValueError: there are fewer contents than a session has pairs.
    """
    left: dict[str, list[Shown]] = defaultdict(list)
    for i in random.permutation(len(shown)):
        left[shown[i][0]].append(shown[i])
    if len(left) < size:
        raise ValueError(
            f"expected at least as many videos as a session has pairs, {size}, as none comes twice "
            f"in a session, got {len(left)}. Do: pairs_per_session={len(left)}"
        )
    count = max(math.ceil(len(shown) / size), max(map(len, left.values())))
    sessions = []
    for number in range(count):
        # as many as are due, so that the last sessions are as long as the first
        due = math.ceil(sum(map(len, left.values())) / (count - number))
        contents = sorted(random.permutation(list(left)), key=lambda c: -len(left[c]))
        session: list[Shown] = []
        used: Counter[frozenset] = Counter()
        for content in contents[: min(due, size)]:
            best = min(left[content], key=lambda s: used[frozenset(s[1:])])
            left[content].remove(best)
            used[frozenset(best[1:])] += 1
            session.append(best)
        left = defaultdict(list, {c: votes for c, votes in left.items() if votes})
        random.shuffle(session)
        sessions.append([(str(content), str(a), str(b)) for content, a, b in session])
    return [session for session in sessions if session]
