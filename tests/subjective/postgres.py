"""A PostgreSQL of Debian's package, started for a test in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HANGS
from served import free_port

PLACES = [
    *map(Path, filter(None, [shutil.which("initdb")])),
    *Path("/usr/lib/postgresql").glob("*/bin/initdb"),
]


@contextmanager
def run_postgres():
    """Hand out the URL of an empty database; skip where there is no PostgreSQL."""
    if not PLACES:
        pytest.skip("needs initdb: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    if user and not any(entry.pw_name == user for entry in pwd.getpwall()):
        pytest.skip("needs a user postgres, as PostgreSQL does not run as root")
    bin_folder, port = PLACES[-1].parent, free_port()
    folder = Path(tempfile.mkdtemp(prefix="vqe-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        options = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
        command = [bin_folder / "initdb", "-D", data, "-A", "trust", "-U", "vqe", "--no-sync"]
        subprocess.run(command, check=True, **options)
        settings = [f"-p{port}", "-clisten_addresses=127.0.0.1", f"-k{folder}"]
        with (folder / "log.txt").open("w") as log:
            server = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, *settings], stderr=log, **options
            )
        try:
            _wait(bin_folder, port, server)
            yield f"postgresql://vqe@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(HANGS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(bin_folder, port, server):
    ready = [bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(600):
        if subprocess.run(ready, check=False).returncode == 0:
            return
        assert server.poll() is None
        time.sleep(0.1)
    raise AssertionError("PostgreSQL does not answer")
