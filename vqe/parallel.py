"""How joblib runs tasks: in this machine's processes or on a dask cluster."""

import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import joblib

ANSWER_SECONDS = 20
WATCH_SECONDS = 0.2

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def open_backend(
    backend: str, dask_address: str | None, jobs: int, *, option: str = "data"
) -> Iterator[None]:
    """Let joblib run on `backend`, a dask cluster's at `dask_address` for "dask".

    Child processes end with this one, even if it is killed: they would continue writing beside
    the workers of the next run. `option` is what holds both in the config, for messages.

    Raises:
        ValueError: `backend` is unknown, or does not fit `dask_address`.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    if (backend == "dask") != (dask_address is not None):
        raise ValueError(
            f"expected {option}.backend=dask together with "
            f"{option}.dask_address=tcp://<host>:<port>, "
            f"got {option}.backend={backend} and {option}.dask_address={dask_address}"
        )
    if backend != "dask":
        watch = {"initializer": _watch_parent, "initargs": (os.getpid(),)}
        with joblib.parallel_config(backend, n_jobs=jobs, **(watch if backend == "loky" else {})):
            yield
        return
    if importlib.util.find_spec("distributed") is None:
        raise RuntimeError(f"{option}.backend=dask needs dask.distributed: pip install distributed")
    from distributed import Client  # an optional dependency

    try:
        client = Client(dask_address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as e:  # ValueError: no address at all
        raise RuntimeError(
            f"expected a dask scheduler at {option}.dask_address={dask_address}, got {e}. "
            "Start one with: dask scheduler"
        ) from e
    with client, joblib.parallel_config("dask", client=client, n_jobs=jobs):
        yield


def map_parallel(
    function: Callable[..., Result],
    items: Iterable[Item],
    *arguments: object,
    in_order: bool = True,
    batch_size: int | str = "auto",
) -> Iterator[Result]:
    """Call `function(item, *arguments)` for each item on the backend that is open.

    Args:
        function: one that can travel, as the items, the arguments and the results.
        items: one for each call.
        *arguments: the same in all calls.
        in_order: False yields results as they come.
        batch_size: items that travel together.
    """
    order = "generator" if in_order else "generator_unordered"
    parallel = joblib.Parallel(batch_size=batch_size, return_as=order)
    call = joblib.delayed(function)
    return parallel(call(item, *arguments) for item in items)


def _watch_parent(parent: int) -> None:
    """End this process when `parent` does, which started it; before its first task, if need be."""
    if os.name != "posix":  # a process keeps the number of its parent that ended
        return
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
