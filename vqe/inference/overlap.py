"""An iterator -> the same items, made ahead in a thread: stages of a pipeline that overlap."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")
DONE = object()


def in_background(
    items: Iterable[Item], depth: int = 1, *, newest: bool = False, keep: type | None = None
) -> Iterator[Item]:
    """Yield the items of an iterator that runs in a thread of its own.

    What it raises is raised here. It stops, and is closed, when this generator is closed.

    Args:
        items: what runs in the thread.
        depth: how many items may lie ready; the memory is bounded by it.
        newest: drop an item that lies ready for a newer one, instead of waiting.
        keep: a type of items that are never dropped.
    """
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_produce, args=(iter(items), ready, stopped, newest, keep), daemon=True
    )
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is DONE:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def _produce(
    items: Iterator,
    ready: queue.Queue,
    stopped: threading.Event,
    newest: bool,
    keep: type | None,
) -> None:
    try:
        for item in items:
            if newest and ready.full():
                _drop(ready, keep)
            _hand_over((item, None), ready, stopped)
            if stopped.is_set():
                return
        _hand_over((DONE, None), ready, stopped)
    except BaseException as error:  # handed over, whatever it is
        _hand_over((DONE, error), ready, stopped)
    finally:
        if hasattr(items, "close"):
            items.close()


def _hand_over(item: object, ready: queue.Queue, stopped: threading.Event) -> None:
    while not stopped.is_set():
        with suppress(queue.Full):
            ready.put(item, timeout=0.1)
            return


def _drop(ready: queue.Queue, keep: type | None) -> None:
    with suppress(queue.Empty), ready.mutex:
        if ready.queue and not (keep and isinstance(ready.queue[0][0], keep)):
            ready.queue.popleft()
            ready.not_full.notify()
