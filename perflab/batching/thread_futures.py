"""The futures of threads, without what nearly all of them never need.

`concurrent.futures.Future` makes a condition, a lock and two lists for each future, which costs more than everything
else that a batcher does for an item. Most results are there before anybody waits for them: whoever submits many waits
for one of each batch, and reads the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import Any

from perflab.batching.outcomes import Written, give_errors, give_results
from perflab.batching.part import Submission

logger = logging.getLogger(__name__)

_DECIDED = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})
_MADE_LATE = frozenset({"_condition", "_waiters", "_done_callbacks"})


class LazyFuture(Future[Any]):
    """A future whose condition is made when somebody first asks for it.

    As long as there is none, its state changes under `making`, under which the condition is made, too; from then on
    under the condition, by the methods of the base class. So these find nothing changed, and neither do
    `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future`. Nobody takes one of the two locks under the
    other.

    Args:
        making: shared by all futures of a batcher.
    """

    # What the base class sets for each instance.
    _state = PENDING
    _result = None
    _exception = None

    def __init__(self, making: threading.RLock) -> None:
        self._making = making

    def __getattr__(self, name: str) -> Any:
        if name not in _MADE_LATE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with self._making:
            if "_condition" not in self.__dict__:
                self._waiters: list[Any] = []
                self._done_callbacks: list[Callable[[Future[Any]], object]] = []
                self._condition = threading.Condition()
                self.is_awaited = True
        return self.__dict__[name]

    is_awaited = False
    """Whether it has a condition."""

    # A state that is final may be read by anybody: the result is set before it.

    def done(self) -> bool:
        return self._state in _DECIDED

    def result(self, timeout: float | None = None) -> Any:
        if self._state == FINISHED and self._exception is None:
            return self._result
        return super().result(timeout)


class ThreadFutures:
    """Makes the futures of one batcher, and changes many at once."""

    def __init__(self) -> None:
        self._making = threading.RLock()

    def new(self) -> LazyFuture:
        return LazyFuture(self._making)

    def start(self, entries: Sequence[Submission]) -> Sequence[Submission]:
        """From here on these futures cannot be cancelled; returns the entries whose futures were not.

        Those that somebody else has completed are left out as well.
        """
        others = []
        with self._making:
            for entry in entries:
                future = entry.future
                # Here and below, private names are those of futures of this file.
                if future.__class__ is LazyFuture and future._state == PENDING and not future.is_awaited:  # noqa: SLF001
                    future._state = RUNNING  # noqa: SLF001
                elif entry.attempts <= 1:  # otherwise it has started
                    others.append(entry)
        dropped = {entry.number for entry in others if not start_future(entry.future)}
        return [entry for entry in entries if entry.number not in dropped] if dropped else entries

    def resolve(self, written: Written) -> None:
        """Give the items that are decided to their futures, those last for which somebody waits."""
        others = []
        with self._making:
            for entry, result in zip(written.delivered, written.results, strict=True):
                future = entry.future
                if future.__class__ is LazyFuture and future._state == RUNNING and not future.is_awaited:  # noqa: SLF001
                    future._result = result  # noqa: SLF001
                    future._state = FINISHED  # noqa: SLF001  # last, for those who read it without a lock
                else:
                    others.append((entry, result))
        give_results(others)
        give_errors(written.failed)


def start_future(future: Future[Any]) -> bool:
    """From here on the future cannot be cancelled; False if it was, or if somebody else has completed it."""
    if future.done() and not future.cancelled():
        return False
    return future.set_running_or_notify_cancel()
