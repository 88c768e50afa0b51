import pytest
import torch
from golden_weights import golden_numbers, golden_state, image, manifest
from plain_vqa import PlainVQA

from vqe.critics import UNetLite, load_weights


@pytest.fixture(scope="module")
def network() -> UNetLite:
    return load_weights(UNetLite(), golden_state("vqa"))


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, ...]:
    x1, x2 = ((torch.from_numpy(image(96, 160, s, 2)).float() - 128) / 128 for s in (1, 2))
    return x1, x2, torch.tensor([[0.3], [0.8]]), torch.tensor([[0.55], [0.1]])


def assert_golden(value: torch.Tensor, name: str, atol: float = 1e-5) -> None:
    expected = torch.from_numpy(golden_numbers()[name])
    torch.testing.assert_close(value, expected, rtol=0, atol=atol)


def test_outputs_equal_the_golden_numbers(network, pair):
    with torch.no_grad():
        p, a1, a2 = network(*pair)
        before_clamp = network.pre_clamp(*pair)[0]
    assert_golden(p, "vqa_p")
    assert_golden(a1, "vqa_a1")
    assert_golden(a2, "vqa_a2")
    assert_golden(before_clamp, "vqa_main_preclamp")


def test_the_plain_one_of_the_benchmark_gives_the_golden_numbers(pair):
    for value, name in zip(PlainVQA(golden_state("vqa"))(*pair), ["p", "a1", "a2"], strict=True):
        assert_golden(value, f"vqa_{name}")


def test_features_equal_the_golden_numbers(network, pair):
    with torch.no_grad():
        assert_golden(network.features(pair[0]), "vqa_feat1")


def test_gradient_equals_the_golden_number(network, pair):
    x1 = pair[0].clone().requires_grad_()
    network(x1, *pair[1:])[1].sum().backward()
    expected = golden_numbers()["vqa_grad_a1_x1_mean"].item()
    assert x1.grad.abs().mean().item() == pytest.approx(expected, rel=1e-4)


def test_keys_and_shapes_are_those_of_the_checkpoint():
    own = {key: list(value.shape) for key, value in UNetLite().state_dict().items()}
    assert own == {key: shape for key, shape, _ in manifest()["vqa"]}


def test_folded_batch_norm_changes_nothing(network, pair):
    folded = load_weights(UNetLite(), golden_state("vqa")).fold_batch_norm()
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for value, expected in zip(folded.pre_clamp(*pair), network.pre_clamp(*pair), strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-5)


def test_kept_features_of_the_input_give_the_same_scores(network, pair):
    x1, x2, d1, d2 = pair
    with torch.no_grad():
        kept = network.features(x1)
        for value, expected in zip(
            network.heads(kept, network.features(x2), d1, d2), network.pre_clamp(*pair), strict=True
        ):
            assert torch.equal(value, expected)


def test_outputs_are_clamped_and_the_values_before_are_not(pair):
    network = load_weights(UNetLite(), golden_state("vqa"))
    with torch.no_grad():
        network.main_head[-1].bias.fill_(3)
        network.aux_head[-1].bias.copy_(torch.tensor([-9.0, 9.0, *[0.0] * 9]))
        p, a1, a2 = network(*pair)
        raw_p, raw_a1, _ = network.pre_clamp(*pair)
    assert p.tolist() == [[1.0], [1.0]]
    assert (a1[:, 0] == -1).all() and (a2[:, 1] == 1).all()
    assert (raw_p > 1).all() and (raw_a1[:, 0] < -1).all() and (raw_a1[:, 1] > 1).all()


def test_gradient_reaches_the_frame_before_the_clamps(network, pair):
    x2 = pair[1].clone().requires_grad_()
    p = network.pre_clamp(pair[0], x2, *pair[2:])[0]
    assert (p < 0).all()  # clamped, so that its gradient would vanish
    p.sum().backward()
    assert x2.grad.abs().sum() > 0


def test_dropout_acts_in_training_alone(pair):
    network = UNetLite(widths=(8, 16), depths=(1, 1), fc_dropout=0.5)
    with torch.no_grad():
        f1, f2 = (network.features(x) for x in pair[:2])
        network.eval()
        assert torch.equal(network.heads(f1, f2, *pair[2:])[0], network.heads(f1, f2, *pair[2:])[0])
        network.train()
        assert not torch.equal(
            network.heads(f1, f2, *pair[2:])[0], network.heads(f1, f2, *pair[2:])[0]
        )


def test_any_width_runs_on_odd_sizes():
    network = UNetLite(widths=(8, 12, 20), depths=(1, 2, 1)).eval()
    x, d = torch.rand(3, 3, 37, 51), torch.rand(3, 1)
    p, a1, a2 = network(x, x, d, d)
    assert (p.shape, a1.shape, a2.shape) == ((3, 1), (3, 11), (3, 11))
    assert network.features(x).shape == (3, 20)


def test_widths_and_depths_must_agree():
    with pytest.raises(ValueError, match="as many widths as depths"):
        UNetLite(widths=(8, 16), depths=(1,))
