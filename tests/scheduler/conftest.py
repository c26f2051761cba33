"""A scheduler on each engine, on a clock that stands still until a test moves it, and a worker that is done at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler


@pytest.fixture
def clock() -> SimpleNamespace:
    """`clock.now` is the time of the scheduler."""
    return SimpleNamespace(now=datetime(2013, 1, 1, tzinfo=UTC))


@pytest.fixture
def scheduler(database: Database, clock: SimpleNamespace) -> Scheduler:
    return Scheduler(database, "ingest", now=lambda: clock.now, rng=Random(1))


@pytest.fixture(scope="module")
def shared_scheduler(module_database: Database) -> Scheduler:
    """One for a whole module: for tests in which nothing is written, or that clean up."""
    return Scheduler(module_database, "ingest")


@pytest.fixture
def finish_jobs(database: Database) -> Callable[[], list[dict[str, Any]]]:
    """Finish all jobs, and return their payloads in the order of their slots."""

    def finish() -> list[dict[str, Any]]:
        payloads = [
            json.loads(text)
            for (text,) in database.fetch("SELECT CAST(payload AS TEXT) FROM perflab_jobs ORDER BY run_at, id")
        ]
        with database.driver_transaction() as connection:
            connection.execute("DELETE FROM perflab_jobs")
        return payloads

    return finish
