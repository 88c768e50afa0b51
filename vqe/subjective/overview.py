"""A study's database -> its progress, for whoever runs it."""

import json
from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from vqe.subjective.store import assignments, notes, raters, votes
from vqe.subjective.study import TRAINING_SESSION, Study
from vqe.subjective.votes import GOLD, PAIR, TRAP

NEWEST = 200  # raters and notes on the page


def look_over(connection: Connection, study: Study, now: float) -> dict:
    """Return counts, votes a pair, sessions given up, and the newest raters and notes."""
    rated = select(votes.c.first, votes.c.second, func.count()).where(votes.c.kind == PAIR)
    counted: Counter = Counter()
    for first, second, number in connection.execute(rated.group_by(votes.c.first, votes.c.second)):
        counted[frozenset((first, second))] += number
    planned = Counter(frozenset((t.first, t.second)) for t in study.trials if t.kind == PAIR)
    pairs = [
        {"pair": " - ".join(sorted(pair)), "votes": counted[pair], "planned": number}
        for pair, number in sorted(planned.items(), key=lambda item: sorted(item[0]))
    ]
    real = assignments.c.session != TRAINING_SESSION
    since = now - study.settings["abandoned_minutes"] * 60
    return {
        "votes": sum(counted.values()),
        "votes_planned": sum(planned.values()),
        "sessions": len(study.sessions) - 1,
        "done": _count(connection, real & assignments.c.finished.isnot(None)),
        "at_it": _count(
            connection, assignments.c.finished.is_(None) & (assignments.c.started > since)
        ),
        "given_up": _count(
            connection, assignments.c.finished.is_(None) & (assignments.c.started <= since)
        ),
        "joined": connection.execute(select(func.count()).select_from(raters)).scalar(),
        "admitted": connection.execute(select(func.count()).where(raters.c.admitted == 1)).scalar(),
        "pairs": pairs,
        "raters": _list_raters(connection),
        "notes": [
            dict(row)
            for row in connection.execute(
                select(notes.c.rater, notes.c.text).order_by(notes.c.id.desc()).limit(NEWEST)
            ).mappings()
        ],
    }


def _count(connection: Connection, condition: object) -> int:
    return connection.execute(select(func.count()).where(condition)).scalar()


def _list_raters(connection: Connection) -> list[dict]:
    """Return the newest raters: what they did, how often a check went wrong, what they use."""
    query = select(
        votes.c.rater,
        votes.c.kind,
        func.count(),
        func.sum(func.abs(votes.c.vote - votes.c.expected)),
    ).group_by(votes.c.rater, votes.c.kind)
    found: dict[str, dict] = {}
    for rater, kind, number, off in connection.execute(query):
        found.setdefault(rater, {})[kind] = (number, off or 0)
    rows = connection.execute(select(raters).order_by(raters.c.joined.desc()).limit(NEWEST))
    return [
        {
            "id": row["id"],
            "admitted": bool(row["admitted"]),
            "tries": row["tries"],
            "votes": found.get(row["id"], {}).get(PAIR, (0, 0))[0],
            "off": {k: found.get(row["id"], {}).get(k, (0, 0)) for k in (GOLD, TRAP)},
            "agent": json.loads(row["environment"])["agent"],
        }
        for row in rows.mappings()
    ]
