"""uint8 RGB x and y -> augmented: geometry on both, photometry and noise on x alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vqe.data.slots import no_frames
from vqe.device import float32_products, is_gpu

DEVICES = ("cpu", "auto")


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
        device: where the frames of a training are transformed: `cpu`, by its loading processes, or
            `auto`, on the GPU if it runs on one. There frames arrive resized: what draws comes
            after that.

    Raises:
        ValueError: there is no such device, or a transform is not made for GPUs.
    """

    def __init__(
        self,
        geometric: Sequence[Callable] = (),
        photometric: Sequence[Callable] = (),
        size: Sequence[int] | None = None,
        noise: Sequence[Callable] = (),
        device: str = "cpu",
    ) -> None:
        if device not in DEVICES:
            raise ValueError(f"expected augmentation.device to be one of {DEVICES}, got {device!r}")
        if device == "auto":
            _check_for_gpus((*geometric, *photometric, *noise))
        self.device = device
        self.size = size
        self.geometric = v2.Compose(list(geometric)) if geometric else None
        self.photometric = v2.Compose(list(photometric)) if photometric else None
        self.noise = v2.Compose(list(noise)) if noise else None
        self.resize = v2.Resize(list(size), antialias=True) if size else None

    @property
    def changes_nothing(self) -> bool:
        """Whether every frame comes back as it is."""
        return not (self.geometric or self.photometric or self.noise or self.resize)

    @property
    def resizing_alone(self) -> "PairedTransform":
        """What is left to a loader whose batches are transformed on a GPU: to give one size."""
        return PairedTransform(size=self.size)

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


def transform_batch(batch: dict[str, Any], transform: PairedTransform) -> dict[str, Any]:
    """Transform a batch where it is, each sample by its own draw, whatever it comes with.

    Args:
        batch: `x` and `y` uint8 [B,3,H,W] or [B,T,3,H,W], and `draws`, of each sample a seed and
            whether it has a target: on the CPU, where nobody has to wait for a GPU to read them.
        transform: what to do.

    Returns:
        The batch with new `x` and `y`, without `draws`.
    """
    samples, pairs = zip(batch["x"], batch["y"], batch["draws"], strict=True), []
    with float32_products(batch["x"].device, tf32=False):  # or grids would be coarse
        for x, y, (seed, has_target) in samples:
            with drawing_from(seed, x.device):
                pairs.append(transform(x, y if has_target else None))
    sides = zip(("x", "y"), fill_in_targets(pairs), strict=True)
    rest = {name: value for name, value in batch.items() if name != "draws"}
    return rest | {name: torch.stack(frames) for name, frames in sides}


def fill_in_targets(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return all x, and all y: zero where there is none, of the others' type."""
    xs = [x for x, _ in pairs]
    like = next((y for _, y in pairs if y is not None), xs[0])
    return xs, [no_frames(like) if y is None else y for _, y in pairs]


@contextmanager
def drawing_from(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from a seed inside of this, on the CPU and the device; leave their states as they were.

    torchvision draws parameters on the CPU and noise where the frame is.
    """
    gpus = [device] if is_gpu(device) else []
    with torch.random.fork_rng(devices=gpus, enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            for gpu in gpus:
                torch.cuda.default_generators[gpu.index].manual_seed(seed)
        yield


def _check_for_gpus(transforms: Iterable[Callable]) -> None:
    for transform in transforms:
        if isinstance(transform, v2.JPEG) or getattr(transform, "needs_cpu", False):
            raise ValueError(
                "expected transforms that a GPU computes for augmentation.device=auto, got "
                f"{type(transform).__name__}, which works on the CPU. Set augmentation.device=cpu"
            )
        _check_for_gpus(getattr(transform, "transforms", ()))  # of those that choose or combine


def _to_plain(image: torch.Tensor) -> torch.Tensor:
    plain = image.as_subclass(torch.Tensor)
    return plain if plain.dtype == torch.uint8 else plain.float().clamp(0, 1)
