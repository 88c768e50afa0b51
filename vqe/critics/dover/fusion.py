"""Fuse the two branch scores into one in [0, 1].

The formula is the authors'; the challenge's code hands it the branches the other way round, and
its scores, and most likely the training of its VQA model, rest on that.
"""

import torch
from torch import Tensor

FUSIONS = ("challenge", "paper")


def check_fusion(fusion: str) -> None:
    """Raise ValueError unless there is such a fusion."""
    if fusion not in FUSIONS:
        raise ValueError(f"expected fusion to be one of {', '.join(FUSIONS)}, got {fusion!r}")


def fuse(technical: Tensor, aesthetic: Tensor, fusion: str = "challenge") -> Tensor:
    """Fuse raw branch scores.

    Args:
        technical: branch means [N].
        aesthetic: branch means [N].
        fusion: `paper` as DOVER's authors mean it, `challenge` with the branches swapped.
    """
    check_fusion(fusion)
    t, a = (technical, aesthetic) if fusion == "paper" else (aesthetic, technical)
    return torch.sigmoid((t - 0.1107) / 0.07355 * 0.6104 + (a + 0.08285) / 0.03774 * 0.3896)
