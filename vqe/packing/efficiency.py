"""A network -> what it costs a frame, as the NTIRE efficiency challenges report it.

It is measured in a process of its own, `python -m vqe.packing.efficiency <settings>`, so that peak
memory is the network's and nobody else's.
"""

import copy
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import nn

from vqe.device import choose_device, float32_products
from vqe.export.complexity import fuse, measure_complexity
from vqe.packing.operations import list_operations
from vqe.training.checkpoints import load_network

HEIGHT, WIDTH = 720, 1280
RUNS = 5
WARM_UP = {"cpu": 2}
WARM_UP_ELSEWHERE = 10  # clocks of a GPU rise
MB = 1e6


class EfficiencyError(RuntimeError):
    """The measurement failed."""


def measure_apart(
    checkpoint: Path, network_config: dict[str, Any] | None, device: str
) -> dict[str, Any]:
    """Measure the network of a checkpoint in a process of its own; see `measure_efficiency`.

    Args:
        checkpoint: of train_vqe.py.
        network_config: how to build a network of one's own, None for those of `vqe.models`.
        device: auto, cpu, cuda, ...

    Raises:
        EfficiencyError: it fails; the message has its last words.
    """
    settings = {"checkpoint": str(checkpoint), "config": network_config, "device": device}
    done = subprocess.run(
        [sys.executable, "-m", "vqe.packing.efficiency", json.dumps(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise EfficiencyError(
            f"expected to measure the network of {checkpoint}, got: {last}. efficiency=false packs "
            "without"
        )
    return json.loads(done.stdout.splitlines()[-1])


def measure_efficiency(
    network: nn.Module, device: torch.device, *, height: int = HEIGHT, width: int = WIDTH
) -> dict[str, Any]:
    """Measure a network on one frame of 1x3xHxW, in float32, fused where it can be.

    Returns:
        What `efficiency.json` holds.
    """
    replica = fuse(copy.deepcopy(network).float().eval()).to(device)
    frames = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad(), float32_products(device, tf32=False):
        memory = measure_memory(replica, frames)
        times = measure_times(replica, frames)
    replica, frames = replica.cpu(), frames.cpu()
    complexity = measure_complexity(network, height, width)
    operations = list_operations(replica, frames)
    macs_g = complexity.total_macs_g
    return {
        "network": type(network).__name__,
        "input": f"1x3x{height}x{width}",
        "precision": "float32",
        "gmacs": macs_g,
        "gflops": 2 * macs_g,
        "gmacs_counted": complexity.macs_g,
        "gmacs_named_by_the_network": complexity.functional_macs_g,
        "not_counted": operations.uncounted,
        "parameters": complexity.params,
        "activations": operations.activations,
        "convolutions": operations.convolutions,
        "ms_a_frame": statistics.mean(times),
        "ms_of_runs": times,
        "timed_by": "CUDA events" if device.type == "cuda" else "the system's clock",
        "peak_memory_mb": memory,
        "machine": describe_machine(device),
    }


def measure_times(network: nn.Module, frames: torch.Tensor) -> list[float]:
    """Return the milliseconds of some passes, after some that do not count."""
    for _ in range(WARM_UP.get(frames.device.type, WARM_UP_ELSEWHERE)):
        network(frames)
    time_pass = _time_by_events if frames.device.type == "cuda" else _time_by_clock
    return [time_pass(network, frames) for _ in range(RUNS)]


def _time_by_clock(network: nn.Module, frames: torch.Tensor) -> float:
    start = time.perf_counter()
    network(frames)
    if frames.device.type != "cpu":
        torch.accelerator.synchronize(frames.device)
    return (time.perf_counter() - start) * 1000


def _time_by_events(network: nn.Module, frames: torch.Tensor) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(frames.device)
    start.record()
    network(frames)
    end.record()
    torch.cuda.synchronize(frames.device)
    return start.elapsed_time(end)


def measure_memory(network: nn.Module, frames: torch.Tensor) -> float | None:
    """Return the most memory that weights, frame and one pass take, in 10^6 bytes.

    On a GPU that is what PyTorch had allocated at most; on a CPU weights and frame, and by how much
    the process grew at most, which a process that did nothing before shows best. None where the
    system does not tell.
    """
    if frames.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(frames.device)
        network(frames)
        torch.cuda.synchronize(frames.device)
        return torch.cuda.max_memory_allocated(frames.device) / MB
    if frames.device.type != "cpu":
        return None
    gc.collect()  # memory that is freed during the pass would hide what it takes
    before = reset_peak()
    network(frames)
    after = read_status("VmHWM")
    if before is None or after is None:
        return None
    tensors = [*network.parameters(), *network.buffers(), frames]
    return (after - before + sum(t.nbytes for t in tensors)) / MB


def reset_peak() -> int | None:
    """Let the system count this process's peak of memory anew; return the bytes that it holds."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # no Linux, or not allowed
        return None
    return read_status("VmRSS")


def read_status(key: str) -> int | None:
    """Return bytes that Linux says of this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(values[0]) * 1024 if values else None


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Name processor, GPU and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    there = {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": joblib.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    gpu = None if device.type == "cpu" else torch.get_device_module(device).get_device_name(device)
    return {"device": gpu or there["cpu"], **there}


def main(settings: dict[str, Any]) -> None:
    """Print the measurement of a checkpoint's network as JSON; end with a line if it fails."""
    try:
        network, _ = load_network(Path(settings["checkpoint"]), settings["config"])
        found = measure_efficiency(network, choose_device(settings["device"]))
    except (OSError, RuntimeError, ValueError) as error:  # memory that runs out, too
        sys.exit(str(error).splitlines()[0])
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
