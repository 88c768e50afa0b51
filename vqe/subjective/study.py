"""A study's folder: study.json, plan.csv, clips under blind names, the key that signs links."""

import json
import os
import secrets
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from vqe.files import complete_or_absent, read_csv

STUDY, PLAN, CLIPS, CHECKS, KEY, LINKS = (
    "study.json",
    "plan.csv",
    "clips",
    "checks",
    "secret.key",
    "links.csv",
)
DATABASE = "votes.db"
TRAINING_SESSION = 0  # of the plan: shown before a rater's first real one


@dataclass(frozen=True)
class Clip:
    """One file to show; `content` and `method` never leave the server."""

    content: str
    method: str
    seconds: float
    width: int
    height: int


@dataclass(frozen=True)
class Trial:
    """One pair to show, by the names of its clips."""

    session: int
    position: int  # from 1
    kind: str
    content: str
    first: str
    second: str
    expected: float  # NaN but for gold and trapping clips
    clip_first: str
    clip_second: str


@dataclass(frozen=True)
class Study:
    """What is shown to raters, and what it was made of.

    Attributes:
        methods: names, the input's among them.
        settings: of the config, for whoever serves: see `conf/ratings_plan.yaml`.
        clips: by blind name.
        plates: answers to the colour plates, by picture.
        matrices: answers to the brightness matrices, (circles, triangles), by picture.
        summary: how many votes, sessions, minutes were planned.
        trials: all sessions' pairs; session 0 is the training.
    """

    methods: list[str]
    settings: dict
    clips: dict[str, Clip]
    plates: dict[str, str]
    matrices: dict[str, list[int]]
    summary: dict
    trials: list[Trial] = field(repr=False, default_factory=list)

    @cached_property
    def sessions(self) -> dict[int, list[Trial]]:
        """Each session's trials, in order."""
        found = defaultdict(list)
        for trial in self.trials:
            found[trial.session].append(trial)
        return dict(found)

    def seconds(self, trial: Trial) -> float:
        """Return how long both clips last."""
        return self.clips[trial.clip_first].seconds + self.clips[trial.clip_second].seconds

    def database(self, folder: Path) -> str:
        """Return the URL of the study's own database."""
        return self.settings.get("database") or f"sqlite:///{(folder / DATABASE).absolute()}"


def save_study(study: Study, folder: Path) -> None:
    """Write study.json, plan.csv and a new key; the clips are there already."""
    described = asdict(study)
    trials = pd.DataFrame(described.pop("trials"))
    trials.to_csv(folder / PLAN, index=False, lineterminator="\n")
    key = os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(key, "w") as file:
        file.write(secrets.token_hex(32))
    with complete_or_absent(folder / STUDY) as part:
        text = json.dumps(described, indent=1, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study."""
    return (folder / STUDY).is_file()


def load_study(folder: Path) -> Study:
    """Read a study.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was not written by `save_study`.
    """
    if not is_study(folder):
        raise FileNotFoundError(
            f"expected {STUDY} in {folder}, got none. Make a study: python ratings.py plan"
        )
    try:
        told = json.loads((folder / STUDY).read_text(encoding="utf-8"))
        told["clips"] = {name: Clip(**clip) for name, clip in told["clips"].items()}
        text = {"content": str, "first": str, "second": str, "clip_first": str, "clip_second": str}
        rows = read_csv(
            folder / PLAN, dtype=text, keep_default_na=False, na_values={"expected": ""}
        )
        trials = [Trial(**row) for row in rows.to_dict("records")]
        return Study(**told, trials=trials)
    except (KeyError, TypeError, json.JSONDecodeError) as e:
        raise ValueError(
            f"expected a study in {folder}, got a damaged {STUDY} or {PLAN}: {e}. Plan it anew"
        ) from e


def read_key(folder: Path) -> bytes:
    """Return the key that signs a study's links.

    Raises:
        FileNotFoundError: there is none.
    """
    path = folder / KEY
    if not path.is_file():
        raise FileNotFoundError(f"expected the key of the study at {path}, got none. Plan it anew")
    return bytes.fromhex(path.read_text().strip())
