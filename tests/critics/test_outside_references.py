"""Our 3-D backbones against timm's ConvNeXt and torchvision's Video Swin, where formulas coincide.

The other libraries' weights are random and are put under our names. Neither knows of clips that
stand still or of gated biases, so that both are set up to mean the same: a temporal kernel that
sees its own position alone, and equal tables, between which no gate can choose.
"""

import pytest
import torch
import torch.nn.functional as F
from timm.models.convnext import ConvNeXt, ConvNeXtBlock
from torchvision.models.video import swin3d_t

from vqe.critics.dover.convnext import Block, ConvNeXt3D
from vqe.critics.dover.swin import SwinTransformer3D

CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # of features that are normalised: about 1


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomise(module):
    """Draw every weight anew, so that none is still at a start that hides it, 0 or 1."""
    for seed, value in enumerate(module.parameters()):
        noise = draw(*value.shape, seed=seed)
        spread = 0.3 if value.ndim == 1 else value[0].numel() ** -0.5
        value.copy_(spread * noise + (value.ndim == 1) * value.mean())
    return module.eval()


def at_one_position(kernels_2d, length):
    """Inflate kernels [O,I,h,w]: all weight at the middle of `length` positions in time."""
    kernels = torch.zeros(*kernels_2d.shape[:2], length, *kernels_2d.shape[2:])
    kernels[:, :, length // 2] = kernels_2d
    return kernels


def load(ours, state):
    own = ours.state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in own.items()}
    ours.load_state_dict(state)
    return ours.eval()


def rename_block(block, kernel_length):
    """Return a timm block's state under our names."""
    renamed = {"conv_dw": "dwconv", "mlp.fc1": "pwconv1", "mlp.fc2": "pwconv2", "mlp.grn": "grn"}
    state = {}
    for key, value in block.state_dict().items():
        layer, _, kind = key.rpartition(".")
        state[f"{renamed.get(layer, layer)}.{kind}".lstrip(".")] = value
    state["dwconv.weight"] = at_one_position(state["dwconv.weight"], kernel_length)
    if "grn.weight" in state:
        for ours, theirs in (("gamma", "weight"), ("beta", "bias")):
            state[f"grn.{ours}"] = state.pop(f"grn.{theirs}").view(1, 1, 1, -1)
    return state


def rename_convnext(network, ours):
    """Return a timm network's state under our names; a stem takes the mean of two frames."""
    own, stem = ours.state_dict(), network.stem
    state = {"norm.weight": network.head.norm.weight, "norm.bias": network.head.norm.bias}
    layers = {"0.0": stem[0], "0.1": stem[1]}
    for i, stage in enumerate(network.stages):
        if i:
            layers |= {f"{i}.0": stage.downsample[0], f"{i}.1": stage.downsample[1]}
        for j, block in enumerate(stage.blocks):
            length = own[f"stages.{i}.{j}.dwconv.weight"].shape[2]
            renamed = rename_block(block, length)
            state |= {f"stages.{i}.{j}.{key}": value for key, value in renamed.items()}
    for name, layer in layers.items():
        for kind, value in layer.state_dict().items():
            if value.ndim == 4:
                length = own[f"downsample_layers.{name}.{kind}"].shape[2]
                value = (value / length)[:, :, None].expand(-1, -1, length, -1, -1)
            state[f"downsample_layers.{name}.{kind}"] = value
    return state


def test_convnext_is_timm_s_frame_by_frame():
    sizes = {"depths": (3, 2, 4, 1), "dims": (16, 24, 40, 64)}
    theirs = randomise(ConvNeXt(**sizes, num_classes=0))
    ours = ConvNeXt3D(**sizes)
    load(ours, rename_convnext(theirs, ours))
    clips = draw(2, 3, 6, 96, 64)
    features = ours(clips)
    assert features.shape == (2, 3, 3, 2, 64)
    pairs = clips.unflatten(2, (3, 2)).mean(3)
    for t in range(3):
        plain = theirs.forward_features(pairs[:, :, t]).permute(0, 2, 3, 1)
        norm = theirs.head.norm
        expected = F.layer_norm(plain, (64,), norm.weight, norm.bias, 1e-6)
        torch.testing.assert_close(features[:, t], expected, **CLOSE)
    assert (features[:, 0] - features[:, 1]).abs().max() > 0.1  # the frames differ


def test_a_still_s_convnext_is_timm_s_of_the_frame():
    sizes = {"depths": (2, 3, 1, 2), "dims": (16, 24, 40, 64)}
    theirs = randomise(ConvNeXt(**sizes, num_classes=0))
    ours = ConvNeXt3D(**sizes)
    load(ours, rename_convnext(theirs, ours))
    frames = draw(2, 3, 64, 96)
    expected = theirs.forward_features(frames).permute(0, 2, 3, 1)
    expected = F.layer_norm(expected, (64,), theirs.head.norm.weight, theirs.head.norm.bias, 1e-6)
    features = ours(frames[:, :, None], still_length=32)
    assert features.shape == (2, 16, 2, 3, 64)
    for t in (0, 7, 15):
        torch.testing.assert_close(features[:, t], expected, **CLOSE)


@pytest.mark.parametrize("kernel_length", [1, 3])
def test_a_block_of_version_2_is_timm_s(kernel_length):
    # One column wide, where a norm over height and width is one over height.
    theirs = randomise(ConvNeXtBlock(24, use_grn=True, ls_init_value=None))
    ours = Block(24, kernel_length, response_norm=True)
    load(ours, rename_block(theirs, kernel_length))
    x = draw(3, 24, 9, 1)
    value = ours(x.permute(0, 2, 3, 1)[:, None].contiguous(), length=1)[:, 0]
    torch.testing.assert_close(value, theirs(x).permute(0, 2, 3, 1), **CLOSE)


@pytest.fixture(scope="module")
def swins():
    """Return torchvision's network and ours with the same weights."""
    theirs = swin3d_t(weights=None).eval()
    with torch.no_grad():
        for seed, (name, value) in enumerate(theirs.named_parameters()):
            if "bias" in name or "norm" in name:  # they start at 0 or 1, tables close to it
                value.add_(0.3 * draw(*value.shape, seed=seed))
            else:
                value.copy_(draw(*value.shape, seed=seed) * value[0].numel() ** -0.5)
    return theirs, load(SwinTransformer3D(), rename_swin(theirs))


def rename_swin(theirs):
    state = {f"patch_embed.{k}": v for k, v in theirs.patch_embed.state_dict().items()}
    state |= {f"norm.{k}": v for k, v in theirs.norm.state_dict().items()}
    for i, part in enumerate(theirs.features):
        if i % 2:
            state |= {f"layers.{i // 2}.downsample.{k}": v for k, v in part.state_dict().items()}
            continue
        for key, value in part.state_dict().items():
            key = key.replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
            number, _, rest = key.partition(".")
            at = f"layers.{i // 2}.blocks.{number}."
            if rest == "attn.relative_position_index":
                value = value.view(392, 392)
            state[at + rest] = value
            if rest == "attn.relative_position_bias_table" and i < 6:
                state[at + "attn.fragment_position_bias_table"] = value.clone()
    return state


# Shifted in time and space; windows that shrink; tokens that fill no window.
@pytest.mark.parametrize("size", [(20, 64, 96), (8, 64, 64), (18, 100, 72)])
def test_swin_is_torchvision_s_without_the_gate(swins, size):
    theirs, ours = swins
    clip = draw(1, 3, *size)
    expected = theirs.norm(theirs.features(theirs.patch_embed(clip)))
    torch.testing.assert_close(ours(clip), expected, **CLOSE)


def test_swin_s_tables_make_a_difference(swins):
    theirs, ours = swins
    clip = draw(1, 3, 8, 64, 64)
    expected = theirs.norm(theirs.features(theirs.patch_embed(clip)))
    table = ours.layers[0].blocks[0].attn.fragment_position_bias_table
    before = table.clone()
    table.add_(draw(*table.shape))
    try:
        assert (ours(clip) - expected).abs().max() > 0.01
    finally:
        table.copy_(before)
