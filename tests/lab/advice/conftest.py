"""Job tables that a program of its own would have, filled with real flights: the same on both engines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.lab.advice.proof import ProofSettings
from perflab.lab.advice.table_facts import IndexFacts, TableFacts
from perflab.lab.workloads.flights import load_flights

WEEKS = 3
QUICK = ProofSettings(blocks=6, visit_seconds=0.002)
OF_PROCESSOR = replace(QUICK, clock=thread_time)
"""Counts what SQLite works and not how long it waits: what is a hundred times less work is so on a busy machine too."""
FILL = "INSERT INTO job (queue, priority, run_at, state, payload) VALUES ({0}, {0}, {0}, {0}, {0})"


@pytest.fixture(scope="session")
def jobs() -> list[tuple[str, int, int, str, str]]:
    """Queue, priority, time, state and payload of the flights of a week, again and again: some 20,000, all ready."""
    flights = load_flights("week").flights
    return [
        ("ingest", flight.priority, round(flight.scheduled_at.timestamp()) + week * 604_800, "ready", f'"{flight.key}"')
        for week in range(WEEKS)
        for flight in flights
    ]


@pytest.fixture
def sqlite_url(tmp_path: Path, jobs: list[tuple[Any, ...]]) -> str:
    """A job table with an index for its claims that does not begin with the queue, as many have it."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with Database.open(url) as database, database.driver_transaction() as connection:
        connection.execute(
            "CREATE TABLE job (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, priority INTEGER NOT NULL, "
            "run_at INTEGER NOT NULL, state TEXT NOT NULL, payload TEXT NOT NULL, lease_until INTEGER)"
        )
        connection.executemany(FILL.format("?"), jobs)
        connection.execute("CREATE INDEX job_claim ON job (state, priority, run_at)")
        connection.execute("CREATE INDEX job_lease ON job (state, lease_until)")
    return url


@pytest.fixture
def sqlite_jobs(sqlite_url: str) -> Iterator[Database]:
    with Database.open(sqlite_url) as database:
        yield database


@pytest.fixture
def postgresql_jobs(postgres_url: str, jobs: list[tuple[Any, ...]]) -> Iterator[Database]:
    """The same with a primary key only. Nothing analyses it meanwhile."""
    with Database.open(postgres_url) as database:
        with database.driver_transaction() as connection:
            connection.execute(
                "CREATE TABLE job (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text NOT NULL, "
                "priority int NOT NULL, run_at bigint NOT NULL, state text NOT NULL, payload json NOT NULL, "
                "lease_until bigint) WITH (autovacuum_enabled = false)"
            )
            connection.executemany(FILL.format("%s"), jobs)
        yield database


@pytest.fixture
def scratch_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """What is in the directory for temporary files, which is one of this test alone."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return lambda: sorted(place.iterdir())


def schemas_of(database: Database) -> list[str]:
    return [name for (name,) in database.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'perflab%%'")]


JOB = TableFacts(
    name="job",
    schema="",
    rows=20_000,
    columns=("id", "queue", "priority", "run_at", "state", "payload"),
    indexes=(IndexFacts("job_pkey", ("id",), unique=True),),
    statistics_rows=None,
)
OWNER = replace(JOB, name="owner", columns=("id", "name"), rows=100)
TABLES: Mapping[str, TableFacts] = {"job": JOB, "owner": OWNER}
