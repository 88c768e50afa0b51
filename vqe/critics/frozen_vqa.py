"""Input and enhanced frames -> twelve scores: UNetLite frozen, with the options of its config."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from vqe.critics.encoder_gpu import encode, fits_kernels, has_kernels
from vqe.critics.feature_cache import CacheSpec
from vqe.critics.precision import FrozenCritic
from vqe.critics.unetlite import UNetLite
from vqe.critics.weights import fill_critic, read_own
from vqe.inputs import STANDIN

log = logging.getLogger(__name__)
STANDIN_FILE = Path(__file__).with_name("standin.safetensors")


@dataclass(frozen=True)
class Scores:
    """Scores of B enhanced frames in the order of `vqe.schema.SCORES`.

    Attributes:
        clamped: [B,12], p in [0,1], a1..a11 in [-1,1]: what is reported.
        before_clamps: [B,12], the same without the clamps' dead gradient: what is trained on.
    """

    clamped: torch.Tensor
    before_clamps: torch.Tensor


class FrozenVQA(FrozenCritic):
    """UNetLite on a pair of frames.

    Args:
        weights: checkpoint file; `standin`, the project's own small critic; or `untrained`. A file
            that `train_vqa.py` wrote brings the critic's sizes along.
        enhanced_first: whether the enhanced frame is the VQA's first input instead of its second.
        precision: `fp32`; `tf32` (GPU); `bf16`, which moves scores by up to 0.03; `fp16`: on an
            NVIDIA GPU, where no gradient is wanted, numbers between layers are rounded to 16 bits;
            or `auto`: fp16 on such a GPU, else fp32.
        compiled: whether torch.compile builds the encoder's levels, at the first call; needs a C++
            compiler.
    """

    accuracy = "within 0.001 of fp32's scores; fp32 where a gradient is wanted"

    def __init__(
        self,
        weights: str | None = None,
        *,
        enhanced_first: bool = False,
        precision: str = "auto",
        compiled: bool = False,
    ) -> None:
        super().__init__(precision)
        weights = str(STANDIN_FILE) if weights == STANDIN else weights
        sizes, about = (read_own(weights) if weights else None) or ({}, None)
        self.vqa = UNetLite(**sizes)
        self.gpu_precision = "fp16" if fits_kernels(self.vqa.widths) else "fp32"
        fill_critic(self.vqa, weights, "model_vqa")
        if about is not None:
            log.warning(
                "the VQA is not the challenge's but one of train_vqa.py: %s. Its scores cannot be "
                "compared with the challenge's",
                about,
            )
        self.vqa.fold_batch_norm()
        self.enhanced_first = enhanced_first
        if compiled:
            self.vqa.compile_levels()

    @property
    def cache_spec(self) -> CacheSpec:
        """How the features of an input frame are kept."""
        return CacheSpec("vqa", width=self.vqa.widths[-1], weights=self.weights_digest)

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features [B,C] of input frames in challenge range, as `compare` wants."""
        with self.computing():
            return self._features(x)

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
        with self.computing():
            pair = (features_x, self._features(enhanced), d_x, d_enhanced)
            if self.enhanced_first:
                pair = (pair[1], pair[0], d_enhanced, d_x)
            p, a1, a2 = self.vqa.heads(*pair)
        a = a1 if self.enhanced_first else a2
        clamped = torch.cat([p.clamp(0, 1), a.clamp(-1, 1)], dim=1)
        return Scores(clamped=clamped, before_clamps=torch.cat([p, a], dim=1))

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        if self.computes_in == "fp16" and has_kernels(x, self.vqa.widths):
            return encode(self.vqa._encoder, x)
        return self.vqa.features(x)
