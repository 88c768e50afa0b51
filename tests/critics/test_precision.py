import pytest
import torch
from torch import nn

from vqe.critics import FrozenDOVER, FrozenVQA, UNetLite, precision, untrained_
from vqe.critics.precision import ChosenPrecision, KeepFloat32


class Kept(KeepFloat32, nn.Linear):
    pass


class Critic(ChosenPrecision, nn.Module):
    def __init__(self, choice):
        super().__init__()
        self.body, self.head = nn.Linear(3, 3), Kept(3, 1)
        self.register_buffer("index", torch.arange(3))
        self._choose_precision(choice)


def types(critic):
    return critic.body.weight.dtype, critic.head.weight.dtype, critic.index.dtype


def test_bf16_spares_heads_and_indices():
    assert types(Critic("bf16")) == (torch.bfloat16, torch.float32, torch.int64)


@pytest.mark.parametrize("choice", ["fp32", "auto"])
def test_a_cpu_computes_in_fp32_unless_told(choice):
    assert types(Critic(choice))[0] == torch.float32


def test_auto_follows_the_device(monkeypatch):
    native = torch.device("meta")
    monkeypatch.setattr(precision, "_is_bf16_native", lambda device: device == native)
    assert types(Critic("auto").to("meta"))[:2] == (torch.bfloat16, torch.float32)
    assert types(Critic("fp32").to("meta"))[0] == torch.float32


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="auto, fp32, bf16, got 'half'"):
        Critic("half")


def test_vqa_in_bf16_is_close_and_leaves_a_gradient():
    x, enhanced = torch.rand(2, 2, 3, 64, 96).mul(2).sub(1)
    d = torch.full((2, 1), 0.4)
    enhanced.requires_grad_()
    exact, rounded = (FrozenVQA("untrained", precision=p) for p in ("fp32", "bf16"))
    expected = exact(x, enhanced, d, d).before_clamps
    scores = rounded(x, enhanced, d, d).before_clamps
    assert scores.dtype == torch.float32
    assert 0 < (scores - expected).abs().max() < 0.02
    scores.sum().backward()
    assert enhanced.grad.abs().sum() > 0


def test_dover_option_reaches_the_backbones():
    critic = FrozenDOVER("mobile", "untrained", num_clips=1, precision="bf16")
    assert critic.dover.technical_backbone.stages[0][0].pwconv1.weight.dtype == torch.bfloat16
    assert critic.dover.technical_head.fc_hid.weight.dtype == torch.float32


@pytest.mark.slow
def test_compiled_levels_give_the_same():
    critic = untrained_(UNetLite(widths=(8, 16), depths=(1, 1))).fold_batch_norm()
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        expected = critic.features(x)
        critic.compile_levels()
        torch.testing.assert_close(critic.features(x), expected, rtol=1e-4, atol=1e-5)
