"""A key that has a new name: the old one works and says so, both at once are an error."""

import pytest
from conftest import compose_config
from omegaconf import OmegaConf

from vqe import download, synthesize, train_vqa
from vqe.cli import chain, quote_list, rename_key

prepare = rename_key("data.source_dir", "data.target_dir")


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_old_name_is_taken_for_the_new_one(plus, capsys):
    given = ["source=a", f"{plus}data.source_dir=/data.source_dir=1", "data.jobs=1"]
    assert prepare(given) == [
        "source=a",
        f"{plus}data.target_dir=/data.source_dir=1",
        "data.jobs=1",
    ]
    assert "data.source_dir is called data.target_dir now" in capsys.readouterr().err


def test_new_name_is_left_alone(capsys):
    given = ["data.target_dir=/data", "source=data.source_dir"]
    assert prepare(given) == given
    assert capsys.readouterr().err == ""


def test_both_names_are_an_error():
    with pytest.raises(ValueError, match=r"expected data\.target_dir once.*Leave data\.source_dir"):
        prepare(["data.source_dir=a", "data.target_dir=b"])


def test_steps_follow_each_other():
    both = chain(prepare, quote_list("parts"))
    assert both(["data.source_dir=a", "parts=b,c"]) == ["data.target_dir=a", "parts=[b,c]"]


@pytest.mark.parametrize(
    ("entry", "old", "name", "new"),
    [
        (download, "data.source_dir", "download", "data.target_dir"),
        (synthesize, "data.source_dir", "synthesize", "data.target_dir"),
        (train_vqa, "draws.undone", "train_vqa", "draws.correction_strength"),
    ],
)
def test_each_old_name_leads_to_a_key_that_is_there(entry, old, name, new, tmp_path):
    overrides = entry.OLD_NAME([f"{old}=[0,1]"])
    assert overrides == [f"{new}=[0,1]"]
    config = compose_config(tmp_path, *overrides, name=name)
    assert OmegaConf.select(config, new) == [0, 1]
