"""A network.onnx -> what a browser runs of it: small picture and state -> maps and state.

A network that only maps colours works on a small picture; what it does to the full frame is one
shader. That part is cut out of the graph and held against the whole: a network that does more, or
something else, differs and runs whole.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.utils import Extractor

from vqe.export.onnx import INPUT, NEXT
from vqe.models.colour_maps import MAP_CHANNELS, apply_colour_maps
from vqe.models.low_res import shrink

log = logging.getLogger(__name__)

SMALL = "small"
MAPS = "maps"  # what a network that maps colours remembers, beside others
CHECK_SIZE = (72, 96)
CHECK_FRAMES = 3
TOLERANCE = 1e-3  # a quarter of a level


@dataclass(frozen=True)
class BrowserNetwork:
    """What is served.

    Attributes:
        content: an ONNX file, or its bytes.
        facts: what the page has to know: `kind`, maps or whole; the `input`'s name; `state`, shapes
            by name; of maps their `grid`, the `side` of the small picture, the network's own
            `strength`, and the `scene_cut` above which it forgets.
    """

    content: Path | bytes
    facts: dict[str, Any]


def prepare_network(path: Path) -> BrowserNetwork:
    """Make a network ready for browsers.

    Args:
        path: a file that `export_onnx` wrote.

    Raises:
        ValueError: it is no such file.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's, which are not public
        raise ValueError(f"expected a network of export_onnx, got {path}: {error}") from error
    shapes = {i.name: _read_shape(i) for i in model.graph.input}
    if INPUT not in shapes:
        raise ValueError(f"expected an input {INPUT!r} in {path}, got {list(shapes)}")
    return _cut_maps(model, path) or BrowserNetwork(
        path, {"kind": "whole", "input": INPUT, "state": _leave_out(shapes, INPUT)}
    )


def _cut_maps(model: onnx.ModelProto, path: Path) -> BrowserNetwork | None:
    """Return the part that sees the small picture; None where there is none, or more than that."""
    small = _find_small(model.graph)
    state = _leave_out({i.name: _read_shape(i) for i in model.graph.input}, INPUT)
    of_frame_size = any(isinstance(n, str) for shape in state.values() for n in shape[1:])
    if small is None or MAPS not in state or of_frame_size:
        return None
    part = Extractor(model).extract_model([small, *state], [name + NEXT for name in state])
    _rename(part.graph, small, SMALL)
    _fix_batch(part.graph)
    onnx.checker.check_model(part)
    content = part.SerializeToString()
    shapes = {i.name: _read_shape(i) for i in part.graph.input}
    if shapes[MAPS][1] != MAP_CHANNELS:
        return None
    side = shapes[SMALL][-1]
    strength = _find_strength(path, content, side)
    if strength is None:
        return None
    facts = {
        "kind": "maps",
        "input": SMALL,
        "state": _leave_out(shapes, SMALL),
        "side": side,
        "grid": shapes[MAPS][-1],
        "strength": strength,
        "scene_cut": _find_scene_cut(part.graph),
    }
    return BrowserNetwork(content, facts)


def _find_small(graph: onnx.GraphProto) -> str | None:
    """Return the tensor that is the small picture: means of samples of the frames."""
    sampled = {node.output[0] for node in graph.node if INPUT in node.input}
    pooled = [n.output[0] for n in graph.node if n.op_type == "AveragePool"]
    found = [n.output[0] for n in graph.node if n.output[0] in pooled and n.input[0] in sampled]
    return found[0] if len(found) == 1 else None


def _find_scene_cut(graph: onnx.GraphProto) -> float | None:
    """Return the constant that the change of two thumbnails is compared with."""
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in graph.initializer}
    for node in graph.node:
        if node.op_type == "LessOrEqual" and node.input[1] in constants:
            return float(constants[node.input[1]])
    return None


@torch.no_grad()
def _find_strength(path: Path, content: bytes, side: int) -> float | None:
    """Return the share of the change that the whole network makes, by its own frames.

    None where the whole network does something else than the shader does with these maps.
    """
    whole, part = _open(str(path)), _open(content)
    if any(isinstance(n, int) for n in whole.get_inputs()[0].shape[2:]):
        return None  # made for one size of frames
    before = {i.name: np.zeros(i.shape, np.float32) for i in part.get_inputs()[1:]}
    of_whole, of_part = before, before
    generator = torch.Generator().manual_seed(0)
    changes, wanted = [], []
    for _ in range(CHECK_FRAMES):
        frames = torch.rand(1, 3, *CHECK_SIZE, generator=generator)
        enhanced, of_whole = _run(whole, {INPUT: frames.numpy()} | of_whole)
        _, of_part = _run(part, {SMALL: shrink(frames, side).numpy()} | of_part)
        mapped = apply_colour_maps(torch.from_numpy(of_part[MAPS]), frames).clamp(0, 1)
        changes.append(mapped - frames)
        wanted.append(torch.from_numpy(enhanced) - frames)
    change, want = torch.stack(changes), torch.stack(wanted)
    power = change.square().sum().item()
    strength = (change * want).sum().item() / power if power > 0 else 1.0
    difference = (strength * change - want).abs().max().item()
    return round(strength, 6) if difference <= TOLERANCE else None


def _run(session: onnxruntime.InferenceSession, given: dict) -> tuple[np.ndarray, dict]:
    """Return the first result and the next state."""
    names = [o.name for o in session.get_outputs()]
    results = dict(zip(names, session.run(None, given), strict=True))
    state = {name.removesuffix(NEXT): results[name] for name in names if name.endswith(NEXT)}
    return results[names[0]], state


def _open(model: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _read_shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def _leave_out(shapes: dict[str, list], name: str) -> dict[str, list]:
    return {key: shape for key, shape in shapes.items() if key != name}


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for value in graph.input:
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _fix_batch(graph: onnx.GraphProto) -> None:
    """Say that there is one picture: then the runtime knows all sizes when it loads the graph."""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del graph.value_info[:]
