"""Run parts of the critics with interpreted kernels; print largest value, error and shapes of each.

Triton reads TRITON_INTERPRET at import, hence a process of its own. GELU is that of torch: the
GPU's own is no kernel of ours.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.critics import UNetLite, encoder_gpu
from vqe.critics.dover import convnext, convnext_gpu, swin, swin_gpu


def draw_weights(network: nn.Module) -> nn.Module:
    """Draw all weights, around one where they scale."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        scales = weight.ndim == 1 and name.endswith((".weight", ".gamma"))
        deviation = 0.5 if "bias_table" in name else 0.1
        nn.init.normal_(weight, float(scales), deviation)
    return network.eval()


def run_backbone(module, network: nn.Module, clips: Tensor, still_length: int) -> list[Tensor]:
    """Run a branch of DOVER without its kernels, then with them, in float32."""
    results = []
    for kernels in (False, True):
        module.has_kernels = lambda *_, answer=kernels: answer
        results.append(network(clips, still_length=still_length))
    return results


def run_encoder() -> list[Tensor]:
    """Run the VQA's encoder both ways on frames of odd sizes."""
    network = draw_weights(UNetLite((32, 64, 128), (1, 2, 1))).fold_batch_norm()
    frames = torch.rand(2, 3, 21, 27) * 2 - 1
    return [network.features(frames), encoder_gpu.encode(network._encoder, frames)]


@torch.no_grad()
def main(part: str) -> None:
    """Compare the two ways of one part."""
    swin_gpu.linear_gelu_fused = convnext_gpu.linear_gelu_fused = lambda x, f: F.gelu(f(x))
    if part == "swin":  # two blocks, so that a still, a shifted grid and merging come up
        # 96 channels as DOVER has: a program normalises eight rows, of 32 channels a single one
        network = draw_weights(swin.SwinTransformer3D(96, (2, 1)))
        expected, value = run_backbone(swin, network, torch.randn(1, 3, 1, 56, 56), 32)
    elif part == "convnext":
        network = draw_weights(convnext.ConvNeXt3D((8, 12), (3, 1)))
        expected, value = run_backbone(convnext, network, torch.randn(1, 3, 1, 24, 20), 12)
    else:
        expected, value = run_encoder()
    shapes = "same" if expected.shape == value.shape else "different"
    print(part, expected.abs().max().item(), (value - expected).abs().max().item(), shapes)


if __name__ == "__main__":
    for part in sys.argv[1:]:
        main(part)
