import logging
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from network_checks import WITH_MEMORY, build_small, perturb
from torch import nn

from vqe.export.onnx import export_onnx
from vqe.models import Base, BilateralGrid, Identity, Recurrent, SampleConv
from vqe.models.enhancement import enhance

SIZES = ((64, 96), (90, 160), (37, 53))


class NumpyRamp(nn.Module):
    """Leaves torch on its way, which is traced for one size only."""

    def forward(self, frames):
        ramp = np.linspace(0, 1, int(frames.shape[3]), dtype=np.float32)
        return frames * torch.from_numpy(ramp)


class Random(nn.Module):
    """Gives other values at each run, so that no export can equal it."""

    def forward(self, frames):
        return frames + torch.rand_like(frames)


def run(path, frames):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["enhanced"], {"frames": frames.numpy()})[0])


@pytest.mark.parametrize("network_class", [Identity, SampleConv, BilateralGrid])
def test_one_file_equals_torch_at_any_size(network_class, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    network = perturb(network_class()).train()
    path = tmp_path / "new folder" / "best.onnx"
    report = export_onnx(network, path, height=64, width=96, check_sizes=SIZES)

    assert [p.name for p in path.parent.iterdir()] == ["best.onnx"]
    assert (report.path, report.dynamic, report.sizes) == (path, True, SIZES)
    assert report.max_abs_error < 1e-4
    assert network.training
    model = onnx.load(path)
    assert [o.version for o in model.opset_import if o.domain == ""] == [report.opset]
    assert report.opset >= 20

    network.eval()
    for batch, (height, width) in zip((1, 3, 2), SIZES, strict=True):
        frames = torch.rand(batch, 3, height, width)
        enhanced = run(path, frames)
        with torch.no_grad():
            torch.testing.assert_close(enhanced, network(frames), atol=1e-4, rtol=0)
        if network_class is not Identity:
            assert (enhanced - frames).abs().max() > 0.01  # the weights did something
    told = [record for record in caplog.records if record.name == "vqe.export.onnx"]
    assert f"max error against torch {report.max_abs_error:.1e}" in told[-1].getMessage()


LARGE = (Base, Recurrent)  # whose graphs take longest


@pytest.mark.parametrize(
    "network_class",
    [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in WITH_MEMORY],
)
def test_a_network_with_memory_hands_its_state_to_the_caller(network_class, tmp_path, caplog):
    network = perturb(build_small(network_class)).eval()
    path = tmp_path / "a.onnx"
    report = export_onnx(network, path, height=64, width=96, check_sizes=SIZES)
    assert report.dynamic, caplog.text
    assert report.max_abs_error < 1e-4

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = list(network.initial_state(1, 8, 8))
    assert [i.name for i in session.get_inputs()] == ["frames", *names]
    assert [o.name for o in session.get_outputs()] == ["enhanced", *(f"{n}_next" for n in names)]
    assert all("RepConv" not in node.name for node in onnx.load(path).graph.node)
    for batch, (height, width) in zip((1, 3, 2), SIZES, strict=True):
        clips = 0.3 + 0.2 * torch.rand(batch, 3, 3, height, width)
        clips[0, 2] = 1  # a cut, in one video of the batch
        state = network.initial_state(batch, height, width)
        values, done = [value.numpy() for value in state.values()], []
        for time in range(3):
            inputs = dict(zip(["frames", *names], [clips[:, time].numpy(), *values], strict=True))
            enhanced, *values = session.run(None, inputs)
            done.append(torch.from_numpy(enhanced))
        with torch.no_grad():
            expected = enhance(network, clips)
        torch.testing.assert_close(torch.stack(done, 1), expected, atol=1e-4, rtol=0)
        assert (expected - clips).abs().max() > 0.01


def test_nothing_but_the_log_is_said_and_no_path_is_stored(tmp_path, capfd, caplog):
    caplog.set_level(logging.INFO)
    export_onnx(SampleConv(), tmp_path / "a.onnx", check_sizes=[(8, 8)])
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert {record.name for record in caplog.records} == {"vqe.export.onnx"}
    assert b"sample_conv.py" not in (tmp_path / "a.onnx").read_bytes()


def test_a_network_of_one_size_is_exported_for_that_size(tmp_path, caplog):
    report = export_onnx(NumpyRamp(), tmp_path / "a.onnx", height=24, width=32)
    assert (report.dynamic, report.sizes) == (False, ((24, 32),))
    assert "24x32 only" in caplog.text
    frames = torch.rand(1, 3, 24, 32)
    torch.testing.assert_close(run(tmp_path / "a.onnx", frames), NumpyRamp()(frames))


def test_an_export_unlike_torch_is_refused_and_the_old_file_kept(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match=r"expected ONNX within 0.0001 of torch at .*8, 8"):
        export_onnx(Random(), path, check_sizes=[(8, 8)])
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_remedy(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeError, match=rf"package {package}.*pip install 'vqe\[export\]'"):
        export_onnx(SampleConv(), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
