"""uint8 RGB x and y -> augmented: geometry on both, photometry and noise on x alone."""

from collections.abc import Callable, Sequence

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2


class PairedTransform:
    """Apply geometric transforms to x and y together, photometric ones and noise to x alone.

    What geometric and photometric transforms draw serves all frames of a clip; noise is drawn
    anew in each frame.

    Args:
        geometric: torchvision v2 transforms; one draw of their parameters serves x and y.
        photometric: torchvision v2 transforms for x, the degraded side; y stays clean.
        size: height and width in pixels that every frame is resized to (bilinear, antialiased),
            or None to leave the size.
        noise: torchvision v2 transforms for each frame of x on its own, at last.
    """

    def __init__(
        self,
        geometric: Sequence[Callable] = (),
        photometric: Sequence[Callable] = (),
        size: Sequence[int] | None = None,
        noise: Sequence[Callable] = (),
    ) -> None:
        self.size = size
        self.geometric = v2.Compose(list(geometric)) if geometric else None
        self.photometric = v2.Compose(list(photometric)) if photometric else None
        self.noise = v2.Compose(list(noise)) if noise else None
        self.resize = v2.Resize(list(size), antialias=True) if size else None

    @property
    def changes_nothing(self) -> bool:
        """Whether every frame comes back as it is."""
        return not (self.geometric or self.photometric or self.noise or self.resize)

    def __call__(
        self, x_u8: torch.Tensor, y_u8: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Transform uint8 RGB frames [3,H,W] or clips [T,3,H,W] of one size; y may be None.

        Returns:
            x and y, still uint8 unless a transform made them float; then clamped to [0,1].
        """
        x, y = tv_tensors.Image(x_u8), None if y_u8 is None else tv_tensors.Image(y_u8)
        for transform in (self.geometric, self.resize):
            if transform is not None:
                x, y = transform(x, y)  # v2 passes None through
        if self.photometric is not None:
            x = self.photometric(x)
        if self.noise is not None:
            x = self._add_noise(x)
        return _to_plain(x), None if y is None else _to_plain(y)

    def _add_noise(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 3:
            return self.noise(x)
        return torch.stack([self.noise(tv_tensors.Image(frame)) for frame in x])


def _to_plain(image: torch.Tensor) -> torch.Tensor:
    plain = image.as_subclass(torch.Tensor)
    return plain if plain.dtype == torch.uint8 else plain.float().clamp(0, 1)
