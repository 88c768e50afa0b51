"""The loading benchmark runs, and what it decodes as a yardstick is what the loaders load."""

import json

import loading
import torch


def test_quick_run_measures_every_case(tmp_path, capsys):
    loading.main(["--quick", "--json", str(tmp_path / "loading.json")])
    found = json.loads((tmp_path / "loading.json").read_text())
    cases = {(c["source"], c["order"], c["workers"]) for c in found["cases"]}
    assert cases == {
        (source, order, workers)
        for source, order in (
            ("jpg", "random"),
            ("png", "random"),
            ("video", "sequential"),
            ("video", "random"),
        )
        for workers in (0, 1, 2)
    }
    for case in found["cases"]:
        assert case["frames_per_second"] > 0
        ratio = case["decoder_frames_per_second"] / case["frames_per_second"]
        expected = (ratio - 1) * 100
        assert abs(case["overhead_percent"] - expected) < 1 + 0.05 * abs(expected)
    assert found["disk_bytes"]["png"] > found["disk_bytes"]["video"] > 0
    assert "sequential" in capsys.readouterr().out


def test_every_source_holds_the_same_frames(tmp_path):
    loading.make_data(tmp_path, loading.QUICK)
    png, video = (loading.build_loader(tmp_path, case, 0)[0].dataset for case in ("png", "video"))
    assert len(png) == len(video) == 20
    assert all(torch.equal(png[i]["x"], video[i]["x"]) for i in range(20))
