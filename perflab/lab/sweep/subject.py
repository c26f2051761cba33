"""What a sweep writes: flights to ingest, with the real queue, scheduler and batcher, and the proof that it is right.

Each event of the trace is one operation of a small ingest service:

- a scheduled flight is a job of the queue;
- a departure, arrival, diversion or cancellation moves the ingest state of its watch, a carrier-route;
- an hourly observation is a row of a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import Column, Float, MetaData, String, Table, insert

from perflab.database.database import Database
from perflab.errors import WrongAnswer
from perflab.lab.workloads.flights import Flight, FlightData, Weather
from perflab.lab.workloads.trace import EventKind, TraceEvent, trace
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

QUEUE = "flights"
NOTHING_YET = "nothing yet"
"""The cursor of a watch before its first event."""
POLL_SECONDS = 3_600.0
"""How often the scheduler polls a carrier-route."""

_metadata = MetaData()
WEATHER = Table(
    "weather",
    _metadata,
    Column("key", String, primary_key=True),
    Column("origin", String, nullable=False),
    Column("observed_at", String, nullable=False),
    Column("temperature_fahrenheit", Float),
    Column("wind_speed_mph", Float),
    Column("precipitation_inches", Float),
    Column("visibility_miles", Float),
)
_weather_columns = tuple(WEATHER.columns.keys())


class Submission(NamedTuple):
    """An operation and its item, as a batcher takes them."""

    operation: Any
    item: Any


class IngestService:
    """A database with the watches of a trace, ready to be written to.

    Args:
        database: An empty one.
        watches: Names of all carrier-routes of the trace.
    """

    def __init__(self, database: Database, watches: Sequence[str]) -> None:
        self.database = database
        self.database.create_schema()
        with self.database.transaction() as connection:
            _metadata.create_all(connection)
        self.queue = PriorityQueue(self.database, QUEUE)
        self.scheduler = Scheduler(self.database, self.queue)
        self.scheduler.add_watches_bulk([Watch(name, interval=POLL_SECONDS) for name in watches])
        # A watch in service has a state; its first one would take more statements than the many that follow.
        self.scheduler.update_ingest_states_bulk([IngestState(name, cursor=NOTHING_YET) for name in watches])
        self._watches = watches
        # All watches are due at once: one tick enqueues a poll for each.
        self.tick = self.scheduler.tick()
        self._insert_weather = insert(WEATHER)

    def submissions(self, events: Iterable[TraceEvent]) -> list[Submission]:
        """What has to be submitted for these events, made before the clock starts."""
        return [self._submission(event) for event in events]

    def _submission(self, event: TraceEvent) -> Submission:
        subject = event.subject
        if isinstance(subject, Weather):
            row = {name: getattr(subject, name) for name in _weather_columns}
            row["observed_at"] = subject.observed_at.isoformat()
            return Submission(self._insert_weather, row)
        if event.kind is EventKind.SCHEDULED:
            return Submission(self.queue.operations.enqueue, NewJob(job_payload(subject), priority=subject.priority))
        state = IngestState(event.watch, cursor=_cursor(event), etag=str(event.kind), succeeded_at=event.at)
        return Submission(self.scheduler.operations.update_ingest_state, state)

    def check(self, events: Sequence[TraceEvent]) -> int:
        """Compare what is in the database with what these events must have left there.

        Returns:
            The checksum of the rows, the same for every run over the same events.

        Raises:
            WrongAnswer: rows are missing, too many, or not what was submitted.
        """
        found = {
            "jobs": self.database.fetch("SELECT payload ->> 'key', priority FROM perflab_jobs WHERE key IS NULL"),
            "ingest states": self.database.fetch(
                "SELECT watches.name, states.cursor FROM perflab_ingest_states AS states "
                "JOIN perflab_watches AS watches ON watches.id = states.watch_id"
            ),
            "weather rows": self.database.fetch("SELECT key, origin FROM weather"),
            "polls": self.database.fetch("SELECT id, queue FROM perflab_jobs WHERE key IS NOT NULL"),
        }
        expected = _expected(events, self._watches)
        polls = len(found.pop("polls"))
        if polls != self.tick.enqueued:
            raise WrongAnswer(f"the scheduler's tick enqueued {self.tick.enqueued} polls, but {polls} are there")
        for what, rows in expected.items():
            if checksum(rows) != checksum(found[what]):
                missing, extra = sorted(set(rows) - set(found[what])), sorted(set(found[what]) - set(rows))
                raise WrongAnswer(
                    f"{len(found[what])} {what} are there and {len(rows)} should be; missing: {missing[:3]}, "
                    f"not expected: {extra[:3]}. This visit has no time."
                )
        return sum(checksum(rows) for rows in expected.values()) % 2**63


def checksum(rows: Iterable[tuple[Any, ...]]) -> int:
    """A sum over rows that does not depend on their order, and in which a repeated row counts twice."""
    return sum(crc32(repr(row).encode()) + 1 for row in rows) % 2**63


def job_payload(flight: Flight) -> dict[str, Any]:
    """What the handler of a flight's job gets."""
    fields = asdict(flight)
    return {
        **{name: fields[name] for name in ("key", "watch", "carrier", "flight", "tailnum", "origin", "dest")},
        "scheduled_at": flight.scheduled_at.isoformat(),
    }


def ingest_events(data: FlightData) -> tuple[TraceEvent, ...]:
    """All events of a trace, in their order: flights and weather."""
    return trace(data, weather=True)


def watch_names(events: Iterable[TraceEvent]) -> list[str]:
    """The carrier-routes of a trace."""
    return sorted({event.watch for event in events if event.kind is not EventKind.WEATHER})


def _cursor(event: TraceEvent) -> str:
    return f"{event.subject.key}/{event.kind}"


def _expected(events: Iterable[TraceEvent], watches: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    jobs: list[tuple[Any, ...]] = []
    states = dict.fromkeys(watches, NOTHING_YET)
    weather: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event.subject, Weather):
            weather.append((event.subject.key, event.subject.origin))
        elif event.kind is EventKind.SCHEDULED:
            jobs.append((event.subject.key, event.subject.priority))
        else:
            states[event.watch] = _cursor(event)
    return {"jobs": jobs, "ingest states": list(states.items()), "weather rows": weather}
