"""Score frames or clips without a reference: DOVER, a technical and an aesthetic branch.

"Exploring Video Quality Assessment on User Generated Contents from Aesthetic and Technical
Perspectives" (Wu et al., ICCV 2023). Files in reading order: views, clips, patches, windows,
attention, swin, convnext, fusion; side_by_side.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.critics.dover.clips import (
    cut_clip_fragments,
    normalise_clips,
    shrink_clips,
    spread_frames,
)
from vqe.critics.dover.convnext import ConvNeXt3D
from vqe.critics.dover.fusion import check_fusion, fuse
from vqe.critics.dover.side_by_side import run_side_by_side
from vqe.critics.dover.swin import MLP, SwinTransformer3D
from vqe.critics.dover.views import Offsets, cut_fragments, draw_offsets, normalise, shrink
from vqe.device import count_free_bytes

Score = Callable[[Tensor], Tensor]
STILL_LENGTH = 32  # a still frame stands for a clip of as many equal frames
CHANNEL_ORDERS = ("bgr", "rgb")
CONVNEXT_TINY: dict[str, Any] = {"dims": (96, 192, 384, 768), "depths": (3, 3, 9, 3)}
CONVNEXT_V2_FEMTO: dict[str, Any] = {
    "dims": (48, 96, 192, 384),
    "depths": (2, 2, 6, 2),
    "response_norm": True,
}
BYTES_A_VALUE = 65_000_000  # of a clip, for each byte of a weight: measured on a GPU, rounded up
MOST_CLIPS = 192  # more of them in one pass gain nothing
CLIPS_UNMEASURED = 6  # where nobody knows how much memory is free
# The classifier that the backbones were pre-trained with.
MOBILE_UNUSED_KEYS = tuple(
    f"{branch}_backbone.head.{kind}"
    for branch in ("technical", "aesthetic")
    for kind in ("weight", "bias")
)


class ScoreHead(nn.Module):
    """Score each token: two 1x1x1 convolutions, in float32 for features of any type."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc_hid = nn.Conv3d(channels, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features [N,T,H,W,C] to a score map [N,1,T,H,W]."""
        x = x.to(self.fc_hid.weight.dtype)
        x = F.gelu(F.linear(x, self.fc_hid.weight.flatten(1), self.fc_hid.bias))
        return F.linear(x, self.fc_last.weight.flatten(1), self.fc_last.bias).movedim(-1, 1)


class DOVER(nn.Module):
    """Rate the quality of still frames or of clips; meant for inference alone.

    Weights start random: see `vqe.critics.load_weights`. After
    `vqe.critics.precision.cast_backbones` these run in bfloat16; norms, heads, means and fusion
    stay in float32.

    Args:
        variant: `dover`, or `mobile` for DOVER-Mobile.
        max_clips: clips or stills in one pass, which bounds the memory; None: as many as fit into
            half the GPU's free memory. On a CPU stills go one by one, which is fastest.

    Raises:
        ValueError: no such variant, or `max_clips` below 1.
    """

    def __init__(self, variant: str = "dover", max_clips: int | None = 4):
        super().__init__()
        if max_clips is not None and max_clips < 1:
            raise ValueError(f"expected max_clips of at least 1, got {max_clips}")
        self.max_clips = max_clips
        if variant == "dover":
            self.checkpoint_name = "DOVER.pth"
            self.unused_keys: tuple[str, ...] = ()
            channels, hidden = 768, 64
            self.technical_backbone = SwinTransformer3D()
            self.aesthetic_backbone = ConvNeXt3D(**CONVNEXT_TINY)
        elif variant == "mobile":
            self.checkpoint_name, self.unused_keys = "DOVER-Mobile.pth", MOBILE_UNUSED_KEYS
            channels, hidden = 384, 32
            self.technical_backbone = ConvNeXt3D(**CONVNEXT_V2_FEMTO)
            self.aesthetic_backbone = ConvNeXt3D(**CONVNEXT_V2_FEMTO)
        else:
            raise ValueError(f"expected variant to be one of dover, mobile, got {variant!r}")
        self.technical_head = ScoreHead(channels, hidden)
        self.aesthetic_head = ScoreHead(channels, hidden)

    def backbones(self) -> list[nn.Module]:
        """Return both branches without their heads."""
        return [self.technical_backbone, self.aesthetic_backbone]

    def compile_blocks(self) -> None:
        """Build the ConvNeXts and Swin's MLPs with torch.compile, at their first call."""
        for module in self.modules():
            if isinstance(module, (ConvNeXt3D, MLP)):
                module.compile()

    def technical_map(self, clips: Tensor) -> Tensor:
        """Score tokens of normalised clips [N,3,T,H,W]: [N,1,T/2,H/32,W/32]."""
        return self._run(
            self._list_jobs(lambda part: self.technical_head(self.technical_backbone(part)), clips)
        )

    def aesthetic_map(self, clips: Tensor) -> Tensor:
        """Score tokens of normalised clips [N,3,T,H,W]: [N,1,T/2,H/32,W/32]."""
        return self._run(
            self._list_jobs(lambda part: self.aesthetic_head(self.aesthetic_backbone(part)), clips)
        )

    def technical(self, clips: Tensor) -> Tensor:
        """Score the technical quality of normalised clips [N,3,T,H,W]: raw branch means [N]."""
        return self.technical_map(clips).mean(dim=(1, 2, 3, 4))

    def aesthetic(self, clips: Tensor) -> Tensor:
        """Score the aesthetic quality of normalised clips [N,3,T,H,W]: raw branch means [N]."""
        return self.aesthetic_map(clips).mean(dim=(1, 2, 3, 4))

    @torch.no_grad()
    def branch_scores(
        self,
        frames: Tensor,
        offsets: Offsets | None = None,
        generator: torch.Generator | None = None,
        channel_order: str = "bgr",
        num_clips: int = 3,
    ) -> tuple[Tensor, Tensor]:
        """Score still frames: raw (technical [B], aesthetic [B]) before they are fused.

        Args:
            frames: uint8 [B,3,H,W], BGR as OpenCV reads them.
            offsets: rows and columns of the fragments in their cells, [num_clips,7,7] for all
                frames or [B,num_clips,7,7]; drawn if None.
            generator: source of the offsets.
            channel_order: `bgr` takes the RGB means off the BGR planes, as the challenge does,
                `rgb` puts the planes in order first.
            num_clips: technical views of a frame, where offsets are drawn.

        Raises:
            ValueError: other frames, offsets or channel order.
        """
        _check_pixels(frames, "frames [B,3,H,W]", 4, channel_order)
        if offsets is None:
            height, width = frames.shape[2:]
            offsets = draw_offsets(height, width, num_clips, generator)
        if channel_order == "rgb":
            frames = frames.flip(1)
        fragments = cut_fragments(frames, offsets)
        jobs = [
            *self._list_jobs(self._technical_still, fragments.flatten(0, 1)),
            *self._list_jobs(self._aesthetic_still, shrink(frames)),
        ]
        views = fragments.shape[:2].numel()
        technical, aesthetic = self._run(jobs).split([views, len(frames)])
        return technical.view(fragments.shape[:2]).mean(1), aesthetic

    def score_stills(
        self,
        frames_u8_bchw: Tensor,
        offsets: Offsets | None = None,
        generator: torch.Generator | None = None,
        fusion: str = "challenge",
        channel_order: str = "bgr",
        num_clips: int = 3,
    ) -> Tensor:
        """Score still frames, each as the clip of its copies: fused scores [B] in [0, 1].

        Args:
            frames_u8_bchw: uint8 [B,3,H,W], BGR as OpenCV reads them.
            offsets: see `branch_scores`.
            generator: see `branch_scores`.
            fusion: `challenge` or `paper`, see `vqe.critics.dover.fusion`.
            channel_order: see `branch_scores`.
            num_clips: see `branch_scores`.
        """
        check_fusion(fusion)  # before the work, not after it
        technical, aesthetic = self.branch_scores(
            frames_u8_bchw, offsets, generator, channel_order, num_clips
        )
        return fuse(technical, aesthetic, fusion)

    @torch.no_grad()
    def clip_branch_scores(
        self,
        clips: Tensor,
        offsets: Offsets | None = None,
        generator: torch.Generator | None = None,
        channel_order: str = "bgr",
        num_clips: int = 3,
    ) -> tuple[Tensor, Tensor]:
        """Score real clips: raw (technical [B], aesthetic [B]) before they are fused.

        Args:
            clips: uint8 [B,T,3,H,W], BGR; 32 frames spread over T are looked at, or repeated to.
            offsets: rows and columns of the fragments in all frames of a clip, else as in
                `branch_scores`.
            generator: source of the offsets.
            channel_order: see `branch_scores`.
            num_clips: technical views of a clip, where offsets are drawn.

        Raises:
            ValueError: other clips, offsets or channel order.
        """
        _check_pixels(clips, "clips [B,T,3,H,W]", 5, channel_order)
        if offsets is None:
            height, width = clips.shape[3:]
            offsets = draw_offsets(height, width, num_clips, generator)
        clips = spread_frames(clips)
        if channel_order == "rgb":
            clips = clips.flip(2)
        fragments = cut_clip_fragments(clips, offsets)
        technical = self._score_clips(self.technical, fragments.flatten(0, 1))
        aesthetic = self._score_clips(self.aesthetic, shrink_clips(clips))
        return technical.view(fragments.shape[:2]).mean(1), aesthetic

    def _score_clips(self, branch: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
        """Return the branch means [N] of uint8 views [N,32,3,224,224]."""
        at_once = self._count_clips(views.device)
        return torch.cat([branch(normalise_clips(part)) for part in views.split(at_once)])

    def _technical_still(self, views: Tensor) -> Tensor:
        """Return the branch means [N] of uint8 views [N,3,224,224] of stills."""
        return _score_stills(self.technical_backbone, self.technical_head, views)

    def _aesthetic_still(self, views: Tensor) -> Tensor:
        """Return the branch means [N] of uint8 views [N,3,224,224] of stills."""
        return _score_stills(self.aesthetic_backbone, self.aesthetic_head, views)

    def _list_jobs(self, score: Score, clips: Tensor) -> list[Callable[[], Tensor]]:
        # One clip fits a processor's cache, and its memory is used again without page faults.
        at_once = 1 if clips.device.type == "cpu" else self._count_clips(clips.device)
        return [partial(score, part) for part in clips.split(at_once)]

    def _count_clips(self, device: torch.device) -> int:
        """Return how many clips to compute in one pass."""
        free = count_free_bytes(device)
        if self.max_clips is not None or free is None:
            return self.max_clips or CLIPS_UNMEASURED
        bytes_each = BYTES_A_VALUE * next(self.technical_backbone.parameters()).element_size()
        return min(max(1, free // 2 // bytes_each), MOST_CLIPS)

    def _run(self, jobs: list[Callable[[], Tensor]]) -> Tensor:
        on_cpu = self.technical_head.fc_hid.weight.device.type == "cpu"
        return torch.cat(run_side_by_side(jobs) if on_cpu else [job() for job in jobs])


def _score_stills(backbone: nn.Module, head: nn.Module, views: Tensor) -> Tensor:
    features = backbone(normalise(views)[:, :, None], still_length=STILL_LENGTH)
    return head(features).mean(dim=(1, 2, 3, 4))


def _check_pixels(pixels: Tensor, expected: str, axes: int, channel_order: str) -> None:
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(
            f"expected channel_order to be one of {', '.join(CHANNEL_ORDERS)}, "
            f"got {channel_order!r}"
        )
    if pixels.dtype != torch.uint8 or pixels.ndim != axes or pixels.shape[-3] != 3:
        raise ValueError(f"expected uint8 {expected}, got {pixels.dtype} {list(pixels.shape)}")
