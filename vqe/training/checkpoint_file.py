"""How Lightning writes and reads checkpoints; apart, as reading one needs no Lightning."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins import TorchCheckpointIO

from vqe.files import complete_or_absent
from vqe.state_dict import DIGEST, digest_tensors
from vqe.training.checkpoints import read_tensors


class CheckpointFile(TorchCheckpointIO):
    """Write checkpoints complete or absent, with a digest in them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        sealed = checkpoint | {DIGEST: digest_tensors(checkpoint)}
        with complete_or_absent(Path(path)) as part, part.open("wb") as file:
            torch.save(sealed, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint as `read_tensors` does."""
        return read_tensors(Path(path))
