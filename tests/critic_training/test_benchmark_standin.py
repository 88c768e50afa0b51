"""The benchmark of the stand-in: faults as bad as it says, numbers those of the critic."""

import json

import cv2
import numpy as np
import pytest
import standin
import torch
from critic_pictures import draw_picture

from vqe.critic_training.export import export_critic
from vqe.critic_training.report import find_weak
from vqe.critic_training.targets import damages
from vqe.critics import FrozenVQA, UNetLite
from vqe.schema import ATTRIBUTES, P

KINDS = {
    "brightness": ("dark", "bright"),
    "cast": ("warm", "cool"),
    "saturation": ("gaudy", "pale"),
    "contrast": ("harsh", "flat"),
    "side_light": ("side_light",),
    "noise": ("noise",),
    "sharpness": ("blur", "small"),
    "compression": ("jpeg", "h264"),
    "halo": ("sharpened",),
}


class Bright:
    """A critic that likes what is brighter, with the stand-in's interface."""

    def __init__(self):
        self.network = self

    def features(self, x):
        return x.mean((1, 2, 3))[:, None]

    def heads(self, first, second, *_):
        return 0.5 + (second - first), None, None


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    for number in range(3):
        cv2.imwrite(str(folder / f"mine_{number}.png"), draw_picture(number, 96, 128))
    (folder / "other.png").write_bytes((folder / "mine_0.png").read_bytes())
    return folder


def test_each_fault_is_of_one_kind_and_as_bad_as_the_others():
    assert sorted(standin.FAULTS) == sorted(name for names in KINDS.values() for name in names)
    for kind, names in KINDS.items():
        for name in names:
            found = {k: v for k, v in damages(standin.FAULTS[name]).items() if v}
            assert list(found) == [kind]
            assert 0.55 < found[kind] < 0.7


def test_shares_are_of_the_frames_whose_clean_one_is_preferred():
    frames = [draw_picture(number, 64, 64) for number in range(4)]
    found = standin.measure_faults(Bright(), frames)
    assert (found["dark"], found["bright"]) == (1, 0)


def test_a_run_measures_the_stand_in_and_others_on_the_files_that_match(clean, tmp_path):
    torch.manual_seed(0)
    export_critic(UNetLite([8, 16], [1, 1]), tmp_path / "mine.safetensors", "mine")
    options = ["--clean", str(clean), "--match", "mine_*", "--samples", "4"]
    options += ["--critic", str(tmp_path / "mine.safetensors")]
    standin.main([*options, "--json", str(tmp_path / "standin.json")])
    found = json.loads((tmp_path / "standin.json").read_text())
    assert list(found) == ["standin", "mine"]
    for numbers in found.values():
        assert set(numbers) == {"accuracy", P, *ATTRIBUTES, *standin.FAULTS}
        assert all(0 <= numbers[name] <= 1 for name in standin.FAULTS)
    assert len(standin.read_sources(clean, "mine_*", 2)) == 3
    with pytest.raises(FileNotFoundError, match=r"yours_\*"):
        standin.read_sources(clean, "yours_*", 2)


def test_a_weak_score_is_withdrawn_and_said_to_be(tmp_path, caplog):
    import pandas as pd

    plcc = [0.9, 0.5, 0.7, np.nan]
    report = pd.DataFrame({"score": [P, "a1", "a5", "a6"], "plcc": plcc})
    assert find_weak(report, 0.6) == ["a1"]
    assert find_weak(report, 0.95) == ["a1", "a5"]  # p stays, and what is not known
    assert find_weak(report, None) == []
    torch.manual_seed(0)
    network = UNetLite([8, 16], [1, 1])
    for name, withdrawn in {"all": (), "fewer": ("a1", "a5")}.items():
        export_critic(network, tmp_path / f"{name}.safetensors", "mine", withdrawn)
    frames = [torch.rand(2, 3, 32, 40) * 2 - 1 for _ in range(2)]
    none = torch.zeros(2, 1)
    every, fewer = (
        FrozenVQA(str(tmp_path / f"{name}.safetensors"))(*frames, none, none).clamped
        for name in ("all", "fewer")
    )
    constant = [1 + ATTRIBUTES.index(name) for name in ("a1", "a5")]
    assert (fewer[:, constant] == 0.5).all()
    kept = [i for i in range(12) if i not in constant]
    torch.testing.assert_close(every[:, kept], fewer[:, kept])
    assert not (every[:, constant] == 0.5).any()
    assert "withdrawn, always 0.5: a1, a5" in caplog.text
