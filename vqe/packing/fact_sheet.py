"""A run's config, its scores and its network's costs -> the text of a fact sheet.

What only the team can say is marked `TEAM`.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vqe.inputs import read_network
from vqe.packing.expectations import read_config, read_value
from vqe.schema import SCORE_OF_COLUMN

TEAM = "TEAM:"  # begins what the team has to fill in
TEAM_PLACE = f"**{TEAM}**"
WORTH_SHOWING = 10_000  # numbers that an operation returns
ASKED = {
    "Team": (
        "name of the team and its id on the leaderboard",
        "members, affiliations, who to write to",
        "title of the method",
    ),
    "Method": (
        "the idea in a few sentences, and a figure",
        "what is new, and what it is built on, with references",
    ),
    "Training data": ("data beside the challenge's, and its licences; or: none",),
    "Testing": ("ensemble or test-time augmentation, of what; or: none, one network, one pass",),
    "Code": ("link to code and weights", "how to run it, and its licence"),
}
TRAINING = {
    "train, validation CSV": ("dataset.train", "dataset.valid"),
    "queries over them": ("dataset.train_query", "dataset.valid_query"),
    "frame size": ("dataset.size",),
    "crop": ("crop",),
    "frames a sample": ("dataset.clip_length",),
    "batch": ("dataloader.batch_size",),
    "accumulated batches": ("trainer.accumulate_grad_batches",),
    "epochs at most": ("trainer.max_epochs",),
    "loss weights": ("loss.weights",),
    "loss ramps": ("loss.ramps",),
    "optimizer, step size, weight decay": (
        "optimizer.opt",
        "optimizer.lr",
        "optimizer.weight_decay",
    ),
    "schedule": ("scheduler._target_",),
    "precision": ("trainer.precision",),
    "devices": ("trainer.accelerator", "trainer.devices"),
    "seed": ("seed",),
}


def write_fact_sheet(
    run: Path,
    trained: Path,
    *,
    score: float | None,
    means: Mapping[str, float],
    efficiency: Mapping[str, Any] | None,
    zips: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the text.

    Args:
        run: the run that was tested.
        trained: the run that trained its network, often the same.
        score: the leaderboard's.
        means: of the metric CSVs, by column.
        efficiency: what `measure_efficiency` found, None where nothing was measured.
        zips: of the manifest.
    """
    config = read_config(trained)
    sections = {
        "Team": "",
        "Method": _describe_network(config),
        "Training": _describe_training(config),
        "Training data": "",
        "Testing": _describe_testing(run, score, means),
        "Efficiency": format_efficiency(efficiency),
        "Code": "",
        "Files": _table(
            [(name, f"{e['bytes']} bytes, SHA-256 `{e['sha256']}`") for name, e in zips.items()]
        ),
    }
    parts = ["# Fact sheet", f"What begins with {TEAM} is the team's to say; the rest is measured."]
    for title, text in sections.items():
        asked = _ask(ASKED.get(title, ()))
        parts += [f"## {title}", *([text] if text else []), *(["\n".join(asked)] if asked else [])]
    return "\n\n".join(parts) + "\n"


def count_team_places(text: str) -> int:
    """Count what the team has still to fill in."""
    return text.count(TEAM_PLACE)


def is_filled_in(text: str) -> bool:
    """Whether the team has put its own words in place of any that it was asked for."""
    return any(line not in text for asked in ASKED.values() for line in _ask(asked))


def _ask(asked: Sequence[str]) -> list[str]:
    return [f"- {TEAM_PLACE} {what}" for what in asked]


def format_efficiency(found: Mapping[str, Any] | None) -> str:
    """Lay out what `measure_efficiency` found as a table."""
    if found is None:
        return "Not measured."
    named = found["gmacs_named_by_the_network"]
    many = {n: e for n, e in found["not_counted"].items() if e["numbers"] >= WORTH_SHOWING}
    others = [
        f"{n} ({e['calls']} calls, {e['numbers'] / 1e6:.2f} M numbers)" for n, e in many.items()
    ]
    if few := len(found["not_counted"]) - len(many):
        others.append(f"{few} operations that return less than {WORTH_SHOWING / 1e6} M")
    memory = found["peak_memory_mb"]
    machine = found["machine"]
    rows = [
        ("network", found["network"]),
        ("input", f"{found['input']}, {found['precision']}"),
        ("GMACs", f"{found['gmacs']:.3f}"),
        ("GFLOPs = 2 x GMACs", f"{found['gflops']:.3f}"),
        ("of these counted by PyTorch", f"{found['gmacs_counted']:.3f} GMACs"),
        (
            "of these named by the network",
            ", ".join(f"{name} {macs:.3f} GMACs" for name, macs in named.items()) or "none",
        ),
        ("beside these, what the network named among it", ", ".join(others) or "nothing"),
        ("parameters", f"{found['parameters'] / 1e6:.4f} M"),
        ("activations", f"{found['activations'] / 1e6:.3f} M"),
        ("convolutions", str(found["convolutions"])),
        ("runtime", f"{found['ms_a_frame']:.3f} ms a frame, mean of {len(found['ms_of_runs'])}"),
        ("timed by", found["timed_by"]),
        ("peak memory", "unknown" if memory is None else f"{memory:.1f} MB"),
        (
            "device",
            f"{machine['device']}, {machine['threads']} threads of {machine['cores']} cores",
        ),
        (
            "PyTorch, Python, system",
            f"{machine['torch']}, {machine['python']}, {machine['system']}",
        ),
    ]
    return _table(rows)


def _describe_network(config: DictConfig) -> str:
    target = read_value(config, "model_vqe._target_")
    if target is None:
        return f"The config of its training is not here. {TEAM_PLACE} which network, how built"
    arguments = read_network(config) or {}
    rows = [(name, _show(value)) for name, value in arguments.items() if name != "_target_"]
    return "\n\n".join(part for part in (_read_docstring(target), _table(rows)) if part)


def _read_docstring(target: str) -> str:
    """Return what this package's own module says of a network."""
    if not target.startswith("vqe.models."):
        return f"`{target}`"
    network = getattr(importlib.import_module("vqe.models"), target.rpartition(".")[2], None)
    words = inspect.getdoc(inspect.getmodule(network)) if network is not None else ""
    return f"`{target}`. {words}"


def _describe_training(config: DictConfig) -> str:
    if read_value(config, "optimizer") is None:
        return f"The config of the training is not here. {TEAM_PLACE} how it was trained"
    rows = []
    for label, keys in TRAINING.items():
        values = [read_value(config, key) for key in keys]
        known = [_show(value) for value in values if value is not None]
        if known:
            rows.append((label, ", ".join(known)))
    start = read_value(config, "init_from")
    rows.append(("starts from", "weights of an earlier stage" if start else "no weights"))
    return _table(rows)


def _describe_testing(run: Path, score: float | None, means: Mapping[str, float]) -> str:
    config = read_config(run)
    rows = [
        ("leaderboard's score", "none" if score is None else f"{score:.4f}"),
        *((f"{c} ({SCORE_OF_COLUMN.get(c, c)})", f"{mean:.6f}") for c, mean in means.items()),
        (
            "critics",
            _show([read_value(config, f"{c}.weights") for c in ("model_vqa", "model_dover")]),
        ),
        ("strength", _show(read_value(config, "strength"))),
        ("rendered by", "libx264, crf 18, yuv420p, 30 frames a second"),
    ]
    return _table(rows)


def _show(value: object) -> str:
    """Show a config's value on a line; of files the name alone: folders are nobody's business."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=False)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_show(one)}" for key, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_show, value)) or "none"
    text = "none" if value is None else str(value)
    return Path(text).name if "/" in text else text


def _table(rows: Sequence[tuple[str, object]]) -> str:
    if not rows:
        return ""
    lines = [f"| {label} | {value} |" for label, value in rows]
    return "\n".join(["| what | value |", "|---|---|", *lines])
