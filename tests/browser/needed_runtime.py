"""onnxruntime-web for tests: from the cache, where npm brings it if there is a network."""

import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from vqe.browser.runtime import fetch_runtime, find_runtime, get_cache


def need_runtime() -> dict[str, Path]:
    with FileLock(Path(tempfile.gettempdir()) / "vqe_runtime.lock"):
        try:
            return find_runtime(None)
        except FileNotFoundError:
            try:
                fetch_runtime(get_cache())
            except RuntimeError as error:
                pytest.skip(f"needs onnxruntime-web: {error}")
            return find_runtime(None)
