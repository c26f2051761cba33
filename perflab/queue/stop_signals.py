"""Hearing SIGTERM and SIGINT while a worker runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """Call `on_signal` at each SIGTERM and SIGINT of the block; the handlers of before are put back at the end.

    Only the main thread may set handlers: in others the block runs without them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        on_signal()

    previous = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            # None: it was not set from Python, and cannot be set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
