import logging
import pickle
from pathlib import Path

import pytest
import torch
from golden_weights import golden_state, image
from omegaconf import OmegaConf
from safetensors.torch import save_file

from vqe.critic_training.export import export_critic
from vqe.critics import DOVER, UNetLite, load_weights, untrained_
from vqe.critics.weights import read_own


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return golden_state("vqa")


@pytest.fixture(scope="module")
def mobile_state() -> dict[str, torch.Tensor]:
    return golden_state("dover_mobile")


def assert_loaded(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    own = module.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items() if key in own)
    assert not module.training


def write_lightning_checkpoint(path: Path, state: dict[str, torch.Tensor]) -> Path:
    config = OmegaConf.create(
        {"model": {"width": 32, "names": ["a", None, 1.5, True]}, "same": "${model.width}"}
    )
    checkpoint = {
        "epoch": 3,
        "global_step": 10,
        "pytorch-lightning_version": "2.0.0",
        "state_dict": {f"_model.{key}": value for key, value in state.items()},
        "hyper_parameters": {"config": config, "list": OmegaConf.create([1, {"x": "y"}])},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.1)}},
    }
    torch.save(checkpoint, path)
    return path


def test_plain_prefixed_and_nested_state_dicts_load(state):
    prefixed = {f"_model.{key}": value for key, value in state.items()}
    for source in (state, prefixed, {"state_dict": state}, {"state_dict": prefixed}):
        assert_loaded(load_weights(UNetLite(), source), state)


def test_a_lightning_checkpoint_with_a_config_loads(state, tmp_path):
    path = write_lightning_checkpoint(tmp_path / "VQA.ckpt", state)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # not without our list of classes
    assert_loaded(load_weights(UNetLite(), path), state)
    assert_loaded(load_weights(UNetLite(), str(path)), state)


def test_other_file_formats_load(state, tmp_path):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "new.safetensors")
    for name in ("old.pth", "new.safetensors"):
        assert_loaded(load_weights(UNetLite(), tmp_path / name), state)


def test_a_critic_of_one_s_own_brings_its_sizes_along(state, tmp_path):
    network = untrained_(UNetLite((8, 12, 20), (1, 2, 1)))
    export_critic(network, tmp_path / "own.safetensors", "mine")
    sizes, about = read_own(tmp_path / "own.safetensors")
    assert (sizes, about) == ({"widths": [8, 12, 20], "depths": [1, 2, 1]}, "mine")
    loaded = load_weights(UNetLite(**sizes), tmp_path / "own.safetensors")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    save_file(state, tmp_path / "other.safetensors")
    others = ("other.safetensors", "missing.safetensors", "VQA.ckpt")
    assert all(read_own(tmp_path / name) is None for name in others)
    content = (tmp_path / "own.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"cannot be read, perhaps cut short: .*cut.safetensors"):
        read_own(tmp_path / "cut.safetensors")


def test_weights_of_another_type_are_converted(state):
    half = {key: value.bfloat16() for key, value in state.items()}
    network = load_weights(UNetLite(), half)
    assert_loaded(network, {key: value.float() for key, value in half.items()})


def test_unused_keys_of_mobile_are_optional(mobile_state):
    assert any(".head." in key for key in mobile_state)
    assert_loaded(load_weights(DOVER("mobile"), mobile_state), mobile_state)
    used = {key: value for key, value in mobile_state.items() if ".head." not in key}
    assert_loaded(load_weights(DOVER("mobile"), used), used)


def test_missing_unexpected_and_misshapen_keys_are_named(state):
    broken = dict(state)
    del broken["main_head.1.weight"]
    broken["main_head.99.weight"] = torch.zeros(1)
    broken["aux_head.2.bias"] = torch.zeros(12)
    broken["aux_head.0.bias"] = 3
    network = UNetLite()
    before = network.main_head[1].bias.clone()
    with pytest.raises(ValueError) as caught:
        load_weights(network, broken)
    message = str(caught.value)
    assert "1 missing: main_head.1.weight" in message
    assert "1 unexpected: main_head.99.weight" in message
    assert "2 misshapen: aux_head.0.bias (expected a tensor, got int), aux_head.2.bias" in message
    assert "(expected [11], got [12])" in message
    assert torch.equal(network.main_head[1].bias, before)  # nothing was loaded


def test_a_long_list_of_keys_is_cut(state):
    with pytest.raises(ValueError, match=r"missing: technical_backbone.* and \d+ more"):
        load_weights(DOVER("mobile"), state)


def test_weights_of_the_other_variant_are_refused(mobile_state, tmp_path):
    torch.save(mobile_state, tmp_path / "DOVER-Mobile.pth")
    with pytest.raises(ValueError, match=r"missing.*unexpected.*DOVER-Mobile.pth.*variant"):
        load_weights(DOVER("dover"), tmp_path / "DOVER-Mobile.pth")


def test_integer_keys_are_checked_or_ignored():
    dover = DOVER("dover")
    state = {key: value.clone() for key, value in dover.state_dict().items()}
    load_weights(dover, state)
    key = "technical_backbone.layers.1.blocks.0.attn.relative_position_index"
    state[key][0, 1] += 1
    with pytest.raises(ValueError, match=f"misshapen: {key}"):
        load_weights(dover, state)


class Payload:
    """Creates a file when it is unpickled without care."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


class Evaluates(Payload):
    def __reduce__(self):
        return eval, (f"open({str(self.target)!r}, 'w')",)


@pytest.mark.parametrize("payload", [Payload, Evaluates])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_checkpoint_is_refused_and_not_run(state, tmp_path, payload, zipped):
    path, target = tmp_path / "VQA.ckpt", tmp_path / "created"
    content = {"state_dict": state, "hyper_parameters": {"x": payload(target)}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"could run code.*VQA.ckpt.*refused") as caught:
        load_weights(UNetLite(), path)
    assert not target.exists()
    assert "torch.save(checkpoint['state_dict'], file)" in str(caught.value)
    torch.load(path, weights_only=False)
    assert target.exists()  # the payload works


def test_a_malicious_plain_pickle_is_not_run(tmp_path):
    path, target = tmp_path / "DOVER.pth", tmp_path / "created"
    path.write_bytes(pickle.dumps({"a": Evaluates(target)}))
    with pytest.raises(ValueError, match=r"DOVER\.pth"):
        load_weights(DOVER("mobile"), path)
    assert not target.exists()


def test_a_missing_file_says_which_where_from_and_what_runs_without(tmp_path):
    path = tmp_path / "no such folder" / "weights.pth"
    expected = {
        UNetLite(): ("VQA.ckpt", "/vqe/VQA.ckpt", "model_vqa.weights=untrained"),
        DOVER("mobile"): ("DOVER-Mobile.pth", "releases/download/v0.5.0", "model_dover=off"),
    }
    for critic, words in expected.items():
        with pytest.raises(FileNotFoundError) as caught:
            load_weights(critic, path)
        assert all(word in str(caught.value) for word in (*words, str(path)))


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.99])
@pytest.mark.parametrize("name", ["VQA.ckpt", "VQA.safetensors"])
def test_a_truncated_file_is_an_error_that_names_it(state, tmp_path, kept, name):
    path = tmp_path / name
    if name.endswith("ckpt"):
        write_lightning_checkpoint(path, state)
    else:
        save_file(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=rf"cannot be read, perhaps cut short: .*{name}"):
        load_weights(UNetLite(), path)


@pytest.mark.parametrize("content", [b"<html>404</html>", b"\x00" * 1000, b"PK\x03\x04 nothing"])
def test_a_foreign_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "VQA.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"got a file that cannot be read.*VQA.ckpt"):
        load_weights(UNetLite(), path)


def test_a_file_without_a_dict_is_an_error(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "VQA.ckpt")
    with pytest.raises(ValueError, match="expected a dict of tensors, got list"):
        load_weights(UNetLite(), tmp_path / "VQA.ckpt")
    with pytest.raises(ValueError, match="expected a dict under state_dict, got Tensor"):
        load_weights(UNetLite(), {"state_dict": torch.zeros(1)})


def test_untrained_critics_are_seeded_and_leave_the_global_generator_alone(caplog):
    network = UNetLite()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        first = {k: v.clone() for k, v in untrained_(network).state_dict().items()}
    assert "scores mean nothing" in caplog.text
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = untrained_(UNetLite()).state_dict()
    other = untrained_(UNetLite(), seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["aux_head.0.weight"], other["aux_head.0.weight"])


@pytest.fixture(scope="module")
def odd_frames() -> torch.Tensor:
    smooth = torch.from_numpy(image(240, 300, 0, 2))
    flat = torch.stack([torch.full((3, 240, 300), v, dtype=torch.uint8) for v in (0, 128, 255)])
    noise = torch.randint(0, 256, (1, 3, 240, 300), generator=torch.Generator().manual_seed(0))
    return torch.cat([smooth, flat, noise.to(torch.uint8)])


def test_scores_of_an_untrained_vqa_vary_inside_the_clamps(odd_frames):
    network = untrained_(UNetLite())
    x, d = (odd_frames.float() - 128) / 128, torch.full((len(odd_frames), 1), 0.5)
    with torch.no_grad():
        p, a1, a2 = network.pre_clamp(x, x.flip(0), d, d)
    assert ((p > 0) & (p < 1)).all() and p.std() > 1e-3
    assert (a1.abs() < 1).all() and (a2.abs() < 1).all() and (a1.std(0) > 1e-4).all()


def test_scores_of_an_untrained_dover_vary_and_do_not_saturate(odd_frames):
    dover = untrained_(DOVER("mobile"))
    scores = dover.score_stills(odd_frames, generator=torch.Generator().manual_seed(0), num_clips=1)
    assert ((scores > 0.02) & (scores < 0.98)).all() and scores.std() > 0.01


def test_weights_that_are_no_numbers_are_refused(state):
    bad = {key: value.clone() for key, value in state.items()}
    key = next(key for key, value in bad.items() if value.is_floating_point())
    bad[key].view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match=f"not finite: {key.removeprefix('_model.')}"):
        load_weights(UNetLite(), bad)


def test_an_exported_critic_with_a_flipped_byte_is_refused(tmp_path):
    network = UNetLite(widths=(4, 4, 4, 4, 8), depths=(1, 1, 1, 1, 1))
    path = tmp_path / "own.safetensors"
    export_critic(network, path, "a test")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.safetensors, got others: the file is damaged"):
        load_weights(network, path)
