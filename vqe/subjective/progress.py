"""A rater's request -> what the database then holds, and what to show next.

Every method runs in the store's one writing thread, within a transaction, so nothing changes
between what it reads and what it writes.
"""

import json
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.engine import Connection

from vqe.subjective.store import Refused, assignments, insert_new, notes, raters, shown, votes
from vqe.subjective.study import TRAINING_SESSION, Study, Trial

LEAST_SHARE = 0.9  # of the clips' length that must pass before a vote
LONGEST_NOTE = 1000  # letters
FIND_CURRENT = (  # the pair that is shown and has no vote; built once, for every vote asks it
    select(assignments.c.id, assignments.c.session, shown.c.position, shown.c.at)
    .select_from(
        assignments.join(shown, shown.c.assignment == assignments.c.id).outerjoin(
            votes,
            (votes.c.assignment == shown.c.assignment) & (votes.c.position == shown.c.position),
        )
    )
    .where(
        assignments.c.rater == bindparam("rater"),
        assignments.c.finished.is_(None),
        votes.c.position.is_(None),
    )
)


@dataclass(frozen=True)
class Ballot:
    """A vote as the page sends it."""

    assignment: int
    position: int
    vote: int
    played: float | None  # seconds that both clips took
    dropped: int | None


@dataclass(frozen=True)
class _Current:
    assignment: int
    session: int
    position: int  # of the pair that is shown and waits for its vote
    shown_at: float


class Progress:
    """What raters of a study have done and do next.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.settings = study.settings
        self.numbers = [n for n in study.sessions if n != TRAINING_SESSION]

    def find_state(self, connection: Connection, rater: str, now: float) -> dict:
        """Return what a rater's page is to show; a pair that was shown is shown again."""
        row = connection.execute(
            select(raters.c.admitted, raters.c.tries).where(raters.c.id == rater)
        ).first()
        if row is None or not row.admitted:
            left = self.settings["tries"] - (row.tries if row else 0)
            return {"stage": "checks", "tries": left} if left > 0 else {"stage": "refused"}
        current = self._find_current(connection, rater)
        if current is not None:
            return self._describe(current)
        done = self._count_done(connection, rater)
        if done >= min(self.settings["sessions_per_rater"], len(self.numbers)):
            return {"stage": "over", "done": done}
        return {"stage": "pause", "done": done}

    def enter(
        self, connection: Connection, rater: str, environment: dict, right: bool, now: float
    ) -> dict:
        """Note what a rater's screen is like, and let the rater in if it is right.

        Raises:
            Refused: the rater has had all tries.
        """
        row = connection.execute(select(raters).where(raters.c.id == rater)).mappings().first()
        if row is not None and row["admitted"]:
            return self.find_state(connection, rater, now)
        if row is not None and row["tries"] >= self.settings["tries"]:
            raise Refused(403, "There is no try left. Thank you for your time.")
        told = json.dumps(environment, ensure_ascii=False)
        tries = row["tries"] + 1 if row is not None else 1
        values = {"admitted": int(right), "tries": tries, "environment": told}
        if row is None:
            insert_new(connection, raters, id=rater, joined=now, **values)
        else:
            connection.execute(update(raters).where(raters.c.id == rater).values(values))
        return self.find_state(connection, rater, now)

    def begin(self, connection: Connection, rater: str, now: float) -> dict:
        """Give a rater the next session, or training where the last one is long ago.

        Raises:
            Refused: the rater is not let in, or has done all sessions.
        """
        state = self.find_state(connection, rater, now)
        if state["stage"] == "pair":
            return state
        if state["stage"] != "pause":
            raise Refused(403, "There is no session for you now.")
        trained = connection.execute(
            select(func.max(assignments.c.finished)).where(
                assignments.c.rater == rater, assignments.c.session == TRAINING_SESSION
            )
        ).scalar()
        again = self.settings["training_minutes"] * 60
        is_due = trained is None or now - trained > again
        session = TRAINING_SESSION if is_due else self._choose_session(connection, rater, now)
        return self._describe(self._assign(connection, rater, session, now))

    def vote(self, connection: Connection, rater: str, ballot: Ballot, now: float) -> dict:
        """Keep a vote on the pair that is shown and go on to the next.

        The same vote sent twice, as after a lost answer, is kept once.

        Raises:
            Refused: the pair is not shown, has a vote already, or cannot have been watched.
        """
        current = self._find_current(connection, rater)
        place = (ballot.assignment, ballot.position)
        if current is None or place != (current.assignment, current.position):
            self._check_repeat(connection, rater, ballot)
            return self.find_state(connection, rater, now)
        trial = self.study.sessions[current.session][current.position - 1]
        length = self.study.seconds(trial)
        if now - current.shown_at < LEAST_SHARE * length:
            raise Refused(409, "Please watch both clips to their end.")
        is_new = insert_new(
            connection,
            votes,
            assignment=current.assignment,
            position=current.position,
            rater=rater,
            kind=trial.kind,
            content=trial.content,
            first=trial.first,
            second=trial.second,
            expected=None if trial.expected != trial.expected else trial.expected,
            vote=ballot.vote,
            played=ballot.played,
            length=length,
            dropped=ballot.dropped,
            at=now,
        )
        if not is_new:
            raise Refused(409, "There is a vote on this pair already.")
        return self._go_on(connection, rater, current, now)

    def note(self, connection: Connection, rater: str, text: str, now: float) -> dict:
        """Keep what a rater says of the study.

        Raises:
            Refused: the rater is not let in.
        """
        state = self.find_state(connection, rater, now)
        if state["stage"] in ("checks", "refused"):
            raise Refused(403, "Please begin first.")
        connection.execute(notes.insert().values(rater=rater, at=now, text=text[:LONGEST_NOTE]))
        return state

    def _go_on(self, connection: Connection, rater: str, current: _Current, now: float) -> dict:
        trials = self.study.sessions[current.session]
        if current.position < len(trials):
            return self._describe(
                self._show(
                    connection, current.assignment, current.session, current.position + 1, now
                )
            )
        connection.execute(
            update(assignments).where(assignments.c.id == current.assignment).values(finished=now)
        )
        if current.session == TRAINING_SESSION:
            session = self._choose_session(connection, rater, now)
            return self._describe(self._assign(connection, rater, session, now))
        return self.find_state(connection, rater, now)

    def _check_repeat(self, connection: Connection, rater: str, ballot: Ballot) -> None:
        """Let a vote pass that was kept already, word for word; refuse all others."""
        kept = connection.execute(
            select(votes.c.vote).where(
                votes.c.assignment == ballot.assignment,
                votes.c.position == ballot.position,
                votes.c.rater == rater,
            )
        ).scalar()
        if kept is None:
            raise Refused(409, "This pair is not being shown to you.")
        if kept != ballot.vote:
            raise Refused(409, "There is a vote on this pair already.")

    def _find_current(self, connection: Connection, rater: str) -> _Current | None:
        """Return the pair that waits for a rater's vote, None between sessions."""
        row = connection.execute(FIND_CURRENT, {"rater": rater}).first()
        return None if row is None else _Current(*row)

    def _assign(self, connection: Connection, rater: str, session: int, now: float) -> _Current:
        added = connection.execute(
            assignments.insert().values(rater=rater, session=session, started=now)
        )
        return self._show(connection, added.inserted_primary_key[0], session, 1, now)

    def _show(
        self, connection: Connection, assignment: int, session: int, position: int, now: float
    ) -> _Current:
        insert_new(connection, shown, assignment=assignment, position=position, at=now)
        return _Current(assignment, session, position, now)

    def _choose_session(self, connection: Connection, rater: str, now: float) -> int:
        """Return the session that fewest have done or are at, of those new to the rater."""
        since = now - self.settings["abandoned_minutes"] * 60
        counts = dict(
            connection.execute(
                select(assignments.c.session, func.count())
                .where(assignments.c.finished.isnot(None) | (assignments.c.started > since))
                .group_by(assignments.c.session)
            ).all()
        )
        own = select(assignments.c.session).where(assignments.c.rater == rater)
        had = set(connection.execute(own).scalars())
        fresh = [number for number in self.numbers if number not in had]
        return min(fresh or self.numbers, key=lambda number: counts.get(number, 0))

    def _count_done(self, connection: Connection, rater: str) -> int:
        return connection.execute(
            select(func.count()).where(
                assignments.c.rater == rater,
                assignments.c.session != TRAINING_SESSION,
                assignments.c.finished.isnot(None),
            )
        ).scalar()

    def _describe(self, current: _Current) -> dict:
        """Return the pair to show: names of clips, and nothing of what they are."""
        trials: list[Trial] = self.study.sessions[current.session]
        trial = trials[current.position - 1]
        ahead = trials[current.position : current.position + 1]
        return {
            "stage": "pair",
            "assignment": current.assignment,
            "position": current.position,
            "of": len(trials),
            "training": current.session == TRAINING_SESSION,
            "first": trial.clip_first,
            "second": trial.clip_second,
            "ahead": [name for t in ahead for name in (t.clip_first, t.clip_second)],
        }
