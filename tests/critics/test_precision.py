"""What computes in bfloat16 and what does not, where that is an error, and how close it comes."""

import os
import subprocess
import sys

import pytest
import torch
from golden_weights import golden_state
from torch import nn
from torch._inductor import config as inductor

from vqe import device
from vqe.critics import DOVER, FrozenDOVER, FrozenVQA, UNetLite, load_weights, untrained_
from vqe.critics.precision import FrozenCritic, cast_backbones

CPU = torch.device("cpu")


@pytest.fixture
def native(monkeypatch):
    """Take the CPU for one with bfloat16: what it emulates it computes as well, only slowly."""
    monkeypatch.setattr(device, "_is_cpu_bf16_native", lambda: True)


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setattr(device, "_is_cpu_bf16_native", lambda: False)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 1)
        self.body.register_buffer("index", torch.arange(3))

    def backbones(self):
        return [self.body]


class Critic(FrozenCritic):
    def __init__(self, precision):
        super().__init__(precision)
        self.network = Network()


def types(critic):
    critic.settle()
    network = critic.network
    parts = network.body[0], network.body[1], network.head
    return *(part.weight.dtype for part in parts), network.body.index.dtype


def test_bf16_spares_norms_heads_and_indices(native):
    expected = (torch.bfloat16, torch.float32, torch.float32, torch.int64)
    assert types(Critic("bf16")) == expected


@pytest.mark.parametrize("choice", ["fp32", "auto"])
def test_a_cpu_computes_in_fp32_unless_told(native, choice):
    assert types(Critic(choice))[0] == torch.float32


def test_auto_follows_the_device(monkeypatch):
    monkeypatch.setattr(device, "is_bf16_native", lambda where: where.type == "meta")
    critic = Critic("auto")
    assert types(critic)[0] == torch.float32
    assert types(critic.to("meta"))[:3] == (torch.bfloat16, torch.float32, torch.float32)
    assert types(Critic("fp32").to("meta"))[0] == torch.float32


def test_a_whole_model_in_half_precision_leaves_norms_and_heads_in_float32():
    critic = FrozenVQA("untrained").to(torch.bfloat16)  # as Lightning's bf16-true does
    x = torch.rand(1, 3, 32, 32)
    assert critic(x, x, torch.zeros(1, 1), torch.zeros(1, 1)).clamped.dtype == torch.float32
    assert {p.dtype for p in critic.parameters()} == {torch.float32}


def test_weights_that_were_cast_without_gradients_pass_one_on(native):
    critic = FrozenVQA("untrained", precision="bf16")
    x, d = torch.rand(1, 3, 32, 32), torch.zeros(1, 1)
    with torch.inference_mode():  # validation comes first
        critic(x, x, d, d)
    enhanced = x.clone().requires_grad_()
    critic(x, enhanced, d, d).before_clamps.sum().backward()
    assert enhanced.grad.abs().sum() > 0


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="auto, fp32, tf32, bf16, fp16, got 'half'"):
        Critic("half")


@pytest.mark.parametrize("build", [FrozenVQA, lambda *a, **k: FrozenDOVER("mobile", *a, **k)])
def test_bf16_is_an_error_where_it_is_emulated(emulated, monkeypatch, build):
    expected = r"computes bfloat16 itself, got cpu with precision=bf16.*Set precision=fp32"
    monkeypatch.setattr("vqe.critics.precision.choose_device", lambda name: CPU)
    with pytest.raises(ValueError, match=expected):
        build("untrained", precision="bf16")
    # With a GPU that has it the choice is sound, until the critic is used on the CPU.
    monkeypatch.setattr("vqe.critics.precision.choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(ValueError, match=expected):
        build("untrained", precision="bf16").settle()


def test_auto_is_fp32_where_bf16_is_emulated(emulated):
    assert types(Critic("auto"))[0] == torch.float32


@pytest.mark.parametrize(
    ("machine", "onednn", "instructions", "expected"),
    [
        ("x86_64", True, ("avx512_bf16",), True),
        ("AMD64", True, ("amx_tile",), True),
        ("x86_64", True, (), False),  # oneDNN says yes with AVX-512 alone, and emulates
        ("x86_64", False, ("avx512_bf16",), False),  # held back by ONEDNN_MAX_CPU_ISA
        ("aarch64", True, (), True),
        ("arm64", False, (), False),
    ],
)
def test_a_cpu_s_instructions_decide(monkeypatch, machine, onednn, instructions, expected):
    monkeypatch.setattr(device.platform, "machine", lambda: machine)
    monkeypatch.setattr(device.torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(device.torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(
            device.torch.cpu, f"_is_{name}_supported", lambda n=name: n in instructions
        )
    assert device.is_bf16_native(CPU) == expected


HELD_BACK = """
import torch
from golden_weights import golden_state, image
from plain_dover import PlainDOVER
from plain_vqa import PlainVQA
from vqe.critics import DOVER, UNetLite, load_weights
from vqe.critics.dover.views import normalise
from vqe.device import is_bf16_native

def compare(found, expected):
    print((found - expected).abs().max().item() / expected.abs().max().item())

torch.set_grad_enabled(False)
print(is_bf16_native(torch.device("cpu")))
state = golden_state("dover_mobile")
critic, plain = load_weights(DOVER("mobile"), state), PlainDOVER(state)
clip = normalise(torch.from_numpy(image(64, 96, 6, 8))).transpose(0, 1)[None]
still, copies = clip[:, :, :1], clip[:, :, :1].expand(-1, -1, 32, -1, -1)
for branch in ("technical", "aesthetic"):
    compare(getattr(critic, f"{branch}_map")(clip), getattr(plain, f"{branch}_map")(clip))
    backbone, head = (getattr(critic, f"{branch}_{part}") for part in ("backbone", "head"))
    compare(head(backbone(still, still_length=32)), getattr(plain, f"{branch}_map")(copies))
state = golden_state("vqa")
vqa = load_weights(UNetLite(), state).fold_batch_norm()
d = torch.full((1, 1), 0.5)
pair = [(torch.from_numpy(image(96, 160, seed, 1)).float() - 128) / 128 for seed in (1, 2)]
compare(*(torch.cat(score(*pair, d, d), 1) for score in (vqa, PlainVQA(state))))
"""


def test_a_cpu_held_back_to_avx2_has_no_bf16_and_computes_the_same():
    held_back = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", HELD_BACK],
        env=os.environ | held_back,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    native, *errors = done.stdout.split()
    assert native == "False"
    assert len(errors) == 5
    assert all(float(error) < 1e-4 for error in errors), errors


def test_vqa_in_bf16_is_close_and_leaves_a_gradient(native):
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


@pytest.mark.parametrize("variant", ["dover", "mobile"])
def test_dover_in_bf16_is_close_on_a_small_clip(variant):
    state = golden_state("dover" if variant == "dover" else "dover_mobile")
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    critic = load_weights(DOVER(variant), state)
    with torch.no_grad():
        exact = critic.technical(clip), critic.aesthetic(clip)
        cast_backbones(critic, torch.bfloat16)
        rounded = critic.technical(clip), critic.aesthetic(clip)
    for value, expected in zip(rounded, exact, strict=True):
        assert value.dtype == torch.float32
        assert 0 < (value - expected).abs() < 0.02


def test_dover_option_reaches_the_backbones(native):
    critic = FrozenDOVER("mobile", "untrained", num_clips=1, precision="bf16")
    critic.settle()
    assert critic.dover.technical_backbone.stages[0][0].pwconv1.weight.dtype == torch.bfloat16
    assert critic.dover.technical_head.fc_hid.weight.dtype == torch.float32


@pytest.mark.slow
@inductor.patch({"cpp.vec_isa_ok": False, "compile_threads": 1})
def test_compiled_levels_give_the_same():
    # plain code: what vectors a CPU has is found out by compiling, which takes half the time
    critic = untrained_(UNetLite(widths=(8, 16), depths=(1, 1))).fold_batch_norm()
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        expected = critic.features(x)
        critic.compile_levels()
        torch.testing.assert_close(critic.features(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_what_gpus_alone_compute_is_an_error_on_a_cpu(precision):
    with pytest.raises(ValueError, match=f"got cpu with precision={precision}.*Set precision=fp32"):
        FrozenVQA("untrained", precision=precision)


def read_float32_settings():
    backends = torch.backends
    parts = backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.matmul
    return [part.fp32_precision for part in parts], torch.get_float32_matmul_precision()


@pytest.mark.parametrize("around", ["highest", "high"])
def test_float32_products_are_settled_inside_and_left_as_they_were(around):
    gpu, first = torch.device("cuda"), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(around)
    before = read_float32_settings()
    for tf32 in (False, True):
        with device.float32_products(gpu, tf32):
            assert torch.backends.cudnn.allow_tf32 == tf32
            assert torch.backends.cuda.matmul.allow_tf32 == tf32
        assert read_float32_settings() == before
    with pytest.raises(KeyError), device.float32_products(gpu, tf32=False):
        raise KeyError
    assert read_float32_settings() == before
    with device.float32_products(CPU, tf32=True):
        assert read_float32_settings() == before
    torch.set_float32_matmul_precision(first)


def test_the_choice_is_logged_and_described(caplog):
    caplog.set_level("INFO")
    about = FrozenVQA("untrained").describe()
    assert (about["precision"], about["device"]) == ("fp32", "cpu")
    assert "VQA computes in fp32 on cpu" in caplog.text


def test_clips_in_one_pass_follow_the_free_memory(monkeypatch):
    critic = DOVER("mobile", max_clips=None)
    gigabytes = {"free": 0.1}
    monkeypatch.setattr(
        "vqe.critics.dover.count_free_bytes", lambda _: int(gigabytes["free"] * 1e9)
    )
    counts = []
    counts = []
    for gigabytes["free"] in (0.1, 8, 16, 1000):
        counts.append(critic._count_clips(torch.device("cuda")))
    assert counts == [1, 15, 30, 192]
    assert DOVER("mobile", max_clips=5)._count_clips(torch.device("cuda")) == 5
