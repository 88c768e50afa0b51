"""A video, a picture or a folder of them -> the same, enhanced, with all else that they hold.

python enhance.py input=<videos> output=<folder> weights=<run>/checkpoints/best.ckpt
"""

from vqe.cli import entry
from vqe.inputs import check_enhancing


@entry("enhance", check=check_enhancing)
def main(cfg) -> None:
    """Enhance as configured; fail if a file could not be enhanced."""
    from vqe.inference.enhance import enhance

    if enhance(cfg):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
