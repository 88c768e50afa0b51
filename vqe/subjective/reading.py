"""A study, or a CSV of somebody's votes -> the table of votes, or of pairs."""

from pathlib import Path

import pandas as pd

from vqe.files import read_csv
from vqe.subjective.pair_tables import PAIR_COLUMNS, read_pair_table
from vqe.subjective.study import is_study, load_study
from vqe.subjective.toolkit import CLIP, VOTES_PER_WORKER, read_toolkit
from vqe.subjective.votes import COLUMNS, check_votes

FORMS = (
    f"a vote a row ({', '.join(COLUMNS)}), the P.910 toolkit's votes per clip ({CLIP}, vote_1, ..) "
    f"or per worker ({', '.join(VOTES_PER_WORKER)}), or a pair a row ({', '.join(PAIR_COLUMNS)})"
)


def read_study_votes(folder: Path, database: str | None = None) -> pd.DataFrame:
    """Read a study's votes from its database.

    Raises:
        FileNotFoundError: there is no study, or nobody has voted.
    """
    from vqe.subjective.store import Store  # needs SQLAlchemy, which a CSV does not

    if not is_study(folder):
        raise FileNotFoundError(
            f"expected a study in {folder}, got none. Make one: python ratings.py plan"
        )
    store = Store(database or load_study(folder).database(folder))
    try:
        rows = store.read_votes()
    finally:
        store.close()
    if not rows:
        raise FileNotFoundError(f"expected votes in the study {folder}, got none yet")
    return check_votes(pd.DataFrame(rows), str(folder))


def read_votes(path: Path, pattern: str) -> pd.DataFrame:
    """Read a CSV of votes in any form; one of pairs keeps its own columns, `PAIR_COLUMNS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has none of the forms, or a row of it is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a table of votes at {path}, got nothing")
    pairs = read_pair_table(path)
    if pairs is not None:
        return pairs
    table = read_csv(path, encoding="utf-8-sig", low_memory=False)
    toolkit = read_toolkit(table, pattern, path)
    if toolkit is not None:
        return check_votes(toolkit, str(path))
    if not {"first", "second", "vote", "content"} <= set(table):
        raise ValueError(f"expected {FORMS}, got the columns {', '.join(table)} ({path})")
    return check_votes(table, str(path))
