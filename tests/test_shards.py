"""Shares of the videos: each video in one, whoever asks, and alike in length."""

import pytest

from vqe.shards import ARRAY, ARRAY_FIRST, PROCESSES, Shard, deal_out, read_shard

LOADS = {f"v{i}": (i * 37) % 11 + 1 for i in range(23)}


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_video_is_in_one_share(count):
    shares = deal_out(LOADS, count)
    assert sorted(name for share in shares for name in share) == sorted(LOADS)
    assert shares == deal_out(dict(reversed(LOADS.items())), count)
    sums = [sum(LOADS[name] for name in share) for share in shares]
    assert max(sums) - min(sums) <= max(LOADS.values())


@pytest.fixture
def environment(monkeypatch):
    for name in (*ARRAY, ARRAY_FIRST, *PROCESSES[0], *PROCESSES[1]):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(k, str(v)) for k, v in values.items()]


def test_a_share_is_named_from_one_on():
    assert read_shard("2/5") == Shard(1, 5)
    assert str(read_shard("2/5")) == "2/5"
    assert read_shard(None) == Shard(0, 1)


@pytest.mark.parametrize("text", ["0/5", "6/5", "5", "a/b", "-1/5", "1/0", "/"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match="expected shard=<i>/<n>"):
        read_shard(text)


def test_nobody_says_which(environment):
    with pytest.raises(ValueError, match=r"expected SLURM_ARRAY_TASK_ID.*shard=auto, got none"):
        read_shard("auto")


@pytest.mark.parametrize(
    ("said", "shard"),
    [
        ({"RANK": 2, "WORLD_SIZE": 4}, Shard(2, 4)),
        ({"SLURM_PROCID": 1, "SLURM_NTASKS": 3}, Shard(1, 3)),
        # torchrun in each of two srun tasks
        ({"SLURM_PROCID": 1, "SLURM_NTASKS": 2, "RANK": 5, "WORLD_SIZE": 8}, Shard(5, 8)),
    ],
)
def test_torchrun_and_srun_say_which(environment, said, shard):
    environment(**said)
    assert read_shard("auto") == shard


def test_an_array_counts_its_jobs_and_their_tasks(environment):
    environment(SLURM_ARRAY_TASK_ID=7, SLURM_ARRAY_TASK_COUNT=5, SLURM_ARRAY_TASK_MIN=3)
    assert read_shard("auto") == Shard(4, 5)
    environment(SLURM_PROCID=1, SLURM_NTASKS=2)
    assert read_shard("auto") == Shard(9, 10)


def test_an_array_with_gaps_is_refused(environment):
    environment(SLURM_ARRAY_TASK_ID=8, SLURM_ARRAY_TASK_COUNT=2, SLURM_ARRAY_TASK_MIN=0)
    with pytest.raises(ValueError, match="got SLURM_ARRAY_TASK_ID=8 of 2"):
        read_shard("auto")
