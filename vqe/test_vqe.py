"""Checkpoint -> enhanced videos and metric CSVs, offline.

python test_vqe.py checkpoint=<run>/checkpoints/best.ckpt dataset.path=<data> ...
"""

from vqe.cli import entry


@entry("test_vqe")
def main(cfg) -> None:
    """Test as configured."""
    from vqe.training.testing import test

    test(cfg)


if __name__ == "__main__":
    main()
