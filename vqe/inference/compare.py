"""A frame before and after -> one picture: left half the one, right half the other."""

import numpy as np

LINE = 2  # pixels of the white line between the halves


def split_screen(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Join the left half of one and the right half of the other, float planes [3,H,W]."""
    middle = before.shape[2] // 2
    joined = np.concatenate([before[:, :, :middle], after[:, :, middle:]], axis=2)
    start = middle - LINE // 2
    joined[:, :, max(0, start) : start + LINE] = 1
    return joined
