"""Config -> a study: matching clips under blind names, sessions, checks, and what it will cost."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from vqe.files import complete_or_absent, write_csv
from vqe.subjective.check_clips import CheckMaker, CheckPair
from vqe.subjective.clips import Material, copy_clips, find_material, name_methods
from vqe.subjective.design import choose_pairs, votes_for
from vqe.subjective.links import new_rater, sign_rater
from vqe.subjective.plates import draw_matrix, draw_plate
from vqe.subjective.sessions import Shown, fill_sessions, spread_pairs
from vqe.subjective.study import (
    CHECKS,
    CLIPS,
    LINKS,
    TRAINING_SESSION,
    Study,
    Trial,
    is_study,
    read_key,
    save_study,
)
from vqe.subjective.toolkit import write_toolkit_input
from vqe.subjective.votes import GOLD, PAIR, REFERENCE, TRAP

log = logging.getLogger(__name__)
VOTE_SECONDS = 6  # that a rater takes for an answer
CHECK_SECONDS = 120  # for instructions and the environment, once


def plan(cfg: DictConfig) -> Study:
    """Plan a study and write it to `output`.

    Raises:
        FileExistsError: there is a study already.
        FileNotFoundError, ValueError: the material or an option does not fit.
        VideoError: a clip cannot be read.
    """
    output = Path(cfg.output)
    if is_study(output):
        raise FileExistsError(
            f"expected a new folder for the study, got one with a study: {output}. "
            "Choose another output"
        )
    random = np.random.default_rng(cfg.seed)
    given = (
        OmegaConf.to_container(cfg.methods) if OmegaConf.is_config(cfg.methods) else [cfg.methods]
    )
    folders = name_methods(given)
    material = find_material(folders, Path(cfg.reference))
    contents = sorted({clip.content for clip in material})
    sessions = plan_sessions(cfg, [REFERENCE, *folders], contents, random)
    with complete_or_absent(output) as part:
        study = build_study(cfg, material, sessions, part, random)
        save_study(study, part)
        _write_links(part, cfg.raters)
        address = {name: cfg.export_url + name for name in study.clips}
        write_toolkit_input(pd.DataFrame(map(asdict, study.trials)), address, part / "p910")
    log.info("%s\nwrote %s", format_summary(study.summary), output)
    return study


def plan_sessions(
    cfg: DictConfig, methods: list[str], contents: list[str], random: np.random.Generator
) -> list[list[Shown]]:
    """Return what each session shows, checks left out."""
    shares = choose_pairs(methods, cfg.pairs, _read_strengths(cfg.known))
    votes = cfg.votes or votes_for(cfg.precision, cfg.vote_sd)
    shown = spread_pairs(shares, contents, votes * len(shares), random)
    return fill_sessions(shown, min(cfg.pairs_per_session, len(contents)), random)


def build_study(
    cfg: DictConfig,
    material: list[Material],
    sessions: list[list[Shown]],
    folder: Path,
    random: np.random.Generator,
) -> Study:
    """Write clips and checks into a folder and return the study."""
    clips = copy_clips(material, folder / CLIPS, random, cfg.encode_crf)
    names = {(clip.content, clip.method): name for name, clip in clips.items()}
    maker = CheckMaker(folder / CLIPS, clips, random)
    inputs = [clip for clip in material if clip.method == REFERENCE]
    drawn = [inputs[i] for i in random.permutation(len(inputs))]

    def take(start: int, count: int) -> list[Material]:
        return [drawn[(start + i) % len(drawn)] for i in range(count)]

    gold, traps = (
        maker.make_gold(take(0, cfg.gold)),
        maker.make_traps(take(cfg.gold, cfg.traps), cfg.trap_seconds),
    )
    training = maker.make_training(take(cfg.gold + cfg.traps, 1)[0])
    trials = [Trial(TRAINING_SESSION, i, **asdict(p)) for i, p in enumerate(training, start=1)]
    for number, session in enumerate(sessions, start=TRAINING_SESSION + 1):
        trials += _mix_session(number, session, gold, traps, names, random)
    study = Study(
        methods=sorted({clip.method for clip in material}),
        settings=OmegaConf.to_container(cfg.settings, resolve=True),
        clips=clips,
        plates={},
        matrices={},
        summary={},
        trials=trials,
    )
    _draw_checks(study, folder / CHECKS, random)
    study.summary.update(_sum_up(cfg, study))
    return study


def format_summary(summary: dict) -> str:
    """Return the plan in a few lines."""
    return (
        f"{summary['pairs']} pairs of methods on {summary['videos']} videos, "
        f"{summary['votes']} votes, about {summary['votes_per_pair']} a pair\n"
        f"half of a pair's 95 % interval: {summary['half_interval']:.2f} grades if single votes "
        f"vary by {summary['vote_sd']:g} "
        f"({', '.join(f'{h}: {n} votes' for h, n in summary['votes_for'].items())})\n"
        f"{summary['sessions']} sessions of {summary['session_minutes']:.0f} minutes, "
        f"{summary['hours']:.1f} hours of people's time"
    )


def _mix_session(
    number: int,
    session: list[Shown],
    gold: list[CheckPair],
    traps: list[CheckPair],
    names: dict[tuple[str, str], str],
    random: np.random.Generator,
) -> list[Trial]:
    """Put a gold and a trapping pair among a session's pairs, not first."""
    pairs = [CheckPair(PAIR, c, a, b, np.nan, names[c, a], names[c, b]) for c, a, b in session]
    used = {content for content, _, _ in session}
    for kind in (gold, traps):
        if kind:
            others = [pair for pair in kind if pair.content not in used] or kind
            check = others[random.integers(len(others))]
            used.add(check.content)
            pairs.insert(int(random.integers(1, len(pairs) + 1)), check)
    return [Trial(number, i, **asdict(pair)) for i, pair in enumerate(pairs, start=1)]


def _draw_checks(study: Study, folder: Path, random: np.random.Generator) -> None:
    """Write colour plates and brightness matrices and note their answers."""
    folder.mkdir()
    for i, number in enumerate(random.choice(np.arange(12, 99), 2, replace=False).tolist()):
        study.plates[f"plate_{i}.png"] = str(number)
        cv2.imwrite(str(folder / f"plate_{i}.png"), draw_plate(str(number), random))
    for i in range(2):
        shapes = [first, second] = random.integers(2, 6, 2).tolist()
        study.matrices[f"matrix_{i}.png"] = shapes
        cv2.imwrite(str(folder / f"matrix_{i}.png"), draw_matrix(first, second, random))


def _sum_up(cfg: DictConfig, study: Study) -> dict:
    pairs = [t for t in study.trials if t.kind == PAIR]
    kinds = {frozenset((t.first, t.second)) for t in pairs}
    numbers = [n for n in study.sessions if n != TRAINING_SESSION]
    pause = study.settings["pause_seconds"] + VOTE_SECONDS
    seconds = [sum(study.seconds(t) + pause for t in study.sessions[n]) for n in numbers]
    training = sum(study.seconds(t) + pause for t in study.sessions[TRAINING_SESSION])
    each = len(pairs) / len(kinds)
    return {
        "pairs": len(kinds),
        "videos": len({t.content for t in pairs}),
        "votes": len(pairs),
        "votes_per_pair": round(each),
        "vote_sd": cfg.vote_sd,
        "half_interval": 1.96 * cfg.vote_sd / each**0.5,
        "votes_for": {str(h): votes_for(h, cfg.vote_sd) for h in (0.05, 0.1, 0.25, 0.5)},
        "sessions": len(numbers),
        "session_minutes": float(np.mean(seconds)) / 60,
        "hours": (sum(seconds) + (training + CHECK_SECONDS) * len(numbers)) / 3600,
        "gold": sum(t.kind == GOLD for t in study.trials),
        "traps": sum(t.kind == TRAP for t in study.trials),
    }


def _write_links(folder: Path, raters: int) -> None:
    """Write one signed link for each rater."""
    key = read_key(folder)
    rows = [(i, f"/r/{sign_rater(new_rater(), key)}") for i in range(1, raters + 1)]
    write_csv(pd.DataFrame(rows, columns=["rater", "link"]), folder / LINKS)


def _read_strengths(known: str | None) -> dict[str, float] | None:
    """Read an earlier analysis's strengths.

    Raises:
        FileNotFoundError: there is none.
    """
    if known is None:
        return None
    path = Path(known)
    path = path / "results" / "results.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"expected known to be an analysed study or its results.json, got no {path}"
        )
    methods = json.loads(path.read_text(encoding="utf-8"))["methods"]
    return {m["method"]: m["strength"] for m in methods if m["strength"]}
