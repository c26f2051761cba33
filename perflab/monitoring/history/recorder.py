"""Keeps history while it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import floor
from typing import Self

from perflab.database.database import Database
from perflab.database.failures import name_of_failure
from perflab.errors import DatabaseError
from perflab.monitoring.change import Change, ChangeTracker
from perflab.monitoring.history.store import HOUR, MINUTE, History, Retention
from perflab.monitoring.outage import Outage
from perflab.monitoring.periodic import Periodic
from perflab.monitoring.source import of_database

logger = logging.getLogger(__name__)


class HistoryRecorder:
    """Writes what happened at each full minute, and thins out each hour, from a thread of its own.

        with HistoryRecorder(db):
            ...

    What is told is what processes publish (`perflab worker`, `perflab scheduler`, `monitored(db)`), and how the tables
    are. Several may record one database: each minute is kept once, beginning with the first whole one.

    Args:
        database: `create_schema()` has run.
        retention: None: minutes for two days, hours for 400.
        clock: seconds since 1970.

    Raises:
        StatementError: a table is missing: run `create_schema()`.
        DatabaseError: the database failed.
    """

    def __init__(
        self, database: Database, retention: Retention | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._history = History(database, retention)
        self._source = of_database(database)
        self._clock = clock
        self._tracker = ChangeTracker()
        self._is_first = True
        self._outage = Outage(logger, "history is kept again")
        self._recorded_at = self._thinned_at = 0.0
        self._unkept: Change | None = None
        self._tracker.change(self._source(), clock())
        self._records = Periodic(
            self._try_to_record, self._seconds_to_next, "perflab-history", without="call record() each minute"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def record(self) -> None:
        """Keep what happened up to the last full minute. A second call within a minute changes nothing.

        Raises:
            DatabaseError: the database failed; the next call keeps it all in one span.
        """
        now = floor(self._clock() / MINUTE) * MINUTE
        if now <= self._recorded_at:
            return
        change = self._tracker.change(self._source(), now)
        self._recorded_at = now
        if self._is_first:  # a part of a minute, of which others may have kept the whole
            self._is_first = False
            return
        self._unkept = change if self._unkept is None else self._unkept + change
        self._history.keep(self._unkept)
        self._unkept = None
        if now - self._thinned_at >= HOUR:
            self._history.thin_out(now)
            self._thinned_at = now

    def close(self) -> None:
        """Record no longer. Calling it again changes nothing."""
        self._records.close()

    def _try_to_record(self) -> None:
        try:
            self.record()
        except DatabaseError as error:
            self._outage.goes_on("history cannot be kept until this is over: %s", name_of_failure(error))
        else:
            self._outage.is_over()

    def _seconds_to_next(self) -> float:
        now = self._clock()
        return (floor(now / MINUTE) + 1) * MINUTE - now
