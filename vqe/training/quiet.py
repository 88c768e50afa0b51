"""What Lightning says of every run and is no news here: left out of logs and warnings."""

import logging
import warnings

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


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(ADVERTISED)
