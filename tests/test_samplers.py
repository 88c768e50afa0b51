import numpy as np
import pytest

from vqe.data.index import read_index
from vqe.data.samplers import ShuffledBatches, VideoBatches
from vqe.schema import VIDEO_KEY

SHAPES = np.array([(4, 4)] * 21 + [(6, 4)] * 10)


def draw(epoch=0, **options):
    batches = ShuffledBatches(SHAPES, batch_size=4, seed=7, **options)
    batches.set_epoch(epoch)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    return [[position for position, _ in batch] for batch in drawn]


def test_a_batch_holds_one_shape_and_no_frame_twice():
    drawn = draw()
    assert len(drawn) == 5 + 2
    for batch in drawn:
        assert len({tuple(SHAPES[i]) for i in batch}) == 1
    flat = [i for batch in drawn for i in batch]
    assert len(set(flat)) == len(flat)


def test_epochs_differ_and_repeat():
    assert draw(epoch=1) != draw(epoch=2)
    assert draw(epoch=2) == draw(epoch=2)


def test_ranks_share_the_batches_of_one_process():
    ranks = [draw(rank=r, world=2) for r in range(2)]
    assert [len(r) for r in ranks] == [3, 3]
    flat = [i for rank in ranks for batch in rank for i in batch]
    assert len(set(flat)) == len(flat)


def test_a_set_smaller_than_a_batch_still_trains():
    for world in (1, 2):
        ranks = [
            list(ShuffledBatches(SHAPES[:3], batch_size=8, seed=0, rank=r, world=world))
            for r in range(world)
        ]
        assert all(len(batches) == 1 and batches[0] for batches in ranks)
    (whole,) = ShuffledBatches(SHAPES[:3], batch_size=8, seed=0)
    assert sorted(position for position, _ in whole) == [0, 1, 2]


def test_every_frame_of_every_epoch_has_a_seed_of_its_own():
    batches = ShuffledBatches(SHAPES, batch_size=4, seed=7)
    seeds = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        seeds += [seed for batch in batches for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_over_epochs_every_frame_is_drawn():
    seen = {i for epoch in range(10) for batch in draw(epoch) for i in batch}
    assert seen == set(range(len(SHAPES)))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_test_batches_split_by_video(data_folder, world):
    table = read_index(data_folder / "test.csv")
    ranks = [list(VideoBatches(table, batch_size=2, rank=r, world=world)) for r in range(world)]
    flat = [i for rank in ranks for batch in rank for i in batch]
    assert sorted(flat) == list(range(len(table)))
    videos = [{tuple(table[VIDEO_KEY].iloc[i]) for batch in rank for i in batch} for rank in ranks]
    assert sum(map(len, videos)) == len(set.union(*videos))
    alone = {tuple(b) for b in VideoBatches(table, batch_size=2)}
    assert {tuple(b) for rank in ranks for b in rank} == alone


def test_test_batches_hold_one_video_in_time_order(data_folder):
    table = read_index(data_folder / "test.csv").sample(frac=1, random_state=0)
    table = table.reset_index(drop=True)
    seen = {}
    for batch in VideoBatches(table, batch_size=2):
        keys = {tuple(table[VIDEO_KEY].iloc[i]) for i in batch}
        assert len(keys) == 1
        seen.setdefault(keys.pop(), []).extend(table["img_source"].iloc[batch])
    assert all(paths == sorted(paths) for paths in seen.values())


def test_more_ranks_than_videos_is_refused(data_folder):
    table = read_index(data_folder / "test.csv", 'video_id == "video_0003"')
    with pytest.raises(ValueError, match="at least one video for each of 2 processes, got 1"):
        VideoBatches(table, batch_size=2, world=2)
