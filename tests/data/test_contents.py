"""Sampling by content: counted by hand over epochs, on any number of ranks."""

import csv
import shutil
from collections import Counter

import numpy as np
import pytest

from vqe.data import LoaderOptions, VQEDataModule
from vqe.data.samplers import MixedBatches, ShuffledBatches
from vqe.synthesis.record import FILE

CONTENTS = np.repeat([0, 1, 2, 3], [1, 5, 14, 40])  # one has a single frame, one forty
ONE_SHAPE = np.full((len(CONTENTS), 2), 4)
EPOCHS = 40


def draw(epoch=0, *, shapes=ONE_SHAPE, contents=CONTENTS, batch_size=4, **options):
    batches = ShuffledBatches(shapes, batch_size=batch_size, seed=7, contents=contents, **options)
    batches.set_epoch(epoch)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    return drawn


def count(drawn):
    return Counter(position for batch in drawn for position, _ in batch)


def by_content(times, contents=CONTENTS):
    found = Counter()
    for position, number in times.items():
        found[int(contents[position])] += number
    return found


def test_every_content_of_every_epoch_comes_equally_often():
    for epoch in range(5):
        drawn = draw(epoch)
        assert sum(map(len, drawn)) == len(CONTENTS)
        assert by_content(count(drawn)) == dict.fromkeys(range(4), len(CONTENTS) // 4)


def test_a_content_s_frames_are_taken_in_turn():
    times = count(draw())
    of_content = [[times[i] for i in np.flatnonzero(c == CONTENTS)] for c in range(4)]
    assert of_content[:2] == [[15], [3] * 5]
    assert sorted(of_content[2]) == [1] * 13 + [2]
    assert sorted(of_content[3]) == [0] * 25 + [1] * 15
    over = sum((count(draw(epoch)) for epoch in range(EPOCHS)), Counter())
    assert min(over[i] for i in np.flatnonzero(CONTENTS == 3)) >= EPOCHS * 15 / 40 / 2


def test_shares_that_are_no_whole_numbers_are_right_over_epochs():
    contents = np.repeat([0, 1, 2], [2, 3, 6])  # 11 frames: 3 2/3 of each content
    total = Counter()
    for epoch in range(300):
        drawn = draw(epoch, shapes=ONE_SHAPE[:11], contents=contents, batch_size=1)
        found = by_content(count(drawn), contents)
        assert sum(found.values()) == 11 and set(found.values()) <= {3, 4}
        total += found
    assert all(abs(total[c] / 300 - 11 / 3) < 0.1 for c in range(3))


def test_contents_of_several_shapes_keep_their_shares():
    contents = np.repeat([0, 1, 2], [4, 8, 48])
    shapes = np.full((60, 2), 4)
    shapes[:4] = shapes[4:8] = (6, 4)  # all of the first content and half of the second
    times = sum(
        (count(draw(e, shapes=shapes, contents=contents, batch_size=2)) for e in range(EPOCHS)),
        Counter(),
    )
    assert sum(times.values()) == 60 * EPOCHS
    found = by_content(times, contents)
    assert all(found[c] == pytest.approx(20 * EPOCHS, rel=0.02) for c in range(3))
    for batch in draw(shapes=shapes, contents=contents):
        assert len({tuple(shapes[position]) for position, _ in batch}) == 1


def test_order_is_that_of_seed_and_epoch_on_any_number_of_ranks():
    whole = draw(3)
    assert whole == draw(3)
    assert whole != draw(4)
    ranks = [draw(3, rank=rank, world=3) for rank in range(3)]
    assert [batch for turn in zip(*ranks, strict=True) for batch in turn] == whole
    seeds = [seed for batch in whole for _, seed in batch]
    assert len(set(seeds)) == len(seeds)  # a frame that comes twice is another picture


def test_each_kind_of_mixed_batches_is_even_by_itself():
    unsupervised = np.arange(len(CONTENTS)) % 2 == 0
    total = Counter()
    batches = MixedBatches(
        ONE_SHAPE, unsupervised, share=0.5, batch_size=2, seed=7, contents=CONTENTS
    )
    for epoch in range(EPOCHS):
        batches.set_epoch(epoch)
        total += count(batches)
    for kind in (True, False):
        of_kind = {i: n for i, n in total.items() if unsupervised[i] == kind}
        found = by_content(of_kind)
        share = sum(found.values()) / len(set(CONTENTS[unsupervised == kind]))
        assert all(number == pytest.approx(share, rel=0.05) for number in found.values())


def test_a_set_smaller_than_a_batch_still_trains():
    for world in (1, 2):
        options = {"shapes": ONE_SHAPE[:6], "contents": CONTENTS[:6], "batch_size": 8}
        ranks = [draw(rank=rank, world=world, **options) for rank in range(world)]
        assert all(len(batches) == 1 and batches[0] for batches in ranks)


@pytest.fixture(scope="module")
def synthetic(data_folder, tmp_path_factory):
    """The small data folder, of whose synthetic clips two were made of one source."""
    folder = tmp_path_factory.mktemp("contents") / "data"
    shutil.copytree(data_folder, folder)
    with (folder / FILE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subset", "video_id", "source", "clip", "frames", "h264_kbps"])
        for number, source in enumerate(["a.png", "b.png", "a.png"], start=1):
            place = ("train_supervised_synthetic", f"video_{number:04d}")
            writer.writerow([*place, source, number, 4, ""])
    return folder


def count_sources(folder, **options):
    """Draw epochs of a data module; count by what the rows' own videos were made of."""
    loader = LoaderOptions(batch_size=2)
    data = VQEDataModule(str(folder), valid="test_minimal.csv", loader=loader, **options)
    data.setup("fit")
    rows = data.tables["train"]
    made_of = {"video_0001": "a.png", "video_0002": "b.png", "video_0003": "a.png"}
    total = Counter()
    for epoch in range(10):
        batches = data.train_dataloader().batch_sampler
        batches.set_epoch(epoch)
        for position in (i for batch in batches for i, _ in batch):
            row = rows.iloc[position]
            is_made = row.subset == "train_supervised_synthetic"
            total[made_of[row.video_id] if is_made else row.video_id] += 1
    return total


def test_a_content_is_a_source_or_else_a_video(synthetic, data_folder):
    plain = count_sources(synthetic, size=(64, 64))
    assert plain == {"a.png": 80, "b.png": 40, "video_0001": 40, "video_0002": 40}
    even = count_sources(synthetic, size=(64, 64), balance="content")
    assert even == dict.fromkeys(plain, 50)
    without = count_sources(data_folder, size=(64, 64), balance="content")
    assert without == plain  # five videos, none listed


def test_clips_are_even_too(synthetic):
    options = {"size": (64, 64), "clip_length": 3, "clip_stride": 1, "balance": "content"}
    data = VQEDataModule(
        str(synthetic), valid="test_minimal.csv", loader=LoaderOptions(batch_size=1), **options
    )
    data.setup("fit")
    loader = data.train_dataloader()
    total = Counter()
    for epoch in range(40):
        loader.batch_sampler.set_epoch(epoch)
        total += count(loader.batch_sampler)
    assert sum(total.values()) == 40 * 10  # two clips of each of five videos
    clips = loader.dataset.clips
    videos = data.tables["train"][["subset", "video_id"]].astype(str).agg("/".join, axis=1)
    of_video = Counter()
    for position, number in total.items():
        of_video[videos[clips.first_frames[position]]] += number
    of_video = {key.removeprefix("train_"): number for key, number in of_video.items()}
    once = of_video.pop("supervised_synthetic/video_0001")
    assert once + of_video.pop("supervised_synthetic/video_0003") == pytest.approx(100, abs=4)
    assert all(number == pytest.approx(100, abs=4) for number in of_video.values())


def test_other_balances_are_refused(data_folder):
    with pytest.raises(ValueError, match=r"dataset\.balance to be content or null, got 'source'"):
        VQEDataModule(str(data_folder), balance="source")
