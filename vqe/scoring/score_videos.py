"""Videos -> a CSV of their quality, with no reference or beside the videos they were made from.

python score_videos.py input=<videos> reference=<inputs> output=scores.csv
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.files import write_csv
from vqe.inputs import require_footage
from vqe.layout import show_name
from vqe.records import Head, Record, RecordWriter, find_records
from vqe.scoring import find_videos
from vqe.scoring.videos import Footage, build_scorer, identify_scoring, score_all
from vqe.shards import Shard, deal_out, read_shard

log = logging.getLogger(__name__)


def score_videos(cfg: DictConfig) -> pd.DataFrame:
    """Score every video; one that cannot be scored has its reason in the column `error`.

    The CSV is written anew after each video, and a record of it is kept: what ends the run early
    loses at most one. With a shard the CSV is that shard's.

    Returns:
        A row a video: path, frames (scored ones), the critics' means, error.

    Raises:
        FileNotFoundError: there is no video, or no reference at all.
        ValueError: an option does not fit, such as one reference file for a folder.
    """
    source, shard = Path(cfg.input), read_shard(cfg.shard)
    reference = None if cfg.reference is None else Path(cfg.reference)
    footage = Footage(find_videos(source), reference)
    _check_reference(source, reference)
    scorer = build_scorer(cfg)
    head = Head(identify_scoring(cfg, scorer), list(map(show_name, footage.videos)))
    known = find_known(cfg, head.identity)
    sizes = {name: path.stat().st_size for name, path in footage.videos.items()}
    own = set(deal_out(sizes, shard.count)[shard.number])
    mine = [name for name in footage.videos if name in own]
    output = name_part(Path(cfg.output), shard)
    columns = ["path", "frames", *scorer.columns, "error"]
    left = [name for name in mine if not is_known(name, footage, known)]
    records = {show_name(name): known[show_name(name)] for name in mine if name not in set(left)}
    with (
        RecordWriter(Path(cfg.paths.run), head) as writer,
        logging_redirect_tqdm(),
        tqdm(total=len(mine), initial=len(records), desc="videos", unit="video") as bar,
    ):
        for record in records.values():
            writer.append(record)

        def show(frames: int) -> None:
            bar.set_postfix(frames=frames)

        try:
            for record in score_all(cfg, scorer, footage, left, show):
                writer.append(record)
                records[record.video] = record
                write_scores(records, head.videos, columns, output)
                bar.update()
        except KeyboardInterrupt:
            log.warning("stopped: %d of %d videos are in %s", len(records), len(mine), output)
            raise
    table = write_scores(records, head.videos, columns, output)
    failed = int((table["error"] != "").sum())
    log.info("%d videos scored, %d failed; wrote %s", len(table) - failed, failed, output)
    return table


def is_known(name: str, footage: Footage, known: Mapping[str, Record]) -> bool:
    """Whether a video is known, and its files are still the same."""
    shown = show_name(name)
    return shown in known and known[shown].stamp == footage.stamp(name)


def find_known(cfg: DictConfig, identity: dict[str, Any]) -> dict[str, Record]:
    """Return the newest record of each video that earlier runs scored; what failed is none."""
    known: dict[str, Record] = {}
    for file in find_records(cfg.resume, Path(cfg.paths.run), Path(cfg.paths.runs), identity):
        for record in file.records:
            if not record.content["error"]:
                known.setdefault(record.video, record)
    return known


def write_scores(
    records: Mapping[str, Record], order: Sequence[str], columns: Sequence[str], output: Path
) -> pd.DataFrame:
    """Write the CSV of videos' records, in this order of names, and return its table."""
    rows = [records[name].content for name in order if name in records]
    table = pd.DataFrame(rows, columns=columns)
    write_csv(table, output, float_format="%.6f")
    return table


def name_part(output: Path, shard: Shard) -> Path:
    """Return where a shard's CSV goes: shards that are told the same place do not meet."""
    if shard.count == 1:
        return output
    return output.with_stem(f"{output.stem}.{shard.number + 1}-of-{shard.count}")


def _check_reference(source: Path, reference: Path | None) -> None:
    if reference is None:
        return
    require_footage(reference, "reference")
    if source.is_dir() and not reference.is_dir():
        raise ValueError(
            f"expected reference to be a folder like the input {source}, got the file {reference}"
        )
