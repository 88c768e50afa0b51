"""The training step's benchmark: its loops see the same pairs, and its figures fit together."""

import json
from dataclasses import replace

import pytest
import torch
import training_step
from plain_loop import PlainPairs

from vqe import device
from vqe.data import LoaderOptions, PairedTransform

CPU = torch.device("cpu")
PARTS = ("data", "network", "dover", "vqa", "backward")
ABOUT = {"machine", "step_augmentation", "step_batch", "step_dover_type", "step_workers"}
KEYS = ABOUT | {
    "step_seconds",
    "step_seconds_cached",
    "step_dover_fraction",
    "step_dover_share_cached",
}
KEYS |= {f"step_{part}_seconds{end}" for part in PARTS for end in ("", "_cached")}
COMPARED = ("data_share", "samples_per_second", "plain_data_share", "plain_samples_per_second")
ENDS = ("", "_without_critics")
KEYS |= {f"step_{name}{end}" for name in (*COMPARED, "speedup") for end in ENDS}


def test_both_loops_see_the_same_pairs(tmp_path):
    plan = replace(training_step.QUICK, batch=2, size=(48, 64), light_steps=3)
    training_step.write_data(tmp_path, plan)
    data = training_step.build_data(tmp_path, "light", LoaderOptions(2), PairedTransform(), CPU)
    frames, pairs = data.train_dataloader().dataset, PlainPairs(tmp_path, "light.csv")
    assert len(pairs) == len(frames) == 8
    for i in range(8):
        for side, plain in zip("xy", pairs[i], strict=True):
            assert torch.allclose(plain, frames[i][side] / 255, rtol=0, atol=1e-7)
    assert not torch.equal(*pairs[0])
    assert not torch.equal(pairs[0][0], pairs[1][0])


def test_a_number_of_steps_sets_the_others():
    plan = training_step.choose_plan(torch.device("cuda"), False, 40)
    assert (plan.steps, plan.light_steps, plan.plain_steps) == (40, 120, 2)
    assert plan.workers is None
    assert training_step.choose_plan(CPU, True, None) == training_step.QUICK


def test_what_is_asked_for_most_is_known_first():
    seconds = dict.fromkeys(PARTS, 1.0) | {"whole": 10.0}
    asked = []

    def run(augmentation, critics=None):
        asked.append((augmentation, critics))
        return seconds

    def build(cached=False):
        return "cached" if cached else "critics"

    plan = replace(training_step.QUICK, batch=4)
    loops = [{"data": 1.0, "whole": 40.0}] * 2
    parts = list(training_step.take_apart(plan, run, build, lambda: loops, ("cpu", "auto")))
    assert parts[0]["step_data_share"] == 0.1
    assert parts[1]["step_speedup"] == 4
    assert parts[1]["step_samples_per_second_without_critics"] == 0.4
    assert {**parts[2], **parts[3]}.keys() == {
        f"step_{name}{end}_auto" for name in COMPARED[:2] for end in ENDS
    }
    assert parts[-1] == {"step_dover_fraction": 0.2, "step_dover_share_cached": 1}
    assert {key for part in parts for key in part if not key.endswith("_auto")} == KEYS - ABOUT
    expected = [("cpu", "critics"), ("cpu", None), ("auto", "critics"), ("auto", None)]
    assert asked == [*expected, ("cpu", "cached")]


@pytest.mark.slow
def test_quick_run_writes_its_keys(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(device, "_is_cpu_bf16_native", lambda: False)
    path = tmp_path / "step.json"
    training_step.main(["--quick", "--augmentation", "cpu", "--json", str(path)])
    found = json.loads(path.read_text())
    assert found.keys() == KEYS
    assert found["step_dover_type"] == "fp32"
    assert found["step_seconds"] > 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in KEYS)
    for end in ENDS:
        ours, plain = (found[f"step_{kind}samples_per_second{end}"] for kind in ("", "plain_"))
        assert found[f"step_speedup{end}"] == pytest.approx(ours / plain)
        assert 0 < found[f"step_data_share{end}"] < 1
        assert 0 < found[f"step_plain_data_share{end}"] < 1
    whole = found["step_batch"] / found["step_samples_per_second"]
    assert found["step_seconds"] <= whole  # its parts
    assert found["step_data_share"] == pytest.approx(found["step_data_seconds"] / whole)
