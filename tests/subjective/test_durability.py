"""Votes through kill -9, on SQLite and PostgreSQL, and through many raters at once."""

import threading

import pandas as pd
import pytest
from conftest import HANGS
from postgres import run_postgres
from rating_load import count_lost, make_study, measure_load
from served import run_served
from sqlalchemy import inspect, select

from vqe.subjective.links import new_rater
from vqe.subjective.progress import Ballot, Progress
from vqe.subjective.store import Refused, Store, metadata, raters, votes
from vqe.subjective.study import load_study

QUICK = {"raters": 12, "seconds": 1.5, "pause": 0.4}


@pytest.fixture(scope="module")
def postgres():
    with run_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(make_study(tmp_path_factory.mktemp("load"), raters=10))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/votes.db"
    else:
        url = request.getfixturevalue("postgres")
    store = Store(url)
    with store.engine.begin() as connection:  # of the tests before
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    store.start()
    yield store
    store.close()


def check(figures):
    assert figures["votes_lost"] == 0
    assert figures["votes_acknowledged"] > 5 * QUICK["raters"]
    assert figures["vote_p95_ms"] < 1000  # the benchmark says how fast it really is


@pytest.mark.slow
def test_no_acknowledged_vote_is_lost_by_kill_9():
    check(measure_load(**QUICK))


@pytest.mark.slow
def test_no_acknowledged_vote_is_lost_by_kill_9_with_postgresql(postgres):
    check(measure_load(**QUICK, database=postgres))


def test_lost_votes_would_be_seen():
    there = pd.DataFrame([{"rater": "a-b", "session": "a-b-3", "position": 2.0, "vote": -1.0}])
    assert count_lost([("a-b", 3, 2, -1)], there) == 0
    assert count_lost([("a-b", 3, 2, 1), ("a-b", 3, 3, -1), ("a-b", 4, 2, -1)], there) == 3


def test_raters_at_once_go_on_each_in_their_own_place(store, study):
    progress = Progress(study)
    people = [new_rater() for _ in range(8)]
    problems = []

    def rate(rater):
        try:
            ask(progress.enter, rater, {}, True, now=0)
            state, now = ask(progress.begin, rater, now=0), 0.0
            for _ in range(16):
                now += 60
                ballot = Ballot(state["assignment"], state["position"], 1, 0.2, 0)
                state = ask(progress.vote, rater, ballot, now=now)
        except Exception as e:
            problems.append(e)

    def ask(change, rater, *values, now):
        return store.submit(lambda c: change(c, rater, *values, now)).result(HANGS)

    threads = [threading.Thread(target=rate, args=(rater,)) for rater in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    rows = pd.DataFrame(store.read_votes())
    assert rows.groupby("rater").size().tolist() == [16] * 8
    rated = rows[rows["kind"] != "training"]
    plans = rated.groupby("session")[["content", "first", "second"]].apply(
        lambda part: tuple(part.to_numpy().ravel())
    )
    assert plans.nunique() == 8  # everybody had another session


def test_a_refusal_or_a_failure_costs_no_other_vote(store):
    def insert(rater):
        row = {"joined": 0, "admitted": 1, "tries": 1, "environment": "{}"}
        return lambda c: c.execute(raters.insert().values(id=rater, **row))

    def refuse(connection):
        raise Refused(409, "no")

    def fail(connection):
        insert("lost")(connection)
        raise RuntimeError("a bug")

    block = threading.Event()
    first = store.submit(lambda c: block.wait(HANGS))  # all others wait, and go into one commit
    futures = [store.submit(f) for f in (insert("a"), refuse, insert("b"), fail, insert("c"))]
    block.set()
    first.result(HANGS)
    with pytest.raises(Refused):
        futures[1].result(HANGS)
    with pytest.raises(RuntimeError, match="a bug"):
        futures[3].result(HANGS)
    for future in (futures[0], futures[2], futures[4]):
        future.result(HANGS)
    with store.engine.connect() as connection:
        assert sorted(connection.execute(select(raters.c.id)).scalars()) == ["a", "b", "c"]


def test_the_database_itself_holds_one_vote_a_pair(store):
    assert inspect(store.engine).get_pk_constraint("votes")["constrained_columns"] == [
        column.name for column in votes.primary_key
    ]


def test_sqlite_is_durable(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/votes.db")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # full
    store.close()


def test_a_database_that_is_not_there_is_told_without_its_password():
    with pytest.raises(ValueError, match=r"expected a database at 127.0.0.1:1/x") as told:
        Store("postgresql://vqe:secret@127.0.0.1:1/x")
    assert "secret" not in str(told.value)


@pytest.mark.slow
def test_the_command_ends_when_it_is_told_to(tmp_path):
    study = make_study(tmp_path, raters=1)
    with run_served(study, tmp_path / "log.txt") as served:
        assert served.stop() in (0, 143)
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
