"""uint8 RGB x and y -> float RGB [0,1], augmented: geometry on both, photometry on x alone."""

from collections.abc import Callable, Sequence

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vqe.pixels import dequantise


class PairedTransform:
    """Apply geometric transforms to x and y together, photometric ones to x alone.

    Args:
        geometric: torchvision v2 transforms; one draw of their parameters serves x and y.
        photometric: torchvision v2 transforms for x, the degraded side; y stays clean.
        size: height and width in pixels that every frame is resized to at last (bilinear,
            antialiased), or None to leave the size.
    """

    def __init__(
        self,
        geometric: Sequence[Callable] = (),
        photometric: Sequence[Callable] = (),
        size: Sequence[int] | None = None,
    ) -> None:
        self.geometric = v2.Compose(list(geometric)) if geometric else None
        self.photometric = v2.Compose(list(photometric)) if photometric else None
        self.resize = v2.Resize(list(size), antialias=True) if size else None

    def __call__(
        self, x_chw: torch.Tensor, y_chw: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Transform uint8 RGB [3,H,W] frames of one size into float RGB [0,1]; y may be None."""
        x, y = tv_tensors.Image(x_chw), None if y_chw is None else tv_tensors.Image(y_chw)
        for transform in (self.geometric, self.resize):
            if transform is not None:
                x, y = transform(x, y)  # v2 passes None through
        if self.photometric is not None:
            x = self.photometric(x)
        return _to_float(x), None if y is None else _to_float(y)


def _to_float(image: torch.Tensor) -> torch.Tensor:
    plain = image.as_subclass(torch.Tensor)
    return dequantise(plain) if plain.dtype == torch.uint8 else plain.float().clamp(0, 1)
