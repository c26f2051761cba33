"""A queue on each engine, on a clock that stands still until a test moves it, and what tests of workers share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace

import pytest

from perflab.database.database import Database
from perflab.queue.backoff import Backoff
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport

Handler = Callable[[Job], object]
A_MINUTE = 60.0


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> SimpleNamespace:
    """`clock.now` is the time of the queue."""
    return SimpleNamespace(now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(params=["sqlite file", "sqlite in memory", "postgresql"])
def db(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Database]:
    """Kept in each way."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_databases").perflab()
    else:
        url = sqlite_url if request.param == "sqlite file" else "sqlite://"
    with Database.open(url) as opened:
        opened.create_schema()
        yield opened


@pytest.fixture
def queue(db: Database, clock: SimpleNamespace) -> PriorityQueue[int, bool]:
    return PriorityQueue(db, "ingest", now=lambda: clock.now, rng=Random(1))


# -- workers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def real_time_queue(database: Database) -> PriorityQueue[int, bool]:
    """A queue in a file and on the real clock, where failed jobs do not come again within a test."""
    return PriorityQueue(database, backoff=Backoff(base_seconds=3600), rng=Random(0))


@pytest.fixture(params=["def", "async def"])
def kind(request: pytest.FixtureRequest) -> Callable[[Handler], Handler]:
    """Makes a handler of either kind out of a plain function."""

    def as_async(handler: Handler) -> Handler:
        async def run(job: Job) -> object:
            await asyncio.sleep(0)
            return handler(job)

        return run

    def as_it_is(handler: Handler) -> Handler:
        return handler

    return as_it_is if request.param == "def" else as_async


@pytest.fixture(scope="session")
def report() -> Callable[..., WorkerReport]:
    """Makes the report in which claimed jobs have ended as stated, and all others are zero."""

    def make(**ends: int) -> WorkerReport:
        zero = {field.name: 0 for field in fields(WorkerReport)}
        return WorkerReport(**{**zero, "claimed": sum(ends.values()), **ends})

    return make


@pytest.fixture(scope="session")
def running() -> Callable[..., AbstractContextManager[list[WorkerReport]]]:
    """Runs a worker in a thread; the list holds its report once the block has ended."""

    @contextmanager
    def run(worker: Worker, *, until_empty: bool = False) -> Iterator[list[WorkerReport]]:
        reports: list[WorkerReport] = []
        thread = threading.Thread(target=lambda: reports.append(worker.run(until_empty=until_empty)))
        thread.start()
        try:
            yield reports
        finally:
            if not until_empty:
                worker.stop()
            thread.join(A_MINUTE)
            assert reports, "the worker did not return"

    return run
