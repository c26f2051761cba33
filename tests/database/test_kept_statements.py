"""What PostgreSQL keeps parsed: perflab's own statements, and none that it has not heard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from perflab.database.database import Database
from perflab.database.statements import OwnStatement
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

OFTEN = 8
"""Psycopg prepares what has come five times."""

NOW = datetime(2026, 11, 24, tzinfo=UTC)

OWN = OwnStatement("SELECT %(number)s::int8 + 1")


@pytest.fixture
def database(metered_url: str) -> Iterator[Database]:
    """Of one connection."""
    with Database.open(metered_url, pool_size=1) as opened:
        yield opened


def ask(database: Database, number: int) -> int:
    with database.driver_transaction() as connection:
        cursor = connection.execute(OWN, {"number": number})
    (answer,) = cursor.fetchone()
    return int(answer)


def kept(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch(
        "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements ORDER BY statement"
    )


def test_own_statements_are_kept_and_planned_each_time(database: Database) -> None:
    assert [ask(database, number) for number in range(OFTEN)] == list(range(1, OFTEN + 1))
    ((statement, generic, custom),) = kept(database)
    assert "+ 1" in statement
    assert generic == 0
    assert custom == OFTEN - 5


def test_statements_of_the_user_and_reads_are_not_kept(database: Database) -> None:
    for _ in range(OFTEN):
        with database.driver_transaction() as connection:
            connection.execute("SELECT 1")
        with database.transaction() as users:
            users.execute(text("SELECT 2"))
        with database.driver_transaction() as connection:
            connection.executemany("SELECT %s", [(1,), (2,)])
        database.fetch(OWN, {"number": 1})
    assert kept(database) == []


def test_keeping_costs_no_round_trip(database: Database, meter: PostgresMeter) -> None:
    database.create_schema()
    queue = PriorityQueue(database, "ingest")
    counted, seen = database.round_trips, meter.ready_for_query
    for number in range(OFTEN):
        queue.enqueue(number)
    assert len(kept(database)) == 1
    assert database.round_trips - counted == OFTEN + 1
    assert meter.ready_for_query - seen == OFTEN + 1


def test_one_that_a_failed_transaction_did_not_come_to_is_sent_again(database: Database) -> None:
    for number in range(5):
        ask(database, number)
    with pytest.raises(psycopg.errors.DivisionByZero), database.driver_transaction() as connection:
        connection.execute("SELECT 1 / 0")
        connection.execute(OWN, {"number": 1})  # would be prepared, had the one before not failed
    assert [ask(database, number) for number in range(OFTEN)] == list(range(1, OFTEN + 1))
    assert len(kept(database)) == 1


@pytest.mark.parametrize("ends_by_itself", [True, False])
def test_after_a_failure_the_count_is_still_what_the_wire_says(
    database: Database, meter: PostgresMeter, ends_by_itself: bool
) -> None:
    for number in range(OFTEN):
        ask(database, number)
    assert len(kept(database)) == 1
    counted, seen = database.round_trips, meter.ready_for_query
    if ends_by_itself:
        with pytest.raises(KeyError), database.driver_transaction() as connection:
            connection.execute(OWN, {"number": 1})
            raise KeyError
    else:
        with pytest.raises(psycopg.errors.DivisionByZero), database.driver_conversation() as connection:
            connection.execute("SELECT 1 / 0")
    for number in range(OFTEN):
        assert ask(database, number) == number + 1
        database.fetch("SELECT 1")
    assert database.round_trips - counted == meter.ready_for_query - seen
    assert len(kept(database)) == 1


def test_a_batch_of_one_and_one_of_many_write_the_same_row(database: Database) -> None:
    database.create_schema()
    queue = PriorityQueue(database, "ingest", now=lambda: NOW)
    job = NewJob({"a": "ä"}, 3, None, None, 7)
    later = NewJob([1], 0, NOW.replace(year=2100), None, 2)
    ids = queue.bulk_enqueue([job]) + queue.bulk_enqueue([later]) + queue.bulk_enqueue([job, later])
    assert ids == sorted(ids)
    rows = database.fetch(
        "SELECT queue, priority, run_at, state, max_attempts, payload::text, payload_zstd, enqueued_at, attempt, key"
        " FROM perflab_jobs ORDER BY id"
    )
    assert rows[:2] == rows[2:]
