"""A small copy of the frame -> coarse features of a timm network, for whoever has weights of one.

What a network learnt of pictures elsewhere is worth having where few pictures teach. All its
stages from the grid's own resolution down are read: the coarse ones know most of what is shown.
"""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.inputs import require_encoder_weights
from vqe.state_dict import READ_ERRORS, check_digest, check_state, read_weights

log = logging.getLogger(__name__)

ADVICE = (
    "Take the file that timm publishes for this very network, or leave encoder_weights out and "
    "train from random ones"
)


class TimmEncoder(nn.Module):
    """Turn small square frames into `cells` x `cells` features by the stages of a timm network.

    Its normalisations keep the statistics that they came with, in training too, and nothing is
    dropped at random. Batches here are small and often frames of one clip: their own statistics
    would say more of the batch than of pictures, and what a frame becomes would depend on those
    beside it in training and on none in a video. Gains and offsets are trained like all else.
    """

    def __init__(
        self,
        name: str,
        *,
        side: int,
        cells: int,
        channels: int,
        weights: str | Path | None = None,
    ) -> None:
        """Build the encoder; nothing is ever downloaded.

        Args:
            name: of a convolutional network in timm.
            side: of the small frames, in pixels.
            cells: of the features along each side.
            channels: of the features.
            weights: file of the network's weights, with its classifier or without; None: random.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: timm has no such network, it does not take such frames, or the weights are
                not its own.
        """
        super().__init__()
        import timm

        self.stages = _build_stages(name)
        if weights is not None:
            load_encoder(self.stages, name, weights)
        published = timm.get_pretrained_cfg(name)
        for kind in ("mean", "std"):  # of the colours that the network was made for
            values = torch.tensor(getattr(published, kind)).view(1, 3, 1, 1)
            self.register_buffer(kind, values, persistent=False)
        self.cells = cells
        self.train()
        sizes = _measure_stages(self.stages, name, side)
        self.read = [i for i, (_, size) in enumerate(sizes) if size <= cells] or [len(sizes) - 1]
        self.to_features = nn.ModuleList(nn.Conv2d(sizes[i][0], channels, 1) for i in self.read)
        for layer in self.to_features:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def train(self, mode: bool = True) -> "TimmEncoder":
        """Switch the mode of all but the timm network, which stays as it is when it is used."""
        super().train(mode)
        self.stages.eval()
        return self

    def forward(self, small: Tensor) -> Tensor:
        """Compute `[B,channels,cells,cells]` from RGB `[B,3,side,side]` in [0,1]."""
        found = self.stages((small - self.mean) / self.std)
        features = [
            _resize(layer(found[i]), self.cells)
            for i, layer in zip(self.read, self.to_features, strict=True)
        ]
        return F.relu(torch.stack(features).sum(0))


def _resize(features: Tensor, cells: int) -> Tensor:
    if features.shape[-2:] == (cells, cells):
        return features
    return F.interpolate(features, (cells, cells), mode="bilinear")


def _build_stages(name: str) -> nn.Module:
    """Build a timm network that returns what each stage computes, with random weights."""
    import timm

    if not timm.is_model(name):  # also what timm would fetch: hf-hub:..., local-dir:...
        near = difflib.get_close_matches(name, timm.list_models(), 5, cutoff=0.5)
        raise ValueError(
            f"expected encoder=<name of a network in timm {timm.__version__}>, got {name!r}. "
            f"Close to it: {', '.join(near) or 'none'}; all: timm.list_models()"
        )
    try:
        return timm.create_model(name, pretrained=False, features_only=True)
    except Exception as error:  # of a network without stages, in as many ways as there are
        raise ValueError(f"expected an encoder with stages, got {name}: {error}") from error


@torch.no_grad()
def _measure_stages(stages: nn.Module, name: str, side: int) -> list[tuple[int, int]]:
    """Return channels and cells along a side of what each stage makes of small frames."""
    try:
        found = stages(torch.zeros(1, 3, side, side))
    except Exception as error:  # such as an input size that is fixed
        raise ValueError(
            f"expected an encoder that takes frames of {side}x{side}, got {name}: "
            f"{str(error).rstrip('.')}. Take a convolutional network"
        ) from error
    sizes = [(features.shape[1], features.shape[-1]) for features in found]
    if [channels for channels, _ in sizes] != stages.feature_info.channels():
        raise ValueError(
            f"expected an encoder of features [B,C,h,w], got {name} with "
            f"{[list(features.shape) for features in found]}. Take a convolutional network"
        )
    return sizes


def load_encoder(stages: nn.Module, name: str, path: str | Path) -> None:
    """Fill a timm network's stages from a file, of which the classifier is left.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or its keys or shapes are not the network's.
    """
    import timm

    path = Path(path)
    require_encoder_weights(path)
    try:
        content, digest = read_weights(path)
    except READ_ERRORS as error:
        raise ValueError(f"expected tensors in {path}, got: {error}. {ADVICE}") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a state dict in {path}, got {type(content).__name__}. {ADVICE}")
    check_digest(content, digest, str(path))
    own = stages.state_dict()
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False).state_dict()
    state, left = _rename(content, own, whole)
    check_state(state, own, str(path), what=f"the encoder {name}", advice=ADVICE)
    stages.load_state_dict(state)
    log.info("%s: %d tensors from %s, %d of its classifier left", name, len(own), path, len(left))


def _rename(
    content: Mapping[str, Any], own: Mapping[str, Tensor], whole: Mapping[str, Tensor]
) -> tuple[dict[str, Any], list[str]]:
    """Bring a file's names into the form that stages have: `layers_0.conv` is `layers.0.conv`.

    Args:
        content: of the file.
        own: state dict of the stages.
        whole: that of the network with its classifier.

    Returns:
        The state dict, and the names of what only the whole network has.
    """
    names = {name.replace(".", "_"): name for name in own}
    classifier = {name.replace(".", "_") for name in whole} - set(names)
    # Files may lack the counters of batches, which nothing reads.
    state: dict[str, Any] = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    left = []
    for name, value in content.items():
        flat = str(name).replace(".", "_")
        if flat in classifier:
            left.append(str(name))
        else:
            state[names.get(flat, str(name))] = value
    return state, left
