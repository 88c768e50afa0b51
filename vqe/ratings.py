"""Votes of people on pairs of clips -> the methods' ranking.

python ratings.py analyse votes=<csv>
"""

from vqe.cli import choose_command, entry


@entry("ratings_analyse", prepare=choose_command("ratings", ("analyse",)))
def main(cfg) -> None:
    """Analyse as configured."""
    from vqe.subjective.analyse import analyse

    analyse(cfg)


if __name__ == "__main__":
    main()
