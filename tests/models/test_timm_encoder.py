"""A timm network in place of nano's first layers: whose weights, which features, what it costs."""

import io
import zipfile

import pytest
import timm
import torch
import torch.nn.functional as F
from network_checks import WITH_MEMORY, build_small, make_clips, perturb, train
from safetensors.torch import save_file
from torch import nn

from vqe.export.complexity import measure_complexity
from vqe.export.onnx import export_onnx
from vqe.inputs import check_training, read_network
from vqe.models import Nano
from vqe.models.enhancement import enhance
from vqe.models.timm_encoder import TimmEncoder
from vqe.training.assembly import build_module
from vqe.training.checkpoints import build_known, takes_same_weights

NAME = "test_efficientnet"
NESTED = "test_convnext"  # whose stages are named otherwise than the whole; mean and deviation 0.5


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_whole(name=NAME):
    """Build a whole classifier whose statistics are not those of a fresh one."""
    whole = timm.create_model(name, pretrained=False).eval()
    with torch.no_grad():
        for key, value in whole.state_dict().items():
            if "running" in key:
                value.copy_(value + 0.2 * torch.rand(value.shape))
    return whole


def save(whole, path):
    save_file({key: value.contiguous() for key, value in whole.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as timm publishes them, and the classifier it is of."""
    whole = make_whole()
    return save(whole, tmp_path_factory.mktemp("encoder") / "whole.safetensors"), whole


def build_nano(**options):
    return Nano(grid_size=8, low_res=64, width=4, encoder=NAME, **options)


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_a_fresh_network_is_the_identity_and_streams_as_before(network_class):
    network = build_small(network_class, encoder=NAME)
    clips = make_clips(torch.rand(1, 3, 37, 53))
    assert torch.equal(enhance(network.train(), clips), clips)
    assert torch.equal(enhance(network.eval(), clips), clips)
    own = build_small(network_class).initial_state(2, 37, 53)
    state = network.initial_state(2, 37, 53)
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in own.items()}


@pytest.mark.parametrize(("name", "mean"), [(NAME, 0.485), (NESTED, 0.5)])
def test_features_are_those_of_the_whole_network(name, mean, tmp_path):
    whole = make_whole(name)
    path = save(whole, tmp_path / "whole.safetensors")
    encoder = TimmEncoder(name, side=64, cells=8, channels=5, weights=path).eval()
    small = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found = encoder(small)
        mean_std = timm.data.resolve_model_data_config(whole)
        assert mean_std["mean"][0] == mean
        mean, std = (torch.tensor(mean_std[k]).view(3, 1, 1) for k in ("mean", "std"))
        stages = whole.forward_intermediates((small - mean) / std, intermediates_only=True)
        coarse = [stage for stage in stages if stage.shape[-1] <= 8]
        assert [stage.shape[-1] for stage in coarse] == [8, 4, 2]
        total = 0
        for stage, layer in zip(coarse, encoder.to_features, strict=True):
            up = F.interpolate(stage, (8, 8), mode="bilinear", align_corners=False)
            total = total + torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], up)
    torch.testing.assert_close(found, total.clamp(min=0), atol=1e-4, rtol=1e-4)


def test_statistics_stay_and_all_else_learns():
    network = build_nano()
    assert not any(part.training for part in network.branch.splat.stages.modules())
    clean = torch.rand(2, 3, 48, 64)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    train(network.train(), clean * 0.4, clean, steps=3)
    trained = {name for name, _ in network.named_parameters()}
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != (name in trained), name
    in_training = network(clean)
    assert torch.equal(network.eval()(clean), in_training.clamp(0, 1))
    without = [name for name, p in network.named_parameters() if not p.grad.any()]
    assert without == []


@pytest.mark.slow
def test_onnx_equals_torch(tmp_path):
    network = perturb(build_nano(), 0.03)
    report = export_onnx(network, tmp_path / "nano.onnx", check_sizes=((48, 64), (37, 53)))
    assert report.dynamic and report.max_abs_error < 1e-4


def test_its_work_is_counted():
    network = build_nano().eval()
    macs = []

    def count(layer, _, out):
        kernel = layer.weight[0].numel()  # of one output: inputs of its group, height, width
        macs.append(kernel * out[0].numel())

    for layer in network.branch.splat.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.branch.splat(torch.rand(1, 3, 64, 64))
    expected = sum(macs)  # before copies of the network count on
    own = Nano(grid_size=8, low_res=64, width=4)
    sides = [64 // 2 ** (i + 1) for i in range(3)]
    ours = sum(9 * i * o * s**2 for i, o, s in zip((3, 4, 8), (4, 8, 16), sides, strict=True))
    found = (measure_complexity(n, 48, 64).macs_g * 1e9 for n in (network, own))
    assert round(next(found) - next(found)) == expected - ours


@pytest.mark.parametrize("kind", ["bare", "nested", "no counters"])
def test_a_state_dict_of_torch_is_taken_too(kind, weights, tmp_path):
    state = weights[1].state_dict()
    if kind == "no counters":
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path / "w.pth"
    torch.save({"state_dict": state} if kind == "nested" else state, path)
    stages = build_nano(encoder_weights=path).branch.splat.stages
    for name, value in stages.state_dict().items():
        assert torch.equal(value, weights[1].state_dict()[name])


def test_other_weights_are_refused_with_counts(weights, tmp_path):
    keys = build_nano().branch.splat.stages.state_dict()
    weighty = [k for k in keys if not k.endswith("num_batches_tracked")]
    other = save(timm.create_model(NESTED), tmp_path / "other.safetensors")
    count = len(timm.create_model(NESTED).state_dict())
    with pytest.raises(ValueError, match=rf"got {len(weighty)} missing: .*; {count} unexpected: "):
        build_nano(encoder_weights=other)
    more = weights[1].state_dict() | {"blocks.9.0.weight": torch.zeros(2)}
    more["conv_stem.weight"] = torch.zeros(1, 3, 3, 3)
    torch.save(more, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"got 1 unexpected: blocks\.9.*; 1 misshapen: conv_stem"):
        build_nano(encoder_weights=tmp_path / "more.pth")


def test_files_that_are_no_weights_are_refused(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match="weights of the encoder"):
        build_nano(encoder_weights=tmp_path / "none.pth")
    path = tmp_path / "a.safetensors"
    path.write_bytes(weights[0].read_bytes()[:100])
    with pytest.raises(ValueError, match="expected tensors in"):
        build_nano(encoder_weights=path)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="got list"):
        build_nano(encoder_weights=tmp_path / "list.pth")
    saved = io.BytesIO()
    torch.save({"a": zipfile.ZipInfo("a")}, saved)  # an object, which could run code
    (tmp_path / "code.pth").write_bytes(saved.getvalue())
    with pytest.raises(ValueError, match="expected tensors in"):
        build_nano(encoder_weights=tmp_path / "code.pth")
    with pytest.raises(ValueError, match="expected encoder=<timm name>"):
        Nano(encoder_weights=weights[0])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet19", "Close to it: .*resnet18"),
        ("hf-hub:timm/resnet18.a1_in1k", "got 'hf-hub"),
        ("vit_tiny_patch16_224", "takes frames of 128x128"),
        ("test_mambaout", r"features \[B,C,h,w\]"),  # channels come last
        ("test_efficientnet.nonsense", "got test_efficientnet.nonsense"),
    ],
)
def test_other_names_are_refused(name, says):
    with pytest.raises(ValueError, match=says):
        Nano(encoder=name)


def test_a_checkpoint_needs_no_file_of_the_encoder(weights, tmp_path, tiny_config):
    gone = save(weights[1], tmp_path / "gone.safetensors")
    options = (f"model_vqe.encoder={NAME}", f"model_vqe.encoder_weights='{gone}'")
    config = tiny_config(*options)
    check_training(config)
    module = build_module(config)
    stem = module.network.branch.splat.stages.conv_stem.weight
    assert torch.equal(stem, weights[1].conv_stem.weight)
    gone.unlink()
    again = build_known(module.network_config, "a file")
    again.load_state_dict(module.network.state_dict())
    assert takes_same_weights(module.network_config, read_network(config))
    with pytest.raises(FileNotFoundError, match="Nothing is downloaded"):
        check_training(config)


def test_an_older_config_is_that_of_our_own_layers():
    older = {"_target_": "vqe.models.Nano", "grid_size": 8}
    assert takes_same_weights(older, older | {"encoder": None, "encoder_weights": None})
    assert not takes_same_weights(older, older | {"encoder": NAME})
