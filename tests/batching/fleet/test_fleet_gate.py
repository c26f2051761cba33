"""The gate of a fleet stands before all that its members send: writes, loads and the rows of inserters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Float, Integer, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.batching.fleet.fleet import Fleet
from perflab.batching.fleet.member import FleetMember
from perflab.batching.fleet.settings import FleetSettings
from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.database.load import load
from tests.batching.fleet.test_fleet import NEVER, PATIENCE_SECONDS, eventually

TABLE = Table("sample", MetaData(), Column("n", Integer, primary_key=True), Column("share", Float))
COPIED = 2_000
"""Rows that go by COPY on PostgreSQL; two go as arrays."""


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        with opened.transaction() as connection:
            TABLE.create(connection)
        yield opened


def insert_rows(db: Database, gate: FleetMember | None, rows: range) -> BulkInserter:
    with BulkInserter(db, TABLE, len(rows), NEVER, gate=gate, columns=["n"]) as inserter:
        inserter.extend([(n,) for n in rows])
    return inserter


def load_keys(db: Database, gate: FleetMember | None, keys: range) -> list[Any]:
    with RequestBatcher(db, len(keys), NEVER, gate=gate) as batcher:
        futures = [batcher.submit(load(TABLE), key) for key in keys]
        return [future.result(PATIENCE_SECONDS) for future in futures]


def spent(db: Database, what: Callable[[], object]) -> int:
    with db.counting() as count:
        what()
    return count.round_trips


@pytest.mark.parametrize("rows", [2, COPIED])
def test_a_slot_costs_an_inserter_no_round_trip(db: Database, rows: int) -> None:
    fleet = Fleet(db, "ingest")
    fleet.configure(FleetSettings(batch_size=7, max_in_flight=2))
    with fleet.join(heartbeat=NEVER) as member:
        member.add(insert_rows(db, member, range(rows)))  # the first asks the server for the types of a COPY
        plain = spent(db, lambda: insert_rows(db, None, range(rows, 2 * rows)))
        behind_gate = spent(db, lambda: insert_rows(db, member, range(2 * rows, 3 * rows)))
        assert behind_gate - plain == (0 if db.engine_name == "postgresql" else 1)
        member.beat()
        assert (fleet.metrics().items, fleet.metrics().flushes_in_flight or 0) == (rows, 0)
    assert db.fetch("SELECT count(*) FROM sample") == [(3 * rows,)]


def test_loads_pass_it_at_no_round_trip(db: Database) -> None:
    insert_rows(db, None, range(10))
    fleet = Fleet(db, "ingest")
    with fleet.join(heartbeat=NEVER, listen=False) as member:
        assert member.settings == FleetSettings()
        fleet.configure(FleetSettings(max_in_flight=2))
        plain = spent(db, lambda: load_keys(db, None, range(5, 15)))
        found: list[Any] = []
        assert spent(db, lambda: found.extend(load_keys(db, member, range(5, 15)))) == plain
        assert found == [*((n, None) for n in range(5, 10)), *[None] * 5]
        assert member.settings == (
            FleetSettings(max_in_flight=2) if db.engine_name == "postgresql" else FleetSettings()
        )


@pytest.mark.parametrize("what", ["two rows", "a COPY", "loads"])
def test_each_of_them_waits_for_a_slot(postgres_url: str, what: str) -> None:
    with Database.open(postgres_url, busy_timeout=PATIENCE_SECONDS) as db:
        db.create_schema()
        with db.transaction() as connection:
            TABLE.create(connection)
            connection.execute(insert(TABLE), [{"n": 1}])
        fleet = Fleet(db, "ingest")
        fleet.configure(FleetSettings(max_in_flight=1))
        with (
            fleet.join(heartbeat=NEVER) as member,
            psycopg.connect(postgres_url) as holder,
            ThreadPoolExecutor(1) as pool,
        ):
            holder.execute(
                "SELECT pg_advisory_xact_lock(tableoid::int4, id * 1024 + 1) FROM perflab_fleets WHERE name = 'ingest'"
            )
            if what == "loads":
                waiting: Future[Any] = pool.submit(load_keys, db, member, range(1, 2))
            else:
                rows = range(10, 12 if what == "two rows" else 10 + COPIED)
                waiting = pool.submit(insert_rows, db, member, rows)
            try:
                eventually(lambda: fleet.metrics().flushes_waiting == 1)
                assert not waiting.done()
                assert db.fetch("SELECT count(*) FROM sample") == [(1,)]
            finally:
                holder.rollback()
            result = waiting.result(PATIENCE_SECONDS)
            assert fleet.metrics().flushes_in_flight == 0
        if what == "loads":
            assert result == [(1, None)]
        else:
            assert db.fetch("SELECT count(*) FROM sample") == [(1 + len(rows),)]
