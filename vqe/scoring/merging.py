"""Records of several runs, each of some videos -> the CSVs that one run of all videos writes."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vqe.files import complete_or_absent
from vqe.records import FOLDER, Head, Record, RecordFile, check_same, read_records
from vqe.scoring.score_videos import write_scores
from vqe.scoring.videos import COMMAND as SCORING
from vqe.training.callbacks.write_metrics import FILES, write_tables
from vqe.training.recording import COMMAND as TESTING

log = logging.getLogger(__name__)

SHOWN = 5  # names in a message


def merge_results(cfg: DictConfig) -> dict[str, float]:
    """Write the CSVs of the videos that several runs tested or scored.

    Returns:
        A test's means over videos, and its score.

    Raises:
        FileNotFoundError: a folder holds no records.
        ValueError: they were made with different weights or options, a video is missing, or two
            runs disagree on it.
    """
    folders, output = [Path(folder) for folder in cfg.folders], Path(cfg.output)
    files = [file for folder in folders for file in read_run(folder)]
    head = files[0].head
    check_same(files, head.identity)
    check_videos(files, head)
    if head.identity["command"] == SCORING:
        merge_scores(files, head, output)
        return {}
    return merge_tests(files, head, output)


def read_run(folder: Path) -> list[RecordFile]:
    """Read the records of a run.

    Raises:
        FileNotFoundError: there are none.
    """
    files = read_records(folder)
    known = [file for file in files if file.head.identity.get("command") in (TESTING, SCORING)]
    if not known:
        raise FileNotFoundError(
            f"expected a run folder of test_vqe.py or score_videos.py with {FOLDER}/, got {folder}"
        )
    return known


def check_videos(files: Iterable[RecordFile], head: Head) -> None:
    """See that all runs had the same set of videos before them.

    Raises:
        ValueError: they had not.
    """
    for file in files:
        if other := sorted(set(file.head.videos) ^ set(head.videos)):
            raise ValueError(
                f"expected shards of the same videos, got {_list(other)} in some of them alone "
                f"({file.run}). Leave that run out, or repeat it"
            )


def merge_tests(files: list[RecordFile], head: Head, output: Path) -> dict[str, float]:
    """Write the challenge's two CSVs; return the means over videos, and the score."""
    found = [(f, r) for f in files for r in f.records if r.content["numbers"] is not None]
    numbers = {name: r.content["numbers"] for name, r in choose(found, head, "numbers").items()}
    means = {(name.partition("/")[0], name.partition("/")[2]): n for name, n in numbers.items()}
    twice = Counter((kind, key[1]) for key, n in means.items() for kind in n if kind in FILES)
    if double := [video_id for (_, video_id), count in twice.items() if count > 1]:
        raise ValueError(f"expected each video_id once, got {_list(double)} of several subsets")
    named = write_tables(means, output / "results")
    for name, value in named.items():
        log.info("%s: %.6g", name, value)
    critics = next((p for f in files if (p := f.run / "critics.json").is_file()), None)
    if critics is not None:
        with complete_or_absent(output / "critics.json") as part:
            shutil.copyfile(critics, part)
    log.info("wrote the CSVs of %d videos to %s", len(means), output / "results")
    return named


def merge_scores(files: list[RecordFile], head: Head, output: Path) -> None:
    """Write the CSV of scores; what failed in one run and not in another did not fail."""
    everything = [(f, r) for f in files for r in f.records]
    good = {record.video for _, record in everything if not record.content["error"]}
    found = [(f, r) for f, r in everything if r.video not in good or not r.content["error"]]
    records = choose(found, head, None)
    columns = ["path", "frames", *head.identity["columns"], "error"]
    write_scores(records, head.videos, columns, output / "scores.csv")
    log.info("wrote the scores of %d videos to %s", len(records), output / "scores.csv")


def choose(
    found: list[tuple[RecordFile, Record]], head: Head, key: str | None
) -> dict[str, Record]:
    """Return a record of each video, in the order of the head.

    Args:
        found: records, and the files that they are in.
        head: names the videos.
        key: of the content that must agree where there are several; None: all of it.

    Raises:
        ValueError: a video has none, or several that differ.
    """
    chosen: dict[str, tuple[RecordFile, Record]] = {}
    for file, record in found:
        first_file, first = chosen.setdefault(record.video, (file, record))
        if _show(first.content, key) != _show(record.content, key):
            raise ValueError(
                f"expected {record.video} with the same numbers wherever it is, got others in "
                f"{file.run} than in {first_file.run}. Did it change? Leave the older run out"
            )
    if missing := [name for name in head.videos if name not in chosen]:
        raise ValueError(
            f"expected every video, got none of {_list(missing)}. Name the other shards' folders "
            "too; one that was cut goes on with resume=auto"
        )
    return {name: chosen[name][1] for name in head.videos}


def _show(content: dict[str, Any], key: str | None) -> str:
    return json.dumps(content if key is None else content[key], sort_keys=True)  # NaN equals NaN


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
