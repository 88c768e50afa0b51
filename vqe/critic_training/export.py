"""A trained critic -> a safetensors file that `model_vqa.weights` takes, complete or absent."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from vqe.critics import UNetLite
from vqe.critics.weights import ABOUT, SIZES
from vqe.files import complete_or_absent
from vqe.finite import check_weights
from vqe.schema import ATTRIBUTES
from vqe.state_dict import DIGEST, digest_tensors


def export_critic(network: UNetLite, path: Path, about: str, withdrawn: Sequence[str] = ()) -> None:
    """Write a critic: matrices in float16, and beside them its sizes, what it is and a digest.

    Args:
        network: the critic, not folded; it stays as it is.
        path: of the file.
        about: what `vqe.critics.FrozenVQA` says of it in the log.
        withdrawn: scores of `vqe.schema.ATTRIBUTES` that say too little: 0.5 whatever the frame.

    Raises:
        NonFiniteError: a weight is not finite.
    """
    if withdrawn:
        network = copy.deepcopy(network)
        withdraw_scores(network, withdrawn)
        about = f"{about}; withdrawn, always 0.5: {', '.join(withdrawn)}"
    state = {}
    for key, value in network.state_dict().items():
        if value.is_floating_point():  # the counters of batch norm are of no use
            half = value.half() if value.ndim > 1 else value.float()
            state[key] = half.detach().cpu().contiguous()
    check_weights(state, "the trained critic")
    sizes = {"widths": list(network.widths), "depths": list(network.depths)}
    facts = {SIZES: json.dumps(sizes), ABOUT: about, DIGEST: digest_tensors(state)}
    with complete_or_absent(path) as part:
        save_file(state, part, metadata=facts)


@torch.no_grad()
def withdraw_scores(network: UNetLite, names: Sequence[str]) -> None:
    """Make scores constant, in place: a number that means little should not look like one."""
    last = network.aux_head[-1]
    rows = [ATTRIBUTES.index(name) for name in names]
    last.weight[rows] = 0
    last.bias[rows] = 0.5
