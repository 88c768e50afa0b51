"""Which device computes, and in what precision: the one place that decides."""

import importlib.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import torch

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")  # of the critics
MISSING = {
    "bf16": "expected a device that computes bfloat16 itself, got {device} with precision=bf16: "
    "emulated, it is slower than fp32, hundreds of times on some CPUs. Set precision=fp32, "
    "or use a GPU since NVIDIA's Ampere or a CPU with AVX512-BF16, AMX or ARM's BF16",
    "tf32": "expected an NVIDIA GPU since Ampere, got {device} with precision=tf32: other devices "
    "have no TF32. Set precision=fp32 or auto",
    "fp16": "expected an NVIDIA GPU since Ampere and Triton, got {device} with precision=fp16: it "
    "is what kernels for such GPUs compute in. Set precision=fp32 or auto",
}


def choose_device(name: str) -> torch.device:
    """Return the device of a name such as cpu; `auto` is the GPU if there is one.

    Raises:
        ValueError: there is no such device.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    there = ["cpu"] + ([found.type] if found else [])
    if name == "auto":
        return torch.device(there[-1])
    if name.partition(":")[0] not in there:
        raise ValueError(f"expected device to be one of auto, {', '.join(there)}, got {name!r}")
    return torch.device(name)


def choose_own_device(accelerator: str) -> int | list[int]:
    """Return the one device of a process that shares its machine with others, as Lightning wants.

    It is the GPU of the number that torchrun or SLURM gave the process among those that it sees.
    """
    local = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    if accelerator == "cpu" or not torch.cuda.is_available():
        return 1
    return [local % torch.cuda.device_count()]


def name_own_device() -> str:
    """Return the same as a name for `choose_device`."""
    own = choose_own_device("auto")
    return f"cuda:{own[0]}" if isinstance(own, list) else "auto"


def count_own_cores(processes: int) -> int:
    """Return how many cores this process may use, at least 1.

    The system's affinity and a container's limit count. Processes of ours share what is left, as
    torchrun's do, which may not know of each other. A SLURM task among several has its own cores.

    Args:
        processes: of ours on this machine.
    """
    cores, given = joblib.cpu_count(), os.environ.get("SLURM_CPUS_PER_TASK")
    if given and int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return min(cores, int(given))
    sharing = max(processes, int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    return max(1, cores // sharing)


def is_gpu(device: torch.device) -> bool:
    """Whether a device is a GPU of NVIDIA's or AMD's, which fetches page-locked memory itself."""
    return device.type == "cuda"


def bring_to_cpu(values: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the CPU, in page-locked memory if it comes from a GPU.

    That is several times as fast as to other memory. The caller waits: in a thread beside it, the
    copy would be behind all that the caller has given the GPU to do since.
    """
    if values.device.type == "cpu":
        return values
    brought = values.to("cpu", non_blocking=True)
    torch.accelerator.synchronize(values.device)
    return brought


def choose_precision(accelerator: str) -> str:
    """Return Lightning's precision: bf16 where the GPU has it, else 16-mixed there, 32 without."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if is_bf16_native(torch.device("cuda")) else "16-mixed"


def settle_precision(precision: str, device: torch.device, half: str = "bf16") -> str:
    """Return what a critic computes in: fp32, tf32, bf16 or fp16.

    Args:
        precision: one of these, or `auto`: what is right and fast on a GPU, fp32 without one; on a
            CPU bf16 is a matter of choice.
        device: where the critic is.
        half: what `auto` means on a GPU that computes it.

    Raises:
        ValueError: there is no such precision, or the device does not compute it.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"expected precision to be one of {', '.join(PRECISIONS)}, got {precision!r}"
        )
    if precision == "auto":
        return half if device.type != "cpu" and _computes(half, device) else "fp32"
    if not _computes(precision, device):
        raise ValueError(MISSING[precision].format(device=device))
    return precision


def _computes(precision: str, device: torch.device) -> bool:
    """Whether a device computes in a precision itself."""
    if precision == "bf16":
        return is_bf16_native(device)
    if precision == "tf32":
        return device.type == "cuda" and not torch.version.hip and _is_ampere(device)
    return precision == "fp32" or has_triton(device)


def _is_ampere(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def is_bf16_native(device: torch.device) -> bool:
    """Whether a device computes bfloat16 itself instead of emulating it."""
    if device.type == "cpu":
        return _is_cpu_bf16_native()
    supported = getattr(getattr(torch, device.type, None), "is_bf16_supported", None)
    return supported is not None and supported(including_emulation=False)


def _is_cpu_bf16_native() -> bool:
    """Ask for the CPU's instructions, and whether oneDNN, which multiplies, may use them.

    On x86 it says yes with AVX-512 alone, where it emulates bfloat16 at a third of fp32's speed;
    ONEDNN_MAX_CPU_ISA, which holds it back, counts.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return arm or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def has_triton(device: torch.device) -> bool:
    """Whether Triton's kernels run on a device: an NVIDIA GPU since Ampere, and Triton is there."""
    if device.type != "cuda" or torch.version.hip or importlib.util.find_spec("triton") is None:
        return False
    return _is_ampere(device)


@contextmanager
def float32_products(device: torch.device, tf32: bool) -> Iterator[None]:
    """Multiply float32 numbers on a GPU as they are, or with TF32's eleven bits, inside of this.

    Left alone, cuDNN's convolutions use TF32 unasked, and Lightning's `matmul_precision` decides
    on matrix products. What autograd does later, in backward, is outside of this: a gradient is as
    exact as the surroundings say.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    parts = (cudnn.conv, cudnn.rnn, cuda.matmul, torch.backends.mkldnn.matmul)
    kept = [(part, part.fp32_precision) for part in parts]
    matmul = torch.get_float32_matmul_precision()
    # The older settings set the newer ones as well; torch refuses to read two that disagree.
    cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        cudnn.allow_tf32 = kept[0][1] == "tf32"
        torch.set_float32_matmul_precision(matmul)
        for part, value in kept:
            part.fp32_precision = value


def count_free_bytes(device: torch.device) -> int | None:
    """Return how much memory torch can still hand out on an NVIDIA GPU; None if nobody knows."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
