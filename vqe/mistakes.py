"""An error that ended a command -> one line for the user and an exit status, or None for a bug."""

import difflib
import linecache
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from vqe.files import FULL

FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143  # exit statuses; 0: all done
PACKAGE = Path(__file__).resolve().parent
CONFIG_PACKAGES = ("hydra", "omegaconf")
FRAMEWORK_MISTAKES = ("MisconfigurationException",)  # what Lightning says of a trainer's options


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything ends as it does after Ctrl-C."""


def find_cause(error: BaseException) -> BaseException:
    """Return what went wrong below Hydra's wrapping of it."""
    while type(error).__name__ == "InstantiationException" and error.__cause__ is not None:
        error = error.__cause__
    return error


def find_status(error: BaseException) -> int | None:
    """Return the exit status of a user's mistake, None for a bug.

    A mistake is what this package raises by name, what Hydra and OmegaConf say of the config, what
    Lightning says of a trainer's options, and what the operating system says of a file.
    """
    cause = find_cause(error)
    if _comes_from_config(cause) or type(cause).__name__ in FRAMEWORK_MISTAKES:
        return USAGE
    if isinstance(cause, OSError) and (cause.filename is not None or cause.errno in FULL):
        return FAILED
    if not _is_raised_here(cause):
        return None
    return USAGE if isinstance(cause, (ValueError, FileNotFoundError)) else FAILED


def is_interruption(error: BaseException) -> bool:
    """Whether Ctrl-C or SIGTERM is behind an error: Lightning turns it into a SystemExit."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit)
        and (isinstance(error.__context__, KeyboardInterrupt) or _is_late_sigterm(error))
    )


def _is_late_sigterm(error: BaseException) -> bool:
    """Whether it is what Lightning raises after a batch in which SIGTERM came."""
    return type(error).__name__ == "SIGTERMException"


def count_status(interruption: BaseException) -> int:
    """Return the exit status that shells give an interruption: 128 and the signal's number."""
    if _is_late_sigterm(interruption):
        return TERMINATED
    cause = (
        interruption if isinstance(interruption, KeyboardInterrupt) else interruption.__context__
    )
    return TERMINATED if isinstance(cause, Terminated) else INTERRUPTED


def describe(
    error: BaseException, arguments: Iterable[str], list_keys: Callable[[], list[str]] = list
) -> str:
    """Say in a line what is wrong and what to do; our own messages do so already.

    Args:
        error: what ended the command.
        arguments: of the command line.
        list_keys: returns every key that the config has, with dots, which takes a while.
    """
    cause = find_cause(error)
    if isinstance(cause, OSError) and cause.errno in FULL and cause.filename is None:
        # of a write, in a logger of another package too
        return (
            f"expected space on each disk that is written to, got: {cause.strerror}. See df, free "
            "some, or write to another place: paths.outputs=<folder>"
        )
    if not _comes_from_config(cause):
        return str(cause).strip() or type(cause).__name__
    words = re.split(r"\n *(?:full_key|See |To append|Config search path)", str(cause))[0]
    words = " ".join(words.split())
    if type(cause).__name__ == "OverrideParseException":
        return _explain_value(getattr(cause, "override", ""), words)
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+~")
        if f"Could not override '{key}'" in words:
            near = difflib.get_close_matches(key, list_keys(), n=3)
            advice = f"Did you mean {' or '.join(near)}?" if near else "--help lists the groups"
            return f"expected a key of the config, got {key}. {advice}"
        if "Ambiguous value" in words and argument in words:
            return _explain_value(argument, "Hydra takes a comma for two runs")
    return words


def _explain_value(argument: str, words: str) -> str:
    """Say how a value with Hydra's own signs in it is quoted."""
    key, equals, value = argument.partition("=")
    if not equals:
        return f"expected <key>=<value>, got {argument}"
    return (
        f"expected a value that Hydra can read for {key}, got {value} ({words}). "
        f"Quote a path or text with signs in it twice, for the shell and for Hydra: "
        f"\"{key}='{value}'\""
    )


def _comes_from_config(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in CONFIG_PACKAGES


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` of this package made the error."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    place = frames[-1]
    line = linecache.getline(place.filename, place.lineno or 0)
    return Path(place.filename).is_relative_to(PACKAGE) and line.lstrip().startswith("raise ")
