"""Measure a network's size and work: network -> parameters and MACs of one frame, logged."""

import copy
import logging
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Complexity:
    """A network's cost for one frame of `height` x `width`; a GMAC is 1e9 multiply-accumulates."""

    height: int
    width: int
    params: int
    macs_g: float  # convolutions and matrix products, counted by PyTorch
    functional_macs_g: dict[str, float]  # by operation, as the network reports them

    @property
    def total_macs_g(self) -> float:
        """Sum what PyTorch counted and what the network reported."""
        return self.macs_g + sum(self.functional_macs_g.values())


def measure_complexity(network: nn.Module, height: int = 720, width: int = 1280) -> Complexity:
    """Run a copy of the network once on the CPU, on a 1x3xHxW frame, and count its MACs.

    A network names the operations that the counter cannot see in `functional_macs(height, width)`;
    one without this method is taken to have none. One that can `fuse()` is measured fused, its
    parameters too. The network itself stays as it is.
    """
    # Not on the meta device: it lacks things a network may use, autocast among them.
    replica = fuse(copy.deepcopy(network).cpu().float().eval())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        replica(torch.zeros(1, 3, height, width))
    report = getattr(network, "functional_macs", None)
    functional = report(height, width) if report else {}
    return Complexity(
        height=height,
        width=width,
        params=sum(p.numel() for p in replica.parameters()),
        macs_g=counter.get_total_flops() / 2 / 1e9,
        functional_macs_g={name: macs / 1e9 for name, macs in functional.items()},
    )


def fuse(network: nn.Module) -> nn.Module:
    """Fuse a network, in place, if it can be."""
    return network.fuse() if hasattr(network, "fuse") else network


def log_complexity(network: nn.Module, limit_macs_g: float = 20.0) -> Complexity:
    """Measure at 1x3x720x1280, log the result and warn where the total is above the limit."""
    found = measure_complexity(network)
    beside = ", ".join(f"{name} {macs:.3f}" for name, macs in found.functional_macs_g.items())
    log.info(
        "%s at 1x3x%dx%d: %s parameters, %.3f GMACs counted, beside them (GMACs): %s",
        type(network).__name__,
        found.height,
        found.width,
        f"{found.params:,}",
        found.macs_g,
        beside or "none",
    )
    if found.total_macs_g > limit_macs_g:
        log.warning(
            "expected at most %g GMACs a frame, got %.1f: the challenge calls this too complex",
            limit_macs_g,
            found.total_macs_g,
        )
    return found
