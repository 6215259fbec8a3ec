"""Several pieces of work side by side, on threads that hold up no process's end: one of them may wait to be connected,
from which nothing can wake it."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def side_by_side(work: Callable[[T], object], items: Iterable[T], at_once: int, failed: Callable[[], object]) -> None:
    """Do `work` for each of `items` in their order, `at_once` at a time.

    After the first failure no more is begun, and `failed` is called, to end what is under way. Raises that first
    failure, once nothing runs any more.
    """
    waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    errors: list[BaseException] = []

    def run() -> None:
        while not errors:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - raised below, by who waits for it
                errors.append(error)
                failed()

    threads = [threading.Thread(target=run, name=f"blob {number}", daemon=True) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
