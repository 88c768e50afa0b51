"""RGB frames -> the twelve scores of both frozen critics, with a gradient through the VQA."""

import torch
from torch import nn

from vqe.critics.feature_cache import CacheLookup, FeatureCache, digest_frames
from vqe.critics.frozen_vqa import Scores
from vqe.critics.score_memory import ScoreMemory
from vqe.pixels import dequantise, quantise, to_challenge_range, to_unit_range


class FrozenCritics(nn.Module):
    """Both critics behind one call; always in eval, without trainable parameters, never saved.

    Args:
        vqa: compares two frames, given their DOVER scores.
        dover: scores single frames.
        cache: keeps what is computed of input frames, which is the same in every epoch and run.
    """

    def __init__(
        self, vqa: nn.Module, dover: nn.Module, cache: FeatureCache | ScoreMemory | None = None
    ) -> None:
        super().__init__()
        self.vqa = vqa
        self.dover = dover
        self.cache = cache
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenCritics":
        """Stay in eval, whatever the mode asked for."""
        return super().train(False)

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False) -> dict:
        """Return nothing to save: the weights have a file of their own."""
        return {} if destination is None else destination

    def describe(self) -> dict[str, dict]:
        """Return, of both critics, what a reader of their scores wants to know."""
        return {"vqa": self.vqa.describe(), "dover": self.dover.describe()}

    def forward(self, x: torch.Tensor, enhanced: torch.Tensor, seeds_b: torch.Tensor) -> Scores:
        """Score enhanced frames against their inputs, each critic in its own precision.

        Args:
            x: input frames, RGB [B,3,H,W], float in [0,1] or uint8.
            enhanced: enhanced frames, the same shape, float or uint8; clamped here. The gradient
                reaches them through the VQA; DOVER, which sees them rounded to 8 bits, is a
                constant.
            seeds_b: int64 [B], each frame's identity (`vqe.data.dataset.frame_seed`).
        """
        with torch.autocast(x.device.type, enabled=False):
            x_u8, enhanced_u8 = quantise(x), quantise(enhanced)
            digests = digest_frames(x_u8) if self.cache is not None else []
            d_x, d_enhanced = self._score(x_u8, enhanced_u8, seeds_b, digests)
            features_x = self._encode(x_u8, digests)
            if self.cache is not None:
                self.cache.flush()
            seen = to_challenge_range(to_unit_range(enhanced).clamp(0, 1))
            return self.vqa.compare(features_x, seen, d_x, d_enhanced)

    def report(self) -> None:
        """Log what the cache was good for, if there is one."""
        if self.cache is not None:
            self.cache.report()

    def _score(
        self,
        x_u8: torch.Tensor,
        enhanced_u8: torch.Tensor,
        seeds_b: torch.Tensor,
        digests: list[bytes],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the DOVER scores of both sides, each [B,1], from one pass."""
        lookup = self._look_up(self.dover, len(x_u8), digests, seeds_b)
        new = lookup.missing
        frames, seeds = torch.cat([x_u8[new], enhanced_u8]), torch.cat([seeds_b[new], seeds_b])
        d_new, d_enhanced = self.dover(frames, seeds).split([len(new), len(x_u8)])
        return lookup.complete(d_new), d_enhanced

    def _encode(self, x_u8: torch.Tensor, digests: list[bytes]) -> torch.Tensor:
        """Return the VQA's features of the input frames, [B,512]."""
        lookup = self._look_up(self.vqa, len(x_u8), digests)
        new = lookup.missing
        if not new:
            return lookup.complete(torch.empty(0, len(lookup.found[0]), device=x_u8.device))
        return lookup.complete(self.vqa.encode(to_challenge_range(dequantise(x_u8[new]))))

    def _look_up(
        self,
        critic: nn.Module,
        count: int,
        digests: list[bytes],
        seeds_b: torch.Tensor | None = None,
    ) -> CacheLookup:
        spec = None if self.cache is None else critic.cache_spec
        if spec is None:
            return CacheLookup([None] * count)
        seeds = None if seeds_b is None else seeds_b.tolist()
        return self.cache.look_up(spec, digests, seeds)
