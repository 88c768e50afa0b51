"""A key that has a new name: the old one works and says so, both at once are an error."""

import pytest

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
