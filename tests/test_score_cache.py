"""What the critics made of input frames comes back from disk, and from nothing but a sound row."""

import logging
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from vqe import assembly
from vqe.critics import score_cache, score_file, score_keys
from vqe.critics.frozen import ConstantDOVER, FrozenDOVER, FrozenVQA
from vqe.critics.pair import FrozenCritics
from vqe.critics.score_cache import ScoreCache
from vqe.critics.score_keys import Kept, digest_frames, digest_weights, make_keys

SEEDS = torch.tensor([11, 22])
KEYS = [b"a" * 20, b"b" * 20]
VALUES = np.array([[0.25, 1.5, -3.0], [1.0, 2.0, 1e-7]], np.float32)


class CheapDOVER(nn.Module):
    """Score a frame from its pixels and seed, and count the frames."""

    def __init__(self, **options):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.kept = Kept("dover", 1, options)
        self.frames = 0

    def forward(self, frames_u8_bchw, seeds_b):
        self.frames += len(frames_u8_bchw)
        means = frames_u8_bchw.double().mean((1, 2, 3)) / 255
        return (self.weight * (0.5 * means + (seeds_b % 97) / 200)).float()[:, None]


@pytest.fixture(scope="module")
def vqa():
    return FrozenVQA("untrained")


@pytest.fixture
def frames():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 2, 3, 64, 96), generator=generator).float().div(255).unbind()


@pytest.fixture(scope="module")
def mobile():
    return FrozenDOVER("mobile", "untrained", num_clips=1)


def look(cache, kind="kind", width=3, keys=KEYS):
    return cache.find(kind, keys, width)


def store(cache, keys=KEYS, values=VALUES):
    cache.keep("kind", keys, values)
    cache.flush()


def fill(folder):
    cache = ScoreCache(folder)
    store(cache)
    return cache.path


def assert_rebuilt(folder, before, caplog):
    """What lay at the cache's place is moved as it was, said so, and a new cache works."""
    caplog.clear()
    cache = ScoreCache(folder)
    assert look(cache) == [None, None]
    aside = folder / "scores.damaged_1.sqlite"
    assert aside.read_bytes() == before
    (message,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert str(aside) in message
    assert str(cache.path) in message
    store(cache)
    np.testing.assert_array_equal(look(ScoreCache(folder)), VALUES)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("scores.damaged_1.sqlite", "scores.sqlite", "scores.sqlite.lock")
    ]


def test_values_come_back_in_another_cache_of_the_folder(tmp_path):
    fill(tmp_path)
    cache = ScoreCache(tmp_path)
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


def keys_of(frame, critic, seed=7):
    return make_keys(critic.kept, digest_weights(critic), digest_frames(frame[None]), [seed])


def test_a_key_changes_with_all_that_changes_the_result(monkeypatch):
    frame = torch.arange(3 * 8 * 6, dtype=torch.uint8).view(3, 8, 6)
    critic = CheapDOVER(fusion="challenge", num_clips=3)
    key = keys_of(frame, critic)
    assert keys_of(frame.clone(), CheapDOVER(num_clips=3, fusion="challenge")) == key

    pixel = frame.clone()
    pixel[2, 7, 5] += 1
    weights = CheapDOVER(fusion="challenge", num_clips=3)
    nn.init.constant_(weights.weight, 1 + 1e-6)
    kind = CheapDOVER(fusion="challenge", num_clips=3)
    kind.kept = Kept("vqa", 1, kind.kept.options)
    others = [
        keys_of(pixel, critic),
        keys_of(frame.view(3, 6, 8), critic),
        keys_of(frame, critic, seed=8),
        keys_of(frame, weights),
        keys_of(frame, CheapDOVER(fusion="challenge", num_clips=3).to(torch.bfloat16)),
        keys_of(frame, CheapDOVER(fusion="paper", num_clips=3)),
        keys_of(frame, CheapDOVER(fusion="challenge", num_clips=1)),
        keys_of(frame, kind),
    ]
    monkeypatch.setattr(score_keys, "RESULTS_VERSION", score_keys.RESULTS_VERSION + 1)
    others.append(keys_of(frame, critic))
    assert len({key[0], *(other[0] for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "paper"},
        {"channel_order": "rgb"},
        {"num_clips": 2},
        {"view": "clip"},
    ],
)
def test_every_option_of_dover_is_in_its_key(mobile, options):
    other = FrozenDOVER("mobile", "untrained", **({"num_clips": 1} | options))
    assert other.kept != mobile.kept


def test_the_precision_is_in_the_key(vqa):
    assert digest_weights(FrozenVQA("untrained", precision="bf16")) != digest_weights(vqa)


def test_memory_layout_of_weights_is_not_in_the_key():
    conv = nn.Conv2d(3, 4, 3)
    before = digest_weights(conv)
    assert digest_weights(conv.to(memory_format=torch.channels_last)) == before


def test_scores_are_the_same_with_a_cache_empty_half_full_and_full(tmp_path, vqa, mobile, frames):
    x, enhanced = frames
    critics = FrozenCritics(vqa, mobile, ScoreCache(tmp_path))
    with torch.no_grad():
        plain = FrozenCritics(vqa, mobile)(x, enhanced, SEEDS).before_clamps
        empty = critics(x[1:], enhanced[1:], SEEDS[1:]).before_clamps
        half = critics(x, enhanced, SEEDS).before_clamps
        full = critics(x, enhanced, SEEDS).before_clamps
    assert (critics.cache.hits, critics.cache.misses) == (2 + 4, 2 + 2)
    torch.testing.assert_close(empty, plain[1:], rtol=0, atol=1e-6)
    torch.testing.assert_close(half, plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(full, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("enhanced_first", [False, True])
def test_gradient_is_the_same_with_a_cache(tmp_path, frames, enhanced_first):
    vqa = FrozenVQA("untrained", enhanced_first=enhanced_first)
    gradients = []
    for cache in (None, ScoreCache(tmp_path), ScoreCache(tmp_path)):
        enhanced = frames[1].clone().requires_grad_()
        critics = FrozenCritics(vqa, CheapDOVER(), cache)
        critics(frames[0], enhanced, SEEDS).before_clamps.sum().backward()
        gradients.append(enhanced.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


def test_other_seeds_and_other_pixels_are_computed(tmp_path, vqa, frames):
    x, enhanced = frames
    dover = CheapDOVER()
    critics = FrozenCritics(vqa, dover, ScoreCache(tmp_path))
    computed = []
    for batch in [(x, SEEDS), (x, SEEDS), (x, SEEDS + 1), (x.flip(3), SEEDS), (x + 1e-5, SEEDS)]:
        before = dover.frames
        with torch.no_grad():
            critics(batch[0], enhanced, batch[1])
        computed.append(dover.frames - before - len(enhanced))
    assert computed == [2, 0, 2, 2, 0]  # the last is the same in 8 bits


def test_another_precision_is_computed_anew_and_the_first_one_stays(tmp_path, frames):
    def score(*, after=None):
        vqa = FrozenVQA("untrained", precision="fp32")
        critics = FrozenCritics(vqa, CheapDOVER(), ScoreCache(tmp_path))
        with torch.no_grad():
            critics(*frames, SEEDS)
            if after is None:
                return critics.cache.hits
            critics.to(after)
            critics.cache.hits = 0
            critics(*frames, SEEDS)
        return critics.cache.hits

    assert score(after=torch.bfloat16) == 0
    assert score() == 4


def test_nothing_of_a_dover_that_is_off_is_kept(tmp_path, vqa, frames):
    critics = FrozenCritics(vqa, ConstantDOVER(0.5), ScoreCache(tmp_path))
    with torch.no_grad():
        critics(*frames, SEEDS)
    with closing(sqlite3.connect(critics.cache.path)) as connection:
        assert connection.execute("SELECT DISTINCT kind FROM scores").fetchall() == [("vqa",)]


def test_scores_that_are_no_numbers_are_not_kept(tmp_path):
    cache = ScoreCache(tmp_path)
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
    cache = ScoreCache(tmp_path)
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
    assert look(ScoreCache(tmp_path))[0] is None
    assert look(ScoreCache(tmp_path), width=2)[0].tolist() == VALUES[0, :2].tolist()


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
    cache = ScoreCache(tmp_path)
    store(cache, keys, values)
    content = bytearray(cache.path.read_bytes())
    for start in rng.integers(100, len(content) - 3000, 4):
        content[start : start + 3000] = rng.bytes(3000)
    cache.path.write_bytes(content)
    cache = ScoreCache(tmp_path)
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
    assert_goes_on(ScoreCache(tmp_path / "file" / "cache"), caplog)


def test_a_folder_in_the_file_s_place_does_not_stop_anything(tmp_path, caplog):
    (tmp_path / "scores.sqlite").mkdir()
    assert_goes_on(ScoreCache(tmp_path), caplog)
    assert (tmp_path / "scores.sqlite").is_dir()


def test_a_read_only_folder_does_not_stop_anything(tmp_path, caplog):
    tmp_path.chmod(0o555)
    try:
        try:
            (tmp_path / "probe").touch()
        except PermissionError:
            assert_goes_on(ScoreCache(tmp_path), caplog)
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
        score_file.sqlite3, "connect", lambda *a, **k: connect(*a, factory=failing, **k)
    )
    assert_goes_on(ScoreCache(tmp_path), caplog)


def test_a_disk_that_fills_up_leaves_what_was_stored(tmp_path, caplog, monkeypatch):
    path = fill(tmp_path)
    before = path.read_bytes()
    connect = sqlite3.connect
    pragma = f"PRAGMA max_page_count = {len(before) // 16384}"
    failing = type("Failing", (FailingConnection,), {"pragma": pragma})
    cache = ScoreCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            score_file.sqlite3, "connect", lambda *a, **k: connect(*a, factory=failing, **k)
        )
        keys = [bytes([i]) * 20 for i in range(100)]
        store(cache, keys, np.ones((100, 512), np.float32))
    assert "full" in caplog.text
    assert path.read_bytes() == before
    np.testing.assert_array_equal(look(ScoreCache(tmp_path)), VALUES)


def test_a_lock_held_too_long_does_not_stop_anything(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(score_cache, "TIMEOUT_S", 0.05)
    with score_cache.FileLock(tmp_path / "scores.sqlite.lock"):
        assert_goes_on(ScoreCache(tmp_path), caplog)


WRITE_ROWS = """
import sys, time
from pathlib import Path
import numpy as np
from vqe.critics.score_cache import ScoreCache

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
cache = ScoreCache(folder / "cache")
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
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert [p.read_bytes() for p in folder.glob("*damaged*")] == [b"no database"]
    with closing(sqlite3.connect(folder / "scores.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (101,)


def fit_counted(config, monkeypatch):
    """Train; return frames per call that reached DOVER beside the enhanced ones, and the VQA."""
    module, data = assembly.build_module(config), assembly.build_data(config)
    critics = module.critics
    critics.dover, encoded, epochs = CheapDOVER(), [], []
    encode, forward = FrozenVQA.encode, FrozenCritics.forward

    def count_encoded(self, x):
        encoded.append(len(x))
        return encode(self, x)

    def count_inputs(self, x, enhanced, seeds_b):
        before = self.dover.frames, sum(encoded)
        scores = forward(self, x, enhanced, seeds_b)
        new = self.dover.frames - before[0] - len(x), sum(encoded) - before[1]
        epochs.append((module.current_epoch, module.training, len(x), *new))
        return scores

    with monkeypatch.context() as patch:
        patch.setattr(FrozenVQA, "encode", count_encoded)
        patch.setattr(FrozenCritics, "forward", count_inputs)
        assembly.build_trainer(config).fit(module, datamodule=data)
    return np.array(epochs)


def test_the_second_epoch_and_the_second_run_compute_no_input(
    tiny_config, tmp_path, monkeypatch, caplog
):
    folder = tmp_path / "kept"
    common = (
        f"score_cache='{folder}'",
        "augmentation=none",
        "trainer.max_epochs=2",
        "trainer.limit_train_batches=null",
        "trainer.num_sanity_val_steps=0",
        "callbacks.before_after=null",
    )
    with caplog.at_level(logging.INFO):
        counts = fit_counted(tiny_config(*common), monkeypatch)
    first, second = counts[counts[:, 0] == 0], counts[counts[:, 0] == 1]
    assert (first[:, 2] == first[:, 3]).all()
    assert first[:, 4].sum() > 0
    assert second[:, 2].sum() == first[:, 2].sum() > 0
    assert second[:, 3:].sum() == 0
    (report,) = [r.getMessage() for r in caplog.records if "score cache" in r.getMessage()]
    new, asked = int(first[:, 3:].sum()), 4 * int(first[:, 2].sum())  # 2 critics, 2 epochs
    assert f"{asked - new} hits, {new} misses; it holds " in report
    assert report.endswith(f"{(folder / 'scores.sqlite').stat().st_size / 1e6:.1f} MB")
    again = fit_counted(tiny_config(*common, run=tmp_path / "again"), monkeypatch)
    assert again[:, 3:].sum() == 0


def test_off_by_default(tiny_config, tmp_path, monkeypatch):
    config = tiny_config("callbacks.before_after=null")
    assert config.score_cache is None
    fit_counted(config, monkeypatch)
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_augmented_training_is_warned_of(tiny_config, tmp_path, caplog):
    assembly.build_critics(tiny_config(f"score_cache='{tmp_path}'"))
    assert "augmentation=none" in caplog.text
