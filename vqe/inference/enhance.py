"""Config -> every file enhanced; one that cannot be is a line, and the rest is done."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import joblib
from omegaconf import DictConfig, OmegaConf
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.inference.challenge import render_challenge
from vqe.inference.enhancer import Enhancer
from vqe.inference.jobs import Job, find_jobs
from vqe.inference.live import Ends, enhance_live, is_live
from vqe.inference.parts import EnhancerSpec, enhance_in_parts
from vqe.inference.pictures import enhance_picture
from vqe.inference.progress import Progress
from vqe.inference.video_file import VideoOptions, enhance_video
from vqe.inputs import read_network
from vqe.parallel import open_backend
from vqe.video import VideoError
from vqe.video.timed import Cut

log = logging.getLogger(__name__)
CHALLENGE = "challenge"
BAD_FILE = (OSError, RuntimeError, ValueError)  # VideoError and memory that runs out, too


def enhance(cfg: DictConfig) -> int:
    """Enhance `input` to `output`; return how many files could not be.

    Raises:
        FileNotFoundError: there is no input, or no such weights.
        ValueError: an option does not fit.
    """
    options = read_options(cfg)
    specs = read_specs(cfg)
    if is_live(cfg.input) or is_live(cfg.output):
        enhance_live(read_ends(cfg), specs[0].build(), options, cfg.progress)
        return 0
    paths = Path(cfg.input).absolute(), Path(cfg.output).absolute()
    jobs = find_jobs(*paths, container=cfg.container)
    progress = Progress(cfg.progress, len(jobs))
    workers = max(cfg.parallel.jobs, len(specs))
    with logging_redirect_tqdm():
        if workers > 1 and len(jobs) == 1 and not jobs[0].is_picture and cfg.codec != CHALLENGE:
            return _enhance_one_in_parts(cfg, jobs[0], specs, options, progress, workers)
        if workers > 1:
            failed = _enhance_many(cfg, jobs, specs, options, progress, workers)
        else:
            failed = _enhance_in_turn(cfg, jobs, specs[0].build(), options, progress)
    if len(jobs) > 1:
        log.info("%d of %d files enhanced to %s", len(jobs) - failed, len(jobs), cfg.output)
    return failed


def read_options(cfg: DictConfig) -> VideoOptions:
    """Gather what decides how a video is read and written."""
    cut = Cut(
        start=read_time(cfg.start),
        end=None if cfg.end is None else read_time(cfg.end),
        every=cfg.every,
        fps=None if cfg.fps is None else Fraction(str(cfg.fps)),
    )
    return VideoOptions(
        codec=cfg.codec,
        crf=cfg.crf,
        preset=cfg.preset,
        pix_fmt=cfg.pix_fmt,
        encoder=OmegaConf.to_container(cfg.encoder) if cfg.encoder else {},
        cut=cut,
        hdr=cfg.hdr,
        compare=cfg.compare,
        segment_seconds=cfg.segment_seconds,
    )


def read_ends(cfg: DictConfig) -> Ends:
    """Gather where a stream comes from and goes to."""
    size = cfg.camera.size
    return Ends(
        source=str(cfg.input),
        target=str(cfg.output),
        container=cfg.container,
        camera_input=cfg.camera.input,
        camera_output=cfg.camera.output,
        camera_size=None if size is None else tuple(size),
    )


def read_time(text: object) -> Fraction:
    """Read seconds, or hours, minutes and seconds with colons.

    Raises:
        ValueError: it is no time.
    """
    try:
        seconds = Fraction(0)
        for part in str(text).split(":"):
            seconds = seconds * 60 + Fraction(part)
    except ValueError as error:
        raise ValueError(f"expected seconds or 1:02:03.5, got {text}") from error
    return seconds


def read_specs(cfg: DictConfig) -> list[EnhancerSpec]:
    """Return how to build the network, once for each device."""
    weights = cfg.weights
    if weights is not None and Path(weights).is_file():
        weights = str(Path(weights).absolute())  # for processes that work elsewhere
    devices = [cfg.device] if isinstance(cfg.device, str) else list(cfg.device)
    return [
        EnhancerSpec.make(
            weights=weights,
            backend=cfg.backend,
            device=device,
            precision=str(cfg.precision),
            strength=cfg.strength,
            compiled=cfg.model_vqe.compiled,
            network=read_network(cfg),
        )
        for device in devices
    ]


def enhance_file(
    job: Job,
    enhancer: Enhancer,
    options: VideoOptions,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Enhance a picture or a video."""
    if job.is_picture:
        enhance_picture(job.source, job.target, enhancer, compare=options.compare)
    elif options.codec == CHALLENGE:
        render_challenge(job.source, job.target, enhancer, on_frames)
    else:
        enhance_video(job.source, job.target, enhancer, options, on_frames)


def _enhance_in_turn(
    cfg: DictConfig, jobs: list[Job], enhancer: Enhancer, options: VideoOptions, progress: Progress
) -> int:
    failed = 0
    for job in jobs:
        progress.begin(job.name)
        if cfg.skip_existing and job.target.exists():
            progress.end("skipped")
            continue
        try:
            enhance_file(job, enhancer, options, progress.update)
        except BAD_FILE as error:
            if len(jobs) == 1 and not isinstance(error, VideoError):
                progress.end("failed", str(error))
                raise
            failed += 1
            progress.end("failed", str(error))
            log.error("%s: %s", job.name, error)
        else:
            progress.end("done")
    return failed


def _enhance_one_in_parts(
    cfg: DictConfig,
    job: Job,
    specs: list[EnhancerSpec],
    options: VideoOptions,
    progress: Progress,
    workers: int,
) -> int:
    progress.begin(job.name)
    if cfg.skip_existing and job.target.exists():
        progress.end("skipped")
        return 0
    with _open(cfg, workers):
        enhance_in_parts(
            *(job.source, job.target, specs, options),
            parts=workers,
            warmup=cfg.parallel.warmup,
            on_frames=progress.update,
        )
    progress.end("done")
    return 0


def _enhance_many(
    cfg: DictConfig,
    jobs: list[Job],
    specs: list[EnhancerSpec],
    options: VideoOptions,
    progress: Progress,
    workers: int,
) -> int:
    todo = [job for job in jobs if not (cfg.skip_existing and job.target.exists())]
    for job in jobs:
        if job not in todo:
            progress.begin(job.name)
            progress.end("skipped")
    failed = 0
    with _open(cfg, workers):
        calls = (
            joblib.delayed(_enhance_apart)(job, specs[number % len(specs)], options)
            for number, job in enumerate(todo)
        )
        for job, error in joblib.Parallel(return_as="generator_unordered")(calls):
            progress.begin(job.name)
            progress.end("failed" if error else "done", error)
            if error:
                failed += 1
                log.error("%s: %s", job.name, error)
    return failed


def _open(cfg: DictConfig, workers: int) -> AbstractContextManager[None]:
    parallel = cfg.parallel
    return open_backend(parallel.backend, parallel.dask_address, workers, option="parallel")


def _enhance_apart(job: Job, spec: EnhancerSpec, options: VideoOptions) -> tuple[Job, str | None]:
    """Enhance a file in a process of its own; return why it could not be."""
    try:
        enhance_file(job, spec.build(), options)
    except BAD_FILE as error:
        return job, str(error)
    return job, None
