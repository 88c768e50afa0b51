"""What is no news, or nobody's business: left out of logs, warnings and their files' names."""

import logging
import warnings
from types import SimpleNamespace

from tensorboard.summary.writer import event_file_writer

LIGHTNING_LOG = "pytorch_lightning.utilities.rank_zero"
ADVERTISED = ("💡 Tip: ", "TPU available: ")  # how records begin
EXPECTED = (  # what warnings match at their start
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # between Lightning and torch
    r"Found \d+ module\(s\) in eval mode",  # the critics are frozen
    r"The '\w+' does not have many workers",  # dataloader.num_workers is the user's choice
    r"The dirpath has changed from",  # a resumed training writes into a run folder of its own
)


def quiet_lightning() -> None:
    """Leave out advertisements and warnings of what is meant; once or many times is the same."""
    logging.getLogger(LIGHTNING_LOG).addFilter(_is_news)
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)


def leave_out_host() -> None:
    """Let TensorBoard's files, which people publish, say `run` where they name this machine."""
    event_file_writer.socket = SimpleNamespace(gethostname=lambda: "run")


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(ADVERTISED)
