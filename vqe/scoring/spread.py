"""A test in shards, each by a worker of this machine or of a Dask cluster -> the whole's files.

A worker that is lost costs the videos it was at: another one takes its shard, and goes on from
the records in the shard's folder.
"""

import logging
import multiprocessing
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from vqe.files import complete_or_absent, link_or_copy
from vqe.parallel import map_parallel, open_backend
from vqe.records import AUTO
from vqe.scoring.merging import merge_results
from vqe.training.testing import test

log = logging.getLogger(__name__)

PLACES = (  # keys that may name files, which workers elsewhere look for
    *("dataset.path", "checkpoint", "score_cache"),
    *("model_vqa.weights", "model_dover.weights"),
)


def spread_test(cfg: DictConfig) -> dict[str, float]:
    """Test here, or in as many shards as `parallel.jobs` says.

    The shards' run folders lie beside the run's own, `<run>.1-of-4` and so on; workers see the same
    paths. Results and videos of all come into the run's folder.

    Returns:
        See `vqe.training.testing.test`.

    Raises:
        ValueError: an option does not fit.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    parallel = cfg.parallel
    if parallel.backend != "dask" and parallel.jobs == 1:
        return test(cfg)
    _check_options(cfg)
    run = Path(cfg.paths.run).absolute()
    numbers = range(1, parallel.jobs + 1)
    folders = [run.with_name(f"{run.name}.{number}-of-{parallel.jobs}") for number in numbers]
    text = pack_config(cfg)
    with open_backend(parallel.backend, parallel.dask_address, parallel.jobs, option="parallel"):
        for done in map_parallel(run_shard, folders, text, in_order=False, batch_size=1):
            log.info("tested %s", done)
    gather_videos(folders, run / "videos")
    if cfg.only_videos:
        return {}
    whole = OmegaConf.create({"folders": list(map(str, folders)), "output": str(run)})
    return {f"test/{name}": value for name, value in merge_results(whole).items()}


def run_shard(folder: Path, text: str) -> Path:
    """Test a shard in a worker; return its run folder, whose name says which shard it is.

    Args:
        folder: goes on from what it holds.
        text: see `pack_config`.
    """
    cfg = OmegaConf.create(text)
    cfg.shard = folder.name.rpartition(".")[2].replace("-of-", "/")
    cfg.paths.run = str(folder)
    if cfg.resume is None:  # but for what a lost worker knew
        cfg.resume, cfg.paths.runs = AUTO, str(folder)
    if multiprocessing.current_process().daemon:  # which may have no processes of its own
        cfg.dataloader.num_workers = 0
    folder.mkdir(parents=True, exist_ok=True)
    test(cfg)
    return folder


def pack_config(cfg: DictConfig) -> str:
    """Return the config of a shard's test as YAML: no path in it depends on where a worker is."""
    packed = cfg.copy()
    packed.paths = {key: str(Path(cfg.paths[key]).absolute()) for key in ("run", "runs")}
    for key in PLACES:
        value = OmegaConf.select(cfg, key)
        if value is not None and Path(value).exists():  # else a name, such as that of a network
            OmegaConf.update(packed, key, str(Path(value).absolute()))
    packed.callbacks.progress_bar = None
    return OmegaConf.to_yaml(packed)


def gather_videos(folders: list[Path], target: Path) -> None:
    """Give the videos of several run folders a second name in one."""
    for video in sorted(file for folder in folders for file in folder.glob("videos/*.mp4")):
        target.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(target / video.name) as part:
            link_or_copy(video, part)


def _check_options(cfg: DictConfig) -> None:
    jobs = cfg.parallel.jobs
    if not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"expected parallel.jobs, the number of shards, from 1 on, got {jobs}")
    if cfg.shard is not None:
        raise ValueError(f"expected shard=null with several parallel.jobs, got {cfg.shard}")
    if cfg.resume not in (None, AUTO):
        raise ValueError(
            f"expected resume=auto or null with several parallel.jobs, got {cfg.resume}. "
            "auto finds that run, too"
        )
