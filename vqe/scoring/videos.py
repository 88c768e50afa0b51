"""Names of videos -> a record of each one's scores, made here or by joblib's workers."""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vqe.critics.precision import identify_critic
from vqe.device import name_own_device
from vqe.layout import show_name
from vqe.parallel import map_parallel, open_backend
from vqe.records import Record, stamp_files
from vqe.scoring import VideoScorer, find_reference
from vqe.video.hardware import CPU

log = logging.getLogger(__name__)

COMMAND = "score_videos"
CRITICS = ("model_dover", "model_vqa")


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


def build_scorer(cfg: DictConfig) -> VideoScorer:
    """Build the critics on their device."""
    return VideoScorer(
        dover=instantiate(cfg.model_dover, _convert_="all"),
        vqa=None if cfg.reference is None else instantiate(cfg.model_vqa, _convert_="all"),
        every=cfg.every,
        batch_size=cfg.batch_size,
        decoder=cfg.decoder,
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
    if scorer.decoder != CPU:
        identity["decoder"] = scorer.decoder
    for name, critic in (("model_vqa", scorer.vqa), ("model_dover", scorer.dover)):
        if critic is not None:
            identity[name] = identify_critic(critic, OmegaConf.to_container(cfg[name]))
    return identity


def score_video(
    scorer: VideoScorer,
    footage: Footage,
    name: str,
    on_frames: Callable[[int], None] = lambda frames: None,
) -> Record:
    """Score a video; what is wrong with one that cannot be scored is in its record."""
    shown, stamp = show_name(name), footage.stamp(name)
    row = {"path": shown, "frames": 0, "error": ""}
    try:
        row |= scorer.score(
            name,
            footage.videos[name],
            footage.find_partner(name),
            on_frames=on_frames,
        )
    except (OSError, RuntimeError, ValueError) as error:  # memory that runs out, too
        log.error("%s: %s", shown, error)
        row["error"] = str(error)
    return Record(shown, stamp, row)


def score_all(
    cfg: DictConfig,
    scorer: VideoScorer,
    footage: Footage,
    names: list[str],
    on_frames: Callable[[int], None],
) -> Iterator[Record]:
    """Yield a record of each video as it is scored: in order, or as workers are through.

    Workers see the videos under the same paths. One that is lost costs the video that it was at,
    which another one scores.

    Raises:
        ValueError: the backend is unknown, or does not fit the address.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    parallel = cfg.parallel
    if parallel.backend != "dask" and parallel.jobs == 1:
        yield from (score_video(scorer, footage, name, on_frames) for name in names)
        return
    options = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in CRITICS}
    options |= {name: cfg[name] for name in ("reference", "every", "batch_size", "decoder")}
    options |= {"device": scorer.device.type, "shard": None}  # what the records say
    text = json.dumps(options)
    with open_backend(parallel.backend, parallel.dask_address, parallel.jobs, option="parallel"):
        yield from map_parallel(score_apart, names, footage, text, in_order=False, batch_size=1)


def score_apart(name: str, footage: Footage, options: str) -> Record:
    """Score a video in a process of its own, which keeps its critics."""
    return score_video(_build(options), footage, name)


@functools.lru_cache(maxsize=1)
def _build(options: str) -> VideoScorer:
    return build_scorer(OmegaConf.create(json.loads(options)))
