"""Time things fairly: in turn, so that a slow minute of the machine hits all of them; medians."""

import platform
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch


class Stopwatch:
    """Add up the seconds of named calls."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def run(self, name: str, call: Callable, *args, **options):
        """Call and note how long it took."""
        synchronise(self.device)
        start = time.perf_counter()
        result = call(*args, **options)
        synchronise(self.device)
        self.seconds[name] += time.perf_counter() - start
        return result

    def wrap(self, holder: object, attribute: str, name: str) -> None:
        """Time every call of a holder's function from now on."""
        call = getattr(holder, attribute)
        setattr(holder, attribute, lambda *args, **options: self.run(name, call, *args, **options))


def time_in_turn(
    candidates: dict[str, Callable[[], object]], repeats: dict[str, int], device: torch.device
) -> dict[str, float]:
    """Run the candidates in turn, which were run before: median seconds by name.

    Args:
        candidates: what to run, by name.
        repeats: timed runs of each.
        device: waited for before and after each run.
    """
    seconds = {name: [] for name in candidates}
    for turn in range(max(repeats.values())):
        for name, run in candidates.items():
            if turn < repeats[name]:
                seconds[name].append(time_once(run, device))
    return {name: statistics.median(values) for name, values in seconds.items()}


def time_once(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one run."""
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait until a device has done its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def matmul_peak(dtype: torch.dtype, device: torch.device, quick: bool = False) -> float:
    """Return the GFLOP/s of a square matrix product, the median of many; quick: a small one."""
    size = 256 if quick else 2048
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    seconds = time_in_turn({"matmul": lambda: a @ b}, {"matmul": 15}, device)["matmul"]
    return 2 * size**3 / seconds / 1e9


def peak_memory_mb(device: torch.device) -> float:
    """Return the largest memory so far: of the GPU, else of the process."""
    if device.type == "cpu":
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return kilobytes / (1024**2 if sys.platform == "darwin" else 1024)
    return torch.accelerator.max_memory_allocated(device) / 1024**2


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Name processor, threads and versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    if device.type != "cpu":
        model = torch.get_device_module(device).get_device_name(device)
    return {"device": model, "threads": torch.get_num_threads(), "torch": torch.__version__}
