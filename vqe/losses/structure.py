"""Input and enhanced frames -> how much structure was lost, whatever light and contrast became."""

import torch

from vqe.losses.step import LossTerm, Step
from vqe.losses.windows import window_means
from vqe.pixels import LUMA_BT601


class StructureAnchor(LossTerm):
    """1 - correlation of the lumas of input and enhanced frame, in windows around each pixel.

    It needs no target, so that it anchors the critics on every frame. It is the third factor of
    SSIM (Z. Wang et al., "Image Quality Assessment", IEEE TIP 2004), with its constant inside both
    roots, where the gradient stays finite in flat windows: light and contrast may change locally,
    edges may not move, and nothing may appear. What is fainter than `noise` is no structure.

    Args:
        noise: standard deviation of the luma, in [0,1], taken for noise.
    """

    is_fidelity = True

    def __init__(self, noise: float = 0.02) -> None:
        super().__init__()
        if noise <= 0:
            raise ValueError(f"expected noise above 0, got {noise}. Set loss.terms...noise=0.02")
        self.variance = noise**2
        weights = torch.tensor(LUMA_BT601).view(1, 3, 1, 1)
        self.register_buffer("luma_weights", weights, persistent=False)

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar in [0,2], over all frames."""
        a, b = self._luma(step.x), self._luma(step.enhanced)
        mean_a, mean_b, square_a, square_b, product = window_means(a, b, a * a, b * b, a * b)
        variance_a = (square_a - mean_a**2).clamp(min=0) + self.variance
        variance_b = (square_b - mean_b**2).clamp(min=0) + self.variance
        covariance = product - mean_a * mean_b + self.variance
        return 1 - (covariance / (variance_a * variance_b).sqrt()).mean()

    def _luma(self, frames_bchw: torch.Tensor) -> torch.Tensor:
        return (frames_bchw.float() * self.luma_weights).sum(1, keepdim=True)
