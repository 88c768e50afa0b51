"""DOVER written plainly, the yardstick for speed and a second opinion on results.

Explicit softmax attention whose bias is looked up at every call, three-dimensional convolutions,
and a still as 3 clips of 32 copies, frame by frame. Works on a state dict; shares no code with
`vqe.critics.dover`.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

SWIN_WINDOW = (8, 7, 7)
SWIN_DEPTHS = (2, 2, 6, 2)
FRAGMENTS = (1, 7, 7)
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class PlainDOVER:
    """Compute score maps and still scores from the weights in a state dict."""

    def __init__(self, state: dict[str, Tensor]):
        self.state = state
        swin = "technical_backbone.patch_embed.proj.weight" in state
        self.technical_backbone = (
            self.swin if swin else partial(self.convnext, "technical_backbone")
        )
        self.aesthetic_backbone = partial(self.convnext, "aesthetic_backbone")

    def technical_map(self, clips: Tensor) -> Tensor:
        """Score tokens of normalised clips [N,3,T,H,W]: [N,1,T/2,H/32,W/32]."""
        return self.head("technical_head", self.technical_backbone(clips))

    def aesthetic_map(self, clips: Tensor) -> Tensor:
        """Score tokens of normalised clips [N,3,T,H,W]: [N,1,T/2,H/32,W/32]."""
        return self.head("aesthetic_head", self.aesthetic_backbone(clips))

    def score_still(self, frame: Tensor, rows: Tensor, columns: Tensor) -> dict[str, float]:
        """Score a uint8 frame [3,H,W], H and W at least 224, the challenge's way.

        Args:
            frame: in the channel order that the means are taken off.
            rows: offsets of the fragments, [num_clips,7,7].
            columns: the same to the right.

        Returns:
            `technical` and `aesthetic` branch means, and `fused`.
        """
        clips = torch.stack([cut_clip(frame, *o) for o in zip(rows, columns, strict=True)])
        small = F.interpolate(frame[None].float(), size=(224, 224), mode="bilinear").round()
        technical = self.technical_map(normalise(clips)).mean().item()
        aesthetic = self.aesthetic_map(normalise(small.expand(32, -1, -1, -1)[None])).mean().item()
        z = (aesthetic - 0.1107) / 0.07355 * 0.6104 + (technical + 0.08285) / 0.03774 * 0.3896
        fused = torch.sigmoid(torch.tensor(z)).item()
        return {"technical": technical, "aesthetic": aesthetic, "fused": fused}

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Apply the linear layer of that name."""
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def conv(self, name: str, x: Tensor, **options) -> Tensor:
        """Apply the convolution of that name to [N,C,T,H,W]."""
        return F.conv3d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], **options)

    def norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        """Apply the LayerNorm of that name over the last axis."""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, eps)

    def head(self, name: str, x: Tensor) -> Tensor:
        """Map features [N,C,T,H,W] to scores [N,1,T,H,W]."""
        return self.conv(f"{name}.fc_last", F.gelu(self.conv(f"{name}.fc_hid", x)))

    def swin(self, clips: Tensor) -> Tensor:
        """Run the technical branch: [N,3,T,H,W] -> [N,768,T/2,H/32,W/32]."""
        root = "technical_backbone"
        margins = [(-n % k) for n, k in zip(clips.shape[2:], (2, 4, 4), strict=True)]
        clips = F.pad(clips, (0, margins[2], 0, margins[1], 0, margins[0]))
        x = self.conv(f"{root}.patch_embed.proj", clips, stride=(2, 4, 4)).movedim(1, -1)
        x = self.norm(f"{root}.patch_embed.norm", x, 1e-5)
        for stage, depth in enumerate(SWIN_DEPTHS):
            for block in range(depth):
                x = self.swin_block(f"{root}.layers.{stage}.blocks.{block}", x, block % 2 == 1)
            if stage < len(SWIN_DEPTHS) - 1:
                x = self.swin_merge(f"{root}.layers.{stage}.downsample", x)
        return self.norm(f"{root}.norm", x, 1e-5).movedim(-1, 1)

    def swin_merge(self, name: str, x: Tensor) -> Tensor:
        """Join 2 x 2 tokens of [N,D,H,W,C]."""
        x = F.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2))
        corners = [x[:, :, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        return self.linear(
            f"{name}.reduction", self.norm(f"{name}.norm", torch.cat(corners, -1), 1e-5)
        )

    def swin_block(self, name: str, x: Tensor, shifted: bool) -> Tensor:
        """Apply attention in windows, then the MLP, to [N,D,H,W,C]."""
        size = x.shape[1:4]
        window = [min(n, w) for n, w in zip(size, SWIN_WINDOW, strict=True)]
        shift = [w // 2 if shifted and n > w else 0 for n, w in zip(size, window, strict=True)]
        margins = [-n % w for n, w in zip(size, window, strict=True)]
        y = self.norm(f"{name}.norm1", x, 1e-5)
        y = F.pad(y, (0, 0, 0, margins[2], 0, margins[1], 0, margins[0]))
        padded = y.shape[1:4]
        y = y.roll([-s for s in shift], (1, 2, 3))
        out = self.attention(f"{name}.attn", partition(y, window), padded, window, shift)
        out = restore(out, window, (len(x), *padded)).roll(shift, (1, 2, 3))
        x = x + out[:, : size[0], : size[1], : size[2]]
        y = self.norm(f"{name}.norm2", x, 1e-5)
        return x + self.linear(f"{name}.mlp.fc2", F.gelu(self.linear(f"{name}.mlp.fc1", y)))

    def attention(self, name: str, x: Tensor, padded, window, shift) -> Tensor:
        """Attend inside windows [N * windows, slots, C]."""
        total, slots, channels = x.shape
        heads = channels // 32
        q, k, v = (
            self.linear(f"{name}.qkv", x).view(total, slots, 3, heads, 32).permute(2, 0, 3, 1, 4)
        )
        scores = (q * 32**-0.5) @ k.transpose(-2, -1)
        index = relative_index(x.device)[:slots, :slots].reshape(-1)
        table = self.state[f"{name}.relative_position_bias_table"]
        bias = table[index].view(slots, slots, heads).permute(2, 0, 1)[None]
        fragment = self.state.get(f"{name}.fragment_position_bias_table")
        if fragment is not None:
            gate = fragment_gate(padded, window, shift, x.device)[:, None]
            fragment_bias = fragment[index].view(slots, slots, heads).permute(2, 0, 1)[None]
            bias = bias * gate + fragment_bias * (1 - gate)
        if any(shift):
            bias = bias + shift_mask(padded, window, shift, x.device)[:, None]
        scores = scores.view(-1, len(bias) if len(bias) > 1 else total, heads, slots, slots) + bias
        out = scores.view(total, heads, slots, slots).softmax(-1) @ v
        return self.linear(f"{name}.proj", out.transpose(1, 2).reshape(total, slots, channels))

    def convnext(self, root: str, clips: Tensor) -> Tensor:
        """Run a ConvNeXt branch: [N,3,T,H,W] -> [N,C,T/2,H/32,W/32]."""
        x = clips
        for stage in range(4):
            down = f"{root}.downsample_layers.{stage}"
            if stage == 0:
                x = self.conv(f"{down}.0", x, stride=(2, 4, 4))
                x = self.norm(f"{down}.1", x.movedim(1, -1), 1e-6).movedim(-1, 1)
            else:
                x = self.norm(f"{down}.0", x.movedim(1, -1), 1e-6).movedim(-1, 1)
                x = self.conv(f"{down}.1", x, stride=(1, 2, 2))
            block = 0
            while f"{root}.stages.{stage}.{block}.norm.weight" in self.state:
                x = x + self.convnext_branch(f"{root}.stages.{stage}.{block}", x)
                block += 1
        return self.norm(f"{root}.norm", x.movedim(1, -1), 1e-6).movedim(-1, 1)

    def convnext_branch(self, name: str, x: Tensor) -> Tensor:
        """Compute what a block adds to [N,C,T,H,W]."""
        depth = self.state[f"{name}.dwconv.weight"].shape[2]
        y = self.conv(f"{name}.dwconv", x, padding=(depth // 2, 3, 3), groups=x.shape[1])
        y = self.norm(f"{name}.norm", y.movedim(1, -1), 1e-6)
        y = F.gelu(self.linear(f"{name}.pwconv1", y))
        if f"{name}.grn.gamma" in self.state:
            strength = y.square().sum((1, 2), keepdim=True).sqrt()
            relative = strength / (strength.mean(-1, keepdim=True) + 1e-6)
            y = (
                y
                + self.state[f"{name}.grn.gamma"] * (y * relative)
                + self.state[f"{name}.grn.beta"]
            )
        y = self.linear(f"{name}.pwconv2", y)
        return (y * self.state.get(f"{name}.gamma", 1)).movedim(-1, 1)


def normalise(clips: Tensor) -> Tensor:
    """Turn clips [N,T,3,H,W] of 0..255 into what the branches take, [N,3,T,H,W]."""
    mean, std = (torch.tensor(v, device=clips.device).view(1, 3, 1, 1, 1) for v in (MEAN, STD))
    return (clips.float().transpose(1, 2) - mean) / std


def cut_clip(frame: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Put 7 x 7 patches of a frame [3,H,W] together, 32 times over: [32,3,224,224]."""
    height, width = frame.shape[1:]
    out = frame.new_empty(3, 224, 224)
    for i in range(7):
        for j in range(7):
            top = min(height // 7 * i, height - 32) + int(rows[i, j])
            left = min(width // 7 * j, width - 32) + int(columns[i, j])
            out[:, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32] = frame[
                :, top : top + 32, left : left + 32
            ]
    return out.expand(32, -1, -1, -1)


def partition(x: Tensor, window) -> Tensor:
    """Cut [N,D,H,W,C] into windows [N * windows, slots, C]."""
    n, d, h, w, c = x.shape
    x = x.view(
        n, d // window[0], window[0], h // window[1], window[1], w // window[2], window[2], c
    )
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, window[0] * window[1] * window[2], c)


def restore(windows: Tensor, window, size) -> Tensor:
    """Put windows back together: [N,D,H,W,C]."""
    n, d, h, w = size
    x = windows.view(n, d // window[0], h // window[1], w // window[2], *window, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(n, d, h, w, -1)


def relative_index(device) -> Tensor:
    """Number the relative positions inside a full window, [392,392]."""
    cells = torch.cartesian_prod(*(torch.arange(n, device=device) for n in SWIN_WINDOW))
    difference = cells[:, None] - cells[None] + torch.tensor(SWIN_WINDOW, device=device) - 1
    return difference[..., 0] * 169 + difference[..., 1] * 13 + difference[..., 2]


def fragment_gate(padded, window, shift, device) -> Tensor:
    """Sum the differences of fragment coordinates of every pair: [windows, slots, slots]."""
    axes = torch.meshgrid(
        *(torch.arange(float(n), device=device) for n in FRAGMENTS), indexing="ij"
    )
    coordinates = F.interpolate(torch.stack(axes)[None], size=tuple(padded)).movedim(1, -1)
    slots = partition(coordinates.roll([-s for s in shift], (1, 2, 3)), window)
    return (slots[:, :, None] - slots[:, None]).abs().sum(-1)


def shift_mask(padded, window, shift, device) -> Tensor:
    """Mask pairs that were not neighbours before the roll: [windows, slots, slots]."""
    region = torch.zeros(1, *padded, 1, device=device)
    number = 0
    cuts = [
        (slice(0, -w), slice(-w, -s), slice(-s, None)) if s else (slice(None),)
        for w, s in zip(window, shift, strict=True)
    ]
    for depth in cuts[0]:
        for height in cuts[1]:
            for width in cuts[2]:
                region[:, depth, height, width] = number
                number += 1
    slots = partition(region, window)[..., 0]
    return (slots[:, :, None] != slots[:, None]) * -100.0
