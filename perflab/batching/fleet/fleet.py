"""A fleet: batchers of any number of processes on one database."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from uuid import uuid4

from perflab.batching.fleet.member import FleetMember, settings_in
from perflab.batching.fleet.metrics import FleetMetrics, MemberMetrics, MemberState
from perflab.batching.fleet.settings import FleetSettings
from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.statements import load_statements
from perflab.database.values import check_identifier, check_number

MISSED_HEARTBEATS = 3
"""After which a member counts as lost."""
LONGEST_HEARTBEAT_SECONDS = 600.0
"""A member is forgotten after an hour."""


class Fleet:
    """Batchers of several processes that share settings, a cap on their flushes in flight, and metrics.

        fleet = Fleet(db, "ingest")
        fleet.configure(FleetSettings(batch_size=2_000, max_in_flight=4, jitter=0.2))     # anyone, at any time

        with fleet.join() as member:                                                       # each process
            with RequestBatcher(db, 10_000, 0.100, sizing=member.sizing(), gate=member) as batcher:
                member.add(batcher)
                batcher.submit(…)

    On SQLite the members are processes on one file. There a flush in flight holds the one write lock of the file, so
    that the cap is 1; all else is the same.

    Loads hold slots too, and so does a `BulkInserter` with the member as its `gate`; a COPY is still one round trip.
    Size and interval of an inserter are its own.

    What it costs: on PostgreSQL no round trip more for a flush, because what takes the slot and brings the settings
    travels in front of its statements; on SQLite one statement more. A heartbeat is one transaction (one round trip on
    PostgreSQL), joining and leaving are one each.

    Args:
        database: `create_schema()` has run.
        name: as that of a queue. A fleet of a new name has the settings `FleetSettings()`.

    Raises:
        InvalidInput: the name cannot be one.
        StatementError: the tables are missing: run `create_schema()`.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.name = check_identifier(name, "the name of the fleet")
        self._database = database
        self._sql = load_statements("perflab.batching.fleet", database.engine_name)
        with TypedErrors(f"the fleet {name!r}"), database.driver_transaction() as connection:
            connection.execute(self._sql["found"], {"fleet": name})

    def __repr__(self) -> str:
        return f"Fleet({self._database!r}, {self.name!r})"

    def settings(self) -> FleetSettings:
        """The present settings; one round trip."""
        return settings_in(self._database.fetch(self._sql["settings"], {"fleet": self.name})[0])[1]

    def configure(self, settings: FleetSettings) -> None:
        """Replace the settings, all at once.

        A new cap holds for all flushes that begin afterwards. Size, interval and jitter reach a process at once where
        it listens, and else with the answer to its next flush or its next heartbeat, whichever comes first. They hold
        for the batch that is filling then.
        """
        with TypedErrors(f"the fleet {self.name!r}"), self._database.driver_transaction() as connection:
            connection.execute(self._sql["configure"], {"fleet": self.name, **asdict(settings)})

    def metrics(self) -> FleetMetrics:
        """What its members reported, and what is in flight now; one query."""
        rows = self._database.fetch(self._sql["metrics"], {"fleet": self.name})
        (*settings, in_flight, waiting), members = rows[0][:6], [row[6:] for row in rows if row[6] is not None]
        return FleetMetrics(
            settings=FleetSettings(*settings),
            members=tuple(
                MemberMetrics(instance, _state(has_left, heartbeat, seconds), seconds, *counts)
                for instance, has_left, heartbeat, seconds, *counts in members
            ),
            flushes_in_flight=in_flight,
            flushes_waiting=waiting,
        )

    def join(self, *, heartbeat: float = 5.0, listen: bool = True) -> FleetMember:
        """Become a member, until it is closed; use it as a context manager, around that of its batchers.

        Args:
            heartbeat: seconds between two reports, above 0 and at most 600. Who misses three counts as lost.
            listen: hold one connection more, on which PostgreSQL tells of new settings; False: hear of them with
                flushes and heartbeats, as behind a pooler.

        Raises:
            InvalidInput: the heartbeat is out of its range.
        """
        check_number(heartbeat, "heartbeat", high=LONGEST_HEARTBEAT_SECONDS, above_low=True)
        instance = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        return FleetMember(self._database, self.name, instance, heartbeat, listen=listen)


def fleet_names(database: Database) -> list[str]:
    """The names of the fleets of a database, in their order; one round trip.

    Raises:
        StatementError: the tables are missing: run `create_schema()`.
    """
    sql = load_statements("perflab.batching.fleet", database.engine_name)
    return [name for (name,) in database.fetch(sql["names"])]


def _state(has_left: bool, heartbeat: float, seconds: float) -> MemberState:
    if has_left:
        return MemberState.LEFT
    return MemberState.LOST if seconds > MISSED_HEARTBEATS * heartbeat else MemberState.LIVE
