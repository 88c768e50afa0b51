import pickle

import pytest
import torch

from vqe.training import checkpoints


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


def test_weights_that_do_not_fit_are_refused(tmp_path):
    config = {"_target_": "vqe.models.SampleConv"}
    torch.save({"network_config": config, "state_dict": {}}, tmp_path / "empty.ckpt")
    with pytest.raises(RuntimeError, match="Missing key"):
        checkpoints.load_network(tmp_path / "empty.ckpt")
