"""Cut the views of a real clip: uint8 frames of any number -> 32 frames, made small twice.

Both views hold the same 32 frames. The fragments of all frames of a clip lie at the same offsets,
so that a fragment shows motion and not the jump from one place to another.
"""

import torch
from torch import Tensor

from vqe.critics.dover.views import Offsets, cut_fragments, normalise, shrink

CLIP_LENGTH = 32


def spread_indices(length: int) -> Tensor:
    """Return which of a clip's frames are looked at: 32, evenly from the first to the last.

    Positions are rounded to the nearest frame: a clip of fewer frames repeats them, in order.
    """
    return torch.linspace(0, length - 1, CLIP_LENGTH, dtype=torch.float64).round().long()


def spread_frames(clips: Tensor) -> Tensor:
    """Take 32 frames of each clip [B,T,3,H,W]: [B,32,3,H,W].

    Raises:
        ValueError: the clips have no frame.
    """
    length = clips.shape[1]
    if length < 1:
        raise ValueError(f"expected clips of at least one frame, got {list(clips.shape)}")
    return clips if length == CLIP_LENGTH else clips[:, spread_indices(length).to(clips.device)]


def cut_clip_fragments(clips: Tensor, offsets: Offsets) -> Tensor:
    """Cut the technical views of clips, a frame at a time to bound the memory.

    Args:
        clips: uint8 [B,T,C,H,W].
        offsets: as `vqe.critics.dover.views.cut_fragments` takes them, one set for all frames of
            a clip.

    Returns:
        uint8 [B,num_clips,T,C,224,224].
    """
    return torch.stack([cut_fragments(frames, offsets) for frames in clips.unbind(1)], dim=2)


def shrink_clips(clips: Tensor) -> Tensor:
    """Make the aesthetic views of uint8 clips [B,T,C,H,W]: uint8 [B,T,C,224,224]."""
    return torch.stack([shrink(frames) for frames in clips.unbind(1)], dim=1)


def normalise_clips(views: Tensor) -> Tensor:
    """Turn uint8 views [N,T,3,H,W] into what the backbones take: float32 [N,3,T,H,W]."""
    return normalise(views).transpose(1, 2)
