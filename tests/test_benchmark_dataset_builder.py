"""The benchmark runs, and says what it measured."""

import json
import sys

import pytest
from conftest import run_command

from vqe.config import REPOSITORY


@pytest.mark.slow
def test_quick_benchmark_names_its_figures(tmp_path):
    script = str(REPOSITORY / "benchmarks/dataset_builder.py")
    command = [sys.executable, script, "--quick", "--rows", "600", "--folder", str(tmp_path)]
    run_command([*command, "--json", str(tmp_path / "result.json")], tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["machine"]["cores"] >= 1
    assert result["extract_frames"] == 16
    assert result["rows"] == 600
    assert result["extract_ratio"] > 0
    assert result["csv_ratio"] > 0
    assert result["rows_seconds"] > 0
    assert 50 < result["rows_peak_mb"] < 2000
    assert result["rows_4m_seconds"] is None  # 600 rows say nothing of 4 million
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
