"""The benchmark of enhance.py names its figures, and they agree with each other."""

import json

import enhance
import pytest

KEYS = ("fps_720p", "cpu_bound_fps", "ffmpeg_fps", "baseline_fps", "rss_growth_mb")


@pytest.mark.slow
def test_a_short_run(tmp_path, monkeypatch):
    monkeypatch.setattr(enhance, "WIDTH", 320)
    monkeypatch.setattr(enhance, "HEIGHT", 180)
    monkeypatch.setattr(enhance, "EARLY", 3)
    enhance.main(["--quick", "--json", str(tmp_path / "enhance.json")])
    found = json.loads((tmp_path / "enhance.json").read_text())
    assert set(KEYS) <= set(found)
    assert all(found[name] > 0 for name in KEYS[:4])
    stages = sum(found[name] for name in ("read_ms", "network_ms", "encode_ms"))
    assert found["cpu_bound_fps"] == pytest.approx(1000 * found["cores"] / stages)
    assert found["share_of_bound"] == pytest.approx(found["fps_720p"] / found["cpu_bound_fps"])
    assert isinstance(found["rss_growth_mb"], float)


def test_cpu_seconds_are_those_of_children_too():
    def burn():
        import subprocess
        import sys

        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)

    assert enhance.measure_cpu(burn) > 0.05
    assert enhance.measure_cpu(lambda: None) < 0.05
