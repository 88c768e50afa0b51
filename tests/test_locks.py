"""One command at a time writes into a data folder; a killed one holds it no more."""

import subprocess
import sys

import filelock
import pytest

from vqe.building.build import build_dataset
from vqe.locks import FolderHeldError, hold_folder

HOLD = """
import sys, time
from pathlib import Path
from vqe.locks import hold_folder

with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_held_until_its_holder_is_gone(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(FolderHeldError, match=rf"running into this folder \({tmp_path}\)"),
            hold_folder(tmp_path),
        ):
            pytest.fail("held twice")
        other.kill()
    with hold_folder(tmp_path):
        pass


def test_two_in_one_process_do_not_meet_either(tmp_path):
    with (
        hold_folder(tmp_path),
        pytest.raises(FolderHeldError, match="Wait for its end"),
        hold_folder(tmp_path),
    ):
        pytest.fail("held twice")


def test_a_second_builder_is_refused_and_changes_nothing(source_dir):
    before = sorted(source_dir.rglob("*"))
    with hold_folder(source_dir), pytest.raises(FolderHeldError, match="synthesis or build"):
        build_dataset(source_dir=source_dir, video_fps=30, jobs=1)
    assert sorted(source_dir.rglob("*")) == before  # the lock is gone, too


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(self, *args, **options):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with hold_folder(tmp_path):
        pass
    assert "has no locks" in caplog.text
