"""Command line -> exit status: mistakes are one line, bugs keep their traceback."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HANGS

from vqe.cli import entry
from vqe.mistakes import Terminated


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs a task as the command `score_videos.py` would."""

    def call(task, *arguments, name="score_videos"):
        outputs = f"paths.outputs='{tmp_path}'"
        monkeypatch.setattr(sys, "argv", ["score_videos.py", outputs, *arguments])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as end:
                entry(name)(task)()
        finally:
            signal.signal(signal.SIGTERM, before)
        return end.value.code, capsys.readouterr().err

    return call


def nothing(cfg):
    """Do nothing, well."""


def test_a_task_that_ends_well_is_0(run):
    assert run(nothing, "input=x") == (0, "")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("inptu=x", "expected a key of the config, got inptu. Did you mean input"),
        ("model_dover.precison=fp32", "Did you mean model_dover.precision"),
        ("input=/a,b", "\"input='/a,b'\""),
        ("input=/a[1]", "\"input='/a[1]'\""),
        ("input=/a=b", "\"input='/a=b'\""),
        ("model_dover=dovre", "Could not find 'model_dover/dovre'"),
        ("every", "expected <key>=<value>, got every"),
    ],
)
def test_a_mistaken_argument_is_one_line(run, argument, words):
    status, err = run(nothing, argument)
    assert status == 2
    assert words in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_the_quoting_that_is_advised_works(run):
    seen = []
    assert run(lambda cfg: seen.append(cfg.input), "input='/a,b [1]=c'") == (0, "")
    assert seen == ["/a,b [1]=c"]


def test_a_value_that_is_yours_to_give_is_asked_for(run):
    status, err = run(nothing)
    assert (status, err) == (2, "error: expected input=<value> on the command line, got none\n")


def fail(error):
    def task(cfg):
        raise error

    return task


def test_a_missing_file_is_one_line(run):
    def read(cfg):
        open(cfg.input)  # noqa: SIM115, PTH123

    status, err = run(read, "input=/does/not/exist")
    assert status == 1
    assert "No such file or directory: '/does/not/exist'" in err
    assert len(err.splitlines()) == 1


def test_a_bug_keeps_its_traceback(run):
    status, err = run(fail(ValueError("what nobody raised by name in the package")), "input=x")
    assert status == 1
    assert "Traceback" in err
    assert "in task" in err


def test_what_the_package_raises_by_name_is_one_line(run):
    def count(cfg):
        from vqe.device import choose_device

        choose_device("toaster")

    status, err = run(count, "input=x")
    assert status == 2
    assert err.startswith("error: expected device to be one of auto, cpu")
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_under_a_logger_is_one_line(run):
    def log(cfg):
        with open("/dev/full", "w") as file:  # noqa: PTH123
            csv.writer(file).writerow(["loss", 1.0])

    status, err = run(log, "input=x")
    assert status == 1
    assert err.startswith("error: expected space on each disk")
    assert "No space left on device" in err
    assert len(err.splitlines()) == 1


def test_full_errors_on_demand(run, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in run(nothing, "inptu=x")[1]


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_interruptions_have_the_status_of_their_signal(run, error, status):
    assert run(fail(error), "input=x")[0] == status


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_framework_that_swallows_them_changes_nothing(run, error, status):
    def task(cfg):
        try:
            raise error
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does

    assert run(task, "input=x")[0] == status


def test_a_task_says_that_some_of_it_failed(run):
    assert run(fail(SystemExit(1)), "input=x")[0] == 1


def test_sigterm_ends_a_command(tmp_path):
    program = (
        "import sys, time\nfrom vqe.cli import entry\n"
        "def task(cfg):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "entry('score_videos')(task)()"
    )
    command = [sys.executable, "-c", program, "input=x", f"paths.outputs='{tmp_path}'"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(timeout=HANGS) == 143
        assert process.stderr.read() == "terminated\n"


def test_no_two_runs_share_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form, *rest: "2026-01-01_00-00-00")
    folders = []
    for _ in range(3):
        assert run(lambda cfg: folders.append(cfg.paths.run), "input=x")[0] == 0
    assert len(set(folders)) == 3
    assert all(Path(folder).is_dir() for folder in folders)
