"""Figures of stages: speed while they work, what the loop waited for, and the bottleneck."""

import threading

import pytest

from vqe import stages
from vqe.stages import StageClock, show_stages


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until `now.append` moves it."""
    times = [100.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: times[-1])
    return times


def work(clock, now, name, frames, seconds):
    with clock.work(name, frames):
        now.append(now[-1] + seconds)


def test_speed_is_that_of_the_working_time(now):
    clock = StageClock()
    work(clock, now, "network", 8, 2.0)
    work(clock, now, "critics", 8, 4.0)
    with clock.wait("encode"):
        now.append(now[-1] + 1.0)
    clock.add("encode", frames=8, busy=12.0, waited=0.5, workers=3)
    clock.add("decode", frames=8, busy=1.0, workers=2)
    clock.add_wait("decode", 0.25)
    facts = clock.describe(8)
    speeds = {name: stage["frames_per_second"] for name, stage in facts["stages"].items()}
    assert speeds == {"network": 4, "critics": 2, "encode": 2, "decode": 16}
    assert facts["loop_waited_seconds"] == {"encode": 1.0, "decode": 0.25}
    assert facts["seconds"] == 7 and facts["frames_per_second"] == pytest.approx(8 / 7, abs=1e-3)
    assert facts["bottleneck"] == "critics"
    words = show_stages(facts)
    assert "8 frames in 7.0 s" in words and "Bottleneck: critics" in words
    assert "encode 2, waited for 1.0 s" in words


@pytest.mark.parametrize(("name", "seconds"), [("encode", 3.5), ("decode", 2.5), ("network", 0.5)])
def test_the_bottleneck_is_where_the_loop_s_time_goes(now, name, seconds):
    clock = StageClock()
    work(clock, now, "network", 1, 2.0)
    clock.add("encode", frames=1, busy=100.0)  # beside the loop, which need not wait for it
    clock.add_wait("encode", seconds if name == "encode" else 0.1)
    clock.add_wait("decode", seconds if name == "decode" else 0.1)
    assert clock.bottleneck == name


def test_nothing_was_done_yet():
    clock = StageClock()
    assert clock.bottleneck is None
    clock.add("encode", waited=1.0)
    assert clock.describe(0)["stages"]["encode"]["frames_per_second"] is None
    assert "encode -" in show_stages(clock.describe(0) | {"frames_per_second": 0.0})


def test_threads_share_a_clock():
    clock = StageClock()

    def count():
        for _ in range(2000):
            clock.add("encode", frames=1, busy=1.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.stages["encode"].frames == clock.stages["encode"].busy_seconds == 8000
