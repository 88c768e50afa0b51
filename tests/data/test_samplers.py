import numpy as np
import pytest

from vqe.data.index import read_index
from vqe.data.samplers import MixedBatches, ShuffledBatches, VideoBatches, take_turns
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


UNSUPERVISED = np.arange(len(SHAPES)) % 3 == 0  # 11 of 31


def mix(share=0.5, epoch=0, unsupervised=UNSUPERVISED, **options):
    batches = MixedBatches(
        SHAPES, unsupervised, **({"share": share, "batch_size": 2, "seed": 7} | options)
    )
    batches.set_epoch(epoch)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    return drawn


def kinds_of(drawn):
    """Return for each batch whether it is unsupervised; it must be of one kind and shape."""
    kinds = []
    for batch in drawn:
        positions = [position for position, _ in batch]
        assert len({tuple(SHAPES[i]) for i in positions}) == 1
        (kind,) = set(UNSUPERVISED[positions].tolist())
        kinds.append(kind)
    return kinds


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.8, 1])
def test_mixed_batches_have_one_kind_each_and_the_share_asked_for(share):
    counts = [kinds_of(mix(share, epoch)) for epoch in range(10)]
    drawn = np.concatenate(counts)
    assert len(counts[0]) == 7 + 3 + 3 + 2  # of 14, 6, 7 and 4 frames of one shape and kind
    assert drawn.sum() == round(share * len(drawn))
    if share == 0.5:  # the kinds are shuffled, not one after the other
        assert counts[0] not in (sorted(counts[0]), sorted(counts[0], reverse=True))


def test_mixed_batches_differ_by_epoch_and_repeat():
    assert mix(epoch=1) != mix(epoch=2)
    assert mix(epoch=2) == mix(epoch=2)
    seeds = [seed for epoch in range(4) for batch in mix(epoch=epoch) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_the_scarcer_kind_comes_round_more_often_and_evenly():
    drawn = [i for epoch in range(50) for batch in mix(0.8, epoch) for i, _ in batch]
    times = np.bincount(drawn, minlength=len(SHAPES))
    assert times.min() > 0
    assert times[UNSUPERVISED].mean() > 3 * times[~UNSUPERVISED].mean()
    assert times[UNSUPERVISED].max() < 2 * times[UNSUPERVISED].min()


def test_ranks_share_the_mixed_batches():
    ranks = [mix(rank=r, world=3) for r in range(3)]
    assert [len(rank) for rank in ranks] == [5, 5, 5]
    alternating = [batch for pair in zip(*ranks, strict=True) for batch in pair]
    assert alternating == mix()


def test_a_kind_smaller_than_a_batch_still_mixes():
    few = np.zeros(len(SHAPES), bool)
    few[:3] = True
    drawn = mix(0.5, unsupervised=few, batch_size=8)
    assert {len(batch) for batch in drawn} == {3, 8}


def test_a_share_without_frames_of_its_kind_is_refused():
    none = np.zeros(len(SHAPES), bool)
    with pytest.raises(
        ValueError, match=r"share=0.5, got 31 with a target and 0 without. Set it to 0"
    ):
        mix(0.5, unsupervised=none)
    with pytest.raises(ValueError, match=r"got 0 with a target and 31 without. Set it to 1"):
        mix(0.5, unsupervised=~none)
    with pytest.raises(ValueError, match=r"in \[0,1\] or null, got 1.5"):
        mix(1.5)
    assert mix(0, unsupervised=none)
    assert mix(1, unsupervised=~none)


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


VIDEOS = [
    [[video, number] for number in range(count)] for video, count in enumerate((5, 4, 2, 2, 1))
]


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
def test_lanes_take_turns_and_lose_nothing(lanes):
    turns = take_turns(VIDEOS, lanes)
    batches = [batch for batch in turns if batch]
    assert sorted(batches) == [batch for video in VIDEOS for batch in video]
    for video in range(len(VIDEOS)):
        places = [place for place, batch in enumerate(turns) if batch and batch[0] == video]
        assert {place % lanes for place in places} == {places[0] % lanes}  # one lane's
        assert [turns[place][1] for place in places] == list(range(len(places)))  # in order
        assert places == list(range(places[0], places[-1] + 1, lanes))  # without a pause
    starts = [batch[0] for batch in batches if batch[1] == 0]
    assert starts == sorted(starts)


def test_one_lane_is_one_video_after_the_other():
    assert take_turns(VIDEOS, 1) == [batch for video in VIDEOS for batch in video]
