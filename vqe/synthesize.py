"""Clean footage of one's own -> supervised pairs in the challenge's layout.

python synthesize.py source=<clean videos or pictures> data.source_dir=<data>
"""

from vqe.cli import entry


@entry("synthesize")
def main(cfg) -> None:
    """Make the pairs that the config describes."""
    from vqe.synthesis.synthesize import synthesize_as_configured

    synthesize_as_configured(cfg)


if __name__ == "__main__":
    main()
