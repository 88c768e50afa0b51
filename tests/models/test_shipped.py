"""Weights that ship: a file comes back as it was written, and a name stands for it everywhere."""

import json
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL_NANO, compose_config
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vqe import inputs
from vqe.finite import NonFiniteError
from vqe.inputs import find_checkpoint, find_network, list_shipped
from vqe.models import Nano, SampleConv
from vqe.models.shipped import LIMIT_MB, NETWORK_CONFIG, read_shipped, write_shipped
from vqe.training import shipping
from vqe.training.checkpoints import load_network
from vqe.training.train import find_resume, start_from

ABOUT = {"recipe": "drawn", "data": "nothing", "version": "0"}
SAMPLE = {"_target_": "vqe.models.SampleConv"}


@pytest.fixture
def shipped(small_nano, tmp_path, monkeypatch):
    """A folder of shipped weights with `small_nano` in it."""
    monkeypatch.setattr(inputs, "SHIPPED", tmp_path)
    write_shipped(tmp_path / "nano.safetensors", small_nano, SMALL_NANO, **ABOUT)
    return tmp_path


def test_a_file_holds_the_weights_in_half_and_says_what_they_are(shipped, small_nano):
    held = read_shipped(shipped / "nano.safetensors")
    assert held.config == SMALL_NANO
    assert {name: getattr(held, name) for name in ABOUT} == ABOUT
    for name, value in small_nano.state_dict().items():
        kept = held.state[name]
        assert kept.dtype == (torch.float16 if value.ndim > 1 else value.dtype)
        torch.testing.assert_close(kept.to(value.dtype), value, rtol=1e-3, atol=1e-6)
    raw = load_file(shipped / "nano.safetensors")
    assert set(raw) == set(held.state)
    with safe_open(shipped / "nano.safetensors", "pt") as file:
        assert json.loads(file.metadata()[NETWORK_CONFIG]) == SMALL_NANO


def test_a_name_stands_for_its_file(shipped, small_nano):
    frames = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    for name in ("nano", "shipped", shipped / "nano.safetensors"):
        network, config = load_network(name)
        assert config == SMALL_NANO
        with torch.no_grad():
            difference = network.eval()(frames) - small_nano(frames)
        assert difference.abs().max() < 5e-3  # float16's
    assert find_network("shipped", SMALL_NANO) == shipped / "nano.safetensors"


def test_shipped_is_the_network_that_the_config_names(shipped):
    write_shipped(shipped / "sampleconv.safetensors", SampleConv(), SAMPLE, **ABOUT)
    for find in (find_network, find_checkpoint):
        assert find("shipped", SAMPLE).stem == "sampleconv"
        assert find("shipped").stem == "nano"
    assert isinstance(load_network("shipped", SAMPLE)[0], SampleConv)


def test_a_name_without_a_file_lists_those_there_are(shipped):
    with pytest.raises(FileNotFoundError, match=r"onnx or .* \(nano, shipped\), got tiny"):
        find_network("tiny")
    with pytest.raises(FileNotFoundError, match=r"at tiny, got nothing.*networks: nano, shipped"):
        find_checkpoint("tiny")
    with pytest.raises(FileNotFoundError, match="got shipped"):
        find_network("shipped", {"_target_": "vqe.models.Base"})
    (shipped / "nano.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="networks: none yet"):
        find_checkpoint("nano")


def test_a_training_starts_from_the_shipped_network_of_its_config(shipped):
    arguments = {name: value for name, value in SMALL_NANO.items() if name != "_target_"}
    module = SimpleNamespace(network=Nano(**arguments), network_config=SMALL_NANO)
    start_from("shipped", module)
    held = read_shipped(shipped / "nano.safetensors").state
    for name, value in module.network.state_dict().items():
        torch.testing.assert_close(value, held[name].to(value.dtype), rtol=0, atol=0)
    module.network_config = SMALL_NANO | {"smoothing": 0.1}  # over time it may differ
    start_from("nano", module)
    module.network_config = SMALL_NANO | {"width": 8}
    with pytest.raises(ValueError, match="Set model_vqe to the same, or init_from=null"):
        start_from("nano", module)


def test_weights_alone_cannot_be_resumed(shipped):
    with pytest.raises(ValueError, match="init_from="):
        find_resume(str(shipped / "nano.safetensors"), shipped, SMALL_NANO)


def test_a_checkpoint_becomes_a_file_that_ships(nano_checkpoint, tmp_path):
    target = tmp_path / "nano.safetensors"
    options = [f"--{name}={value}" for name, value in ABOUT.items()]
    shipping.main([str(nano_checkpoint), str(target), *options])
    held = read_shipped(target)
    assert (held.config, held.recipe) == (SMALL_NANO, "drawn")


def test_what_should_not_ship_is_refused(tmp_path):
    target = tmp_path / "nano.safetensors"
    network = SampleConv()
    with torch.no_grad():
        network.conv.weight.mul_(0).add_(1e6)  # infinite in float16
    with pytest.raises(NonFiniteError):
        write_shipped(target, network, SAMPLE, **ABOUT)
    large = torch.nn.Linear(1100, 1000)
    with pytest.raises(ValueError, match=r"at most 2 MB, got 2\.20"):
        write_shipped(target, large, SAMPLE, **ABOUT)
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(shipped):
    path = shipped / "nano.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the file is damaged"):
        read_shipped(path)
    path.write_bytes(content[:40])
    with pytest.raises(ValueError, match="damaged file"):
        read_shipped(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"'network_config' in the metadata"):
        read_shipped(path)


def test_every_file_that_ships_is_small_whole_and_its_config_s(tmp_path):
    for name in list_shipped():
        path = inputs.SHIPPED / f"{name}.safetensors"
        assert path.stat().st_size <= LIMIT_MB * 1e6, path
        network, config = load_network(name)  # strict and finite
        composed = inputs.read_network(compose_config(tmp_path, f"model_vqe={name}"))
        named = [{k: v for k, v in c.items() if v is not None} for c in (config, composed)]
        assert named[0] == named[1], name  # older files lack newer arguments
        with torch.no_grad():
            assert network.eval()(torch.rand(1, 3, 36, 52)).isfinite().all()
        held = read_shipped(path)
        assert held.recipe and held.data and held.version, name
