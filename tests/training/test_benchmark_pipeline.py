"""The pipeline's benchmark on a GPU: its cases, and what is written should it be cut short."""

import json

import pipeline_on_gpu
import pytest


def test_each_case_is_written_once_it_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_on_gpu, "golden_state", lambda name: {})
    path, asked = tmp_path / "pipeline.json", {}

    def run(name, lanes, *overrides):
        if name == "kept":
            raise KeyboardInterrupt
        asked[name] = (lanes, overrides)
        speed = 100.0 + len(asked)
        stages = {"decode": {"frames_per_second": 400.0}, "critics": {"frames_per_second": speed}}
        return {"frames_per_second": speed, "stages": stages}

    with pytest.raises(KeyboardInterrupt):
        pipeline_on_gpu.measure_on_gpu(run, tmp_path, path)
    found = json.loads(path.read_text())
    assert found["frames_per_second"] == found["critics_fps"] == found["slowest_stage_fps"] == 102
    assert found["without_critics_fps"] == 103
    assert found["kept_written_stages"]["frames_per_second"] == 101
    assert "kept_fps" not in found
    assert all("trainer=gpu" in overrides for _, overrides in asked.values())
    weights = f"model_dover.weights='{tmp_path / 'dover.pth'}'"
    scored = [name for name, (_, overrides) in asked.items() if weights in overrides]
    assert scored == ["kept_written", "critics"]
