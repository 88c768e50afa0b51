"""The two critics as training and test use them: frozen, with the options of their configs."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vqe.critics.dover import DOVER
from vqe.critics.dover.fusion import check_fusion, fuse
from vqe.critics.dover.views import draw_offsets
from vqe.critics.precision import ChosenPrecision
from vqe.critics.score_keys import Kept
from vqe.critics.unetlite import UNetLite
from vqe.critics.weights import explain_source, load_weights, read_own, untrained_

log = logging.getLogger(__name__)
UNTRAINED = "untrained"
STANDIN = "standin"
STANDIN_FILE = Path(__file__).with_name("standin.safetensors")
VIEWS = ("still", "clip")


@dataclass(frozen=True)
class Scores:
    """Scores of B enhanced frames in the order of `vqe.schema.SCORES`.

    Attributes:
        clamped: [B,12], p in [0,1], a1..a11 in [-1,1]: what is reported.
        before_clamps: [B,12], the same without the clamps' dead gradient: what is trained on.
    """

    clamped: torch.Tensor
    before_clamps: torch.Tensor


class FrozenDOVER(ChosenPrecision, nn.Module):
    """DOVER's fused score of still frames or of clips, without a gradient.

    Args:
        variant: `dover` or `mobile`.
        weights: checkpoint file, or `untrained`.
        fusion: `challenge` or `paper`: which branch enters the fusion where.
        channel_order: `bgr` or `rgb`: what the RGB means are subtracted from.
        num_clips: technical fragments a frame.
        max_clips: clips in one pass, which bounds the memory.
        view: `still` scores frames, as training and test do; `clip` scores real clips.
        precision: `fp32`, `bf16`, or `auto`: bf16 on a GPU that computes it natively, else fp32.
        compiled: whether torch.compile builds the blocks, at the first call; needs a C++ compiler.
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
        view: str = "still",
        precision: str = "auto",
        compiled: bool = False,
    ) -> None:
        super().__init__()
        check_fusion(fusion)
        if view not in VIEWS:
            raise ValueError(
                f"expected model_dover.view to be one of {', '.join(VIEWS)}, got {view!r}"
            )
        self.view = view
        self.dover = DOVER(variant, max_clips=max_clips)
        _fill(self.dover, weights, "model_dover")
        self.options = {"fusion": fusion, "channel_order": channel_order, "num_clips": num_clips}
        self._choose_precision(precision)
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
        technical, aesthetic = score(frames_u8.flip(-3), offsets=offsets, **options)
        return technical, aesthetic, fuse(technical, aesthetic, fusion)

    @property
    def kept(self) -> Kept:
        """How the score of a frame is kept."""
        return Kept("dover", width=1, options={**self.options, "view": self.view})

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
    kept = None  # nothing worth keeping

    def __init__(self, score: float = 0.5) -> None:
        super().__init__()
        self.score = score
        log.warning("DOVER is off: every frame counts as %.2f, scores are not comparable", score)

    def forward(self, frames_u8_bchw: torch.Tensor, seeds_b: torch.Tensor) -> torch.Tensor:
        """Return the constant for each of B frames, [B,1]."""
        return torch.full((len(frames_u8_bchw), 1), self.score, device=frames_u8_bchw.device)

    def branches(
        self, frames_u8: torch.Tensor, seeds_b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return no number for either branch, and the constant, each [B]."""
        fused = self(frames_u8, seeds_b)[:, 0]
        unknown = torch.full_like(fused, torch.nan)
        return unknown, unknown, fused


class FrozenVQA(ChosenPrecision, nn.Module):
    """UNetLite on a pair of frames.

    Args:
        weights: checkpoint file; `standin`, the project's own small critic; or `untrained`. A file
            that `train_vqa.py` wrote brings the critic's sizes along.
        enhanced_first: whether the enhanced frame is the VQA's first input instead of its second.
        precision: see `FrozenDOVER`; full by default, as bf16 moves these scores by up to 0.03.
        compiled: see `FrozenDOVER`.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        enhanced_first: bool = False,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        super().__init__()
        weights = str(STANDIN_FILE) if weights == STANDIN else weights
        sizes, about = (read_own(weights) if weights else None) or ({}, None)
        self.vqa = UNetLite(**sizes)
        _fill(self.vqa, weights, "model_vqa")
        if about is not None:
            log.warning(
                "the VQA is not the challenge's but one of train_vqa.py: %s. Its scores cannot be "
                "compared with the challenge's",
                about,
            )
        self.vqa.fold_batch_norm()
        self.enhanced_first = enhanced_first
        self._choose_precision(precision)
        if compiled:
            self.vqa.compile_levels()

    @property
    def kept(self) -> Kept:
        """How the features of an input frame are kept."""
        return Kept("vqa", width=self.vqa.aux_head[0].in_features - 1)

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features [B,C] of input frames in challenge range, as `compare` wants."""
        return self.vqa.features(x)

    def forward(
        self, x: torch.Tensor, enhanced: torch.Tensor, d_x: torch.Tensor, d_enhanced: torch.Tensor
    ) -> Scores:
        """Compare challenge range frames [B,3,H,W], whose DOVER scores are [B,1]."""
        return self.compare(self.encode(x), enhanced, d_x, d_enhanced)

    def compare(
        self,
        features_x: torch.Tensor,
        enhanced: torch.Tensor,
        d_x: torch.Tensor,
        d_enhanced: torch.Tensor,
    ) -> Scores:
        """Do what `forward` does, given the features of the input frames."""
        pair = (features_x, self.vqa.features(enhanced), d_x, d_enhanced)
        if self.enhanced_first:
            pair = (pair[1], pair[0], d_enhanced, d_x)
        p, a1, a2 = self.vqa.heads(*pair)
        a = a1 if self.enhanced_first else a2
        clamped = torch.cat([p.clamp(0, 1), a.clamp(-1, 1)], dim=1)
        return Scores(clamped=clamped, before_clamps=torch.cat([p, a], dim=1))


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
