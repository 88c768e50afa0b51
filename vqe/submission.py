"""A tested run -> zips to hand in, with a manifest and sheets; anything wrong is told before.

python submission.py pack run=<run>
python submission.py check=<zip, folder or run>
"""

from vqe.cli import chain, choose_command, entry, quote_list
from vqe.inputs import check_submission

LISTS = chain(quote_list("check"), quote_list("allow"))
COMMANDS = choose_command("submission", ("pack", "check"), then=LISTS)


@entry("submission_pack", prepare=COMMANDS, check=check_submission)
def main(cfg) -> None:
    """Pack or check as configured; end with status 1 if something is wrong."""
    from hydra.utils import get_method

    if get_method(cfg.command)(cfg):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
