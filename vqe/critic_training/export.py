"""A trained critic -> a safetensors file that `model_vqa.weights` takes, complete or absent."""

import json
from pathlib import Path

from safetensors.torch import save_file

from vqe.critics import UNetLite
from vqe.critics.weights import ABOUT, SIZES
from vqe.files import complete_or_absent
from vqe.finite import check_weights
from vqe.state_dict import DIGEST, digest_tensors


def export_critic(network: UNetLite, path: Path, about: str) -> None:
    """Write a critic: matrices in float16, and beside them its sizes, what it is and a digest.

    Args:
        network: the critic, not folded.
        path: of the file.
        about: what `vqe.critics.FrozenVQA` says of it in the log.

    Raises:
        NonFiniteError: a weight is not finite.
    """
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
