"""A video, and the one it was made from -> the means of its scores."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from vqe.critics.dover.clips import CLIP_LENGTH
from vqe.device import choose_device
from vqe.pixels import dequantise, to_challenge_range
from vqe.schema import SCORES, frame_seed
from vqe.scoring.pairs import FrameGroup, read_groups
from vqe.video.hardware import CPU, check_decoder

DOVER_COLUMNS = ("dover_technical", "dover_aesthetic", "dover_overall")
MIN_VQA_SIDE = 16  # pixels: the VQA halves a frame four times


class VideoScorer:
    """Score videos frame by frame or, where DOVER's view is `clip`, 32 frames at a time.

    A group of frames is in memory at a time, whatever the length of the video.

    Args:
        dover: `FrozenDOVER` or `ConstantDOVER`.
        vqa: `FrozenVQA`; None scores without references.
        every: score the first frame and every so-many-th after it; 1 scores all.
        batch_size: frames in one pass.
        device: where the critics run; auto is the GPU if there is one.
        decoder: of the videos, see `vqe.video.hardware`.

    Raises:
        ValueError: a number below 1, no such decoder, or a device that is not there.
    """

    def __init__(
        self,
        dover: nn.Module,
        vqa: nn.Module | None = None,
        *,
        every: int = 1,
        batch_size: int = 4,
        device: str = "auto",
        decoder: str = CPU,
    ) -> None:
        for key, value in {"every": every, "batch_size": batch_size}.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"expected {key} to be a whole number above 0, got {value!r}")
        self.device = choose_device(device)
        self.dover = dover.to(self.device).eval()
        self.vqa = vqa.to(self.device).eval() if vqa is not None else None
        self.decoder = check_decoder(decoder)
        self.every = every
        self.batch_size = batch_size
        self.columns = DOVER_COLUMNS if vqa is None else (*DOVER_COLUMNS, *SCORES)

    @torch.no_grad()
    def score(
        self,
        name: str,
        video: Path,
        reference: Path | None = None,
        *,
        on_frames: Callable[[int], None] = lambda frames: None,
    ) -> dict[str, float]:
        """Average a video's scores over the frames looked at.

        Args:
            name: the video's identity, from which DOVER's fragments are drawn.
            video: the file.
            reference: the file that `video` is an enhanced version of.
            on_frames: told how many frames have been scored so far.

        Returns:
            `frames`, how many were scored, and the means by `columns`.

        Raises:
            VideoError: a file cannot be read to its end.
            ValueError: the reference does not fit, or the frames are too small for the VQA.
        """
        sums, frames = torch.zeros(len(self.columns), dtype=torch.float64), 0
        size = CLIP_LENGTH if self.dover.view == "clip" else self.batch_size
        for group in read_groups(video, reference, self.every, size, decoder=self.decoder):
            sums += self._score_group(name, group).double().cpu().sum(0)
            frames += len(group.numbers)
            on_frames(frames)
        means = (sums / frames).tolist()
        return {"frames": frames, **dict(zip(self.columns, means, strict=True))}

    def _score_group(self, name: str, group: FrameGroup) -> Tensor:
        """Return every frame's scores, [N,columns]."""
        frames = group.frames.to(self.device)
        if self.vqa is None:
            return torch.stack(self._rate(name, group.numbers, [frames]), dim=-1)[0]
        height, width = frames.shape[-2:]
        if min(height, width) < MIN_VQA_SIDE:
            raise ValueError(
                f"expected frames of at least {MIN_VQA_SIDE}x{MIN_VQA_SIDE} for the VQA, got "
                f"{width}x{height}. Score them without a reference"
            )
        references = group.references.to(self.device)
        ratings = self._rate(name, group.numbers, [frames, references])
        d_frames, d_references = ratings[-1][..., None]
        comparison = self._compare(references, frames, d_references, d_frames)
        return torch.cat([torch.stack(ratings, dim=-1)[0], comparison], dim=1)

    def _compare(
        self, references: Tensor, frames: Tensor, d_references: Tensor, d_frames: Tensor
    ) -> Tensor:
        """Return the VQA's scores of frames against their references, [N,12]."""
        everything = (references, frames, d_references, d_frames)
        parts = zip(*(tensor.split(self.batch_size) for tensor in everything), strict=True)
        return torch.cat(
            [
                self.vqa(_to_vqa_range(x), _to_vqa_range(y), d_x, d_y).clamped
                for x, y, d_x, d_y in parts
            ]
        )

    def _rate(
        self, name: str, numbers: Sequence[int], versions: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return technical, aesthetic and fused scores [V,N] of V versions of the same frames.

        A frame has the same fragments in all versions. In the clip view they have one score.
        """
        count = len(versions)
        seeds = torch.tensor([frame_seed("", name, str(number)) for number in numbers])
        if self.dover.view == "clip":
            rated = self.dover.branches(torch.stack(versions), seeds[:1].expand(count))
            return tuple(score[:, None].expand(count, len(numbers)) for score in rated)
        rated = self.dover.branches(torch.cat(versions), seeds.repeat(count))
        return tuple(score.view(count, -1) for score in rated)


def _to_vqa_range(frames_u8: Tensor) -> Tensor:
    return to_challenge_range(dequantise(frames_u8))
