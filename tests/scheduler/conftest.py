"""A scheduler on each engine, on a clock that stands still until a test moves it, and a worker that is done at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler

NewDatabase = Callable[..., AbstractContextManager[str]]

# -- engines -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_postgresql_database(postgresql_server: Callable[[str], str]) -> NewDatabase:
    """Makes a database, with the schema unless told otherwise, whose URL the block gets; it is dropped at the end."""
    numbers = count()

    @contextmanager
    def make(template: str = "perflab") -> Iterator[str]:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgresql_server("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield postgresql_server(name)
        with psycopg.connect(postgresql_server("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return make


@pytest.fixture
def postgresql_url(new_postgresql_database: NewDatabase) -> Iterator[str]:
    with new_postgresql_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """On each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(
    request: pytest.FixtureRequest, new_postgresql_database: NewDatabase, tmp_path: Path
) -> Iterator[str]:
    """Without perflab's schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
    else:
        with new_postgresql_database("template1") as url:
            yield url


# -- schedulers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> SimpleNamespace:
    """`clock.now` is the time of the scheduler."""
    return SimpleNamespace(now=datetime(2013, 1, 1, tzinfo=UTC))


@pytest.fixture
def scheduler(database: Database, clock: SimpleNamespace) -> Scheduler:
    return Scheduler(database, "ingest", now=lambda: clock.now, rng=Random(1))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_scheduler(request: pytest.FixtureRequest, new_postgresql_database: NewDatabase) -> Iterator[Scheduler]:
    """One for a whole module: for tests in which nothing is written, or that clean up."""
    with (
        nullcontext("sqlite://") if request.param == "sqlite" else new_postgresql_database() as url,
        Database.open(url) as database,
    ):
        database.create_schema()
        yield Scheduler(database, "ingest")


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
