"""A trained critic -> a safetensors file that `model_vqa.weights` takes, complete or absent."""

import json
from pathlib import Path

from safetensors.torch import save_file

from vqe.critics import UNetLite
from vqe.critics.weights import ABOUT, SIZES
from vqe.files import complete_or_absent


def export_critic(network: UNetLite, path: Path, about: str) -> None:
    """Write a critic's weights, matrices in float16, with its sizes and what it is beside them.

    Args:
        network: the critic, not folded.
        path: of the file.
        about: what `vqe.critics.FrozenVQA` says of it in the log.
    """
    state = {}
    for key, value in network.state_dict().items():
        if value.is_floating_point():  # the counters of batch norm are of no use
            half = value.half() if value.ndim > 1 else value.float()
            state[key] = half.detach().cpu().contiguous()
    sizes = {"widths": list(network.widths), "depths": list(network.depths)}
    with complete_or_absent(path) as part:
        save_file(state, part, metadata={SIZES: json.dumps(sizes), ABOUT: about})
