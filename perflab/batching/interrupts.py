"""Letting a transaction end before Ctrl-C is heard."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

DEFERRED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back for the length of the block; their handlers are called at its end.

    A KeyboardInterrupt between a COMMIT and the note that it happened would make the batch be written twice. Python's
    handlers run in the main thread only, so elsewhere there is nothing to do; a signal that Python does not handle
    ends the process, and with it the transaction.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handlers = {number: handler for number in DEFERRED if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda arrived, frame: held.append((arrived, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with ExitStack() as calls:  # each is called, also when another raises
            for arrived, frame in held:
                calls.callback(handlers[signal.Signals(arrived)], arrived, frame)
