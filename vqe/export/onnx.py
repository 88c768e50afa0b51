"""Export a network to ONNX: network -> one checked .onnx file, RGB frames in [0,1] in and out.

What a network with memory remembers goes in and comes out beside the frames: `frames`, then the
names of its state, in; `enhanced`, then the same names with `_next`, out. Start with zeros.
"""

import copy
import importlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vqe.export.complexity import fuse
from vqe.files import complete_or_absent
from vqe.finite import check_weights
from vqe.models.enhancement import has_memory

log = logging.getLogger(__name__)

OPSET = 20  # the first with a grid_sample of volumes
INPUT, OUTPUT, NEXT = "frames", "enhanced", "_next"
CHECK_FRAMES = 3  # of a sequence, for a network with memory
CHECK_SIZES = ((360, 640), (720, 1280), (361, 203))  # an odd one shows a wrong pad or a fixed size
REQUIRED = ("onnx", "onnxruntime", "onnxscript")
CHATTY_LOGGERS = ("onnx_ir", "onnxscript", "torch.onnx")


@dataclass(frozen=True)
class OnnxReport:
    """What was written, and how far ONNX Runtime is from PyTorch on it."""

    path: Path
    opset: int
    max_abs_error: float  # over all checked sizes, of values in [0,1]
    sizes: tuple[tuple[int, int], ...]  # (height, width) of the checked frames
    dynamic: bool  # any batch, height and width, else one frame of sizes[0]


def export_onnx(
    network: nn.Module,
    path: str | Path,
    *,
    height: int = 360,
    width: int = 640,
    check_sizes: Sequence[tuple[int, int]] = CHECK_SIZES,
    tolerance: float = 1e-4,
) -> OnnxReport:
    """Write the network in eval mode to one ONNX file and hold it against PyTorch.

    The file takes `frames` and gives `enhanced`, both `[B,3,H,W]`, RGB in [0,1]. A network that
    can `fuse()` is fused. One whose graph cannot be traced for any size is exported for one frame
    of `height` x `width`, with a warning. One with memory is checked on sequences. The network
    stays as it is; the file appears only once it has passed.

    Raises:
        RuntimeError: a package is missing, or the two differ by more than `tolerance`.
        NonFiniteError: a weight is not finite.
    """
    _require_packages()
    check_weights(network.state_dict(), type(network).__name__)
    path = Path(path)
    network = fuse(copy.deepcopy(network).cpu().float()).eval()
    with complete_or_absent(path) as part:
        with _quiet_exporter():
            dynamic = _write(network, part, height, width)
        sizes = tuple(check_sizes) if dynamic else ((height, width),)
        error = _compare_with_torch(network, part, sizes, batch=2 if dynamic else 1)
        if not error <= tolerance:  # also true for NaN
            raise RuntimeError(
                f"expected ONNX within {tolerance:g} of torch at {sizes}, got {error:g} ({path}). "
                "Look for Python branches on the frame's size in the network's forward"
            )
    log.info(
        "Wrote %s (opset %d, %s): max error against torch %.1e at %s",
        path,
        OPSET,
        "any size" if dynamic else f"only 1x3x{height}x{width}",
        error,
        ", ".join(f"{h}x{w}" for h, w in sizes),
    )
    return OnnxReport(path, OPSET, error, sizes, dynamic)


def _require_packages() -> None:
    for name in REQUIRED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise RuntimeError(
                f"expected the package {name} for the ONNX export, got: {error}. "
                "Do pip install 'vqe[export]'"
            ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide what the exporter says of each graph pass; its failures are exceptions anyway."""
    loggers = [logging.getLogger(name) for name in CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write(network: nn.Module, path: Path, height: int, width: int) -> bool:
    """Export for any size if the network allows, else for one; return whether it did."""
    dynamic = True
    try:
        # Two frames: a batch of one would be taken for a constant.
        program = _trace(network, _make_inputs(network, 2, height, width), _name_axes(network))
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        log.warning("No ONNX for any size, but for %dx%d only: %s", height, width, reason)
        dynamic = False
        program = _trace(network, _make_inputs(network, 1, height, width), None)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.save(path, external_data=False)
    return dynamic


def _trace(network: nn.Module, inputs: tuple, axes: tuple | None) -> torch.onnx.ONNXProgram:
    names = list(inputs[1]) if len(inputs) > 1 else []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name")  # one axis, several tensors
        return torch.onnx.export(
            network,
            (*inputs, {}),  # the exporter takes a dict that comes last for named arguments
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT, *names],
            output_names=[OUTPUT, *(name + NEXT for name in names)],
            dynamic_shapes=axes,
            verbose=False,
        )


def _make_inputs(network: nn.Module, batch: int, height: int, width: int) -> tuple:
    """Return black frames and, where there is memory, the state before them."""
    frames = torch.zeros(batch, 3, height, width)
    if not has_memory(network):
        return (frames,)
    return frames, network.initial_state(batch, height, width)


def _name_axes(network: nn.Module) -> tuple:
    """Name the axes that follow the batch and the frames' size, as the exporter takes them."""
    names = {2: "batch", 32: "height", 48: "width"}

    def name(one: Tensor, other: Tensor) -> dict[int, str]:
        return {i: names[n] for i, n in enumerate(one.shape) if n != other.shape[i]}

    one, other = _make_inputs(network, 2, 32, 48), _make_inputs(network, 3, 64, 80)
    frames = name(one[0], other[0])
    if len(one) == 1:
        return (frames,)
    return frames, {key: name(value, other[1][key]) for key, value in one[1].items()}


@torch.no_grad()
def _compare_with_torch(
    network: nn.Module, path: Path, sizes: Sequence[tuple[int, int]], *, batch: int
) -> float:
    """Return the largest difference of any result on random frames, NaN if there is one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    errors = []
    for index, (height, width) in enumerate(sizes):
        count = batch if index == 0 else 1
        _, *state = _make_inputs(network, count, height, width)
        theirs = {name: value.numpy() for name, value in (state[0] if state else {}).items()}
        for _ in range(CHECK_FRAMES if state else 1):
            frames = torch.rand(count, 3, height, width, generator=generator)
            results = session.run(None, {INPUT: frames.numpy()} | theirs)
            expected = network(frames, *state)
            if state:
                expected, *state = expected
            expected = [expected, *(state[0].values() if state else ())]
            pairs = zip(results, expected, strict=True)
            errors += [(torch.from_numpy(found) - right).abs().max() for found, right in pairs]
            theirs = dict(zip(theirs, results[1:], strict=True))
    return torch.stack(errors).max().item()
