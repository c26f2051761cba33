"""How far the jobs of a worker are: handlers say it as often as they like, and it is written now and then."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from perflab.errors import DatabaseError, TransientError
from perflab.queue.engine import Lease
from perflab.queue.job import Job
from perflab.queue.operations import ProgressItem, check_progress
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 0.5
"""As quick as people read. The worker looks as often of itself, so that no report wakes it."""


class Progress:
    """What a handler says how far its job is with: `progress(0.4, "page 4 of 10")`.

    It costs next to nothing: the last report of each job is written with those of others, about twice a second.
    `queue.progress(ids)` reads it.
    """

    def __init__(self, reports: ProgressReports, job: Job) -> None:
        self._reports = reports
        self._job = job

    def __call__(self, fraction: float, note: str = "") -> None:
        """Report how much of the job is done, 0 … 1, and a note of up to 2,000 characters.

        Raises:
            InvalidInput: one of them is refused.
        """
        check_progress(fraction, note)
        self._reports.put((self._job, fraction, note))


class ProgressReports:
    """The last report of each job, until it is written. Handlers put reports in from any thread.

    Args:
        queue: of the jobs.
        monotonic: seconds.
    """

    def __init__(self, queue: PriorityQueue[Any, Any], *, monotonic: Callable[[], float]) -> None:
        self._queue = queue
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: dict[Lease, ProgressItem] = {}
        self._next_write = 0.0

    def put(self, item: ProgressItem) -> None:
        """Instead of what was said of this job before."""
        with self._lock:
            self._last[item[0].id, item[0].attempt] = item

    def write_if_due(self) -> None:
        """Write what there is, but not more than twice a second."""
        if self._last and (now := self._monotonic()) >= self._next_write:
            self._next_write = now + SECONDS_BETWEEN_WRITES
            self.write()

    def write(self) -> None:
        """Write what there is. A report that cannot be written holds up no job, and ends no worker."""
        with self._lock:
            reports, self._last = self._last, {}
        if not reports:
            return
        try:
            self._queue.report_progress(reports.values())
        except TransientError as failure:
            logger.warning("the progress of %d jobs is not written yet; trying again", len(reports), exc_info=failure)
            with self._lock:
                self._last = {**reports, **self._last}
        except DatabaseError:
            logger.exception("the progress of %d jobs cannot be written", len(reports))

    def for_handler(self, handler: Callable[..., Any]) -> Callable[[Job], Any]:
        """The handler as one that takes a job alone: one that must be given two gets the job's `Progress`, too."""
        if not _takes_two(handler):
            return handler
        return lambda job: handler(job, Progress(self, job))


def _takes_two(handler: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (ValueError, TypeError):  # some of those that are written in C do not tell
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is one.empty for one in parameters) == 2
