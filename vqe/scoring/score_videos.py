"""Videos -> a CSV of their quality, with no reference or beside the videos they were made from.

python score_videos.py input=<videos> reference=<inputs> output=scores.csv
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.critics.precision import identify_critic
from vqe.device import name_own_device
from vqe.files import write_csv
from vqe.inputs import require_footage
from vqe.layout import show_name
from vqe.records import Head, Record, RecordWriter, find_records, stamp_files
from vqe.scoring import VideoScorer, find_reference, find_videos
from vqe.shards import Shard, deal_out, read_shard

log = logging.getLogger(__name__)


COMMAND = "score_videos"


@dataclass(frozen=True)
class Footage:
    """What is scored, and against what."""

    videos: dict[str, Path]  # by name, see `find_videos`
    reference: Path | None

    def find_partner(self, name: str) -> Path | None:
        """Return a video's reference."""
        return None if self.reference is None else find_reference(name, self.reference)

    def stamp(self, name: str) -> str:
        """Return what tells a video and its reference from changed ones."""
        try:
            partner = self.find_partner(name)
        except FileNotFoundError:
            partner = None
        return stamp_files(filter(None, (self.videos[name], partner)))


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
    mine = sorted(deal_out(sizes, shard.count)[shard.number])
    output = name_part(Path(cfg.output), shard)
    columns = ["path", "frames", *scorer.columns, "error"]
    rows: list[dict[str, object]] = []
    with (
        RecordWriter(Path(cfg.paths.run), head) as writer,
        logging_redirect_tqdm(),
        tqdm(mine, desc="videos", unit="video") as bar,
    ):
        try:
            for name in bar:
                record = score_video(scorer, footage, name, known, bar)
                writer.append(record)
                rows.append(record.content)
                if record is not known.get(record.video):
                    write_scores(rows, columns, output)
        except KeyboardInterrupt:
            log.warning("stopped: %d of %d videos are in %s", len(rows), len(mine), output)
            raise
    table = write_scores(rows, columns, output)
    failed = int((table["error"] != "").sum())
    log.info("%d videos scored, %d failed; wrote %s", len(table) - failed, failed, output)
    return table


def build_scorer(cfg: DictConfig) -> VideoScorer:
    """Build the critics on their device."""
    return VideoScorer(
        dover=instantiate(cfg.model_dover, _convert_="all"),
        vqa=None if cfg.reference is None else instantiate(cfg.model_vqa, _convert_="all"),
        every=cfg.every,
        batch_size=cfg.batch_size,
        device=name_own_device() if cfg.shard is not None and cfg.device == "auto" else cfg.device,
    )


def identify_scoring(cfg: DictConfig, scorer: VideoScorer) -> dict[str, Any]:
    """Return all that decides the scores, but the videos."""
    identity: dict[str, Any] = {
        "command": COMMAND,
        "columns": list(scorer.columns),
        "every": scorer.every,
        "batch_size": scorer.batch_size,
        "device": scorer.device.type,
        "libraries": {"torch": torch.__version__, "av": av.__version__},
    }
    for name, critic in (("model_vqa", scorer.vqa), ("model_dover", scorer.dover)):
        if critic is not None:
            identity[name] = identify_critic(critic, OmegaConf.to_container(cfg[name]))
    return identity


def find_known(cfg: DictConfig, identity: dict[str, Any]) -> dict[str, Record]:
    """Return the newest record of each video that earlier runs scored; what failed is none."""
    known: dict[str, Record] = {}
    for file in find_records(cfg.resume, Path(cfg.paths.run), Path(cfg.paths.runs), identity):
        for record in file.records:
            if not record.content["error"]:
                known.setdefault(record.video, record)
    return known


def score_video(
    scorer: VideoScorer, footage: Footage, name: str, known: dict[str, Record], bar: tqdm
) -> Record:
    """Return a video's record, the one that is known if the files are still the same."""
    shown, stamp = show_name(name), footage.stamp(name)
    if shown in known and known[shown].stamp == stamp:
        return known[shown]
    row = {"path": shown, "frames": 0, "error": ""}
    try:
        row |= scorer.score(
            name,
            footage.videos[name],
            footage.find_partner(name),
            on_frames=lambda frames: bar.set_postfix(frames=frames),
        )
    except (OSError, RuntimeError, ValueError) as error:  # memory that runs out, too
        log.error("%s: %s", shown, error)
        row["error"] = str(error)
    return Record(shown, stamp, row)


def write_scores(
    rows: list[dict[str, object]], columns: Sequence[str], output: Path
) -> pd.DataFrame:
    """Write the CSV of videos' rows and return its table."""
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
