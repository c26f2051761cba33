"""The bulk calls that are held against the raw driver: what they are given, and how they are called.

Raw forms of both engines get the same rows, and write what an engineer would write by hand: they encode and decode
payloads with `json.dumps` and `json.loads` and check nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from perflab.database.database import Database
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

BATCH_SIZE = 1_000
WARM_UP_BATCHES = 2
TIMED_BATCHES = 8
BATCHES = WARM_UP_BATCHES + TIMED_BATCHES
KNOWN_WATCHES = 5_000
QUEUE = "bench"
LEASE_SECONDS = 3_600.0
MIDNIGHT = datetime(2013, 8, 20, tzinfo=UTC)

Rows = Sequence[Any]


class JobRow(NamedTuple):
    priority: int
    payload: dict[str, Any]


class WatchRow(NamedTuple):
    name: str
    interval_seconds: float
    priority: int
    payload: dict[str, Any]


class StateRow(NamedTuple):
    watch: str
    cursor: str
    etag: str
    succeeded_at: datetime


@dataclass(frozen=True, slots=True)
class BulkCall:
    """One bulk call of the library, and the work that raw forms do in its place.

    Attributes:
        name: Of the method.
        work: What a batch is, in half a sentence.
        prepare: Fills a fresh database.
        make_rows: One batch, by its number; before the clock starts.
        make_items: What our call takes, from these rows; also before.
        bind: Our call on a database.
    """

    name: str
    work: str
    prepare: Callable[[Database], None]
    make_rows: Callable[[Database, int], Rows]
    make_items: Callable[[Rows], Rows]
    bind: Callable[[Database], Callable[[Rows], Sequence[Any]]]


def _nothing(_database: Database) -> None:
    pass


def _unchanged(rows: Rows) -> Rows:
    return rows


# -- the queue ---------------------------------------------------------------------------------------------------------


def enqueue_call() -> BulkCall:
    flights = load_flights("week").flights
    rows = [JobRow(flight.priority, job_payload(flight)) for flight in flights]

    def batch(_database: Database, number: int) -> list[JobRow]:
        return [rows[(number * BATCH_SIZE + index) % len(rows)] for index in range(BATCH_SIZE)]

    return BulkCall(
        "bulk_enqueue",
        "jobs of real flights, about 170 bytes of JSON each",
        _nothing,
        batch,
        lambda rows: [NewJob(payload, priority=priority) for priority, payload in rows],
        lambda database: PriorityQueue(database, QUEUE).bulk_enqueue,
    )


def claim_call() -> BulkCall:
    """Rows are only counted: a claim takes whatever is next."""

    def bind(database: Database) -> Callable[[Rows], list[Job]]:
        queue = PriorityQueue(database, QUEUE)
        return lambda rows: queue.claim(len(rows), lease=LEASE_SECONDS)

    return BulkCall(
        "claim",
        f"ready jobs of real flights out of {BATCHES * BATCH_SIZE:,}, with their payloads decoded",
        _filled_queue(),
        lambda _database, _number: range(BATCH_SIZE),
        _unchanged,
        bind,
    )


def mark_done_call() -> BulkCall:
    def claimed(database: Database, _number: int) -> list[Job]:
        return PriorityQueue(database, QUEUE).claim(BATCH_SIZE, lease=LEASE_SECONDS)

    return BulkCall(
        "mark_done_bulk",
        "jobs as claimed together, each fenced by its lease",
        _filled_queue(),
        claimed,
        _unchanged,
        lambda database: PriorityQueue(database, QUEUE).mark_done_bulk,
    )


def _filled_queue() -> Callable[[Database], None]:
    """As many jobs as there are batches to take."""
    enqueue = enqueue_call()

    def fill(database: Database) -> None:
        for number in range(BATCHES):
            enqueue.bind(database)(enqueue.make_items(enqueue.make_rows(database, number)))

    return fill


# -- the scheduler -----------------------------------------------------------------------------------------------------


def add_watches_call() -> BulkCall:
    def batch(_database: Database, number: int) -> list[WatchRow]:
        return [
            WatchRow(f"route-{index}", 30.0 + index % 60, index % 4, {"origin": "JFK", "dest": f"D{index % 105}"})
            for index in range(number * BATCH_SIZE, (number + 1) * BATCH_SIZE)
        ]

    return BulkCall(
        "add_watches_bulk",
        "new watches with intervals, priorities and payloads of their own",
        _nothing,
        batch,
        lambda rows: [
            Watch(name, interval=interval, priority=priority, payload=payload)
            for name, interval, priority, payload in rows
        ],
        lambda database: Scheduler(database, QUEUE).add_watches_bulk,
    )


def update_states_call() -> BulkCall:
    def batch(_database: Database, number: int) -> list[StateRow]:
        return [
            StateRow(
                f"route-{index}",
                f"route-{index}/{number}",
                f"etag-{index}-{number}",
                MIDNIGHT + timedelta(seconds=index),
            )
            for index in random.Random(number).sample(range(KNOWN_WATCHES), BATCH_SIZE)
        ]

    def add_watches(database: Database) -> None:
        scheduler = Scheduler(database, QUEUE)
        names = [f"route-{index}" for index in range(KNOWN_WATCHES)]
        scheduler.add_watches_bulk([Watch(name, interval=60.0) for name in names])
        scheduler.update_ingest_states_bulk([IngestState(name, succeeded_at=MIDNIGHT) for name in names])

    return BulkCall(
        "update_ingest_states_bulk",
        f"of {KNOWN_WATCHES:,} ingest states that are there already, in random order",
        add_watches,
        batch,
        lambda rows: [
            IngestState(name, cursor=cursor, etag=etag, succeeded_at=succeeded_at)
            for name, cursor, etag, succeeded_at in rows
        ],
        lambda database: Scheduler(database, QUEUE).update_ingest_states_bulk,
    )
