"""The one door of every command: command line -> config -> one call -> exit status.

It finds the configs in a checkout (`conf/`) and in an installed package (`vqe.conf`), registers
what they interpolate, and turns a user's mistake into one line on stderr.
"""

import functools
import importlib.util
import linecache
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent  # of a checkout
IN_CHECKOUT = (REPOSITORY / "setup.py").is_file() and (REPOSITORY / "conf").is_dir()
CONF_DIR = REPOSITORY / "conf" if IN_CHECKOUT else PACKAGE / "conf"
FULL_ERROR = "HYDRA_FULL_ERROR"  # 1 in the environment: tracebacks of mistakes too

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; 0: all done


def entry(config_name: str, *, prepare: Callable[[list[str]], list[str]] | None = None) -> Callable:
    """Make a command of a function that takes the composed config.

    The function imports what it needs in its body, so that `--help` and a mistyped key need not
    wait for it.

    Args:
        config_name: of a file in `conf/`, without its suffix.
        prepare: arguments of the command line -> those that Hydra is to read; it may raise
            ValueError or RuntimeError over what Hydra would not explain.
    """

    def decorate(task: Callable) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            sys.exit(_run(task, config_name, prepare))

        return main

    return decorate


def register_resolvers() -> None:
    """Let configs interpolate `${vqe_root:}`: the repository, or where an installed one is run."""
    from omegaconf import OmegaConf

    root = REPOSITORY if IN_CHECKOUT else Path.cwd()
    OmegaConf.register_new_resolver("vqe_root", lambda: str(root), replace=True)


def _run(task: Callable, config_name: str, prepare: Callable | None) -> int:
    """Run a task under Hydra and return the exit status."""
    full = os.environ.get(FULL_ERROR) == "1"
    try:
        if prepare is not None:
            sys.argv[1:] = prepare(sys.argv[1:])
        _compose_and_run(task, config_name, full)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        status = explain(error)
        if full or status is None:
            traceback.print_exc()
            return FAILED if status is None else status
        print(f"error: {_find_words(error)}", file=sys.stderr)
        return status
    return 0


def _compose_and_run(task: Callable, config_name: str, full: bool) -> None:
    import hydra

    @functools.wraps(task)
    def run(cfg: object) -> object:
        if not full:
            os.environ.pop(FULL_ERROR, None)  # child processes have their own door
        try:
            return task(cfg)
        finally:
            os.environ[FULL_ERROR] = "1"

    register_resolvers()
    os.environ[FULL_ERROR] = "1"  # Hydra hands its errors on instead of printing tracebacks
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(run)()
    finally:
        if not full:
            os.environ.pop(FULL_ERROR, None)


def explain(error: BaseException) -> int | None:
    """Return the exit status of an error that is the user's to mend, None for a bug.

    A mistake is what this package raises by name, what Hydra and OmegaConf say of the config, and
    what the operating system says of a file.
    """
    cause = _find_cause(error)
    if type(cause).__module__.partition(".")[0] in ("hydra", "omegaconf"):
        return USAGE
    if isinstance(cause, OSError) and cause.filename is not None:
        return FAILED
    if not _is_raised_here(cause):
        return None
    return USAGE if isinstance(cause, (ValueError, FileNotFoundError)) else FAILED


def _find_cause(error: BaseException) -> BaseException:
    """Return what went wrong below Hydra's wrapping of it."""
    while type(error).__module__.startswith("hydra") and error.__cause__ is not None:
        error = error.__cause__
    return error


def _find_words(error: BaseException) -> str:
    return str(_find_cause(error)).strip() or type(error).__name__


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` of this package made the error."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    place = frames[-1]
    line = linecache.getline(place.filename, place.lineno or 0)
    return Path(place.filename).is_relative_to(PACKAGE) and line.lstrip().startswith("raise ")


def quote_list(key: str) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that writes `key=a,b` as `key=[a,b]`: Hydra would take it for two runs."""

    def prepare(arguments: list[str]) -> list[str]:
        return [re.sub(rf"^{key}=([\w, ]+)$", rf"{key}=[\1]", argument) for argument in arguments]

    return prepare


def check_sweeper(arguments: list[str]) -> list[str]:
    """See that the sweeper asked for is installed: Hydra would say "Could not find".

    Raises:
        RuntimeError: Optuna's sweeper is wanted and not there.
    """
    wanted = any(a.endswith("sweeper=optuna") or a == "experiment=demo_sweep" for a in arguments)
    if wanted and not is_installed("optuna"):
        raise RuntimeError(
            "expected the package hydra-optuna-sweeper for a sweep with Optuna, got none. "
            "Do: pip install -e '.[sweep]'"
        )
    return arguments


def is_installed(package: str) -> bool:
    """Whether an optional package can be imported."""
    return importlib.util.find_spec(package) is not None


def quiet_other_ranks() -> None:
    """Let rank 0 alone report; the others speak up from warnings on."""
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        logging.getLogger("vqe").setLevel(logging.WARNING)
