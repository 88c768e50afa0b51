"""What a network costs: held against formulas worked out by hand, and the sheet that says it."""

import json
import subprocess
import sys

import pytest
import torch
from packing_data import compose_command, make_all
from torch import nn

from vqe.packing import efficiency
from vqe.packing.efficiency import (
    EfficiencyError,
    measure_apart,
    measure_efficiency,
)
from vqe.packing.fact_sheet import format_efficiency
from vqe.packing.operations import list_operations
from vqe.packing.pack import find_tested, pack

HEIGHT, WIDTH = 24, 40


class Small(nn.Module):
    """Two convolutions, a ReLU and a sum that no counter of FLOPs sees."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 12, 1)

    def forward(self, frames):
        small = self.second(torch.relu(self.first(frames)))
        return frames + nn.functional.pixel_shuffle(small, 2)

    def functional_macs(self, height, width):
        return {"sum": 3 * height * width}


def test_figures_are_those_of_the_formulas():
    found = measure_efficiency(Small(), torch.device("cpu"), height=HEIGHT, width=WIDTH)
    cells = HEIGHT * WIDTH // 4
    macs = cells * 8 * 3 * 9 + cells * 12 * 8
    assert found["gmacs_counted"] == pytest.approx(macs / 1e9)
    assert found["gmacs"] == pytest.approx((macs + 3 * HEIGHT * WIDTH) / 1e9)
    assert found["gflops"] == 2 * found["gmacs"]
    assert found["gmacs_named_by_the_network"] == {"sum": pytest.approx(3 * HEIGHT * WIDTH / 1e9)}
    assert found["parameters"] == 8 * 27 + 8 + 12 * 8 + 12
    assert found["activations"] == cells * (8 + 12)
    assert found["convolutions"] == 2
    assert len(found["ms_of_runs"]) == 5
    assert found["ms_a_frame"] == pytest.approx(sum(found["ms_of_runs"]) / 5)
    assert found["input"] == f"1x3x{HEIGHT}x{WIDTH}"
    assert found["machine"]["torch"] == torch.__version__
    json.dumps(found)


def test_operations_that_no_counter_sees_are_listed():
    found = list_operations(Small().eval(), torch.zeros(1, 3, HEIGHT, WIDTH))
    assert set(found.uncounted) == {"relu", "add", "pixel_shuffle"}
    assert found.uncounted["add"] == {"calls": 1, "numbers": 3 * HEIGHT * WIDTH}


HUNGRY = """
import gc
import torch
from torch import nn
from vqe.packing.efficiency import measure_memory

class Hungry(nn.Module):
    def forward(self, frames):
        gc.collect()
        return frames + torch.ones(25_000_000).sum() * 0  # 100 MB for a moment

frames = torch.zeros(1, 3, 24, 40)
print(measure_memory(nn.Identity(), frames))
print(measure_memory(Hungry(), frames))
left = [torch.ones(25_000_000)]
left.append(left)  # a circle, which only the collector frees
del left
print(measure_memory(Hungry(), frames))
"""


def test_memory_that_is_given_back_counts_and_what_others_leave_does_not():
    """In a process of its own, as networks are measured: other tests' threads free memory, too."""
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY], capture_output=True, text=True, check=True
    )
    peaks = done.stdout.split()
    if "None" in peaks:
        pytest.skip("the system does not tell")
    idle, hungry, hungry_after_others = (float(peak) for peak in peaks)
    assert idle < 20
    assert 95 < hungry < 150
    assert 95 < hungry_after_others < 150


def test_views_and_products_are_not_listed():
    class Views(nn.Module):
        def forward(self, frames):
            halves = frames[:, :, ::2].transpose(2, 3).contiguous().flatten(1)
            return halves @ torch.zeros(halves.shape[1], 2)

    found = list_operations(Views(), torch.zeros(1, 3, HEIGHT, WIDTH))
    assert found.uncounted == {}
    assert (found.convolutions, found.activations) == (0, 0)


@pytest.mark.slow
def test_a_run_s_network_is_measured_in_a_process_of_its_own(tmp_path_factory, nano_checkpoint):
    made = make_all(tmp_path_factory, nano_checkpoint)
    output = tmp_path_factory.mktemp("packed") / "submission"
    settings = (f"run='{made / 'run'}'", f"output='{output}'", "device=cpu")
    assert pack(compose_command("pack", *settings)) == 0
    found = json.loads((output / "efficiency.json").read_text())
    assert (found["network"], found["input"]) == ("Nano", "1x3x720x1280")
    assert found["timed_by"] == "the system's clock"
    frame_mb = 720 * 1280 * 3 * 4 / 1e6
    assert 2 * frame_mb < found["peak_memory_mb"] < 60 * frame_mb
    assert format_efficiency(found) in (output / "fact_sheet.md").read_text()


def test_a_network_that_cannot_be_measured_is_told(tmp_path, monkeypatch):
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"no checkpoint")
    settings = {"checkpoint": str(path), "config": None, "device": "cpu"}
    with pytest.raises(SystemExit, match=r"^expected tensors and plain values") as end:
        efficiency.main(settings)
    python = tmp_path / "python"  # ends as the process of its own would
    python.write_text(f"#!/bin/sh\necho '{end.value}' >&2\nexit 1\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(EfficiencyError, match=r"got: expected tensors.*efficiency=false packs"):
        measure_apart(path, None, "cpu")


def test_the_network_that_was_tested_is_found(tmp_path, nano_checkpoint):
    assert find_tested(tmp_path, None) is None
    (tmp_path / ".hydra").mkdir()
    for named, cwd in ((nano_checkpoint, tmp_path), (nano_checkpoint.name, nano_checkpoint.parent)):
        (tmp_path / ".hydra/config.yaml").write_text(f"checkpoint: {named}\n")
        (tmp_path / ".hydra/hydra.yaml").write_text(f"hydra: {{runtime: {{cwd: {cwd}}}}}\n")
        assert find_tested(tmp_path, None) == nano_checkpoint
    with pytest.raises(FileNotFoundError, match="expected a checkpoint at"):
        find_tested(tmp_path, str(tmp_path / "none.ckpt"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_timed_by_its_events():
    found = measure_efficiency(Small(), torch.device("cuda"), height=HEIGHT, width=WIDTH)
    assert found["timed_by"] == "CUDA events"
    assert min(found["ms_of_runs"]) > 0
    assert found["peak_memory_mb"] > 3 * HEIGHT * WIDTH * 4 / 1e6
