"""Frames on disk -> batches of RGB [0,1]."""

from vqe.data.datamodule import VQEDataModule
from vqe.data.dataset import FrameDataset
from vqe.data.faults import RandomFaults
from vqe.data.loader import LoaderOptions
from vqe.data.transforms import PairedTransform

__all__ = ["FrameDataset", "LoaderOptions", "PairedTransform", "RandomFaults", "VQEDataModule"]
