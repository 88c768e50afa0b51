"""The commands of docs/live.md run as they stand: fetched, served until Ctrl-C, written."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from conftest import run_here
from hydra import compose, initialize_config_dir
from needed_runtime import need_runtime

from vqe.browser import live
from vqe.browser.runtime import get_cache
from vqe.browser.site import PAGES
from vqe.cli import CONF_DIR, REPOSITORY

TEXT = (REPOSITORY / "docs/live.md").read_text(encoding="utf-8")
SERVE, FETCH, EXPORT = re.findall(r"```bash\n(.*?)\n```", TEXT, re.S)
VQE = REPOSITORY / "vqe"
PATIENCE_SECONDS = 300


def read_arguments(command, **places):
    for name, path in places.items():
        command = command.replace(f"<{name}>", str(path))
    python, script, *arguments = shlex.split(command)
    assert (python, script) == ("python", "live.py")
    assert "<" not in " ".join(arguments)
    return arguments


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c(nano_onnx, tmp_path):
    need_runtime()
    arguments = read_arguments(SERVE, run=nano_onnx.parent)
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        served = subprocess.Popen(
            [sys.executable, "live.py", *arguments, "port=0"],
            cwd=VQE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
    end = time.monotonic() + PATIENCE_SECONDS
    while not (said := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
        assert served.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    with urllib.request.urlopen(said[0]) as answer:
        assert answer.read() == (PAGES / "index.html").read_bytes()
    served.send_signal(signal.SIGINT)
    assert served.wait(PATIENCE_SECONDS) in (0, 130)
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_the_site_is_written(nano_onnx, tmp_path):
    need_runtime()
    arguments = read_arguments(EXPORT, run=nano_onnx.parent, site=tmp_path / "site")
    assert run_here(VQE / "live.py", arguments, VQE) == 0
    assert (tmp_path / "site/headers.txt").is_file()
    example = (tmp_path / "site/example.html").read_text()
    lines = re.search(r"```html\n(.*?)```", TEXT, re.S)[1]
    assert lines in example
    assert len(lines.splitlines()) == 3
    script = re.search(r"```js\n(.*?)```", TEXT, re.S)[1]
    assert (tmp_path / "site/example.js").read_text() == script


def test_fetching_fills_the_cache(monkeypatch):
    asked = []
    monkeypatch.setattr(live, "fetch_runtime", asked.append)
    live.run_live(read_config(*read_arguments(FETCH)))
    assert asked == [get_cache()]


def test_without_the_runtime_nothing_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python live\.py fetch=true"):
        live.run_live(read_config("network=nano"))


def test_the_page_gives_the_benchmark_s_numbers():
    table = TEXT.split("## Measured")[1]
    assert all(name in table for name in ("fps_720p", "fps_360p", "network_ms", "max_level_error"))


def read_config(*overrides):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("live", overrides=list(overrides))
