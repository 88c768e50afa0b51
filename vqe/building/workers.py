"""Videos -> prepared videos, many at a time: in this machine's processes or on a dask cluster."""

from tqdm import tqdm

from vqe.building.discovery import ChallengeVideo
from vqe.building.options import FrameOptions
from vqe.building.preparation import PreparedVideo, prepare_video
from vqe.parallel import map_parallel, open_backend
from vqe.temporary import clear_folder

LISTED_AT_ONCE = 32  # videos a task: listing one takes milliseconds, as handing out a task does


def prepare_videos(
    videos: list[ChallengeVideo],
    options: FrameOptions,
    *,
    jobs: int,
    backend: str,
    dask_address: str | None = None,
) -> list[PreparedVideo]:
    """Prepare all videos in parallel and return them in the order given.

    Args:
        videos: what to prepare.
        options: how.
        jobs: videos at a time, -1 for one per core, or all that the cluster has.
        backend: joblib's name of it.
        dask_address: of the scheduler, such as tcp://host:8786, for backend "dask" only. Its
            workers see the videos under the same paths and have `vqe` installed.

    Raises:
        ValueError: `backend` is unknown, or does not fit `dask_address`.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    slow: list[ChallengeVideo] = []
    quick: list[ChallengeVideo] = []
    for video in videos:
        (slow if _is_to_extract(video, options) else quick).append(video)
    done = {}
    try:
        with (
            open_backend(backend, dask_address, jobs),
            tqdm(total=len(videos), desc="videos", unit="video") as progress,
        ):
            # seconds or minutes a video, and milliseconds: one batch size cannot suit both
            for group, size in ((slow, 1), (quick, LISTED_AT_ONCE)):
                for item in map_parallel(
                    prepare_video, group, options, in_order=False, batch_size=size
                ):
                    done[item.video.folder] = item
                    progress.update()
    finally:
        for folder in {video.folder.parent for video in slow}:
            clear_folder(folder)  # an interrupt ends workers where they stand
    return [done[video.folder] for video in videos]


def _is_to_extract(video: ChallengeVideo, options: FrameOptions) -> bool:
    return options.source == "frames" and bool(video.mp4s) and not video.folder.exists()
