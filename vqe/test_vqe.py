"""Checkpoint -> enhanced videos and metric CSVs, offline.

python test_vqe.py checkpoint=<run>/checkpoints/best.ckpt dataset.path=<data> ...
"""

from vqe.cli import entry
from vqe.inputs import check_test


@entry("test_vqe", check=check_test)
def main(cfg) -> None:
    """Test as configured."""
    from vqe.reporting.report import report_if_asked
    from vqe.scoring.spread import spread_test

    spread_test(cfg)
    report_if_asked(cfg)


if __name__ == "__main__":
    main()
