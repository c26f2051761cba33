"""Letting a transaction end before Ctrl-C is heard, and a process end well at SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

DEFERRED = (signal.SIGINT, signal.SIGTERM)
EXIT_TERMINATED = 128 + signal.SIGTERM


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


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise SystemExit(143) in the block, as Ctrl-C raises KeyboardInterrupt.

        with exit_on_sigterm(), RequestBatcher(db) as batcher:
            serve(batcher)            # after SIGTERM the batcher is closed, and so drained, before the process ends

    By default SIGTERM ends a Python process at once: no `with` block is left, no exit handler runs, and what a batcher
    holds is lost. (A batch that is being written is in the database wholly or not at all, and what a future has
    acknowledged is there.) While the process winds up, more of the same signal changes nothing; SIGKILL ends it.

    In a coroutine the signal cancels the task that entered the block, and SystemExit is raised at its end: put the
    `async with` of the batchers inside. Use it in the main thread; elsewhere, and where somebody has set another
    handler before, it changes nothing.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    if _in_a_coroutine():
        with _task_cancelled_on_sigterm():
            yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_a_coroutine() -> bool:
    asyncio = sys.modules.get("asyncio")  # where nobody has imported it, no loop runs
    try:
        return asyncio is not None and asyncio.current_task() is not None
    except RuntimeError:  # no loop
        return False


@contextmanager
def _task_cancelled_on_sigterm() -> Iterator[None]:
    import asyncio  # noqa: PLC0415  # a loop runs, so it is loaded; for others it would cost 100 ms

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    is_heard = False

    def end() -> None:
        nonlocal is_heard
        if not is_heard and task is not None:
            is_heard = True
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if not is_heard:
            raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    if is_heard:
        raise SystemExit(EXIT_TERMINATED)
