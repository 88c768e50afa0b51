"""The file of kept scores gives back what was stored, whatever happens to it, and never stops."""

import logging
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing

import numpy as np
import pytest
from conftest import HANGS

from vqe.critics import feature_cache
from vqe.critics.feature_cache import FeatureCache

KEYS = [b"a" * 20, b"b" * 20]
VALUES = np.array([[0.25, 1.5, -3.0], [1.0, 2.0, 1e-7]], np.float32)


def look(cache, kind="kind", width=3, keys=KEYS):
    return cache.find(kind, keys, width)


def store(cache, keys=KEYS, values=VALUES):
    cache.keep("kind", keys, values)
    cache.flush()


def fill(folder):
    cache = FeatureCache(folder)
    store(cache)
    return cache.path


def assert_rebuilt(folder, before, caplog):
    """What lay at the cache's place is moved as it was, said so, and a new cache works."""
    caplog.clear()
    cache = FeatureCache(folder)
    assert look(cache) == [None, None]
    aside = folder / "scores.damaged_1.sqlite"
    assert aside.read_bytes() == before
    (message,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert str(aside) in message
    assert str(cache.path) in message
    store(cache)
    np.testing.assert_array_equal(look(FeatureCache(folder)), VALUES)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("scores.damaged_1.sqlite", "scores.sqlite", "scores.sqlite.lock")
    ]


def test_values_come_back_in_another_cache_of_the_folder(tmp_path):
    fill(tmp_path)
    cache = FeatureCache(tmp_path)
    found = look(cache, keys=[KEYS[1], b"c" * 20, KEYS[0]])
    assert found[1] is None
    np.testing.assert_array_equal(found[0], VALUES[1])
    np.testing.assert_array_equal(found[2], VALUES[0])
    assert (cache.hits, cache.misses) == (2, 1)
    assert look(cache, kind="other") == [None, None]


def test_the_file_says_whose_it_is(tmp_path):
    with closing(sqlite3.connect(fill(tmp_path))) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0x76716573,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_scores_that_are_no_numbers_are_not_kept(tmp_path):
    cache = FeatureCache(tmp_path)
    store(cache, values=np.array([[np.nan, 0, 0], [1, 2, 3]], np.float32))
    found = look(cache)
    assert found[0] is None
    assert found[1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("blob", [b"", b"1234", b"x" * 16, VALUES[1].tobytes(), "text", 5])
def test_a_value_that_was_not_stored_so_is_computed_again(tmp_path, blob):
    path = fill(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE scores SET value = ? WHERE key = ?", (blob, KEYS[0]))
        connection.commit()
    cache = FeatureCache(tmp_path)
    assert look(cache)[0] is None
    np.testing.assert_array_equal(look(cache)[1], VALUES[1])
    store(cache, KEYS[:1], VALUES[:1])
    np.testing.assert_array_equal(look(cache), VALUES)


def test_a_value_of_another_length_is_computed_again(tmp_path):
    path = fill(tmp_path)
    short = VALUES[0, :2].tobytes()
    with closing(sqlite3.connect(path)) as connection:
        row = (short, zlib.crc32(KEYS[0] + short), KEYS[0])
        connection.execute("UPDATE scores SET value = ?, crc = ? WHERE key = ?", row)
        connection.commit()
    assert look(FeatureCache(tmp_path))[0] is None
    assert look(FeatureCache(tmp_path), width=2)[0].tolist() == VALUES[0, :2].tolist()


@pytest.mark.parametrize("keep", [0, 50, 3000, 16384, 20000, -1])
def test_a_truncated_file_is_moved_aside_and_rebuilt(tmp_path, caplog, keep):
    path = fill(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    assert_rebuilt(tmp_path, whole[:keep], caplog)


def test_random_bytes_are_moved_aside(tmp_path, caplog):
    content = np.random.default_rng(0).bytes(20000)
    (tmp_path / "scores.sqlite").write_bytes(content)
    assert_rebuilt(tmp_path, content, caplog)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_another_program_s_database_is_moved_aside_untouched(tmp_path, caplog, mode):
    path = tmp_path / "scores.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE scores (kind, key, value, crc)")
        connection.execute("INSERT INTO scores VALUES (1, 2, 3, 4)")
        connection.commit()
    assert_rebuilt(tmp_path, path.read_bytes(), caplog)


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 99", "ALTER TABLE scores RENAME TO others"]
)
def test_another_layout_is_moved_aside(tmp_path, caplog, change):
    path = fill(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    assert_rebuilt(tmp_path, path.read_bytes(), caplog)


def test_what_lies_beside_a_foreign_database_moves_with_it(tmp_path):
    (tmp_path / "scores.sqlite").write_bytes(b"foreign")
    (tmp_path / "scores.sqlite-wal").write_bytes(b"its log")
    fill(tmp_path)
    assert (tmp_path / "scores.damaged_1.sqlite-wal").read_bytes() == b"its log"
    (tmp_path / "scores.sqlite").write_bytes(b"a second one")
    fill(tmp_path)
    assert (tmp_path / "scores.damaged_1.sqlite").read_bytes() == b"foreign"
    assert (tmp_path / "scores.damaged_2.sqlite").read_bytes() == b"a second one"


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_never_gives_a_wrong_value_and_never_raises(tmp_path, seed):
    """Blocks of noise in a file of many pages: a value is the one stored, or computed again."""
    rng = np.random.default_rng(seed)
    keys = [rng.bytes(20) for _ in range(300)]
    values = rng.standard_normal((300, 64)).astype(np.float32)
    cache = FeatureCache(tmp_path)
    store(cache, keys, values)
    content = bytearray(cache.path.read_bytes())
    for start in rng.integers(100, len(content) - 3000, 4):
        content[start : start + 3000] = rng.bytes(3000)
    cache.path.write_bytes(content)
    cache = FeatureCache(tmp_path)
    for value, found in zip(values, cache.find("kind", keys, 64), strict=True):
        assert found is None or (found == value).all()
    store(cache, keys, values)
    np.testing.assert_array_equal(cache.find("kind", keys, 64), values)


def assert_goes_on(cache, caplog):
    caplog.clear()
    for _ in range(3):
        store(cache)
        assert look(cache) == [None, None]
    cache.report()
    (message,) = [r.getMessage() for r in caplog.records]
    assert "goes on without it" in message
    assert str(cache.path) in message


def test_a_folder_that_cannot_be_made_does_not_stop_anything(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert_goes_on(FeatureCache(tmp_path / "file" / "cache"), caplog)


def test_a_folder_in_the_file_s_place_does_not_stop_anything(tmp_path, caplog):
    (tmp_path / "scores.sqlite").mkdir()
    assert_goes_on(FeatureCache(tmp_path), caplog)
    assert (tmp_path / "scores.sqlite").is_dir()


def test_a_read_only_folder_does_not_stop_anything(tmp_path, caplog):
    tmp_path.chmod(0o555)
    try:
        try:
            (tmp_path / "probe").touch()
        except PermissionError:
            assert_goes_on(FeatureCache(tmp_path), caplog)
        else:
            pytest.skip("this user may write to read-only folders")
    finally:
        tmp_path.chmod(0o755)


class FailingConnection(sqlite3.Connection):
    """Fill the disk after the first page, or refuse to write."""

    pragma = ""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.execute(self.pragma)


@pytest.mark.parametrize("pragma", ["max_page_count = 1", "query_only = 1"])
def test_a_full_or_read_only_disk_does_not_stop_anything(tmp_path, caplog, monkeypatch, pragma):
    connect = sqlite3.connect
    failing = type("Failing", (FailingConnection,), {"pragma": f"PRAGMA {pragma}"})
    monkeypatch.setattr(
        feature_cache.sqlite3, "connect", lambda *a, **k: connect(*a, factory=failing, **k)
    )
    assert_goes_on(FeatureCache(tmp_path), caplog)


def test_a_disk_that_fills_up_leaves_what_was_stored(tmp_path, caplog, monkeypatch):
    path = fill(tmp_path)
    before = path.read_bytes()
    connect = sqlite3.connect
    pragma = f"PRAGMA max_page_count = {len(before) // 16384}"
    failing = type("Failing", (FailingConnection,), {"pragma": pragma})
    cache = FeatureCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            feature_cache.sqlite3, "connect", lambda *a, **k: connect(*a, factory=failing, **k)
        )
        keys = [bytes([i]) * 20 for i in range(100)]
        store(cache, keys, np.ones((100, 512), np.float32))
    assert "full" in caplog.text
    assert path.read_bytes() == before
    np.testing.assert_array_equal(look(FeatureCache(tmp_path)), VALUES)


def test_a_lock_held_too_long_does_not_stop_anything(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(feature_cache, "TIMEOUT_S", 0.05)
    with feature_cache.FileLock(tmp_path / "scores.sqlite.lock"):
        assert_goes_on(FeatureCache(tmp_path), caplog)


WRITE_ROWS = """
import sys, time
from pathlib import Path
import numpy as np
from vqe.critics.feature_cache import FeatureCache

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
cache = FeatureCache(folder / "cache")
(folder / f"ready_{rank}").touch()
while not (folder / f"ready_{1 - rank}").exists():
    time.sleep(0.001)
for batch in range(20):
    numbers = range(batch * 5 + rank, batch * 5 + rank + 5)  # overlap with the other's
    keys = [number.to_bytes(20, "big") for number in numbers]
    cache.keep("kind", keys, np.array([[n] * 512 for n in numbers], np.float32))
    cache.flush()
    assert [int(values[0]) for values in cache.find("kind", keys, 512)] == list(numbers)
"""


def test_two_processes_write_at_once_and_one_of_them_rebuilds(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "scores.sqlite").write_bytes(b"no database")
    command = [sys.executable, "-c", WRITE_ROWS, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(rank)]) for rank in (0, 1)]
    assert [worker.wait(HANGS) for worker in workers] == [0, 0]
    assert [p.read_bytes() for p in folder.glob("*damaged*")] == [b"no database"]
    with closing(sqlite3.connect(folder / "scores.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (101,)
