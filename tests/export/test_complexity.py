import copy
import logging

import pytest
import torch
from torch import nn

from vqe.export.complexity import log_complexity, measure_complexity
from vqe.models import Base, BilateralGrid, Identity, Lut, Nano, Recurrent, SampleConv

MAPS = 15
STATISTICS = 182


class Heavy(nn.Module):
    """A convolution of 24.3 GMACs at 720p beside an operation that no counter sees."""

    def __init__(self, channels=98):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)

    def forward(self, frames):
        return self.conv(frames)[:, :3]

    def functional_macs(self, height, width):
        return {"gamma": 7 * height * width}


def test_macs_of_a_convolution_are_those_of_the_formula():
    conv = nn.Conv2d(3, 10, kernel_size=(3, 5), stride=2, padding=(1, 2))
    found = measure_complexity(conv, height=40, width=60)
    assert found.macs_g == pytest.approx(20 * 30 * 10 * 3 * 3 * 5 / 1e9, rel=1e-12)
    assert found.params == 3 * 10 * 3 * 5 + 10
    assert found.functional_macs_g == {}
    assert (found.height, found.width) == (40, 60)


def test_operations_the_counter_cannot_see_are_those_the_network_reports():
    found = measure_complexity(Heavy(channels=4), height=10, width=20)
    assert found.functional_macs_g == {"gamma": pytest.approx(1400e-9)}
    assert found.total_macs_g == pytest.approx((200 * 4 * 27 + 1400) / 1e9)


def test_sample_networks():
    assert measure_complexity(SampleConv()).macs_g == pytest.approx(720 * 1280 * 9 / 1e9)
    nothing = measure_complexity(Identity())
    assert (nothing.params, nothing.total_macs_g) == (0, 0)


def test_bilateral_grid_is_within_its_budget():
    layers = [  # output side, channels in and out, kernel side
        *((128, 3, 8, 3), (64, 8, 16, 3), (32, 16, 32, 3), (16, 32, 64, 3)),
        *((16, 64, 64, 3), (16, 64, 64, 3)),
        *((8, 64, 64, 3), (4, 64, 64, 3), (1, 1024, 256, 1), (1, 256, 128, 1), (1, 128, 64, 1)),
        (16, 64, 96, 1),
    ]
    predicted = sum(side**2 * i * o * kernel**2 for side, i, o, kernel in layers)
    guide = 720 * 1280 * (3 * 16 + 16)
    found = measure_complexity(BilateralGrid())
    assert found.macs_g == pytest.approx((predicted + guide) / 1e9)
    assert found.functional_macs_g["slice"] == pytest.approx(720 * 1280 * 8 * 12 / 1e9)
    assert found.total_macs_g < 0.5
    assert found.params < 500_000


@pytest.mark.parametrize(
    ("network_class", "budget_g"), [(Nano, 0.5), (Lut, 0.5), (Base, 10), (Recurrent, 16)]
)
def test_networks_are_within_their_budgets(network_class, budget_g):
    found = measure_complexity(network_class())
    assert 0.4 * budget_g < found.total_macs_g <= budget_g
    assert found.functional_macs_g


def count_convs(*layers):
    return sum(cells * i * o * side**2 for cells, i, o, side in layers)


def count_nano():
    """Count nano's layers and the two products that upsample its maps."""
    convs = count_convs(
        *((64**2, 3, 16, 3), (32**2, 16, 32, 3), (16**2, 32, 64, 3)),
        *((16**2, 64, 64, 3), (16**2, 64, 64, 3), (16**2, 64, MAPS, 1)),
        *((1, STATISTICS, 256, 1), (1, 256, 128, 1), (1, 128, 64, 1)),
    )
    return convs + MAPS * 16 * (720 * 16 + 720 * 1280)


def test_nano_costs_what_its_layers_do():
    found = measure_complexity(Nano())
    assert found.macs_g == pytest.approx(count_nano() / 1e9)


def test_base_is_measured_fused():
    found = measure_complexity(Base())
    residual = count_convs(*[(180 * 320, 48, 48, 3)] * 8)
    assert found.macs_g == pytest.approx((count_nano() + residual) / 1e9)
    unfolded = sum(p.numel() for p in Base().parameters())
    assert found.params == unfolded - 7 * 48 * 48  # the 1x1 branches


def test_the_network_is_left_as_it_was():
    network = BilateralGrid(low_res=32).train()
    network.guide.eval()
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    before = copy.deepcopy(network)
    gradients = [p.grad.clone() for p in network.parameters()]
    random_state = torch.get_rng_state()
    measure_complexity(network, height=16, width=16)
    assert [m.training for m in network.modules()] == [m.training for m in before.modules()]
    for mine, theirs, gradient in zip(
        network.parameters(), before.parameters(), gradients, strict=True
    ):
        assert torch.equal(mine, theirs)
        assert torch.equal(mine.grad, gradient)
        assert mine.requires_grad
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("channels", [1, 98])
def test_warns_above_the_limit_only(channels, caplog):
    caplog.set_level(logging.INFO, logger="vqe.export.complexity")
    found = log_complexity(Heavy(channels), limit_macs_g=2.0)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert bool(warnings) == (channels == 98)
    assert found.macs_g == pytest.approx(720 * 1280 * 27 * channels / 1e9)
    told = caplog.records[0].getMessage()
    assert f"{27 * channels:,} parameters" in told
    assert f"{found.macs_g:.3f} GMACs" in told
    assert "gamma 0.006" in told
    assert all("at most 2 GMACs" in text for text in warnings)
