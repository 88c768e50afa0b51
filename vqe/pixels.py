"""Convert pixels at the two borders: 8-bit BGR <-> RGB [0,1], RGB [0,1] <-> challenge range."""

import cv2
import numpy as np
import torch

LEVELS = 255  # 8-bit
LUMA_BT601 = (0.299, 0.587, 0.114)  # of red, green and blue, as 8-bit video has it
CHALLENGE_CENTRE = 128  # the challenge works on BGR, (pixel - 128) / 128


def rgb_chw_u8(frame_bgr_hwc: np.ndarray) -> torch.Tensor:
    """Turn one decoded frame, uint8 BGR [H,W,3], into a uint8 RGB tensor [3,H,W]."""
    planes = np.empty((3, *frame_bgr_hwc.shape[:2]), np.uint8)
    split_planes(frame_bgr_hwc, planes)
    return torch.from_numpy(planes)


def split_planes(frame_bgr_hwc: np.ndarray, planes_rgb_chw: np.ndarray) -> None:
    """Write one decoded frame, uint8 BGR [H,W,3], into uint8 RGB planes [3,H,W]."""
    cv2.split(frame_bgr_hwc, list(planes_rgb_chw[::-1]))  # several times numpy's transpose


def quantise(frames: torch.Tensor) -> torch.Tensor:
    """Clamp and round float RGB [0,1] to the uint8 values that a rendered frame holds.

    Frames that are uint8 already stay as they are.
    """
    if frames.dtype == torch.uint8:
        return frames
    return frames.detach().float().mul(LEVELS).round_().clamp_(0, LEVELS).to(torch.uint8)


def dequantise(frames_u8: torch.Tensor) -> torch.Tensor:
    """Turn uint8 RGB into float RGB [0,1]."""
    return frames_u8.float() / LEVELS


def to_unit_range(frames: torch.Tensor) -> torch.Tensor:
    """Return float RGB [0,1] of uint8 frames, or of those that are in this range already."""
    return dequantise(frames) if frames.dtype == torch.uint8 else frames.float()


def bgr_hwc_u8(frame_rgb_chw: torch.Tensor) -> np.ndarray:
    """Turn one uint8 RGB tensor [3,H,W] into a uint8 BGR array [H,W,3], as writers want it."""
    return cv2.merge(list(frame_rgb_chw.cpu().numpy()[::-1]))  # as above


def to_challenge_range(frames_bchw: torch.Tensor) -> torch.Tensor:
    """Turn float RGB [0,1] [B,3,H,W] into challenge range: BGR, `(pixel - 128) / 128`."""
    return (frames_bchw.flip(1) * LEVELS - CHALLENGE_CENTRE) / CHALLENGE_CENTRE


def from_challenge_range(frames_bchw: torch.Tensor) -> torch.Tensor:
    """Turn challenge range, BGR `(pixel - 128) / 128`, into float RGB [0,1]."""
    return (frames_bchw.flip(1) * CHALLENGE_CENTRE + CHALLENGE_CENTRE) / LEVELS


def to_unit(rgb_hwc: np.ndarray) -> np.ndarray:
    """Turn uint8 or uint16 RGB [H,W,3] into contiguous float32 planes [3,H,W] in [0,1]."""
    unit = np.ascontiguousarray(rgb_hwc.transpose(2, 0, 1)).astype(np.float32)
    unit /= np.iinfo(rgb_hwc.dtype).max
    return unit


def from_unit(planes_chw: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Clamp and round float32 planes [3,H,W] in [0,1] to uint8 or uint16 RGB [H,W,3]."""
    peak = np.iinfo(dtype).max
    rounded = np.rint(planes_chw * np.float32(peak)).clip(0, peak).astype(dtype)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))
