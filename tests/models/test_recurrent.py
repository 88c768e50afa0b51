"""Recurrent: what it keeps of the past, and what that is good for."""

import pytest
import torch
from network_checks import build_small, draw_clean_frames, make_clips, rmse, train

from vqe.models import Recurrent
from vqe.models.enhancement import enhance


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_frames_are_fused_by_the_gate():
    network = build_small(Recurrent).eval()
    with torch.no_grad():
        network.memory.fill_(0.05)  # tanh(0.5), times a gate that is a half everywhere
        for parameter in network.gate[-1].parameters():
            parameter.zero_()
    share = 0.5 * torch.tanh(torch.tensor(0.5))
    clip = torch.rand(1, 3, 3, 9, 14) * 0.1 + 0.4
    state, fused = network.initial_state(1, 9, 14), clip[:, 0]
    for time in range(3):
        if time:
            fused = share * fused + (1 - share) * clip[:, time]
        enhanced, state = network(clip[:, time], state)
        torch.testing.assert_close(state["fused"], fused)
        torch.testing.assert_close(enhanced, fused)  # nothing else has learnt anything


def test_the_past_reduces_noise():
    clean = draw_clean_frames()
    clips = make_clips(clean, length=4, noise=0.1)
    network = train(build_small(Recurrent), clips, clean[:, None], steps=30).eval()
    unseen = clean[:, None] + 0.1 * torch.randn(2, 6, 3, 72, 96)
    done = enhance(network, unseen)
    first, last = rmse(done[:, 0], clean), rmse(done[:, -1], clean)
    assert last < 0.8 * first < 0.8 * rmse(unseen[:, 0], clean)


def test_a_network_without_a_past_learns_from_frames_too():
    clean = draw_clean_frames()
    network = train(build_small(Recurrent), clean * 0.5, clean, steps=20)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("options", [{"channels": 0}, {"layers": 0}, {"gate_channels": 0}])
def test_impossible_layers_are_refused(options):
    with pytest.raises(ValueError, match="expected channels, layers and gate_channels >= 1"):
        Recurrent(**options)
