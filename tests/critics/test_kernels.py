"""The GPU's kernels, run by Triton's interpreter on the CPU, against what they stand for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HANGS

pytest.importorskip("triton")
SCRIPT = Path(__file__).with_name("interpreted_kernels.py")


ERRORS = {"swin": 1e-5, "convnext": 1e-5, "encoder": 1e-3}  # of the largest value at most


@pytest.mark.slow
def test_interpreted_kernels_give_the_same():
    """All parts in one test and one process: workers that shared them would each run the script."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, str(SCRIPT), *ERRORS]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = {part: rest for part, *rest in map(str.split, done.stdout.splitlines()) if rest}
    for part, bound in ERRORS.items():
        largest, error, shapes = told[part]
        assert float(largest) > 0.01, part
        assert float(error) < bound * float(largest), part
        assert shapes == "same", part
