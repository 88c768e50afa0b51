"""Your own clean footage -> supervised pairs in the challenge's layout.

python synthesize.py source=<clean videos or pictures> data.target_dir=<data>
"""

from vqe.cli import entry, rename_key
from vqe.inputs import check_synthesis

OLD_NAME = rename_key("data.source_dir", "data.target_dir")


@entry("synthesize", prepare=OLD_NAME, check=check_synthesis)
def main(cfg) -> None:
    """Make the pairs that the config describes."""
    from vqe.synthesis.synthesize import synthesize_as_configured

    synthesize_as_configured(cfg)


if __name__ == "__main__":
    main()
