import threading

import pytest
import torch
from conftest import HANGS

from vqe.critics.dover.side_by_side import run_side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_keep_their_order(two_threads):
    jobs = [lambda n=n: torch.tensor(n) for n in range(7)]
    assert [int(r) for r in run_side_by_side(jobs)] == list(range(7))


def test_jobs_meet_in_two_threads_of_one_each(two_threads):
    both = threading.Barrier(2, timeout=HANGS)  # breaks unless two jobs run at the same time

    def job():
        both.wait()
        return torch.tensor([threading.get_ident() % 2**31, torch.get_num_threads()])

    first, second = run_side_by_side([job, job])
    assert first[0] != second[0]
    assert first[1] == second[1] == 1


def test_threads_are_given_back_after_an_error(two_threads):
    def fail():
        raise RuntimeError("no score")

    with pytest.raises(RuntimeError, match="no score"):
        run_side_by_side([fail, lambda: torch.zeros(1)])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_modes_reach_the_jobs(two_threads, mode):
    weight = torch.ones(1, requires_grad=True)
    with mode():
        expected = weight * 2
        results = run_side_by_side([lambda: weight * 2] * 2)
    assert all(r.requires_grad == expected.requires_grad for r in results)
    assert all(r.is_inference() == expected.is_inference() for r in results)
