"""What the score cache's tests share: rows, and how to put them into a folder and find them."""

import numpy as np

from vqe.critics.score_cache import ScoreCache

KEYS = [b"a" * 20, b"b" * 20]
VALUES = np.array([[0.25, 1.5, -3.0], [1.0, 2.0, 1e-7]], np.float32)


def look(cache, kind="kind", width=3, keys=KEYS):
    return cache.find(kind, keys, width)


def store(cache, keys=KEYS, values=VALUES):
    cache.keep("kind", keys, values)
    cache.flush()


def fill(folder):
    cache = ScoreCache(folder)
    store(cache)
    return cache.path
