"""The critics on an NVIDIA GPU: golden numbers in every precision, kernels against the CPU."""

import pytest
import torch
from golden_weights import golden_numbers, golden_state, image

from vqe.critics import DOVER, FrozenDOVER, FrozenVQA, UNetLite, load_weights
from vqe.critics.dover.fusion import fuse
from vqe.critics.dover.views import cut_fragments, draw_offsets, normalise, shrink
from vqe.critics.precision import cast_backbones
from vqe.device import float32_products

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GPU = torch.device("cuda")
# Of a branch's raw mean, and of the VQA's scores before their clamps.
DOVER_TOLERANCE = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 3e-3}
VQA_TOLERANCE = {"fp32": 1e-5, "tf32": 5e-3, "fp16": 1e-3, "bf16": 0.05}


@pytest.fixture(scope="module")
def frame():
    return torch.from_numpy(image(360, 640, 3, 1))


@pytest.fixture(scope="module")
def offsets():
    golden = golden_numbers()
    return tuple(torch.from_numpy(golden[f"frag_off_{a}"]).permute(2, 0, 1) for a in "hw")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Checkpoints of the golden weights, by critic."""
    paths = {name: tmp_path_factory.mktemp("weights") / f"{name}.pth" for name in ("vqa", "dover")}
    for name, path in paths.items():
        torch.save(golden_state(name), path)
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture(scope="module")
def pair():
    """The golden pair of frames in challenge range, and its DOVER scores."""
    x1, x2 = ((torch.from_numpy(image(96, 160, s, 2)).float() - 128) / 128 for s in (1, 2))
    return x1, x2, torch.tensor([[0.3], [0.8]]), torch.tensor([[0.55], [0.1]])


@pytest.fixture(autouse=True)
def matmul_precision():
    """Training sets TF32 for products; convolutions have it anyway."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", DOVER_TOLERANCE)
def test_dover_keeps_the_golden_numbers(files, frame, offsets, precision, monkeypatch):
    critic = FrozenDOVER(weights=files["dover"], precision=precision).to(GPU)
    monkeypatch.setattr("vqe.critics.frozen_dover.draw_offsets", lambda *_: offsets)
    branches = critic.branches(frame.flip(1).to(GPU), torch.zeros(1, dtype=torch.int64))
    expected = torch.from_numpy(golden_numbers()["dover_results_tech_aes"]).flatten()
    assert critic.computes_in == precision
    error = (torch.cat(branches[:2]).cpu() - expected).abs().max()
    assert error < DOVER_TOLERANCE[precision]
    assert precision == "fp32" or error > 0


@pytest.mark.parametrize("precision", VQA_TOLERANCE)
def test_vqa_keeps_the_golden_numbers(files, pair, precision):
    critic = FrozenVQA(files["vqa"], precision=precision).to(GPU)
    golden = golden_numbers()
    with torch.no_grad():
        scores = critic(*(part.to(GPU) for part in pair))
    tolerance = VQA_TOLERANCE[precision]
    p, a2 = (torch.from_numpy(golden[f"vqa_{key}"]) for key in ("p", "a2"))
    assert critic.computes_in == precision
    assert (scores.clamped[:, :1].cpu() - p.view(-1, 1)).abs().max() < tolerance
    assert (scores.clamped[:, 1:].cpu() - a2).abs().max() < tolerance


def test_auto_is_bf16_for_dover_and_fp16_for_the_vqa(files, caplog):
    caplog.set_level("INFO")
    for critic in (FrozenDOVER(weights=files["dover"]), FrozenVQA(files["vqa"])):
        critic.to(GPU).settle()
        critic.weights_digest  # noqa: B018
    assert "DOVER computes in bf16 on cuda:0 (precision=auto)" in caplog.text
    assert "VQA computes in fp16 on cuda:0 (precision=auto)" in caplog.text


def test_precisions_do_not_share_cached_features(files):
    digests = [FrozenVQA(files["vqa"], precision=p).to(GPU).weights_digest for p in VQA_TOLERANCE]
    assert len(set(digests)) == len(digests)


def test_convolutions_have_tf32_unasked_and_lose_it_inside(pair):
    critic = load_weights(UNetLite(), golden_state("vqa")).fold_batch_norm()
    x = pair[0]
    with torch.no_grad():
        expected = critic.features(x)
        critic.to(GPU)
        unasked = critic.features(x.to(GPU)).cpu()
        with float32_products(GPU, tf32=False):
            exact = critic.features(x.to(GPU)).cpu()
        after = critic.features(x.to(GPU)).cpu()
    scale = expected.abs().max()
    assert (exact - expected).abs().max() < 1e-5 * scale
    assert (unasked - expected).abs().max() > 1e-5 * scale
    torch.testing.assert_close(after, unasked, rtol=1e-5, atol=1e-6)


def test_views_are_cut_to_the_same_bytes(frame):
    drawn = draw_offsets(*frame.shape[2:], 3, torch.Generator().manual_seed(0))
    assert torch.equal(shrink(frame.to(GPU)).cpu(), shrink(frame))
    assert torch.equal(cut_fragments(frame.to(GPU), drawn).cpu(), cut_fragments(frame, drawn))


def build_dover(dtype=torch.float32, **options):
    critic = load_weights(DOVER("dover", **options), golden_state("dover"))
    return cast_backbones(critic, dtype).to(GPU)


@torch.no_grad()
def test_kernels_agree_with_attention_and_convolutions_of_torch(monkeypatch):
    critic = build_dover(torch.bfloat16, max_clips=2)
    views = torch.from_numpy(image(224, 224, 6, 3)).to(GPU)
    clips = torch.randn(1, 3, 32, 224, 224, generator=torch.Generator().manual_seed(0)).to(GPU)

    def score():
        still = normalise(views)[:, :, None]
        networks = critic.technical_backbone, critic.aesthetic_backbone
        stills = [network(still, still_length=32) for network in networks]
        return [*stills, critic.technical_map(clips), critic.aesthetic_map(clips)]

    ours = score()
    for module in ("swin", "convnext"):
        monkeypatch.setattr(f"vqe.critics.dover.{module}.has_kernels", lambda *_: False)
    for value, expected in zip(ours, score(), strict=True):
        assert value.shape == expected.shape
        error = (value.float() - expected.float()).abs()
        assert 0 < error.mean() < 0.02 * expected.abs().max()


@torch.no_grad()
def test_clips_in_one_pass_do_not_mix_on_a_gpu():
    frames = torch.from_numpy(image(368, 640, 3, 3)).to(GPU)
    drawn = draw_offsets(368, 640, 3, torch.Generator().manual_seed(0))
    for dtype, tolerance in ((torch.bfloat16, 2e-3), (torch.float32, 1e-5)):
        with float32_products(GPU, tf32=False):
            together = build_dover(dtype, max_clips=None).branch_scores(frames, drawn)
            alone = build_dover(dtype, max_clips=1).branch_scores(frames, drawn)
        for value, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=tolerance)


@torch.no_grad()
def test_scores_repeat_to_the_last_bit(files, pair):
    frames = torch.from_numpy(image(368, 640, 3, 2)).to(GPU)
    critics = FrozenDOVER(weights=files["dover"]).to(GPU), FrozenVQA(files["vqa"]).to(GPU)
    seeds = torch.tensor([1, 2])
    on_gpu = [part.to(GPU) for part in pair]
    runs = [(critics[0](frames, seeds), critics[1](*on_gpu).clamped) for _ in range(2)]
    assert all(torch.equal(one, two) for one, two in zip(*runs, strict=True))


@pytest.mark.slow
@torch.no_grad()
def test_compiled_equals_eager(files, pair):
    on_gpu = [part.to(GPU) for part in pair]
    eager, compiled = (
        FrozenVQA(files["vqa"], precision="fp32", compiled=c).to(GPU) for c in (False, True)
    )
    expected, value = (c(*on_gpu).before_clamps for c in (eager, compiled))
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_fused_scores_keep_to_the_cpu_s(frame, offsets):
    """The bar of bf16 where the sigmoid is steepest is measured by benchmarks/critics.py."""
    with torch.no_grad():
        branches = build_dover(torch.bfloat16).branch_scores(frame.to(GPU), offsets)
    golden = golden_numbers()["dover_fused_reference"].item()
    assert abs(fuse(*branches, "challenge").item() - golden) < 1e-4


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_the_gradient_through_the_vqa_is_the_cpu_s(files, pair, precision):
    gradients = {}
    for device in (torch.device("cpu"), GPU):
        critic = FrozenVQA(files["vqa"], precision=precision).to(device)
        x, enhanced, *d = (part.detach().to(device, copy=True) for part in pair)
        enhanced.requires_grad_()
        critic(x, enhanced, *d).before_clamps.sum().backward()
        gradients[device.type] = enhanced.grad.cpu()
    scale = gradients["cpu"].abs().max()
    # Backward runs outside the critic, in TF32 here.
    assert (gradients["cuda"] - gradients["cpu"]).abs().max() < 0.02 * scale
