"""Which device computes, and in what precision: the one place that decides."""

import torch


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


def is_bf16_native(device: torch.device) -> bool:
    """Whether a GPU computes bfloat16 itself instead of emulating it."""
    if device.type == "cpu":  # some do; there it is a matter of choice
        return False
    supported = getattr(getattr(torch, device.type, None), "is_bf16_supported", None)
    return supported is not None and supported(including_emulation=False)
