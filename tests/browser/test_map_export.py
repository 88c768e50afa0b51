"""What a browser runs of a network, held against PyTorch."""

import numpy as np
import onnxruntime
import pytest
import torch
from network_checks import build_small, draw_clean_frames, perturb

from vqe.browser.map_export import prepare_network
from vqe.export.onnx import export_onnx
from vqe.models import Nano, Recurrent
from vqe.models.low_res import shrink

SIZES = ((48, 64),)


def run_maps(network, frames):
    """Return the maps of each frame of a video, as a browser makes them."""
    session = onnxruntime.InferenceSession(network.content, providers=["CPUExecutionProvider"])
    state = {n: np.zeros(shape, np.float32) for n, shape in network.facts["state"].items()}
    found = []
    for frame in frames:
        small = shrink(frame[None], network.facts["side"]).numpy()
        thumbnail, maps = session.run(
            ["thumbnail_next", "maps_next"], {network.facts["input"]: small} | state
        )
        state = {"thumbnail": thumbnail, "maps": maps}
        found.append(maps)
    return found


@torch.no_grad()
def test_maps_are_those_of_the_network_over_a_scene_cut(nano_onnx, small_nano):
    network = prepare_network(nano_onnx)
    facts = {name: network.facts[name] for name in ("kind", "side", "grid", "strength")}
    assert facts == {"kind": "maps", "side": 32, "grid": 8, "strength": 1}
    assert network.facts["scene_cut"] == pytest.approx(small_nano.scene_cut)
    first, second = draw_clean_frames()
    frames = [first, first * 0.9, second, second]  # the third begins a scene
    state = small_nano.initial_state(1, *first.shape[-2:])
    for frame, maps in zip(frames, run_maps(network, frames), strict=True):
        _, state = small_nano(frame[None], state)
        np.testing.assert_allclose(maps, state["maps"].numpy(), atol=1e-4)
    assert len(network.content) < nano_onnx.stat().st_size


def export(network, folder):
    path = folder / "network.onnx"
    export_onnx(network.eval(), path, check_sizes=SIZES)
    return path


@pytest.mark.slow
def test_a_network_s_own_strength_is_found(tmp_path):
    network = perturb(Nano(grid_size=8, low_res=32, width=4, strength=0.6))
    facts = prepare_network(export(network, tmp_path)).facts
    assert facts["kind"] == "maps"
    assert facts["strength"] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.slow
def test_a_network_that_does_more_than_map_colours_runs_whole(tmp_path):
    network = perturb(build_small(Recurrent), scale=0.02)
    path = export(network, tmp_path)
    found = prepare_network(path)
    assert found.content == path
    assert found.facts["kind"] == "whole"
    assert set(found.facts["state"]) == set(network.initial_state(2, 48, 64))


def test_what_is_no_network_is_told(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"expected a network of export_onnx, got .*network\.onnx"):
        prepare_network(path)
