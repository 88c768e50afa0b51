"""Golden weights of DOVER, shifted to where an error shows as large as it can."""

import torch
from golden_weights import golden_state

from vqe.critics import DOVER, load_weights

SIZES = {"640x368": (368, 640), "1280x720": (720, 1280)}
CENTRE = {"technical": -0.08285, "aesthetic": 0.1107}  # raw means that the challenge fuses to 0.5
NAMES = {"dover": "dover", "mobile": "dover_mobile"}  # of the golden weights, by variant


def centre(variant: str, frame: torch.Tensor, offsets) -> tuple[DOVER, dict]:
    """Shift the heads' biases so that the frame's fused score is 0.5; return the state as well."""
    state = golden_state(NAMES[variant])
    critic = load_weights(DOVER(variant), state)
    means = critic.branch_scores(frame[None].cpu(), offsets)
    for (branch, target), mean in zip(CENTRE.items(), means, strict=True):
        key = f"{branch}_head.fc_last.bias"
        state[key] = state[key] + target - mean
    return load_weights(critic, state), state
