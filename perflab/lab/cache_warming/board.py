"""What is read: a board of departures, polled route by route."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, insert, update

from perflab.database.database import Database
from perflab.lab.workloads.flights import Flight
from perflab.scheduler.watch import Watch

POLL_SECONDS = 900.0
"""How often a route is polled."""
LOOK_AHEAD = timedelta(hours=6)
"""How far ahead a poll looks at departures."""
SLOT_SECONDS = 180
"""Polls of a route come at one of these places in the quarter of an hour, by its name."""

BOARD = Table(
    "board",
    MetaData(),
    Column("key", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("detail", Text, nullable=False),
)


class Board:
    """The flights of a trace as rows of a table, and which of them the poll of a route reads.

    A poll of `UA:EWR-IAH` at noon reads the row of the route, those of both airports, and those of its flights that are
    scheduled to leave until six. A flight is new to each cache; an airport is read by many polls.
    """

    def __init__(self, flights: Sequence[Flight]) -> None:
        self._flights: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        self._always: dict[str, list[str]] = {}
        self._details: dict[str, str] = {}
        self._departures = sorted((flight.scheduled_at, _flight_key(flight)) for flight in flights)
        for flight in flights:
            self._flights[flight.watch].append((flight.scheduled_at, _flight_key(flight)))
            self._always[flight.watch] = [f"route {flight.watch}", f"airport {flight.origin}", f"airport {flight.dest}"]
            self._details[_flight_key(flight)] = (
                f"{flight.carrier} {flight.flight} from {flight.origin} to {flight.dest}, {flight.distance_miles} "
                f"miles, {flight.tailnum or 'aeroplane unknown'}, {flight.scheduled_at:%d %b %H:%M} UTC"
            )
        for departures in self._flights.values():
            departures.sort()
        self._details |= {key: f"about {key}" * 5 for keys in self._always.values() for key in keys}

    def keys(self, watch: str, slot: datetime) -> list[str]:
        """What the poll of a route in that slot reads."""
        departures = self._flights[watch]
        first, end = (bisect_left(departures, (moment, "")) for moment in (slot, slot + LOOK_AHEAD))
        return self._always[watch] + [key for _, key in departures[first:end]]

    def upcoming(self, moment: datetime) -> list[str]:
        """The flights that polls of that moment look at, of all routes."""
        first, end = (bisect_left(self._departures, (at, "")) for at in (moment, moment + LOOK_AHEAD))
        return [key for _, key in self._departures[first:end]]

    def watches(self, start: datetime) -> list[Watch]:
        """One for each route, with its first slot within a quarter of an hour from the start."""
        places = int(POLL_SECONDS) // SLOT_SECONDS
        return [
            Watch(
                watch, POLL_SECONDS, start_at=start + timedelta(seconds=SLOT_SECONDS * (crc32(watch.encode()) % places))
            )
            for watch in sorted(self._flights)
        ]

    def write(self, database: Database) -> None:
        """Create the table with all rows, in version 0."""
        rows: list[dict[str, Any]] = [
            {"key": key, "version": 0, "detail": detail} for key, detail in sorted(self._details.items())
        ]
        with database.transaction() as connection:
            BOARD.create(connection)
            connection.execute(insert(BOARD), rows)

    def __len__(self) -> int:
        return len(self._details)


def change_rows(database: Database, versions: dict[str, int]) -> None:
    """Give rows these versions, as somebody else would whom no cache hears of."""
    statement = update(BOARD).where(BOARD.c.key == bindparam("of")).values(version=bindparam("to"))
    with database.transaction() as connection:
        connection.execute(statement, [{"of": key, "to": version} for key, version in versions.items()])


def _flight_key(flight: Flight) -> str:
    return f"flight {flight.key}"
