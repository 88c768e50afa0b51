"""Clips of several methods -> a comparison test, its rating page, and the methods' ranking.

python ratings.py plan methods=<folder>,<folder> reference=<inputs> output=<study>
python ratings.py serve study=<study>
python ratings.py analyse study=<study>, or votes=<csv>
"""

from vqe.cli import choose_command, entry, quote_list

COMMANDS = choose_command("ratings", ("plan", "serve", "analyse"), then=quote_list("methods"))


@entry("ratings_plan", prepare=COMMANDS)
def main(cfg) -> None:
    """Plan, serve or analyse as configured."""
    from hydra.utils import get_method

    get_method(cfg.command)(cfg)


if __name__ == "__main__":
    main()
