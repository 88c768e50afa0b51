"""The one door of every command: command line -> config -> one call -> exit status.

It finds the configs in a checkout (`conf/`) and in an installed package (`vqe.conf`), registers
what they interpolate, and turns a user's mistake into one line on stderr.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import logging
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vqe.mistakes import (
    FAILED,
    PACKAGE,
    TERMINATED,
    Terminated,
    count_status,
    describe,
    find_status,
    is_interruption,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig, Node

REPOSITORY = PACKAGE.parent  # of a checkout
IN_CHECKOUT = (REPOSITORY / "setup.py").is_file() and (REPOSITORY / "conf").is_dir()
CONF_DIR = REPOSITORY / "conf" if IN_CHECKOUT else PACKAGE / "conf"
WORD = r"\w+"  # what Hydra reads as text without quotes
FULL_ERROR = "HYDRA_FULL_ERROR"  # 1 in the environment: tracebacks of mistakes too


def entry(
    config_name: str,
    *,
    prepare: Callable[[list[str]], list[str]] | None = None,
    check: Callable[[DictConfig], None] | None = None,
) -> Callable:
    """Make a command of a function that takes the composed config.

    The function imports what it needs in its body, so that `--help` and a mistyped key need not
    wait for it. It returns what a sweep optimises, or nothing; `raise SystemExit(1)` says that some
    of the work failed.

    Args:
        config_name: of a file in `conf/`, without its suffix.
        prepare: arguments of the command line -> those that Hydra is to read; it may raise
            ValueError or RuntimeError over what Hydra would not explain.
        check: sees that the files which the composed config names are there, before the function
            imports what is slow to import; one of `vqe.inputs`.
    """

    def decorate(task: Callable) -> Callable[[], None]:
        @functools.wraps(task)
        def checked(cfg: DictConfig) -> object:
            if check is not None:
                check(cfg)
            return task(cfg)

        @functools.wraps(task)
        def main() -> None:
            sys.exit(_run(checked, config_name, prepare))

        return main

    return decorate


def register_resolvers() -> None:
    """Let configs interpolate `${vqe_root:}` and `${vqe_run:<folder>}`.

    The first is the repository, or where an installed command is run; the second names a new folder
    in the one given by the time, and makes it: no two runs share one.
    """
    from omegaconf import OmegaConf

    root = REPOSITORY if IN_CHECKOUT else Path.cwd()
    OmegaConf.register_new_resolver("vqe_root", lambda: str(root), replace=True)
    OmegaConf.register_new_resolver("vqe_run", _make_run, replace=True, use_cache=True)


def _make_run(folder: str) -> str:
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        run = name if number == 1 else f"{name}_{number}"
        try:
            Path(folder, run).mkdir(parents=True)
        except FileExistsError:
            continue
        return run
    raise AssertionError


def _run(task: Callable, config_name: str, prepare: Callable | None) -> int:
    """Run a task under Hydra and return the exit status."""
    full = os.environ.get(FULL_ERROR) == "1"
    _end_on_sigterm()
    _print_any_name()
    try:
        if prepare is not None:
            sys.argv[1:] = prepare(sys.argv[1:])
        _compose_and_run(task, config_name, full)
    except (KeyboardInterrupt, SystemExit) as error:
        if not is_interruption(error):
            raise
        status = count_status(error)
        print("terminated" if status == TERMINATED else "interrupted", file=sys.stderr)
        return status
    except Exception as error:
        status = find_status(error)
        if full or status is None:
            traceback.print_exc()
            return FAILED if status is None else status
        said = describe(error, sys.argv[1:], functools.partial(_list_keys, config_name))
        print(f"error: {said}", file=sys.stderr)
        return status
    return 0


def _compose_and_run(task: Callable, config_name: str, full: bool) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    failures: list[Exception] = []

    @functools.wraps(task)
    def run(cfg: DictConfig) -> object:
        if not full:
            os.environ.pop(FULL_ERROR, None)  # child processes have a door of their own
        try:
            _check_complete(cfg)
            return task(cfg)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the sweeper decides what becomes of the other runs
            failures.append(error)
            return None
        finally:
            os.environ[FULL_ERROR] = "1"

    register_resolvers()
    os.environ[FULL_ERROR] = "1"  # Hydra hands its errors on instead of printing tracebacks
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(run)()
    finally:
        if not full:
            os.environ.pop(FULL_ERROR, None)
    if failures:
        raise failures[0]


def _check_complete(cfg: DictConfig) -> None:
    """See that all values are there that a config marks as yours to give.

    Raises:
        ValueError: some are not.
    """
    missing = [key for key, node in _walk(cfg) if node._is_missing()]
    if missing:
        wanted = " ".join(f"{key}=<value>" for key in missing)
        raise ValueError(f"expected {wanted} on the command line, got none")


def _list_keys(config_name: str) -> list[str]:
    """Return the keys of a command's config as it stands."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return [key for key, _ in _walk(compose(config_name))]


def _walk(cfg: DictConfig, above: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every key with dots and its node, unresolved."""
    from omegaconf import DictConfig

    for key in cfg:
        child = cfg._get_node(key)
        yield f"{above}{key}", child
        empty = child._is_none() or child._is_missing() or child._is_interpolation()
        if isinstance(child, DictConfig) and not empty:
            yield from _walk(child, f"{above}{key}.")


def _end_on_sigterm() -> None:
    """End like Ctrl-C when a cluster sends SIGTERM; worker processes just end."""
    own = os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == own:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def _print_any_name() -> None:
    """Let file names that are no UTF-8 be printed, with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def quote_list(key: str) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that writes `key=a,b` as `key=[a,b]`: Hydra would take it for two runs."""

    def quote(value: re.Match) -> str:
        parts = [part.strip() for part in value[1].split(",")]
        return f"{key}=[{','.join(p if re.fullmatch(WORD, p) else repr(p) for p in parts)}]"

    def prepare(arguments: list[str]) -> list[str]:
        return [re.sub(rf"^{key}=([^\[\]{{}}'\"]+)$", quote, argument) for argument in arguments]

    return prepare


def gather_words(key: str) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that takes the words which are no `key=value` for one key's list."""

    def prepare(arguments: list[str]) -> list[str]:
        plain = [a for a in arguments if "=" not in a and not a.startswith(("-", "~"))]
        if not plain:
            return arguments
        quoted = ",".join("'" + word.replace("'", "\\'") + "'" for word in plain)
        return [*(a for a in arguments if a not in plain), f"{key}=[{quoted}]"]

    return prepare


def choose_command(
    name: str, commands: Sequence[str], *, then: Callable[[list[str]], list[str]] = list
) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that turns the first word, a command, into the config `<name>_<word>`.

    Args:
        name: of the entry.
        commands: what the first word may be.
        then: another `prepare`, for the other words.

    Raises:
        ValueError: the first word is none of the commands.
    """

    def prepare(arguments: list[str]) -> list[str]:
        word, *rest = arguments or [""]
        command, equals, _ = word.partition("=")
        if command in commands:  # `check=<zip>` is the command and its key of that name
            return [f"--config-name={name}_{command}", *then([word] * bool(equals) + rest)]
        if word.startswith("-"):
            return arguments
        raise ValueError(
            f"expected the first word to be one of {', '.join(commands)}, got {word or 'nothing'}. "
            f"Such as: python {name}.py {commands[0]} --help"
        )

    return prepare


def rename_key(old: str, new: str) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that takes a key's old name for the new one, and says so.

    It raises ValueError where both are given.
    """

    def prepare(arguments: list[str]) -> list[str]:
        given = [argument.partition("=")[0].lstrip("+") for argument in arguments]
        if old not in given:
            return arguments
        if new in given:
            raise ValueError(f"expected {new} once, got {old} too, its old name. Leave {old} out")
        print(f"warning: {old} is called {new} now; the old name still works", file=sys.stderr)
        return [
            argument.replace(old, new, 1) if key == old else argument
            for key, argument in zip(given, arguments, strict=True)
        ]

    return prepare


def chain(*steps: Callable[[list[str]], list[str]]) -> Callable[[list[str]], list[str]]:
    """Return a `prepare` that is several of them in turn."""
    return lambda arguments: functools.reduce(lambda given, step: step(given), steps, arguments)


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
