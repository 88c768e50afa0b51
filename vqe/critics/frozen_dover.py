"""Frames or clips -> DOVER's fused score: DOVER frozen, with the options of its config."""

import logging
from typing import Any

import torch
from torch import nn

from vqe.critics.dover import DOVER
from vqe.critics.dover.fusion import check_fusion, fuse
from vqe.critics.dover.views import draw_offsets
from vqe.critics.feature_cache import CacheSpec
from vqe.critics.precision import FrozenCritic
from vqe.critics.weights import fill_critic

log = logging.getLogger(__name__)
VIEWS = ("still", "clip")


class FrozenDOVER(FrozenCritic):
    """DOVER's fused score of still frames or of clips, without a gradient.

    Args:
        variant: `dover` or `mobile`.
        weights: checkpoint file, or `untrained`.
        fusion: `challenge` or `paper`: which branch enters the fusion where.
        channel_order: `bgr` or `rgb`: what the RGB means are subtracted from.
        num_clips: technical fragments a frame.
        max_clips: clips in one pass, which bounds the memory; `auto`: as many as fit, on a GPU.
        view: `still` scores frames, as training and test do; `clip` scores real clips.
        precision: `fp32`, `tf32` (GPU), `bf16`, or `auto`: bf16 on a GPU that computes it natively,
            else fp32.
        compiled: whether torch.compile builds what no kernel of our own computes, at the first
            call; needs a C++ compiler.
    """

    accuracy = "within 0.01 of fp32's score"

    def __init__(
        self,
        variant: str = "dover",
        weights: str | None = None,
        *,
        fusion: str = "challenge",
        channel_order: str = "bgr",
        num_clips: int = 3,
        max_clips: int | str = "auto",
        view: str = "still",
        precision: str = "auto",
        compiled: bool = False,
    ) -> None:
        super().__init__(precision)
        check_fusion(fusion)
        if view not in VIEWS:
            raise ValueError(
                f"expected model_dover.view to be one of {', '.join(VIEWS)}, got {view!r}"
            )
        self.view = view
        if isinstance(max_clips, str) and max_clips != "auto":
            raise ValueError(
                f"expected model_dover.max_clips to be auto or a number, got {max_clips!r}"
            )
        self.dover = DOVER(variant, max_clips=None if isinstance(max_clips, str) else max_clips)
        fill_critic(self.dover, weights, "model_dover")
        self.options: dict[str, Any] = {
            "fusion": fusion,
            "channel_order": channel_order,
            "num_clips": num_clips,
        }
        if compiled:
            self.dover.compile_blocks()

    @torch.no_grad()
    def forward(self, frames_u8_bchw: torch.Tensor, seeds_b: torch.Tensor) -> torch.Tensor:
        """Score uint8 RGB frames [B,3,H,W]; a frame's seed fixes its fragments. Returns [B,1].

        With `view="clip"` these are clips [B,T,3,H,W], with a seed and a score each.
        """
        return self.branches(frames_u8_bchw, seeds_b)[2][:, None]

    @torch.no_grad()
    def branches(
        self, frames_u8: torch.Tensor, seeds_b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Score as `forward` does: raw technical and aesthetic means, and both fused, each [B].

        Raises:
            ValueError: frames where the view is of clips, or the other way round.
        """
        self._check_view(frames_u8)
        height, width = frames_u8.shape[-2:]
        drawn = [
            draw_offsets(height, width, self.options["num_clips"], torch.Generator().manual_seed(s))
            for s in seeds_b.tolist()
        ]
        offsets = tuple(torch.stack(axis) for axis in zip(*drawn, strict=True))
        options = dict(self.options)
        fusion = options.pop("fusion")
        score = self.dover.branch_scores if self.view == "still" else self.dover.clip_branch_scores
        with self.computing():
            technical, aesthetic = score(frames_u8.flip(-3), offsets=offsets, **options)
        return technical, aesthetic, fuse(technical, aesthetic, fusion)

    @property
    def cache_spec(self) -> CacheSpec:
        """How the score of a frame is kept."""
        options = {**self.options, "view": self.view}
        return CacheSpec("dover", width=1, weights=self.weights_digest, options=options)

    def _check_view(self, frames_u8: torch.Tensor) -> None:
        if self.view == "clip" and frames_u8.ndim == 4:
            raise ValueError(
                f"expected clips [B,T,3,H,W] with model_dover.view=clip, got frames "
                f"{list(frames_u8.shape)}. Training and test go frame by frame: set "
                "model_dover.view=still; score videos as clips with score_videos.py"
            )
        if self.view == "still" and frames_u8.ndim == 5:
            raise ValueError(
                f"expected frames [B,3,H,W] with model_dover.view=still, got clips "
                f"{list(frames_u8.shape)}. Set model_dover.view=clip"
            )


class ConstantDOVER(nn.Module):
    """Stand in for DOVER where it is switched off: every frame gets the same score.

    Args:
        score: the score of every frame, in [0,1].
    """

    view = "still"
    cache_spec = None  # nothing worth keeping

    def __init__(self, score: float = 0.5) -> None:
        super().__init__()
        self.score = score
        log.warning("DOVER is off: every frame counts as %.2f, scores are not comparable", score)

    def forward(self, frames_u8_bchw: torch.Tensor, seeds_b: torch.Tensor) -> torch.Tensor:
        """Return the constant for each of B frames, [B,1]."""
        return torch.full((len(frames_u8_bchw), 1), self.score, device=frames_u8_bchw.device)

    def describe(self) -> dict[str, float]:
        """Return what a reader of the scores wants to know of how they were computed."""
        return {"constant": self.score}

    def branches(
        self, frames_u8: torch.Tensor, seeds_b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return no number for either branch, and the constant, each [B]."""
        fused = self(frames_u8, seeds_b)[:, 0]
        unknown = torch.full_like(fused, torch.nan)
        return unknown, unknown, fused
