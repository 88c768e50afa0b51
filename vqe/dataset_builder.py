"""Data folder in the challenge's layout -> the CSVs that training reads, and extracted frames.

python dataset_builder.py --config-name data/all_30fps data.source_dir=<data>
python dataset_builder.py --config-name data/all_30fps data.source_dir=<data> data.source=video
"""

from vqe.cli import entry


@entry("data/all_30fps")
def main(cfg) -> None:
    """Build the data set that the config's `data` describes."""
    from vqe.building.build import build_dataset

    build_dataset(**cfg.data)


if __name__ == "__main__":
    main()
