"""The network that changes nothing: the reference that every other one must beat."""

from torch import Tensor, nn


class Identity(nn.Module):
    """Return the frames as they are; has no parameters, so it is tested and never trained."""

    def forward(self, frames_bchw: Tensor) -> Tensor:
        """Return the RGB frames `[B,3,H,W]`, clamped to [0,1] in eval mode."""
        return frames_bchw if self.training else frames_bchw.clamp(0, 1)

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Return nothing: there are no operations."""
        return {}
