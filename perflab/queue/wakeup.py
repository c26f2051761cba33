"""Waking a thread from anywhere, signal handlers included."""

from __future__ import annotations

import queue

LONGEST_WAIT_SECONDS = 0.5
"""Of one call. Python runs signal handlers in the main thread alone, and two signals at once do not always wake it: the
system may hand one of them to another thread."""


class Wakeup:
    """Like `threading.Event`, but `set` may be called by a signal handler.

    A signal handler runs inside whatever its thread was doing. If that was `Event.wait`, then `Event.set` waits for a
    lock that the same thread holds, for ever. `SimpleQueue.put` is reentrant: https://docs.python.org/3/library/queue.html
    """

    def __init__(self) -> None:
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the current wait, or the next one."""
        if self._tokens.empty():  # one is enough; a race costs one wait that ends at once
            self._tokens.put(None)

    def wait(self, timeout_seconds: float) -> None:
        """Return after `timeout_seconds`, or half a second, or as soon as `set` was called since the last wait."""
        try:
            self._tokens.get(timeout=min(max(0.0, timeout_seconds), LONGEST_WAIT_SECONDS))
        except queue.Empty:
            return
