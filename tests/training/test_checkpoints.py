import pickle

import pytest
import torch

from vqe.models import SampleConv
from vqe.state_dict import DIGEST
from vqe.training import checkpoints
from vqe.training.checkpoint_file import CheckpointFile


def test_no_checkpoint_says_where_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoints/\{best,last\}\.ckpt"):
        checkpoints.read_checkpoint(tmp_path / "best.ckpt")


def test_a_file_that_runs_code_is_refused_and_does_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    torch.save({"network_config": {}, "state_dict": Malicious()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil\.ckpt"):
        checkpoints.read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "was here").exists()


def test_a_checkpoint_cannot_choose_what_is_built(tmp_path):
    config = {"_target_": "pathlib.Path.touch", "self": "anything"}
    torch.save({"network_config": config, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"got 'pathlib\.Path\.touch' .*model_vqe="):
        checkpoints.load_network(tmp_path / "evil.ckpt")


def test_arguments_the_network_does_not_take_are_refused(tmp_path):
    config = {"_target_": "vqe.models.SampleConv", "anything": {"_target_": "pathlib.Path.touch"}}
    torch.save({"network_config": config, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="expected arguments of"):
        checkpoints.load_network(tmp_path / "evil.ckpt")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.ckpt"):
        checkpoints.read_checkpoint(tmp_path / "other.ckpt")


CONFIG = {"_target_": "vqe.models.SampleConv"}


def write_checkpoint(path, change=lambda state: state):
    """Write a checkpoint as a training does, its state dict changed before."""
    torch.manual_seed(0)
    state = {f"network.{k}": v for k, v in SampleConv().state_dict().items()}
    content = {"network_config": CONFIG, "state_dict": change(state)}
    CheckpointFile().save_checkpoint(content, path)
    return path


def test_a_checkpoint_comes_back(tmp_path):
    network, config = checkpoints.load_network(write_checkpoint(tmp_path / "good.ckpt"))
    torch.manual_seed(0)
    for key, value in SampleConv().state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value, rtol=0, atol=0)
    assert config == CONFIG


BAD = {
    "a list": (lambda s: list(s), "dict of tensors under 'state_dict'.*list"),
    "none": (lambda s: None, "dict of tensors under 'state_dict'.*NoneType"),
    "numbered": (lambda s: dict(enumerate(s.values())), "dict of tensors under 'state_dict'"),
    "nothing": (lambda s: {}, "missing: conv.weight"),
    "no tensors": (lambda s: {k: [1.0] for k in s}, "misshapen: .*expected a tensor, got list"),
    "integers": (lambda s: {k: v.long() for k, v in s.items()}, "expected torch.float32"),
    "another shape": (lambda s: {k: v[:1] for k, v in s.items()}, r"got \[1"),
    "not a number": (lambda s: {k: v * torch.nan for k, v in s.items()}, "not finite: conv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_refused(tmp_path, name):
    change, words = BAD[name]
    path = write_checkpoint(tmp_path / "bad.ckpt", change)
    with pytest.raises(ValueError, match=rf"(?s){words}.*") as caught:
        checkpoints.load_network(path)
    assert "bad.ckpt" in str(caught.value)


@pytest.mark.parametrize("config", [None, [], "x", {"_target_": ["vqe.models.Nano"]}])
def test_a_network_config_of_another_kind_is_refused(tmp_path, config):
    torch.save({"network_config": config, "state_dict": {}}, tmp_path / "odd.ckpt")
    with pytest.raises(ValueError, match=r"expected one of vqe\.models.*odd\.ckpt"):
        checkpoints.load_network(tmp_path / "odd.ckpt")


def test_a_flipped_byte_is_found(tmp_path):
    path = write_checkpoint(tmp_path / "flipped.ckpt")
    content = bytearray(path.read_bytes())
    torch.manual_seed(0)
    place = content.index(SampleConv().conv.weight.detach().numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*") as caught:
        checkpoints.load_network(path)
    assert "flipped.ckpt" in str(caught.value)


def test_a_checkpoint_without_a_digest_is_taken(tmp_path):
    content = torch.load(write_checkpoint(tmp_path / "old.ckpt"), weights_only=True)
    assert content.pop(DIGEST)
    torch.save(content, tmp_path / "old.ckpt")
    checkpoints.load_network(tmp_path / "old.ckpt")


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = write_checkpoint(tmp_path / "kept.ckpt")
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        CheckpointFile().save_checkpoint({"a": lambda: None}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
