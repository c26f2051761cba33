"""PostgreSQL: the count of round trips against the wire, transactions, lost connections, Core writes, batchers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, Table, Text, bindparam, delete, insert, update

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.database.failures import classify
from perflab.database.result_codes import FailureKind
from perflab.errors import InvalidInput, RejectedRow, StatementError
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

ITEMS = Table(
    "items",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("at", DateTime(timezone=True)),
    Column("extra", JSON),
)


@pytest.fixture
def database(metered_url: str) -> Iterator[Database]:
    with Database.open(metered_url) as opened:
        opened.create_schema()
        with opened.transaction() as connection:
            ITEMS.create(connection)
        yield opened


def names(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch("SELECT id, name FROM items ORDER BY id")


# -- round trips -------------------------------------------------------------------------------------------------------


def one_fetch(database: Database) -> None:
    database.fetch("SELECT 1")


def one_statement(database: Database) -> None:
    with database.driver_transaction() as connection:
        connection.execute("INSERT INTO items (id) VALUES (1)")


def three_statements(database: Database) -> None:
    with database.driver_transaction() as connection:
        for number in (1, 2, 3):
            connection.execute("INSERT INTO items (id) VALUES (%s)", [number])


def nothing_at_all(database: Database) -> None:
    with database.driver_transaction():
        pass


def conversation(database: Database) -> None:
    with database.driver_conversation() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
        assert connection.execute("SELECT 2").fetchall() == [(2,)]


def users_transaction(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(ITEMS), [{"id": 1}, {"id": 2}])


def refused(database: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), database.driver_transaction() as connection:
        connection.execute("INSERT INTO items (id) VALUES (1), (1)")
        connection.execute("SELECT 1")


def batched(database: Database) -> None:
    with RequestBatcher(database, batch_size=100, flush_interval=60.0) as batcher:
        futures = [batcher.submit(insert(ITEMS), {"id": number, "name": "x"}) for number in range(100)]
        assert [future.result(60) for future in futures] == [None] * 100


def queue_calls(database: Database) -> None:
    queue = PriorityQueue(database, "ingest")
    queue.bulk_enqueue([NewJob({"n": number}) for number in range(50)])
    jobs = queue.claim(20)
    assert queue.mark_done_bulk(jobs[:10]) == [True] * 10
    assert queue.mark_error_bulk([(job, "no") for job in jobs[10:]]) == [True] * 10


def scheduler_calls(database: Database) -> None:
    scheduler = Scheduler(database, "ingest")
    scheduler.add_watches_bulk([Watch(f"w{number}", interval=60.0) for number in range(30)])
    assert scheduler.tick().enqueued == 30
    assert scheduler.update_ingest_states_bulk([IngestState("w1", cursor="a"), IngestState("none")]) == [True, False]


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (one_fetch, 1),
        (one_statement, 1),
        (three_statements, 1),
        (nothing_at_all, 1),
        (conversation, 4),
        (users_transaction, None),
        (refused, 1),
        (batched, 1),
        (queue_calls, 4),
        (scheduler_calls, 3),
    ],
)
def test_the_count_is_what_the_wire_says(
    database: Database, meter: PostgresMeter, act: Callable[[Database], None], expected: int | None
) -> None:
    before = meter.ready_for_query
    with database.counting() as count:
        act(database)
    assert count.round_trips == meter.ready_for_query - before
    if expected is not None:
        assert count.round_trips == expected


def test_one_write_alone_costs_what_savings_are_computed_from(database: Database) -> None:
    with database.counting() as count:
        one_statement(database)
    assert count.round_trips == database.round_trips_of_one


def test_savings_are_counted(database: Database) -> None:
    with RequestBatcher(database, batch_size=50, flush_interval=60.0) as batcher:
        for number in range(100):
            batcher.submit(insert(ITEMS), {"id": number})
        batcher.flush()
        metrics = batcher.metrics()
    assert (metrics.round_trips, metrics.round_trips_saved) == (2, 98)


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), database.driver_transaction() as connection:
        connection.execute("INSERT INTO items (id) VALUES (1)")
        connection.execute("SELECT 1 / 0")
    with pytest.raises(ValueError, match="mine"), database.driver_transaction() as connection:
        connection.execute("INSERT INTO items (id) VALUES (4)")
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"), database.driver_conversation() as connection:
        connection.execute("INSERT INTO items (id) VALUES (2)")
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"), database.transaction() as user:
        user.execute(insert(ITEMS), {"id": 3})
        raise ValueError("mine")
    assert names(database) == []


def test_operations_join_the_users_transaction(database: Database) -> None:
    queue = PriorityQueue(database, "ingest")
    with pytest.raises(ValueError, match="mine"), database.transaction() as connection:
        ids = queue.bulk_enqueue([NewJob(1)], connection=connection)
        assert len(ids) == 1
        raise ValueError("mine")
    assert queue.counts().ready == 0
    with database.transaction() as connection:
        queue.bulk_enqueue([NewJob(1)], connection=connection)
    assert queue.counts().ready == 1


def test_transactions_of_one_thread_may_nest_on_connections_of_their_own(database: Database) -> None:
    with database.driver_transaction() as outer:
        with database.driver_transaction() as inner:
            inner.execute("INSERT INTO items (id) VALUES (1)")
        outer.execute("INSERT INTO items (id) VALUES (2)")
    assert names(database) == [(1, None), (2, None)]


@pytest.mark.case("F09")
def test_a_lost_connection_is_transient_and_the_next_one_works(database: Database, postgres_url: str) -> None:
    def end_all() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            ended = other.execute(
                "SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'perflab'"
            ).fetchall()
            assert ended  # the fault fired

    with database.driver_transaction() as connection:
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError) as caught, database.driver_transaction() as connection:
        end_all()
        connection.execute("SELECT 1")
    assert classify(caught.value) is FailureKind.TRANSIENT
    assert database.fetch("SELECT 1") == [(1,)]
    # Who gets one that was lost in the pool is not even told: it is replaced.
    end_all()
    with RequestBatcher(database, batch_size=10, flush_interval=60.0) as batcher:
        futures = [batcher.submit(insert(ITEMS), {"id": number}) for number in range(10)]
        assert [future.result(60) for future in futures] == [None] * 10
        assert batcher.metrics().retries == 0
    assert len(names(database)) == 10


@pytest.mark.case("F06")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_it_waits_is_an_interrupt_and_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """psycopg raises "cannot exit pipeline mode while busy" in its place."""

    def interrupted(*_: Any, **__: Any) -> Any:
        raise interrupt

    with pytest.raises(interrupt), database.driver_transaction() as connection:
        connection.execute("INSERT INTO items (id) VALUES (1)")
        monkeypatch.setattr(connection, "wait", interrupted)
    assert names(database) == []
    one_statement(database)
    assert names(database) == [(1, None)]


# -- writes ------------------------------------------------------------------------------------------------------------


def test_core_writes(database: Database) -> None:
    moment = datetime(2013, 8, 20, 12, tzinfo=UTC)
    with RequestBatcher(database, batch_size=100, flush_interval=0.0) as batcher:
        row = {"id": 1, "name": "ä", "at": moment, "extra": {"a": [1, None]}}
        assert batcher.submit(insert(ITEMS), row).result(60) is None
        assert batcher.submit(insert(ITEMS).returning(ITEMS.c.id), {"id": 2}).result(60) == [(2,)]
        renamed = batcher.submit(update(ITEMS).where(ITEMS.c.id == bindparam("key")), {"key": 2, "name": "two"})
        renamed.result(60)
        assert names(database) == [(1, "ä"), (2, "two")]
        batcher.submit(delete(ITEMS).where(ITEMS.c.id == bindparam("key")), {"key": 2}).result(60)
    assert database.fetch("SELECT id, at, extra FROM items") == [(1, moment, {"a": [1, None]})]


def test_bad_rows_fail_alone(database: Database) -> None:
    with RequestBatcher(database, batch_size=100, flush_interval=60.0) as batcher:
        futures = [batcher.submit(insert(ITEMS), {"id": 7 if number == 50 else number}) for number in range(100)]
        wrong_table = batcher.submit(insert(Table("nothing", MetaData(), Column("x", Integer))), {"x": 1})
        nul = batcher.submit(insert(ITEMS), {"id": 1_000, "name": "a\x00b"})
        batcher.flush()
    errors = [future.exception(60) for future in futures]
    assert isinstance(errors[50], RejectedRow)
    assert errors.count(None) == 99
    assert isinstance(wrong_table.exception(60), StatementError)
    assert isinstance(nul.exception(60), InvalidInput)
    assert len(names(database)) == 99


def test_the_asyncio_batcher(database: Database) -> None:
    async def write() -> list[Any]:
        async with AsyncRequestBatcher(database, batch_size=50, flush_interval=0.010) as batcher:
            return await asyncio.gather(*(batcher.submit(insert(ITEMS), {"id": number}) for number in range(200)))

    assert asyncio.run(write()) == [None] * 200
    assert len(names(database)) == 200


def test_the_bulk_inserter(database: Database) -> None:
    for on_conflict, name in (("error", "a"), ("ignore", "b"), ("update", "c")):
        with BulkInserter(database, ITEMS, batch_size=40, on_conflict=on_conflict) as inserter:  # type: ignore[arg-type]
            inserter.extend({"id": number, "name": name} for number in range(100))
        expected = "c" if on_conflict == "update" else "a"
        assert names(database) == [(number, expected) for number in range(100)]
    with pytest.raises(RejectedRow), BulkInserter(database, "items", batch_size=40) as inserter:
        inserter.extend([{"id": 99}, {"id": 100}])
    assert len(names(database)) == 101


# -- opening -----------------------------------------------------------------------------------------------------------


def test_full_durability_waits_for_the_disk(postgres_url: str) -> None:
    with Database.open(postgres_url, durability="full") as database:
        assert database.fetch("SHOW synchronous_commit") == [("on",)]


def test_an_unknown_parameter_is_refused(postgres_url: str) -> None:
    with pytest.raises(InvalidInput, match="a parameter that PostgreSQL's client does not know"):
        Database.open(f"{postgres_url}&colour=blue")
