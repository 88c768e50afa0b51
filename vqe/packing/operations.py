"""A network and a frame -> its convolutions, activations, and the work that no counter counts."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# what only makes, copies or renames numbers
FREE = (
    *("empty", "zeros", "ones", "full", "new_", "arange", "linspace", "scalar_tensor"),
    *("copy", "to_copy", "clone", "detach", "unsafe_view", "cat", "stack"),
)


@dataclass
class Operations:
    """What a forward pass calls.

    Attributes:
        convolutions: calls.
        activations: numbers that convolutions return, the NTIRE efficiency challenges' measure.
        uncounted: of operations that PyTorch's counter of FLOPs leaves out: calls and the numbers
            that they return, by name. Views and copies are left out here, too.
    """

    convolutions: int = 0
    activations: int = 0
    uncounted: dict[str, dict[str, int]] = field(default_factory=dict)


def list_operations(network: nn.Module, frames_bchw: torch.Tensor) -> Operations:
    """Run a network once and list what it calls.

    Args:
        network: in eval mode.
        frames_bchw: RGB [0,1] [B,3,H,W].
    """
    found = Operations()
    with torch.no_grad(), _Listener(found):
        network(frames_bchw)
    return found


class _Listener(TorchDispatchMode):
    """Write down each operation that comes by."""

    def __init__(self, found: Operations) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        numbers = sum(
            one.numel()
            for one in (result if isinstance(result, (tuple, list)) else (result,))
            if isinstance(one, torch.Tensor)
        )
        if func._overloadpacket is torch.ops.aten.convolution:
            self.found.convolutions += 1
            self.found.activations += numbers
        elif func._overloadpacket not in flop_registry and not _is_free(func):
            name = func._overloadpacket.__name__
            entry = self.found.uncounted.setdefault(name, {"calls": 0, "numbers": 0})
            entry["calls"] += 1
            entry["numbers"] += numbers
        return result


def _is_free(func: Any) -> bool:
    """Whether an operation computes nothing: views, copies and what makes tensors."""
    returns = func._schema.returns
    is_view = bool(returns) and returns[0].alias_info is not None
    is_view = is_view and not returns[0].alias_info.is_write
    name = func._overloadpacket.__name__.strip("_")
    return is_view or name.startswith(FREE)
