"""Two metric tables, and what the run logged -> whether the numbers can be what they say."""

import math
from pathlib import Path

import numpy as np

from vqe.files import read_csv
from vqe.inputs import STANDIN, UNTRAINED
from vqe.packing.csv_checks import Table
from vqe.packing.expectations import read_config, read_value
from vqe.packing.findings import Finding
from vqe.schema import INVERTED_SCORES, SCORE_OF_COLUMN, leaderboard_score

LOG = Path("csv", "metrics.csv")  # of Lightning's CSV logger
LOG_SLACK = 2e-4  # the log's means are of single precision
ALIKE_VIDEOS = 30  # fewer say nothing about how scores go together
ALIKE = 0.5  # correlation from which on two scores rise together
INVERTED = next(c for c, name in SCORE_OF_COLUMN.items() if name in INVERTED_SCORES)


def check_scores(tables: list[Table]) -> list[Finding]:
    """Look at each column as a whole: constant ones, and m_5 that rises with quality; notes."""
    notes = []
    for table in tables:
        constant = [
            column
            for column, values in table.values.items()
            if len(values) > 1 and len(set(values)) == 1
        ]
        if constant:
            notes.append(
                Finding(
                    "constant_column",
                    table.file,
                    f"the same value in all rows of {', '.join(constant)}",
                    "values that differ from video to video",
                    note=True,
                )
            )
        if INVERTED in table.values:
            notes += _check_direction(table)
    return notes


def _check_direction(table: Table) -> list[Finding]:
    """Note an m_5 that goes with the other scores: a4 falls as quality grows."""
    columns = list(table.values.values())
    if len(table.ids) < ALIKE_VIDEOS or len({len(c) for c in columns}) > 1:
        return []
    if any(None in column for column in columns):
        return []
    others = [values for column, values in table.values.items() if column != INVERTED]
    m_5, mean = np.array(table.values[INVERTED]), np.mean(others, axis=0)
    if not m_5.std() or not mean.std():
        return []
    together = float(np.corrcoef(m_5, mean)[0, 1])
    if together < ALIKE:
        return []
    return [
        Finding(
            "flipped_m_5",
            table.file,
            f"{INVERTED} rises with the other scores (correlation {together:.2f})",
            "a4, which falls as quality grows",
            note=True,
        )
    ]


def check_against_log(tables: list[Table], run: Path) -> list[Finding]:
    """Hold the CSVs' means against those that the run logged when it wrote them."""
    logged = read_log(run)
    findings = []
    for table in tables:
        for column in table.values:
            name = SCORE_OF_COLUMN.get(column, column)
            mean, expected = table.mean(column), logged.get(name, math.nan)
            if math.isnan(mean) or math.isnan(expected) or abs(mean - expected) <= LOG_SLACK:
                continue
            flipped = column == INVERTED and abs(1 - mean - expected) <= LOG_SLACK
            findings.append(
                Finding(
                    "flipped_m_5" if flipped else "unlike_log",
                    table.file,
                    f"a mean of {mean:.6g} in {column}",
                    f"{expected:.6g}, test/{name} in the run's {LOG.as_posix()}",
                )
            )
    return findings


def read_log(run: Path) -> dict[str, float]:
    """Return what a run logged of its last test, by the scores' names and `rmse`."""
    path = run / LOG
    if not path.is_file():
        return {}
    table = read_csv(path)
    names = [column for column in table if column.startswith("test/")]
    rows = table[names].dropna(how="all") if names else table.iloc[:0]
    if rows.empty:
        return {}
    return {name.removeprefix("test/"): float(value) for name, value in rows.iloc[-1].items()}


def check_critics(run: Path) -> list[Finding]:
    """Note scores of a critic that is not the challenge's."""
    config = read_config(run)
    chosen = {
        "model_vqa.weights": read_value(config, "model_vqa.weights"),
        "model_dover.weights": read_value(config, "model_dover.weights"),
    }
    wrong = [f"{key}={value}" for key, value in chosen.items() if value in (STANDIN, UNTRAINED)]
    if str(read_value(config, "model_dover._target_")).endswith("ConstantDOVER"):
        wrong.append("model_dover=off")
    if not wrong:
        return []
    expected = "the challenge's critics, whose scores the leaderboard's are"
    return [Finding("stand_in_scores", "metrics", ", ".join(wrong), expected, note=True)]


def compute_score(tables: list[Table]) -> float | None:
    """Return the leaderboard's score, None where the CSVs are not whole."""
    means = {
        SCORE_OF_COLUMN.get(column, column): table.mean(column)
        for table in tables
        for column in table.values
    }
    rmse = means.pop("rmse", math.nan)
    try:
        return leaderboard_score(means, rmse)
    except ValueError:
        return None
