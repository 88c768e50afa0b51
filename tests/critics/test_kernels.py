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


@pytest.fixture(scope="module")
def told():
    """What the script printed of each part; one process, as torch and Triton start slowly."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, str(SCRIPT), *ERRORS]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {part: rest for part, *rest in map(str.split, done.stdout.splitlines()) if rest}


@pytest.mark.slow
@pytest.mark.parametrize("part", ERRORS)
def test_interpreted_kernels_give_the_same(part, told):
    largest, error, shapes = told[part]
    assert float(largest) > 0.01
    assert float(error) < ERRORS[part] * float(largest)
    assert shapes == "same"
