"""How joblib runs tasks: in this machine's processes or on a dask cluster."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

ANSWER_SECONDS = 20


@contextmanager
def open_backend(
    backend: str, dask_address: str | None, jobs: int, *, option: str = "data"
) -> Iterator[None]:
    """Let joblib run on `backend`, a dask cluster's at `dask_address` for "dask".

    `option` is what holds both in the config, for messages.

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
        with joblib.parallel_config(backend, n_jobs=jobs):
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
