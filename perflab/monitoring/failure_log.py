"""One line for each failure, through the standard library's logging."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from perflab.database.database import Database
from perflab.database.values import check_integer, check_number
from perflab.events import CacheAsked, Event, FlushFailed, JobsFinished, LeasesRescued, TickFailed

LONGEST_PERIOD_SECONDS = 86_400.0


class FailureLine(NamedTuple):
    """A failure in words, and as fields."""

    level: int
    kind: str
    """What is limited together."""
    text: str
    fields: dict[str, Any]


class FailureLog:
    """Logs what goes wrong on a database: a batch that was not written whole, and what happens next; jobs that are
    dead or were acknowledged too late; leases that were lost; ticks and reads of caches that failed.

        with FailureLog(db):
            ...

    The fields are attributes of the record (`extra`), which JSON formatters and structlog's `ExtraAdder` take over. A
    line names kinds of errors and codes of engines, and never a payload, a row or a message of the database, which
    may quote them. Of lines of one kind at most `burst` come in `period` seconds; how many were left out stands in the
    next one, or in a last line at the end.

    Args:
        database: to listen to; another one of the same program gets another log.
        logger: None: "perflab.failures".
        burst: lines of one kind, 1 … 10,000.
        period: seconds, up to a day.
        clock: monotonic seconds.

    Raises:
        InvalidInput: an argument is out of its range.
    """

    def __init__(
        self,
        database: Database,
        *,
        logger: logging.Logger | None = None,
        burst: int = 10,
        period: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._logger = logger or logging.getLogger("perflab.failures")
        self._burst = check_integer(burst, "burst", low=1, high=10_000)
        self._period = check_number(period, "period", above_low=True, high=LONGEST_PERIOD_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, _Limit] = {}
        self._listener = self._hear
        database.events.add(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer, and say how many lines were left out. Calling it again changes nothing."""
        self._database.events.remove(self._listener)
        with self._lock:
            left = {kind: limit.left_out for kind, limit in self._kinds.items() if limit.left_out}
            self._kinds.clear()
        for kind, count in left.items():
            self._logger.warning("%d more lines of %s were not logged", count, kind, extra={"left_out": count})

    def _hear(self, event: Event) -> None:
        line = describe(event)
        if line is None or not self._logger.isEnabledFor(line.level):
            return
        with self._lock:
            limit = self._kinds.setdefault(line.kind, _Limit())
            if not limit.admits(self._clock(), self._burst, self._period):
                return
            left_out, limit.left_out = limit.left_out, 0
        suffix = f" ({left_out} more like it were not logged)" if left_out else ""
        fields = {**line.fields, "engine": self._database.engine_name, "left_out": left_out}
        self._logger.log(line.level, "%s%s", line.text, suffix, extra=fields)


class _Limit:
    """How many lines of one kind have come in this period."""

    __slots__ = ("_lines", "_since", "left_out")

    def __init__(self) -> None:
        self._since, self._lines, self.left_out = float("-inf"), 0, 0

    def admits(self, now: float, burst: int, period: float) -> bool:
        if now - self._since >= period:
            self._since, self._lines = now, 0
        if self._lines == burst:
            self.left_out += 1
            return False
        self._lines += 1
        return True


def describe(event: Event) -> FailureLine | None:
    """The line of an event; None where nothing has failed."""
    if isinstance(event, FlushFailed):
        return _of_flush(event)
    if isinstance(event, JobsFinished) and (event.dead or event.stale):
        return _of_jobs(event)
    if isinstance(event, LeasesRescued) and (event.ready or event.dead):
        text = f"queue {event.queue}: {event.ready + event.dead:,} jobs were taken from workers that were lost"
        text += f"; {event.ready:,} come again, {event.dead:,} are dead"
        fields = {"queue": event.queue, "ready": event.ready, "dead": event.dead}
        return FailureLine(logging.WARNING, f"lost leases of queue {event.queue}", text, fields)
    if isinstance(event, TickFailed):
        text = f"a tick failed with {event.error}: each slot has its job or is still due"
        return FailureLine(logging.WARNING, "failed ticks", text, {"error": event.error})
    if isinstance(event, CacheAsked) and (event.failed or event.stale):
        text = f"cache {event.cache}: {event.failed:,} keys could not be read, {event.stale:,} were served stale"
        fields = {"cache": event.cache, "failed": event.failed, "stale": event.stale}
        return FailureLine(logging.WARNING, f"failed reads of cache {event.cache}", text, fields)
    return None


def _of_flush(event: FlushFailed) -> FailureLine:
    errors = ", ".join(f"{error} for {items:,}" for error, items in event.errors)
    text = f"batch {event.batch} ({event.items:,} items, {event.cause}, attempt {event.attempt}): {errors}"
    if event.failed:
        text += f"; {event.failed:,} items failed for good"
    if event.retry_in is not None:
        text += f"; {event.undecided:,} are tried again in {event.retry_in:.3g} s"
    fields = {
        "batch": event.batch,
        "items": event.items,
        "failed": event.failed,
        "undecided": event.undecided,
        "errors": dict(event.errors),
        "cause": str(event.cause),
        "attempt": event.attempt,
        "retry_in": event.retry_in,
    }
    kinds = ", ".join(error for error, _ in event.errors)
    return FailureLine(logging.ERROR if event.failed else logging.WARNING, f"batches with {kinds}", text, fields)


def _of_jobs(event: JobsFinished) -> FailureLine:
    parts = []
    if event.dead:
        parts.append(f"{event.dead:,} jobs failed for the last time and are dead")
    if event.stale:
        parts.append(f"{event.stale:,} acknowledgements came after their lease was lost: the jobs are with others")
    fields = {"queue": event.queue, "dead": event.dead, "stale": event.stale}
    level = logging.ERROR if event.dead else logging.WARNING
    return FailureLine(level, f"failed jobs of queue {event.queue}", f"queue {event.queue}: {'; '.join(parts)}", fields)
