"""Runs -> what made their numbers, and what these may be compared with, as rows of text."""

from __future__ import annotations

from dataclasses import dataclass

from vqe.inputs import STANDIN, UNTRAINED
from vqe.reporting.run import Run

UNKNOWN = "not recorded: the run is older than provenance.json"


@dataclass(frozen=True)
class Origin:
    """A run's rows of name and text, its config, and what its scores are worth."""

    name: str
    rows: list[tuple[str, str]]
    config: str
    worth: str
    comparable: bool  # with the leaderboard


def describe_origin(run: Run) -> Origin:
    """Say what a run's numbers were made with."""
    known, network = run.provenance, run.provenance.get("network", {})
    machine = known.get("machine", {})
    versions = known.get("versions", {})
    worth, comparable = judge_scores(run)
    rows = [
        ("Command", run.command or "not kept"),
        ("Tested", known.get("time", UNKNOWN)),
        ("Folder", str(run.folder)),
        ("Network", _describe_network(run)),
        ("Weights, SHA-256 of the tensors", network.get("tensors_sha256", UNKNOWN)),
        ("Git commit", known.get("commit") or ("no checkout" if known else UNKNOWN)),
        ("Versions", ", ".join(f"{n} {v}" for n, v in versions.items()) or UNKNOWN),
        ("Machine", ", ".join(_describe_machine(machine)) or UNKNOWN),
        ("Data", _describe_data(run)),
        *((f"Critic {name}", text) for name, text in _describe_critics(run)),
        ("Comparable with", worth),
    ]
    return Origin(run.name, rows, run.config_text, worth, comparable)


def judge_scores(run: Run) -> tuple[str, bool]:
    """Say what a run's scores may be compared with, and whether that is the leaderboard."""
    weights = [run.read_config(f"{group}.weights") for group in ("model_vqa", "model_dover")]
    constant = run.critics.get("dover", {}).get("constant")
    if "p" not in run.videos or run.videos["p"].isna().all():
        return "nothing was scored: the RMSE stands alone, and compares with any", False
    if UNTRAINED in weights:
        return "nothing: a critic has random weights, its scores mean nothing", False
    if weights[0] == STANDIN:
        return (
            "runs with this stand-in critic on the same videos alone; not the leaderboard, whose "
            "critic is another",
            False,
        )
    if constant is not None or run.read_config("model_dover._target_", "").endswith("Constant"):
        return "runs without DOVER (model_dover=off) alone; not the leaderboard", False
    if run.read_config("model_dover.variant") == "mobile":
        return "runs with DOVER-Mobile alone; not the leaderboard, which has DOVER", False
    if not run.config_text:
        return "not known: the run kept no config", False
    if run.read_config("model_dover.view", "frames") == "clip":
        return "runs with model_dover.view=clip alone; not the leaderboard", False
    return (
        "the leaderboard, if the weights are the challenge's VQA.ckpt and DOVER.pth and the videos "
        "its test videos",
        True,
    )


def _describe_network(run: Run) -> str:
    network = run.provenance.get("network", {})
    if network:
        strength = network.get("strength")
        return f"{network['name']}, {network['parameters']:,} parameters" + (
            f", strength {strength:g}" if isinstance(strength, (int, float)) else ""
        )
    return str(run.read_config("model_vqe._target_", "not known")).rpartition(".")[2]


def _describe_machine(machine: dict) -> list[str]:
    parts = [str(machine[name]) for name in ("processor", "system") if machine.get(name)]
    if machine.get("cores"):
        parts.insert(1, f"{machine['cores']} cores")
    if machine.get("computed_on"):
        parts.append(f"computed on {machine['computed_on']}")
    return parts


def _describe_data(run: Run) -> str:
    path, holdout = (run.read_config(f"dataset.{key}") for key in ("path", "holdout"))
    query = run.read_config("dataset.holdout_query")
    kinds = run.videos.index.get_level_values(0).value_counts().sort_index()
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    where = "not known" if path is None else f"{path}, {holdout}"
    return f"{where}{f', query {query}' if query else ''}: {counts} videos"


def _describe_critics(run: Run) -> list[tuple[str, str]]:
    rows = []
    for name, facts in run.critics.items():
        source = run.read_config(f"model_{name}.weights")
        texts = [f"{key} {value}" for key, value in facts.items()]
        rows.append((name.upper(), ", ".join(([f"from {source}"] if source else []) + texts)))
    return rows or [("", "none: nothing was scored")]
