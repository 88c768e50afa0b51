"""Clean footage of one's own -> supervised pairs in the challenge's layout.

python synthesize.py source=<clean videos or pictures> data.source_dir=<data>
"""

from vqe.cli import entry
from vqe.inputs import check_synthesis


@entry("synthesize", check=check_synthesis)
def main(cfg) -> None:
    """Make the pairs that the config describes."""
    from vqe.synthesis.synthesize import synthesize_as_configured

    synthesize_as_configured(cfg)


if __name__ == "__main__":
    main()
