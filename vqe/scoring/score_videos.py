"""Videos -> a CSV of their quality, with no reference or beside the videos they were made from.

python score_videos.py input=<videos> reference=<inputs> output=scores.csv
"""

import logging
from pathlib import Path

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.files import write_csv
from vqe.inputs import require_footage
from vqe.layout import show_name
from vqe.scoring import VideoScorer, find_reference, find_videos

log = logging.getLogger(__name__)


def score_videos(cfg: DictConfig) -> pd.DataFrame:
    """Score every video; one that cannot be scored has its reason in the column `error`.

    The CSV is written anew after each video: what ends the run early loses at most one.

    Returns:
        A row a video: path, frames (scored ones), the critics' means, error.

    Raises:
        FileNotFoundError: there is no video, or no reference at all.
        ValueError: an option does not fit, such as one reference file for a folder.
    """
    source, output = Path(cfg.input), Path(cfg.output)
    reference = None if cfg.reference is None else Path(cfg.reference)
    videos = find_videos(source)
    _check_reference(source, reference)
    scorer = VideoScorer(
        dover=instantiate(cfg.model_dover, _convert_="all"),
        vqa=None if reference is None else instantiate(cfg.model_vqa, _convert_="all"),
        every=cfg.every,
        batch_size=cfg.batch_size,
        device=cfg.device,
    )
    columns, rows = ["path", "frames", *scorer.columns, "error"], []
    table = pd.DataFrame(columns=columns)
    with logging_redirect_tqdm(), tqdm(videos.items(), desc="videos", unit="video") as bar:
        try:
            for name, video in bar:
                rows.append(_score_video(scorer, name, video, reference, bar))
                table = pd.DataFrame(rows, columns=columns)
                write_csv(table, output, float_format="%.6f")
        except KeyboardInterrupt:
            log.warning("stopped: %d of %d videos are in %s", len(rows), len(videos), output)
            raise
    failed = int((table["error"] != "").sum())
    log.info("%d videos scored, %d failed; wrote %s", len(table) - failed, failed, output)
    return table


def _score_video(
    scorer: VideoScorer, name: str, video: Path, reference: Path | None, bar: tqdm
) -> dict[str, object]:
    """Return a video's row."""
    row = {"path": show_name(name), "frames": 0, "error": ""}
    try:
        partner = None if reference is None else find_reference(name, reference)
        return row | scorer.score(
            name, video, partner, on_frames=lambda frames: bar.set_postfix(frames=frames)
        )
    except (OSError, RuntimeError, ValueError) as error:  # memory that runs out, too
        log.error("%s: %s", show_name(name), error)
        return row | {"error": str(error)}


def _check_reference(source: Path, reference: Path | None) -> None:
    if reference is None:
        return
    require_footage(reference, "reference")
    if source.is_dir() and not reference.is_dir():
        raise ValueError(
            f"expected reference to be a folder like the input {source}, got the file {reference}"
        )
