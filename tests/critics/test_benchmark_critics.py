"""The critics' benchmark: what it measures, and what it leaves out and says so."""

import json
import sys

import critics
import pytest
import torch

from vqe import device

CPU = torch.device("cpu")


@pytest.mark.parametrize(("native", "types"), [(True, ["fp32", "bf16"]), (False, ["fp32"])])
def test_bf16_is_measured_where_it_is_computed(monkeypatch, native, types):
    monkeypatch.setattr(device, "_is_cpu_bf16_native", lambda: native)
    assert list(critics.list_types(CPU)) == types
    assert critics.list_left_out(CPU, quick=False) == ([] if native else [critics.NO_BF16])
    assert len(critics.list_left_out(CPU, quick=True)) == 1 + (not native)


@pytest.mark.slow
def test_quick_run_on_a_cpu_without_bf16_writes_its_keys(tmp_path, monkeypatch, capsys):
    """What such a CPU answers, and computes, is looked at in test_precision.py."""
    monkeypatch.setattr(device, "_is_cpu_bf16_native", lambda: False)
    measures = list(critics.list_measures(CPU, True))
    measures.remove(critics.measure_step)  # test_benchmark_training_step.py runs it on such a CPU
    monkeypatch.setattr(critics, "list_measures", lambda *_: measures)
    path = tmp_path / "critics.json"
    monkeypatch.setattr(sys, "argv", ["critics.py", "--quick", "--json", str(path)])
    critics.main()
    found = json.loads(path.read_text())
    assert critics.NO_BF16 in found["left_out"]
    assert f"left out: {critics.NO_BF16}" in capsys.readouterr().out
    assert not [key for key in found if "bf16" in key]
    for key in ("dover_mobile_fp32_ratio", "vqa_ratio", "vqa_kept_ratio_640x368"):
        assert found[key] > 0
    for key in ("dover_mobile_fp32_error", "vqa_fp32_error_640x368"):
        assert found[key] < 2e-4
    assert found["machine"]["threads"] >= 1
