"""What the download tests share: retries, content and a small challenge to unpack."""

import random

from file_server import pack

from vqe.downloading.connection import RetryPolicy
from vqe.locks import LOCK_FILE

POLICY = RetryPolicy(retries=2, backoff_seconds=0.01, timeout_seconds=0.5)
ZIP = b"PK\x03\x04"  # how weight files start
BODY = ZIP + random.Random(1).randbytes(3_000_000 - len(ZIP))

FILES = {"train_supervised_synthetic": 4, "train_supervised_real": 2, "train_unsupervised": 3}
TRAIN = {
    **{f"train/supervised/synthetic/video_0001/{s}/{i}.jpg": b"j" * 10 for s in "xy" for i in "12"},
    **{f"train/supervised/real/video_0001_{side}.mp4": b"m" * 100 for side in "xy"},
    **{f"train/unsupervised/video_{i:04d}_x.mp4": b"u" * 1000 for i in range(3)},
}
TRAIN_BYTES = 4 * 10 + 2 * 100 + 3 * 1000
GOOD = pack(TRAIN)


def list_names(folder):
    """Names of what lies in a folder, less the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK_FILE)
