"""A queue on a clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace

import pytest

from perflab.database.database import Database
from perflab.queue.queue import PriorityQueue


@pytest.fixture
def clock() -> SimpleNamespace:
    """`clock.now` is the time of the queue."""
    return SimpleNamespace(now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(params=["file", "memory"])
def db(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    with Database.open(database_url if request.param == "file" else "sqlite://") as opened:
        opened.create_schema()
        yield opened


@pytest.fixture
def queue(db: Database, clock: SimpleNamespace) -> PriorityQueue[int, bool]:
    return PriorityQueue(db, "ingest", now=lambda: clock.now, rng=Random(1))
