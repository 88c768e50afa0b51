"""Config -> votes cleaned, scored, ranked: CSVs, results.json and a section for a report."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vqe.files import complete_or_absent, write_csv
from vqe.subjective.agreement import describe_raters, measure_agreement
from vqe.subjective.cleaning import REMOVED, clean, count_removed
from vqe.subjective.correlation import correlate_scores, read_scores
from vqe.subjective.critic_pairs import write_critic_pairs
from vqe.subjective.opinion import rate_pairs, rate_videos
from vqe.subjective.pair_tables import PAIR_COLUMNS, SAME, count_pairs
from vqe.subjective.reading import read_study_votes, read_votes
from vqe.subjective.screening import estimate_bias
from vqe.subjective.section import write_section
from vqe.subjective.strength import Ranking, rank_counts, rank_votes
from vqe.subjective.toolkit import write_toolkit
from vqe.subjective.votes import PAIR, REFERENCE, encode

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Results:
    """All that an analysis finds.

    Attributes:
        methods: a row a method: rank, strength, low, high; votes, cmos, .. against the input.
        pairs: a row a pair.
        wins: the row's wins over the column's.
        facts: single numbers and texts.
        videos: a row a method and video.
        raters: a row a rater.
        rules: a row a cleaning rule.
        correlation: a row an objective score.
        votes: all of them with `removed_by`.
    """

    methods: pd.DataFrame
    pairs: pd.DataFrame
    wins: pd.DataFrame
    facts: dict
    videos: pd.DataFrame = field(default_factory=pd.DataFrame)
    raters: pd.DataFrame = field(default_factory=pd.DataFrame)
    rules: pd.DataFrame = field(default_factory=pd.DataFrame)
    correlation: pd.DataFrame = field(default_factory=pd.DataFrame)
    votes: pd.DataFrame = field(default_factory=pd.DataFrame)


def analyse(cfg: DictConfig) -> Results:
    """Analyse a study or a table of votes, write all tables, and say what was found.

    Raises:
        ValueError: not exactly one of study and votes is given, or the votes are wrong.
        FileNotFoundError: there is no study, table or vote.
    """
    if (cfg.study is None) == (cfg.votes is None):
        raise ValueError(
            f"expected one of study=<folder> and votes=<csv>, got study={cfg.study} "
            f"votes={cfg.votes}"
        )
    study = None if cfg.study is None else Path(cfg.study)
    if study is not None:
        votes = read_study_votes(study, cfg.database)
    else:
        votes = read_votes(Path(cfg.votes), cfg.toolkit_pattern)
    if set(votes) == set(PAIR_COLUMNS):
        results = analyse_pair_table(votes, ties=cfg.ties)
    else:
        options = OmegaConf.to_container(cfg.options, resolve=True)
        results = analyse_votes(
            votes, instantiate(cfg.cleaning, _convert_="all"), ties=cfg.ties, **options
        )
    if cfg.scores is not None and len(results.videos):
        scores = OmegaConf.to_container(cfg.scores) if OmegaConf.is_dict(cfg.scores) else cfg.scores
        results.correlation = correlate_scores(
            results.videos,
            read_scores(scores),
            replicates=min(cfg.options.replicates, 300),
            seed=cfg.options.seed,
        )
    output = Path(cfg.output) if cfg.output else (study or Path(cfg.paths.run)) / "results"
    write_results(results, output)
    if study is not None and cfg.critic_frames:
        write_critic_pairs(results.votes, study, frames=cfg.critic_frames)
    log.info("%s\nwrote %s", format_results(results), output)
    return results


def analyse_votes(
    votes: pd.DataFrame,
    rules: dict,
    *,
    ties: str,
    remove_bias: bool,
    replicates: int,
    seed: int,
    precision: float,
) -> Results:
    """Clean a table of votes and work out all that it says.

    Args:
        votes: of `check_votes`.
        rules: cleaning rules by name.
        ties: davidson or half.
        remove_bias: take each rater's bias off the votes, P.913 12.4.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        precision: half of the interval that is wanted.

    Raises:
        ValueError: no vote on a pair is left.
    """
    cleaned = clean(votes, rules)
    counts = count_removed(cleaned, rules)
    used = cleaned[(cleaned[REMOVED] == "") & (cleaned["kind"] == PAIR)]
    if used.empty:
        removed = ", ".join(f"{r.rule} {r.votes}" for r in counts.itertuples() if r.rule != "used")
        raise ValueError(
            f"expected votes that are used, got none; removed were: {removed}. "
            "Loosen the rules under `cleaning`"
        )
    codes = encode(used)
    bias = estimate_bias(codes)
    scores = codes.shown - bias[codes.rater] if remove_bias else codes.shown
    pairs = rate_pairs(codes, scores, replicates=replicates, seed=seed, precision=precision)
    ranking = rank_votes(codes, ties=ties)
    asked = cleaned.loc[cleaned["kind"] == PAIR, "rater"]
    facts = {
        "votes": int((cleaned["kind"] == PAIR).sum()),
        "votes_used": len(used),
        "raters": int(asked.nunique()),
        "raters_used": len(codes.raters),
        "videos": len(codes.contents),
        "alpha": measure_agreement(codes),
        "order_effect": ranking.order,
        "problem": ranking.problem,
        "ties": ties,
        "bias_removed": remove_bias,
        "precision": precision,
        "votes_needed": float(pairs["votes_needed"].sum()),
    }
    return Results(
        methods=_join_methods(ranking, pairs),
        pairs=pairs,
        wins=ranking.wins,
        facts=facts,
        videos=rate_videos(codes, scores, replicates=replicates, seed=seed),
        raters=_list_raters(cleaned, describe_raters(codes, bias)),
        rules=counts,
        votes=cleaned,
    )


def analyse_pair_table(table: pd.DataFrame, *, ties: str) -> Results:
    """Rank the methods of a published table; its votes are taken for independent."""
    methods, counts = count_pairs(table)
    ranking = rank_counts(counts, methods, ties=ties)
    pairs = table.rename(columns={"first": "a", "second": "b", "count": "votes"})
    pairs["cmos"] = pairs.pop("mean") - SAME
    pairs[["low", "high", "votes_needed"]] = np.nan  # a mean does not say how votes spread
    facts = {
        "votes": int(table["count"].sum()),
        "order_effect": ranking.order,
        "problem": ranking.problem,
        "scale": "means on a scale of five; shares of votes count as wins",
    }
    return Results(ranking.table, pairs, ranking.wins, facts)


def write_results(results: Results, folder: Path) -> None:
    """Write every table as CSV, all of them but the votes and raters in results.json, a section."""
    tables = {
        "methods": results.methods,
        "pairs": results.pairs,
        "videos": results.videos,
        "raters": results.raters,
        "cleaning": results.rules,
        "correlation": results.correlation,
        "votes": results.votes,
    }
    for name, table in tables.items():
        if len(table):
            write_csv(table, folder / f"{name}.csv", float_format="%.6g")
    write_csv(results.wins.reset_index(names="method"), folder / "wins.csv", float_format="%.6g")
    if len(results.votes):
        used = results.votes[(results.votes[REMOVED] == "") & (results.votes["kind"] == PAIR)]
        write_toolkit(used, folder / "p910")
    shown = {k: _to_records(t) for k, t in tables.items() if k not in ("votes", "raters")}
    with complete_or_absent(folder / "results.json") as part:
        text = json.dumps(_blank(results.facts) | shown, indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")
    write_section(results, folder / "ratings.html")


def format_results(results: Results) -> str:
    """Return the ranking as a table of text, and what is wrong."""
    columns = [
        "rank",
        "method",
        "strength",
        "low",
        "high",
        "cmos",
        "cmos_low",
        "cmos_high",
        "votes",
    ]
    shown = results.methods[[c for c in columns if c in results.methods]]
    lines = [shown.to_string(index=False, float_format=lambda x: f"{x:.2f}", na_rep="")]
    if len(results.rules):
        lines.append(results.rules.to_string(index=False))
    if results.facts["problem"]:
        lines.append(results.facts["problem"])
    return "\n\n".join(lines)


def _join_methods(ranking: Ranking, pairs: pd.DataFrame) -> pd.DataFrame:
    """Put each method's CMOS against the input beside its strength."""
    against = pairs[pairs["a"] == REFERENCE].rename(columns={"b": "method"})
    against = against.rename(columns={"low": "cmos_low", "high": "cmos_high"})
    columns = ["method", "votes", "cmos", "sd", "t_low", "t_high", "cmos_low", "cmos_high"]
    joined = ranking.table.merge(against[columns], on="method", how="left")
    return joined.astype({"votes": "Int64"})  # the input has none


def _list_raters(cleaned: pd.DataFrame, used: pd.DataFrame) -> pd.DataFrame:
    """Return all raters with what removed their votes, those that were used with their figures."""
    pairs = cleaned[cleaned["kind"] == PAIR]
    everyone = pairs.groupby("rater").agg(given=("vote", "size"), sessions=("session", "nunique"))
    why = pairs[pairs[REMOVED] != ""].groupby("rater")[REMOVED]
    everyone["removed_by"] = why.agg(lambda names: " ".join(sorted(set(names))))
    everyone["removed_by"] = everyone["removed_by"].fillna("")
    return everyone.reset_index().merge(used, on="rater", how="left")


def _to_records(table: pd.DataFrame) -> list[dict]:
    return [_blank(row) for row in table.to_dict("records")]


def _blank(row: dict) -> dict:
    """Return a row that JSON can hold: what is not finite is null."""
    return {k: _plain(v) for k, v in row.items()}


def _plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    is_blank = value is pd.NA or (isinstance(value, float) and not np.isfinite(value))
    return None if is_blank else value
