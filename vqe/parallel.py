"""How joblib runs tasks: in this machine's processes or on a dask cluster."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

ANSWER_SECONDS = 20


@contextmanager
def open_backend(backend: str, dask_address: str | None, jobs: int) -> Iterator[None]:
    """Let joblib run on `backend`, a dask cluster's at `dask_address` for "dask".

    Raises:
        ValueError: `backend` is unknown, or does not fit `dask_address`.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    if (backend == "dask") != (dask_address is not None):
        raise ValueError(
            "expected data.backend=dask together with data.dask_address=tcp://<host>:<port>, "
            f"got data.backend={backend} and data.dask_address={dask_address}"
        )
    if backend != "dask":
        with joblib.parallel_config(backend, n_jobs=jobs):
            yield
        return
    if importlib.util.find_spec("distributed") is None:
        raise RuntimeError("data.backend=dask needs dask.distributed: pip install distributed")
    from distributed import Client  # an optional dependency

    try:
        client = Client(dask_address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as e:  # ValueError: no address at all
        raise RuntimeError(
            f"expected a dask scheduler at data.dask_address={dask_address}, got {e}. "
            "Start one with: dask scheduler"
        ) from e
    with client, joblib.parallel_config("dask", client=client, n_jobs=jobs):
        yield
