"""Run clips side by side on a CPU: each on threads of its own, which never wait for one another.

Splitting each operation over the threads instead makes them meet thousands of times a clip, and
all of them use the same unit of the processor at the same time.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def run_side_by_side(jobs: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
    """Run jobs on the CPU in threads, in torch's number of threads all together.

    Args:
        jobs: the longest first, so that the threads end at about the same time.

    Returns:
        Their results in order.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(jobs))
    if workers < 2:
        return [job() for job in jobs]
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def run(job: Callable[[], Tensor]) -> Tensor:
        # Each thread starts with modes of its own.
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return job()

    torch.set_num_threads(threads // workers)
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(run, jobs))
    finally:
        torch.set_num_threads(threads)
