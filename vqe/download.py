"""Published URLs -> data folder: archives fetched, unpacked and counted, and the critics' weights.

python download.py data.target_dir=<data> parts=train,test,weights
"""

from vqe.cli import chain, entry, quote_list, rename_key

OLD_NAME = rename_key("data.source_dir", "data.target_dir")


@entry("download", prepare=chain(OLD_NAME, quote_list("parts")))
def main(cfg) -> None:
    """Download what the config describes; end with status 1 if anything failed."""
    from vqe.downloading.download import download_as_configured

    download_as_configured(cfg)


if __name__ == "__main__":
    main()
