"""Something that is done again and again beside the program, until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from perflab.batching.threads import start_thread


class Periodic:
    """Does something from a thread of its own, the first time after a wait, and no longer once it is closed.

    Args:
        do: what is done. It catches what it raises: otherwise the thread ends.
        wait: seconds until the next time, asked before each wait.
        name: of the thread.
        without: what happens where no thread can start, for the warning.
    """

    def __init__(self, do: Callable[[], object], wait: Callable[[], float], name: str, *, without: str) -> None:
        self._do = do
        self._wait = wait
        self._closing = threading.Event()
        self._thread = start_thread(self._repeat, name, without=without)

    def close(self) -> bool:
        """Wait until it is done for the last time. False: it was closed before."""
        if self._closing.is_set():
            return False
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        return True

    def _repeat(self) -> None:
        while not self._closing.wait(self._wait()):
            self._do()
