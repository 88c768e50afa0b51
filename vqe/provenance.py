"""This process -> what ran: command, commit, versions and machine, to keep beside its numbers."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("vqe", "torch", "pytorch-lightning", "numpy", "opencv-python-headless", "av")
FOLDER = Path(__file__).resolve().parent


def describe_process() -> dict:
    """Return `command`, `time`, `commit`, `versions` and `machine`; names no user and no host."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "commit": find_commit(FOLDER),
        "versions": {"python": platform.python_version()} | _find_versions(),
        "machine": {
            "processor": name_processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
        },
    }


def name_processor() -> str:
    """Return the processor's model, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def find_commit(folder: Path) -> str | None:
    """Return the commit that a checkout's folder is at, `+` where files were changed since.

    None outside of a checkout, and where there is no git.
    """
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _ask_git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return commit + "+" * bool(changed)


def _ask_git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _find_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
