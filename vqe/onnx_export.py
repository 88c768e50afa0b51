"""Export a network to ONNX: network -> one checked .onnx file, RGB frames in [0,1] in and out."""

import copy
import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

OPSET = 20  # the first with a grid_sample of volumes
INPUT, OUTPUT = "frames", "enhanced"
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

    The file takes `frames` and gives `enhanced`, both `[B,3,H,W]`, RGB in [0,1]. A network whose
    graph cannot be traced for any size is exported for one frame of `height` x `width`, with a
    warning. The network stays as it is; the file appears only once it has passed.

    Raises:
        RuntimeError: a package is missing, or the two differ by more than `tolerance`.
    """
    _require_packages()
    path = Path(path)
    network = copy.deepcopy(network).cpu().float().eval()
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet_exporter():
            dynamic = _write(network, part, height, width)
        sizes = tuple(check_sizes) if dynamic else ((height, width),)
        error = _compare_with_torch(network, part, sizes, batch=2 if dynamic else 1)
        if not error <= tolerance:  # also true for NaN
            raise RuntimeError(
                f"expected ONNX within {tolerance:g} of torch at {sizes}, got {error:g} ({path}). "
                "Look for Python branches on the frame's size in the network's forward"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
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
    anything = ({0: "batch", 2: "height", 3: "width"},)
    dynamic = True
    try:
        # Two frames: a batch of one would be taken for a constant.
        program = _trace(network, torch.zeros(2, 3, height, width), anything)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        log.warning("No ONNX for any size, but for %dx%d only: %s", height, width, reason)
        dynamic = False
        program = _trace(network, torch.zeros(1, 3, height, width), None)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.save(path, external_data=False)
    return dynamic


def _trace(network: nn.Module, frames: Tensor, shapes: tuple | None) -> torch.onnx.ONNXProgram:
    return torch.onnx.export(
        network,
        (frames,),
        dynamo=True,
        external_data=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=shapes,
        verbose=False,
    )


@torch.no_grad()
def _compare_with_torch(
    network: nn.Module, path: Path, sizes: Sequence[tuple[int, int]], *, batch: int
) -> float:
    """Return the largest difference of a value on random frames, NaN if there is one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    errors = []
    for index, (height, width) in enumerate(sizes):
        count = batch if index == 0 else 1
        frames = torch.rand(count, 3, height, width, generator=generator)
        (enhanced,) = session.run([OUTPUT], {INPUT: frames.numpy()})
        errors.append((torch.from_numpy(enhanced) - network(frames)).abs().max())
    return torch.stack(errors).max().item()
