"""A study served by the command itself."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from conftest import HANGS

from vqe.cli import REPOSITORY


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


class Served:
    """A running server; `kill` is kill -9."""

    def __init__(self, folder: Path, log: Path, *overrides: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        command = [sys.executable, "ratings.py", "serve", f"study='{folder}'", f"port={self.port}"]
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [*command, f"hydra.run.dir='{log.parent}/hydra'", *overrides],
                cwd=REPOSITORY / "vqe",
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + HANGS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.url):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no server: {self.log.read_text()}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(HANGS)

    @property
    def admin(self) -> str:
        return re.search(r"progress: (\S+)", self.log.read_text())[1]


@contextmanager
def run_served(folder: Path, log: Path, *overrides: str):
    served = Served(folder, log, *overrides)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()
