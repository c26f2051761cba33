"""The history of a database, in a table of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.statements import load_statements
from perflab.database.values import check_number
from perflab.errors import InvalidInput
from perflab.monitoring.change import Change
from perflab.monitoring.snapshot import Snapshot

logger = logging.getLogger(__name__)

MINUTE, HOUR = 60, 3_600
DAY_SECONDS = 86_400.0
MOST_HOURS_AT_ONCE = 24
"""That one call thins out, so that it stays short after a long pause."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long history is kept.

    Raises:
        InvalidInput: a value is out of its range, or hours would end before minutes.
    """

    minutes_days: float = 2.0
    """For so long each minute has a row of its own, then each hour: an hour to a year."""
    hours_days: float = 400.0
    """For so long each hour has one: up to ten years."""

    def __post_init__(self) -> None:
        check_number(self.minutes_days, "minutes_days", low=1 / 24, high=366.0)
        check_number(self.hours_days, "hours_days", high=3_660.0)
        if self.hours_days < self.minutes_days:
            raise InvalidInput(
                f"hours_days is {self.hours_days:g}, which is less than minutes_days ({self.minutes_days:g}): give more"
            )


class History:
    """Reads and writes the history of a database.

    A row holds what was counted in a minute or an hour by all processes, as mergeable counts and distributions, so that
    any quantile of any span can be asked for later. Of gauges an hour keeps the largest value.

    Args:
        database: `create_schema()` has run.
        retention: of what is thinned out.
    """

    def __init__(self, database: Database, retention: Retention | None = None) -> None:
        self._database = database
        self._retention = retention or Retention()
        self._sql = load_statements("perflab.monitoring.history", database.engine_name)

    def keep(self, change: Change) -> None:
        """Write what happened in a minute. Where a row of that time is there, it stays, and nothing is written.

        Raises:
            StatementError: the table is missing: run `create_schema()`.
            DatabaseError: the database failed.
        """
        with TypedErrors("keeping history"), self._database.driver_transaction() as connection:
            connection.execute(self._sql["keep"], _row(MINUTE, change))

    def between(self, since: float, until: float, step: float = MINUTE) -> Sequence[Change]:
        """What happened, in spans of `step` seconds, oldest first; spans of which nothing is known are missing.

        Args:
            since: seconds since 1970, exclusive.
            until: inclusive.
            step: seconds; where only hours are left, spans are at least as long.

        Raises:
            InvalidInput: the step is shorter than a minute.
            StatementError: the table is missing.
            DatabaseError: the database failed.
        """
        check_number(step, "step", low=MINUTE)
        found = [
            change
            for resolution in (HOUR, MINUTE)
            for row in self._database.fetch(
                self._sql["between"],
                {"resolution": resolution, "since": _microseconds(since), "until": _microseconds(until)},
            )
            if (change := _change(*row)) is not None
        ]
        return _merged(sorted(found, key=lambda change: change.ended_at), step)

    def thin_out(self, now: float) -> int:
        """Merge minutes that are old enough into hours, up to 24 of them, and forget hours that are too old.

        Args:
            now: seconds since 1970.

        Returns:
            How many rows were taken away.

        Raises:
            StatementError: the table is missing.
            DatabaseError: the database failed.
        """
        end = (now - self._retention.minutes_days * DAY_SECONDS) // HOUR * HOUR
        ((oldest,),) = self._database.fetch(self._sql["oldest"], {"resolution": MINUTE})
        taken = 0
        if oldest is not None and oldest / 1e6 <= end:
            first = ceil(oldest / 1e6 / HOUR) * HOUR
            for until in range(first, int(min(end, first + (MOST_HOURS_AT_ONCE - 1) * HOUR)) + 1, HOUR):
                taken += self._merge_hour(float(until))
        with TypedErrors("forgetting history"), self._database.driver_transaction() as connection:
            connection.execute(
                self._sql["forget"],
                {"resolution": HOUR, "until": _microseconds(now - self._retention.hours_days * DAY_SECONDS)},
            )
        return taken

    def _merge_hour(self, until: float) -> int:
        """One row instead of those of an hour, in one transaction."""
        span = {"resolution": MINUTE, "since": _microseconds(until - HOUR), "until": _microseconds(until)}
        with TypedErrors("thinning out history"), self._database.driver_conversation() as connection:
            rows = connection.execute(self._sql["take"], span).fetchall()
            changes = sorted((change for row in rows if (change := _change(*row))), key=lambda change: change.ended_at)
            if changes:
                connection.execute(self._sql["merge"], _row(HOUR, sum(changes[1:], changes[0])))
        return len(rows)


def _merged(changes: Sequence[Change], step: float) -> Sequence[Change]:
    groups = [list(group) for _, group in groupby(changes, key=lambda change: ceil(change.ended_at / step))]
    return [sum(group[1:], group[0]) for group in groups]


def _row(resolution: int, change: Change) -> dict[str, object]:
    return {
        "resolution": resolution,
        "began_at": _microseconds(change.began_at),
        "ended_at": _microseconds(change.ended_at),
        "counted": change.counted.to_json(),
    }


def _change(began_at: int, ended_at: int, counted: str) -> Change | None:
    """None for what another version has written in another form, which is logged."""
    try:
        return Change(began_at / 1e6, ended_at / 1e6, Snapshot.from_json(counted))
    except InvalidInput as error:
        logger.warning("history of another version is left out: %s", error)
        return None


def _microseconds(moment: float) -> int:
    return round(moment * 1e6)
