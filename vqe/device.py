"""Which device computes, and in what precision: the one place that decides."""

import platform

import torch

PRECISIONS = ("auto", "fp32", "bf16")  # of the critics


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


def choose_precision(accelerator: str) -> str:
    """Return Lightning's precision: bf16 where the GPU has it, else 16-mixed there, 32 without."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if is_bf16_native(torch.device("cuda")) else "16-mixed"


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return what a critic's layers compute in: what each name of a precision means.

    Args:
        precision: `fp32`; `bf16`; or `auto`, bf16 on a GPU that computes it natively, else fp32:
            on a CPU it is a matter of choice.
        device: where the layers are.

    Raises:
        ValueError: there is no such precision, or the device only emulates bf16.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"expected precision to be one of {', '.join(PRECISIONS)}, got {precision!r}"
        )
    native = is_bf16_native(device)
    if precision == "bf16" and not native:
        raise ValueError(
            f"expected a device that computes bfloat16 itself, got {device} with precision=bf16: "
            "emulated, it is slower than fp32, hundreds of times on some CPUs. Set precision=fp32, "
            "or use a GPU since NVIDIA's Ampere or a CPU with AVX512-BF16, AMX or ARM's BF16"
        )
    chosen = precision == "bf16" or (precision == "auto" and native and device.type != "cpu")
    return torch.bfloat16 if chosen else torch.float32


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
