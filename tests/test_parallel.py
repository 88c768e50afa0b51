"""Tasks on many processes: results in order or not, and workers that end with who started them."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from conftest import HAS_PROC, is_running, wait_for_end

from vqe import parallel
from vqe.parallel import map_parallel, open_backend


def shift(item, by):
    return item + by


@pytest.mark.parametrize("backend", ["threading", "sequential"])
@pytest.mark.parametrize("in_order", [True, False])
def test_every_item_is_worked_on_once(backend, in_order):
    with open_backend(backend, None, 2):
        found = list(map_parallel(shift, range(20), 5, in_order=in_order))
    assert (found if in_order else sorted(found)) == list(range(5, 25))


WORK = """
import os, time
from vqe.parallel import map_parallel, open_backend

def work(number):
    print(os.getpid(), flush=True)
    time.sleep(600)

with open_backend("loky", None, 3):
    list(map_parallel(work, range(2), batch_size=1))
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="asks /proc")
def test_workers_end_with_a_killed_parent():
    """The two that work, and the third, which has had no task yet."""
    command = [sys.executable, "-c", WORK]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        assert parent.pid not in workers
        assert all(map(is_running, workers))
        os.kill(parent.pid, signal.SIGKILL)  # it alone: no Ctrl-C, no process group
        parent.wait()
        try:
            assert wait_for_end(parent.pid) == []
        finally:
            with contextlib.suppress(ProcessLookupError):  # none is left
                os.killpg(parent.pid, signal.SIGKILL)


def test_a_worker_that_starts_after_its_parent_ended_takes_no_task(monkeypatch):
    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(parallel.os, "_exit", leave)
    with pytest.raises(SystemExit):
        parallel._watch_parent(os.getppid() + 1)
