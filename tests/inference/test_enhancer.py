"""Frames through a network: backends agree, memory is carried, strength blends, names are found."""

import json

import numpy as np
import pytest
import torch
from clips import draw_frame
from safetensors.torch import save_file

from vqe import inputs
from vqe.inference import Enhancer
from vqe.training.checkpoints import NETWORK_CONFIG

IDENTITY = {"_target_": "vqe.models.Identity"}
FRAMES = [draw_frame(number, 64, 48) for number in range(5)]


def by_hand(nano, frames):
    """The network itself, frame by frame: what every backend must give."""
    state, results = nano.initial_state(1, 48, 64), []
    for frame in frames:
        batch = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            enhanced, state = nano(batch, state)
        results.append(enhanced[0].mul(255).round().permute(1, 2, 0).numpy().astype(np.uint8))
    return results


@pytest.mark.parametrize("kind", ["nano_checkpoint", "nano_onnx"])
def test_frames_carry_the_network_s_memory(small_nano, kind, request):
    enhancer = Enhancer(request.getfixturevalue(kind), device="cpu")
    expected = by_hand(small_nano, FRAMES)
    for _ in range(2):  # the second time after a reset
        found = [enhancer.frame(frame) for frame in FRAMES]
        worst = max(np.abs(f.astype(int) - e).max() for f, e in zip(found, expected, strict=True))
        assert worst <= (0 if kind == "nano_checkpoint" else 1)
        enhancer.reset()
    assert (
        np.abs(expected[4].astype(int) - by_hand(small_nano, FRAMES[4:])[0]).max() > 2
    )  # it matters
    assert np.abs(expected[0].astype(int) - FRAMES[0]).mean() > 5


@pytest.mark.parametrize("kind", ["nano_checkpoint", "nano_onnx"])
def test_a_state_goes_on_where_it_was_taken(kind, request):
    path = request.getfixturevalue(kind)
    whole = Enhancer(path, device="cpu")
    expected = [whole.frame(frame) for frame in FRAMES]
    first, second = Enhancer(path, device="cpu"), Enhancer(path, device="cpu")
    for frame in FRAMES[:3]:
        first.frame(frame)
    second.set_state(first.get_state(), (48, 64))
    for frame, wanted in zip(FRAMES[3:], expected[3:], strict=True):
        assert np.array_equal(second.frame(frame), wanted)


def test_a_checkpoint_runs_in_onnx_too_and_is_exported_once(nano_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        onnx = Enhancer(nano_checkpoint, backend="onnx", device="cpu").frame(FRAMES[0])
    assert len(list(tmp_path.rglob("*.onnx"))) == 1
    torch_frame = Enhancer(nano_checkpoint, device="cpu").frame(FRAMES[0])
    assert np.abs(onnx.astype(int) - torch_frame).max() <= 1


def test_strength_blends_input_and_result(nano_checkpoint):
    none, half, full = (
        Enhancer(nano_checkpoint, strength=s, device="cpu").frame(FRAMES[0]) for s in (0, 0.5, 1)
    )
    assert np.array_equal(none, FRAMES[0])
    middle = (FRAMES[0].astype(float) + full) / 2
    assert np.abs(half - middle).max() <= 1


def test_sixteen_bits_stay_sixteen_bits():
    enhancer = Enhancer(None, network=IDENTITY, device="cpu")
    deep = np.random.default_rng(0).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    assert np.array_equal(enhancer.frame(deep), deep)
    shallow = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    assert np.array_equal(enhancer.frame(shallow), shallow)


def test_half_precision_is_near(nano_checkpoint):
    exact = Enhancer(nano_checkpoint, device="cpu").frame(FRAMES[0]).astype(int)
    near = Enhancer(nano_checkpoint, device="cpu", precision="bf16").frame(FRAMES[0])
    assert 0 < np.abs(near - exact).max() <= 12


def test_a_shipped_network_is_found_by_its_name(small_nano, tmp_path, monkeypatch, nano_checkpoint):
    monkeypatch.setattr(inputs, "SHIPPED", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\(none yet\), got nano"):
        Enhancer("nano")
    config = {"_target_": "vqe.models.Nano", "grid_size": 8, "low_res": 32, "width": 4}
    save_file(
        small_nano.state_dict(), tmp_path / "nano.safetensors", {NETWORK_CONFIG: json.dumps(config)}
    )
    shipped = Enhancer("nano", device="cpu").frame(FRAMES[0])
    assert np.array_equal(shipped, Enhancer(nano_checkpoint, device="cpu").frame(FRAMES[0]))
    with pytest.raises(FileNotFoundError, match=r"\(nano, shipped\), got base"):
        Enhancer("base")
    save_file(small_nano.state_dict(), tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="metadata"):
        Enhancer("odd")


def test_mistakes_are_named(nano_checkpoint, nano_onnx, tmp_path):
    with pytest.raises(ValueError, match="strength in"):
        Enhancer(nano_checkpoint, strength=2)
    with pytest.raises(ValueError, match="backend of torch, onnx"):
        Enhancer(nano_checkpoint, backend="tensorrt")
    with pytest.raises(ValueError, match="backend=onnx for an ONNX file"):
        Enhancer(nano_onnx, backend="torch")
    with pytest.raises(ValueError, match="precision=32"):
        Enhancer(nano_onnx, precision="16")
    with pytest.raises(ValueError, match="precision of 32, 16, bf16"):
        Enhancer(nano_checkpoint, precision="8")
    with pytest.raises(ValueError, match="expected weights="):
        Enhancer(None)
    with pytest.raises(ValueError, match="which has parameters"):
        Enhancer(None, network={"_target_": "vqe.models.Nano"})
    with pytest.raises(ValueError, match="device"):
        Enhancer(nano_checkpoint, device="warp")
    with pytest.raises(ValueError, match="device"):
        Enhancer(nano_onnx, device="warp")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"broken\.onnx"):
        Enhancer(broken)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        Enhancer(None, network=IDENTITY).frame(FRAMES[0].astype(float))
