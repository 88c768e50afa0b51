"""The GPU's kernels, run by Triton's interpreter on the CPU, against what they stand for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
SCRIPT = Path(__file__).with_name("interpreted_kernels.py")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["swin", "convnext", "encoder"])
def test_interpreted_kernels_give_the_same(part):
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, str(SCRIPT), part]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    largest, error, shapes = done.stdout.split()[-3:]
    assert float(largest) > 0.01
    assert float(error) < 1e-3 * float(largest) if part == "encoder" else 1e-5
    assert shapes == "same"
