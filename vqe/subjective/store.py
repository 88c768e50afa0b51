"""Raters, what they were shown and their votes <-> a database, SQLite or PostgreSQL.

All changes go through one thread that commits whatever is waiting at once: the disk is asked once
for many votes, and an answer is given only when the vote is on it.
"""

import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from sqlalchemy import (
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import Executable

MOST_AT_ONCE = 256  # changes in one commit

metadata = MetaData()
raters = Table(
    "raters",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("joined", Float, nullable=False),
    Column("admitted", Integer, nullable=False),  # 0 until the environment is fit
    Column("tries", Integer, nullable=False),
    Column("environment", Text, nullable=False),  # JSON, as the browser told
)
assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rater", String(40), nullable=False, index=True),
    Column("session", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("finished", Float),
)
shown = Table(
    "shown",
    metadata,
    Column("assignment", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("at", Float, nullable=False),
)
votes = Table(
    "votes",
    metadata,
    Column("assignment", Integer, primary_key=True),  # with the position: one vote a pair
    Column("position", Integer, primary_key=True),
    Column("rater", String(40), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("content", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("expected", Float),
    Column("vote", Integer, nullable=False),
    Column("played", Float),
    Column("length", Float, nullable=False),
    Column("dropped", Integer),  # frames that the browser could not show
    Column("at", Float, nullable=False),
)
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rater", String(40), nullable=False),
    Column("at", Float, nullable=False),
    Column("text", Text, nullable=False),
)


class Refused(Exception):
    """What a rater may not do; raised before anything is written.

    Args:
        status: of HTTP.
        reason: for the rater.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Store:
    """A study's database.

    Args:
        url: SQLAlchemy's, such as sqlite:////path/votes.db or postgresql://user@host/name.

    Raises:
        ValueError: no database answers there.
    """

    def __init__(self, url: str) -> None:
        try:
            self.engine = _open_engine(url)
            metadata.create_all(self.engine)
        except Exception as e:
            shown_url = url.rpartition("@")[2]  # no password in a message
            raise ValueError(
                f"expected a database at {shown_url}, got {type(e).__name__}: "
                f"{str(e).splitlines()[0]}. Is it running, and its driver installed "
                "(pip install 'vqe[ratings]')?"
            ) from e
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread that writes."""
        self._thread = threading.Thread(target=self._write_forever, name="votes", daemon=True)
        self._thread.start()

    def submit(self, change: Callable[[Connection], object]) -> Future:
        """Queue a change; its future is done once it is committed, or has raised `Refused`."""
        future: Future = Future()
        self._waiting.put((change, future))
        return future

    def close(self) -> None:
        """Finish what is waiting and let go of the database."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None
        self.engine.dispose()

    def read_votes(self) -> list[dict]:
        """Return all votes as rows of `votes.COLUMNS`, in the order of their sessions."""
        query = select(votes).order_by(votes.c.assignment, votes.c.position)
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            row["session"] = f"{row['rater']}-{row.pop('assignment')}"
        return rows

    def _write_forever(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get())
            work = [item for item in batch if item is not None]
            if work and not self._write(work):
                for item in work:  # one of them failed: each on its own
                    self._write([item], alone=True)
            if len(work) < len(batch):
                return

    def _write(self, work: list[tuple[Callable, Future]], alone: bool = False) -> bool:
        """Make changes in one transaction; False where one failed and none was made."""
        done: list[tuple[Future, object, Exception | None]] = []
        try:
            with self.engine.begin() as connection:
                for change, future in work:
                    try:
                        done.append((future, change(connection), None))
                    except Refused as refusal:
                        done.append((future, None, refusal))
        except Exception as e:
            if alone:
                work[0][1].set_exception(e)
            return False
        for future, result, error in done:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        return True


def insert_new(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless one with its primary key is there; tell whether it was inserted."""
    return connection.execute(_insert_statement(table, tuple(values)), values).rowcount > 0


@functools.cache
def _insert_statement(table: Table, names: tuple[str, ...]) -> Executable:
    """Write it as text, which both databases know: SQLAlchemy 1.4 builds its own anew each time."""
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join(f":{name}" for name in names)
    return text(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING')


def _open_engine(url: str) -> Engine:
    place = make_url(url)
    if place.get_backend_name() != "sqlite":
        return create_engine(url, future=True, pool_pre_ping=True)
    Path(place.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        future=True,
        poolclass=QueuePool,  # the last connection that closes rewrites the database's file
        connect_args={"timeout": 30, "check_same_thread": False},
    )
    event.listen(engine, "connect", _make_durable)
    return engine


def _make_durable(connection, _record) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on the disk when it returns
    cursor.close()
