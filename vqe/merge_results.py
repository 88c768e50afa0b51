"""Run folders of shards, and of runs that were cut -> the CSVs of the whole.

python merge_results.py <run> <run> ... output=<folder>
"""

from vqe.cli import entry, gather_words


@entry("merge_results", prepare=gather_words("folders"))
def main(cfg) -> None:
    """Merge as configured."""
    from vqe.scoring.merging import merge_results

    merge_results(cfg)


if __name__ == "__main__":
    main()
