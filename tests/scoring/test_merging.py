"""Shards merge to what one run writes, in any order, cut and repeated; misfits are told."""

import random

import pytest
from clips import make_clip
from conftest import compose_config

from vqe.cli import gather_words
from vqe.records import Head, Record, RecordWriter
from vqe.scoring.merging import merge_results
from vqe.scoring.score_videos import score_videos
from vqe.training import testing

SCORES = {"command": "score_videos", "columns": ["p"], "weights": "abc"}
TEST = {"command": "test_vqe", "weights": "abc"}
VIDEOS = [f"{i}.mp4" for i in range(9)]
QUIET = (
    "dataloader.num_workers=0",
    "callbacks.progress_bar=null",
    "callbacks.before_after=null",
)
TESTED = [f"test_unsupervised/v{i}" for i in range(6)] + ["test_supervised_synthetic/v1"]


def score_row(name, error=""):
    p = float("nan") if error else random.Random(name).random()
    return {"path": name, "frames": 3, "p": p, "error": error}


def numbers(name):
    draw = random.Random(name).random
    count = {"rmse": 1} if "_supervised" in name else {"scores": 12}
    return {"numbers": {kind: [draw() for _ in range(n)] for kind, n in count.items()}}


def write(run, videos, identity=SCORES, whole=VIDEOS, stamp="", **more):
    contents = {n: score_row(n) if identity is SCORES else numbers(n) for n in videos} | more
    with RecordWriter(run, Head(identity, whole)) as writer:
        for name, content in contents.items():
            writer.append(Record(name, stamp, content))
    return run


def merge(output, *runs):
    config = compose_config(output, f"folders=[{','.join(map(str, runs))}]", name="merge_results")
    merge_results(config)
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in output.rglob("*.csv")}


@pytest.mark.parametrize(("identity", "names"), [(SCORES, VIDEOS), (TEST, TESTED)])
@pytest.mark.parametrize("count", [2, 5])
def test_any_shards_in_any_order_give_the_same_bytes(tmp_path, identity, names, count):
    whole = merge(tmp_path / "whole", write(tmp_path / "one", names, identity, names))
    assert set(whole) == (
        {"scores.csv"}
        if identity is SCORES
        else {"results/metrics_supervised.csv", "results/metrics_unsupervised.csv"}
    )
    shuffled = random.Random(count).sample(names, len(names))
    runs = [write(tmp_path / f"{i}", shuffled[i::count], identity, names) for i in range(count)]
    # one was cut, with half a line, and repeated: both folders are named
    cut = write(tmp_path / "cut", shuffled[:1], identity, names)
    [file] = (cut / "records").iterdir()
    file.write_bytes(file.read_bytes() + b'{"video": "')
    assert merge(tmp_path / "merged", cut, *reversed(runs)) == whole


def test_what_failed_once_and_not_again_did_not_fail(tmp_path):
    good = write(tmp_path / "good", VIDEOS)
    failed = {"0.mp4": score_row("0.mp4", "no memory")}
    bad = write(tmp_path / "bad", [], **failed)
    whole = merge(tmp_path / "whole", good)
    assert merge(tmp_path / "one", bad, good) == merge(tmp_path / "two", good, bad) == whole
    rest = write(tmp_path / "rest", VIDEOS[1:])
    assert b"no memory" in merge(tmp_path / "three", bad, rest)["scores.csv"]


def test_what_does_not_fit_is_told(tmp_path):
    half = write(tmp_path / "half", VIDEOS[:4])
    output = tmp_path / "output"
    with pytest.raises(ValueError, match=r"got none of 4\.mp4, 5\.mp4, .* Name the other shards"):
        merge(output, half)
    other = write(tmp_path / "other", VIDEOS, SCORES | {"weights": "another"})
    with pytest.raises(ValueError, match=r"same weights and options, got other weights \(.*other"):
        merge(output, half, other)
    more = write(tmp_path / "more", VIDEOS, whole=[*VIDEOS, "new.mp4"])
    with pytest.raises(ValueError, match=r"shards of the same videos, got new\.mp4 in some"):
        merge(output, half, more)
    changed = write(tmp_path / "changed", [], **{"0.mp4": score_row("0.mp4") | {"p": 0.5}})
    with pytest.raises(ValueError, match=r"expected 0\.mp4 with the same numbers wherever it is"):
        merge(output, half, changed)
    with pytest.raises(FileNotFoundError, match=r"expected a run folder .* got .*gone"):
        merge(output, half, tmp_path / "gone")
    twice = ["test_unsupervised/v1", "train_unsupervised/v1"]
    with pytest.raises(ValueError, match="expected each video_id once, got v1"):
        merge(output, write(tmp_path / "twice", twice, TEST, twice))
    assert not output.exists()


def test_words_are_the_folders():
    given = ["a b", "it's", "output=there", "--help"]
    assert gather_words("folders")(given) == ["output=there", "--help", r"folders=['a b','it\'s']"]
    assert gather_words("folders")(["output=there"]) == ["output=there"]


@pytest.mark.slow
def test_shards_of_scoring_and_testing_merge_to_the_whole(tmp_path, data_folder, nano_checkpoint):
    count = 5  # more than there are videos to score
    make_clip(tmp_path / "in/a.mp4", frames=4, rate=30)
    make_clip(tmp_path / "in/b.mp4", frames=6, rate=30)
    (tmp_path / "in/bad.mp4").write_text("no video")
    places = (f"dataset.path='{data_folder}'", f"checkpoint='{nano_checkpoint}'")
    critics = ("model_vqa=standin", "model_dover=off")
    for name, work, given in (
        ("score_videos", score_videos, (f"input='{tmp_path}/in'", "device=cpu", "every=2")),
        ("test_vqe", testing.test, (*places, "trainer=cpu", "only_csv=true", *QUIET)),
    ):
        whole, output = tmp_path / name / "whole", tmp_path / name / "merged"
        work(compose_config(whole, *given, *critics, name=name))
        runs = [tmp_path / name / f"{i}" for i in range(1, count + 1)]
        for i, run in enumerate(runs, start=1):
            work(compose_config(run, *given, *critics, f"shard={i}/{count}", name=name))
        merged = merge(output, *random.Random(0).sample(runs, count))
        expected = {p.relative_to(whole).as_posix(): p.read_bytes() for p in whole.rglob("*.csv")}
        assert merged == expected
