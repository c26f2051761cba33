"""What the guided tour measures and shows: three ways to write the same jobs, and a handler that does some work."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from zlib import crc32

import pandas as pd

from perflab.batching.batcher import RequestBatcher
from perflab.batching.metrics import BatchingMetrics
from perflab.database.database import Database
from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_count, format_percent, format_seconds
from perflab.lab.sweep.subject import checksum, job_payload
from perflab.lab.workloads.flights import Flight, load_flights
from perflab.lab.workloads.trace import job_events
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

WARM_UP_JOBS = 20


def flight_jobs(count: int) -> list[NewJob]:
    """One job for each of the first flights of the committed week, in the order of their departure.

    Raises:
        InvalidInput: the week has not that many flights.
    """
    flights = [event.subject for event in job_events(load_flights("week")) if isinstance(event.subject, Flight)]
    if not 1 <= count <= len(flights):
        raise InvalidInput(f"{count} jobs were asked for: the week has flights for 1 to {len(flights):,}")
    return [NewJob(job_payload(flight), priority=flight.priority) for flight in flights[:count]]


# -- three ways to write -----------------------------------------------------------------------------------------------


def one_by_one(database: Database, jobs: Sequence[NewJob], queue: str = "tour") -> None:
    """Each job in a transaction of its own."""
    single: PriorityQueue[int, bool] = PriorityQueue(database, queue)
    for job in jobs:
        single.enqueue(job.payload, job.priority)


def through_a_batcher(database: Database, jobs: Sequence[NewJob], queue: str = "tour") -> None:
    """The same calls, coalesced: the queue hands each job to a batcher, and gets a future for it."""
    with RequestBatcher(database) as batcher:
        batched = PriorityQueue(database, queue, batcher)
        futures = [batched.enqueue(job.payload, job.priority) for job in jobs]
        batcher.flush()
        for future in futures:
            future.result()


def in_bulk(database: Database, jobs: Sequence[NewJob], queue: str = "tour") -> None:
    """All jobs at once, for callers who have them at once."""
    PriorityQueue(database, queue).bulk_enqueue(jobs)


WAYS: Mapping[str, Callable[..., None]] = {
    "one by one": one_by_one,
    "through a batcher": through_a_batcher,
    "in bulk": in_bulk,
}


def compare_ways(jobs: Sequence[NewJob], *, rounds: int, seed: int) -> pd.DataFrame:
    """Write the same jobs in each way, in rounds that visit all ways in a random order, each in a fresh database.

    Args:
        jobs: what to write.
        rounds: how often; each round is one block of the statistics.
        seed: of the orders.

    Returns:
        One row for each visit: round, position, way, jobs, seconds, round_trips.

    Raises:
        WrongAnswer: a way left other jobs in the database than it was given.
    """
    rng = Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        for position, way in enumerate(rng.sample(list(WAYS), len(WAYS))):
            rows.append({"round": number, "position": position, "way": way, "jobs": len(jobs), **_visit(way, jobs)})
    return pd.DataFrame(rows)


def _visit(way: str, jobs: Sequence[NewJob]) -> dict[str, float]:
    with (
        TemporaryDirectory(prefix="perflab-tour-") as folder,
        Database.open(f"sqlite:///{Path(folder) / 'tour.db'}") as database,
    ):
        database.create_schema()
        WAYS[way](database, jobs[:WARM_UP_JOBS], "warm_up")
        gc.collect()  # not in the measured part
        with database.counting() as count:
            started = time.perf_counter()
            WAYS[way](database, jobs)
            seconds = time.perf_counter() - started
        _check(database, way, jobs)
        return {"seconds": seconds, "round_trips": count.round_trips}


def _check(database: Database, way: str, jobs: Sequence[NewJob]) -> None:
    found = database.fetch("SELECT json_extract(payload, '$.key'), priority FROM perflab_jobs WHERE queue = 'tour'")
    expected = [(job.payload["key"], job.priority) for job in jobs]
    if checksum(found) != checksum(expected):
        raise WrongAnswer(f"{way}: {len(found)} jobs are there, and not the {len(expected)} that were written")


# -- a handler ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DepartureBoard:
    """What a worker made of the jobs that it got: departures by origin and hour, and the proof that it got each once.

    Attributes:
        departures: Flights by origin and scheduled hour (UTC).
        checksum: Of the flights, independent of their order; a flight that comes twice counts twice.
    """

    departures: Counter[tuple[str, int]] = field(default_factory=Counter)
    checksum: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, flight: Mapping[str, Any]) -> None:
        """Enter the payload of one job. Several threads may call it."""
        hour = int(flight["scheduled_at"][11:13])
        proof = crc32(flight["key"].encode())
        with self._lock:
            self.departures[flight["origin"], hour] += 1
            self.checksum += proof

    def table(self) -> pd.DataFrame:
        """Flights by hour (rows, 0 to 23) and origin (columns)."""
        hours = range(24)
        origins = sorted({origin for origin, _ in self.departures})
        flights = {origin: [self.departures[origin, hour] for hour in hours] for origin in origins}
        return pd.DataFrame(flights, index=pd.Index(hours, name="hour"))


def board_of(jobs: Sequence[NewJob]) -> DepartureBoard:
    """The board as it must look when every one of these jobs was handled once."""
    board = DepartureBoard()
    for job in jobs:
        board.add(job.payload)
    return board


# -- metrics in words --------------------------------------------------------------------------------------------------


def explain_metrics(metrics: BatchingMetrics) -> str:
    """The metrics of a batcher with what they mean, as a Markdown table."""
    causes = ", ".join(f"{cause} {count:,}" for cause, count in metrics.causes.items())
    wait, flush = metrics.wait_seconds, metrics.flush_seconds
    rows = {
        "items": (format_count(metrics.items), "items that are in the database"),
        "batches": (format_count(metrics.batches), "flushes that brought them there"),
        "mean_batch": (format_count(metrics.mean_batch), "items per flush"),
        "utilisation": (format_percent(metrics.utilisation), "how full batches were when they left"),
        "round_trips": (format_count(metrics.round_trips), "exchanges with the database, counted"),
        "round_trips_saved": (format_count(metrics.round_trips_saved), "what single writes would have cost on top"),
        "efficiency": (format_percent(metrics.efficiency), "utilisation and saving in one: their geometric mean"),
        "causes": (causes, "why batches left: full (count), too old (age), flush() (barrier), close"),
        "wait_seconds.p99": (format_seconds(wait.p99), "how long the oldest item of a batch had waited"),
        "flush_seconds.p50": (format_seconds(flush.p50), "how long a flush took"),
        "retries": (format_count(metrics.retries), "attempts that failed for a reason that passes"),
        "failed": (format_count(metrics.failed), "items that ended in an error, each with its own"),
        "pending": (format_count(metrics.pending), "items accepted and not yet decided"),
    }
    return markdown_table(["metric", "value", "meaning"], [(f"`{name}`", *row) for name, row in rows.items()])
