"""Compare two frames: (x1, x2, d1, d2) -> (p, a1, a2), the VQA model of the challenge.

"NTIRE 2025 Challenge on Video Quality Enhancement for Video Conferencing", 2025. Module names are
the keys of the published checkpoint, so that it loads as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vqe.schema import ATTRIBUTES

BATCH_NORM_EPS = 1e-3


class ConvUnit(nn.Module):
    """Apply convolution, batch norm and ReLU6."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, groups: int = 1):
        super().__init__()
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False
        )
        norm = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS)
        # A list, since the checkpoint allows for parallel branches; the shipped weights have one.
        self._ops = nn.ModuleList([nn.Sequential(conv, norm)])
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,out_channels,H,W]."""
        return self.relu(self._ops[0](x))


class SqueezeExcite(nn.Module):
    """Multiply each channel by a gate in [0, 6] computed from the channel means."""

    def __init__(self, channels: int):
        super().__init__()
        self._excitation = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels, eps=BATCH_NORM_EPS),
            nn.ReLU6(inplace=True),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.ReLU6(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to the same shape."""
        return x * self._excitation(x.mean(dim=(2, 3), keepdim=True))


def _build_level(in_channels: int, width: int, depth: int) -> nn.Sequential:
    blocks = []
    for index in range(depth):
        pointwise = ConvUnit(in_channels if index == 0 else width, width, kernel=1)
        blocks.append(nn.Sequential(pointwise, ConvUnit(width, width, kernel=3, groups=width)))
    return nn.Sequential(*blocks, SqueezeExcite(width))


def _build_main_head(in_features: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out_features in (512, 256, 128, 64, 1):
        layers += [nn.Dropout(dropout), nn.Linear(in_features, out_features), nn.ReLU()]
        in_features = out_features
    return nn.Sequential(*layers[:-1])


class UNetLite(nn.Module):
    """Predict whether frame 2 looks better than frame 1, and eleven scores of each frame.

    Args:
        widths: channels of each level of the encoder.
        depths: blocks in each level.
        fc_dropout: dropout before each linear layer of the main head, in training mode only.
    """

    checkpoint_name = "VQA.ckpt"
    unused_keys = ()

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 3, 3, 3),
        fc_dropout: float = 0.0,
    ):
        super().__init__()
        if len(widths) != len(depths):
            raise ValueError(f"expected as many widths as depths, got {widths} and {depths}")
        self.widths, self.depths = tuple(widths), tuple(depths)
        inputs = (3, *widths[:-1])
        self._encoder = nn.Sequential(*map(_build_level, inputs, widths, depths))
        self.pool = nn.AvgPool2d(2)
        in_features = widths[-1] + 1
        self.main_head = _build_main_head(2 * in_features, fc_dropout)
        self.aux_head = nn.Sequential(
            nn.Linear(in_features, 128), nn.ReLU(), nn.Linear(128, len(ATTRIBUTES))
        )

    def features(self, x: Tensor) -> Tensor:
        """Encode frames [B,3,H,W], BGR in challenge range, as [B,widths[-1]]."""
        x = x.to(self._encoder[0][0][0]._ops[0][0].weight.dtype, memory_format=torch.channels_last)
        for index, level in enumerate(self._encoder):
            x = level(x if index == 0 else self.pool(x))
        return x.float().mean(dim=(2, 3))

    def heads(
        self, features1: Tensor, features2: Tensor, d1: Tensor, d2: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute (p, a1, a2) before their clamps from the features of both frames.

        Args:
            features1: result of `features` for the input frame, so that it can be kept.
            features2: the same for the enhanced frame.
            d1: fused DOVER score of the input frame, [B,1].
            d2: the same for the enhanced frame.
        """
        first = torch.cat([features1, d1.to(features1.dtype)], dim=1)
        second = torch.cat([features2, d2.to(features2.dtype)], dim=1)
        p = self.main_head(torch.cat([first, second], dim=1))
        return p, self.aux_head(first), self.aux_head(second)

    def pre_clamp(
        self, x1: Tensor, x2: Tensor, d1: Tensor, d2: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute (p [B,1], a1 [B,11], a2 [B,11]) before their clamps, whose gradient vanishes."""
        return self.heads(self.features(x1), self.features(x2), d1, d2)

    def forward(
        self, x1: Tensor, x2: Tensor, d1: Tensor, d2: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare input frames `x1` with enhanced frames `x2`.

        Args:
            x1: input frames [B,3,H,W], BGR, `(pixel - 128) / 128`.
            x2: enhanced frames, the same.
            d1: fused DOVER score of `x1`, [B,1].
            d2: fused DOVER score of `x2`, [B,1].

        Returns:
            p [B,1] in [0, 1], the probability that `x2` looks better, and the scores a1..a11 of
            each frame, [B,11] in [-1, 1].
        """
        p, a1, a2 = self.pre_clamp(x1, x2, d1, d2)
        return p.clamp(0, 1), a1.clamp(-1, 1), a2.clamp(-1, 1)

    def backbones(self) -> list[nn.Module]:
        """Return the encoder, without the heads."""
        return [self._encoder]

    def fold_batch_norm(self) -> "UNetLite":
        """Fold every batch norm into its convolution, in place, for frozen inference.

        Weights must be loaded before: a folded network has other keys.
        """
        self.eval()
        self.to(memory_format=torch.channels_last)
        for module in list(self._encoder.modules()):
            if not isinstance(module, nn.Sequential):
                continue
            for index in range(len(module) - 1):
                if isinstance(module[index + 1], nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(module[index], module[index + 1])
                    module[index + 1] = nn.Identity()
        return self

    def compile_levels(self) -> None:
        """Build the encoder's levels with torch.compile, at their first call."""
        for level in self._encoder:
            level.compile()
