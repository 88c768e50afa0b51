"""Clips of several methods -> a comparison test, its rating page, and the methods' ranking.

python ratings.py plan methods=<folder>,<folder> reference=<inputs> output=<study>
python ratings.py serve study=<study>
python ratings.py analyse study=<study>, or votes=<csv>
"""

from vqe.cli import choose_command, entry, quote_list


def prepare(arguments: list[str]) -> list[str]:
    """Turn the first word into the config of that name; a list of folders needs no brackets."""
    arguments = choose_command("ratings", ("plan", "serve", "analyse"))(arguments)
    return quote_list("methods")(arguments)


@entry("ratings_plan", prepare=prepare)
def main(cfg) -> None:
    """Plan, serve or analyse as configured."""
    if cfg.command == "plan":
        from vqe.subjective.plan import plan as task
    elif cfg.command == "serve":
        from vqe.subjective.serve import serve as task
    else:
        from vqe.subjective.analyse import analyse as task
    task(cfg)


if __name__ == "__main__":
    main()
