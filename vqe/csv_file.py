"""Table -> a CSV file that is either complete or absent."""

from pathlib import Path

import pandas as pd


def write_csv(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> None:
    """Write UTF-8 with line feeds under a temporary name, then rename; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    table.to_csv(
        part, index=False, float_format=float_format, encoding="utf-8", lineterminator="\n"
    )
    part.replace(path)
