"""The test table as callbacks need it: which video a batch belongs to."""

import pandas as pd
from pytorch_lightning import Trainer

from vqe.schema import VIDEO_KEY


def holdout_table(trainer: Trainer) -> pd.DataFrame:
    """Return the table of test frames."""
    return trainer.datamodule.tables["holdout"]


def check_unique_ids(table: pd.DataFrame) -> None:
    """Check that a video_id stands for one video among the supervised and the unsupervised ones.

    The metric CSVs and the rendered files know a video by its id alone.

    Raises:
        ValueError: two subsets share an id.
    """
    videos = table.assign(supervised=table["img_target"] != "")
    videos = videos[[*VIDEO_KEY, "supervised"]].astype(str).drop_duplicates()
    twice = videos[videos.duplicated(["supervised", "video_id"])]
    if len(twice):
        subsets = sorted(videos.loc[videos["video_id"] == twice["video_id"].iloc[0], "subset"])
        raise ValueError(
            f"expected each video_id once, got {twice['video_id'].iloc[0]} in {subsets} "
            f"({table.attrs.get('csv')}). Choose one: dataset.holdout_query='subset == "
            f'"{subsets[0]}"\''
        )
