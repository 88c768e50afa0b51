"""RGB [0,1] frames -> the twelve scores of both frozen critics, with a gradient through the VQA."""

import logging
from dataclasses import dataclass

import torch
from torch import nn

from vqe.critics.dover import DOVER
from vqe.critics.dover.views import draw_offsets
from vqe.critics.unetlite import UNetLite
from vqe.critics.weights import explain_source, load_weights, untrained_
from vqe.pixels import dequantise, quantise, to_challenge_range

log = logging.getLogger(__name__)
UNTRAINED = "untrained"


@dataclass(frozen=True)
class Scores:
    """Scores of B enhanced frames in the order of `vqe.schema.SCORES`.

    Attributes:
        clamped: [B,12], p in [0,1], a1..a11 in [-1,1]: what is reported.
        before_clamps: [B,12], the same without the clamps' dead gradient: what is trained on.
    """

    clamped: torch.Tensor
    before_clamps: torch.Tensor


class FrozenDOVER(nn.Module):
    """DOVER's fused score of still frames, without a gradient.

    Args:
        variant: `dover` or `mobile`.
        weights: checkpoint file, or `untrained`.
        fusion: `challenge` or `paper`: which branch enters the fusion where.
        channel_order: `bgr` or `rgb`: what the RGB means are subtracted from.
        num_clips: technical fragments a frame.
        max_clips: clips in one pass, which bounds the memory.
    """

    def __init__(
        self,
        variant: str = "dover",
        weights: str | None = None,
        *,
        fusion: str = "challenge",
        channel_order: str = "bgr",
        num_clips: int = 3,
        max_clips: int = 6,
    ) -> None:
        super().__init__()
        self.dover = DOVER(variant, max_clips=max_clips)
        _fill(self.dover, weights, "model_dover")
        self.options = {"fusion": fusion, "channel_order": channel_order, "num_clips": num_clips}

    @torch.no_grad()
    def forward(self, frames_u8_bchw: torch.Tensor, seeds_b: torch.Tensor) -> torch.Tensor:
        """Score uint8 RGB frames [B,3,H,W]; a frame's seed fixes its fragments. Returns [B,1]."""
        height, width = frames_u8_bchw.shape[-2:]
        drawn = [
            draw_offsets(height, width, self.options["num_clips"], torch.Generator().manual_seed(s))
            for s in seeds_b.tolist()
        ]
        offsets = tuple(torch.stack(axis) for axis in zip(*drawn, strict=True))
        bgr = frames_u8_bchw.flip(1)
        return self.dover.score_stills(bgr, offsets=offsets, **self.options)[:, None]


class ConstantDOVER(nn.Module):
    """Stand in for DOVER where it is switched off: every frame gets the same score.

    Args:
        score: the score of every frame, in [0,1].
    """

    def __init__(self, score: float = 0.5) -> None:
        super().__init__()
        self.score = score
        log.warning("DOVER is off: every frame counts as %.2f, scores are not comparable", score)

    def forward(self, frames_u8_bchw: torch.Tensor, seeds_b: torch.Tensor) -> torch.Tensor:
        """Return the constant for each of B frames, [B,1]."""
        return torch.full((len(frames_u8_bchw), 1), self.score, device=frames_u8_bchw.device)


class FrozenVQA(nn.Module):
    """UNetLite on a pair of frames.

    Args:
        weights: checkpoint file, or `untrained`.
        enhanced_first: whether the enhanced frame is the VQA's first input instead of its second.
    """

    def __init__(self, weights: str | None = None, *, enhanced_first: bool = False) -> None:
        super().__init__()
        self.vqa = UNetLite()
        _fill(self.vqa, weights, "model_vqa")
        self.vqa.fold_batch_norm()
        self.enhanced_first = enhanced_first

    def forward(
        self, x: torch.Tensor, enhanced: torch.Tensor, d_x: torch.Tensor, d_enhanced: torch.Tensor
    ) -> Scores:
        """Compare challenge range frames [B,3,H,W], whose DOVER scores are [B,1]."""
        pair = (x, enhanced, d_x, d_enhanced)
        if self.enhanced_first:
            pair = (enhanced, x, d_enhanced, d_x)
        p, a1, a2 = self.vqa.pre_clamp(*pair)
        a = a1 if self.enhanced_first else a2
        clamped = torch.cat([p.clamp(0, 1), a.clamp(-1, 1)], dim=1)
        return Scores(clamped=clamped, before_clamps=torch.cat([p, a], dim=1))


class FrozenCritics(nn.Module):
    """Both critics behind one call; always in eval, without trainable parameters, never saved.

    Args:
        vqa: compares two frames, given their DOVER scores.
        dover: scores single frames.
    """

    def __init__(self, vqa: nn.Module, dover: nn.Module) -> None:
        super().__init__()
        self.vqa = vqa
        self.dover = dover
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenCritics":
        """Stay in eval, whatever the mode asked for."""
        return super().train(False)

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False) -> dict:
        """Return nothing to save: the weights have a file of their own."""
        return {} if destination is None else destination

    def forward(self, x: torch.Tensor, enhanced: torch.Tensor, seeds_b: torch.Tensor) -> Scores:
        """Score enhanced frames against their inputs, in full precision.

        Args:
            x: input frames, RGB [0,1] [B,3,H,W].
            enhanced: enhanced frames, the same shape; clamped here. The gradient reaches them
                through the VQA; DOVER, which sees them rounded to 8 bits, is a constant.
            seeds_b: int64 [B], each frame's identity (`vqe.data.dataset.frame_seed`).
        """
        with torch.autocast(x.device.type, enabled=False):
            x, enhanced = dequantise(quantise(x)), enhanced.float().clamp(0, 1)
            both_u8 = torch.cat([quantise(x), quantise(enhanced)])
            d_x, d_enhanced = self.dover(both_u8, torch.cat([seeds_b, seeds_b])).chunk(2)
            pair = (to_challenge_range(x), to_challenge_range(enhanced))
            return self.vqa(*pair, d_x, d_enhanced)


def _fill(critic: nn.Module, weights: str | None, group: str) -> None:
    if weights is None:
        name = critic.checkpoint_name
        raise ValueError(
            f"expected {group}.weights to name {name}, got null. {explain_source(name)}"
        )
    if weights == UNTRAINED:
        untrained_(critic)
    else:
        load_weights(critic, weights)
