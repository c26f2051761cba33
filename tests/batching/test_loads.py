"""Loads through the batchers: coalesced, after the writes that came before them, and never in their transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, delete, insert, update

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import InvalidInput, RejectedRow
from perflab.events import FlushCompleted, Outcome
from tests.listening import to_flushes

MakeShell = Callable[..., Any]
QUICK = RetryPolicy(base_seconds=0.001, cap_seconds=0.002)


def test_a_batch_of_loads_is_one_select(
    make_shell: MakeShell, db: Database, table: Table, flushes: list[FlushCompleted]
) -> None:
    with db.transaction() as connection:
        connection.execute(insert(table), [{"id": n, "n": 100 + n} for n in range(1, 6)])
    shell = make_shell()
    handles = shell.submit_all(load(table, columns=["n"]), [3, 9, 1, 3])
    shell.submit_all(load(table, columns=["n"]), [5])  # another object, and the same operation
    shell.flush()
    assert [handle.result() for handle in handles] == [(103,), None, (101,), (103,)]
    assert [(flush.items, flush.round_trips, flush.round_trips_unbatched) for flush in flushes] == [(5, 1, 5)]


def test_a_load_sees_the_writes_before_it(make_shell: MakeShell, table: Table) -> None:
    shell = make_shell()
    shell.submit(insert(table), {"id": 1, "n": 7})
    inserted = shell.submit(load(table, "n", columns=["id"]), 7)
    refused = shell.submit(insert(table), {"id": 2, "n": 13})
    missing = shell.submit(load(table), 2)
    shell.flush()
    removed = shell.submit(delete(table).where(table.c.id == bindparam("which")), {"which": 1})
    gone = shell.submit(load(table), 1)
    shell.flush()
    assert inserted.result() == (1,)
    assert type(refused.error()) is RejectedRow
    assert missing.result() is None
    assert removed.result() is gone.result() is None


def test_a_batch_of_loads_does_not_wait_for_a_writer(
    make_shell: MakeShell, lock: Any, table: Table, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    lock.hold()
    handle = shell.submit(load(table), 1)
    shell.flush()
    assert handle.result() is None
    assert [flush.outcome for flush in flushes] == [Outcome.COMMITTED]


def test_a_load_waits_for_a_write_that_is_tried_again(
    make_shell: MakeShell, lock: Any, db: Database, table: Table, flushes: list[FlushCompleted]
) -> None:
    """The reads of the batch that came before the write are answered; those behind it come again with it."""
    let_go = [lock.release]
    db.events.add(to_flushes(lambda event: let_go.pop()() if let_go and event.outcome is Outcome.RETRIED else None))
    shell = make_shell(retry=QUICK)
    lock.hold()
    before = shell.submit(load(table), 1)
    shell.submit(insert(table), {"id": 1, "n": 7})
    after = shell.submit(load(table, columns=["n"]), 1)
    shell.flush()
    assert before.result() is None
    assert after.result() == (7,)
    assert (flushes[0].outcome, flushes[0].delivered) == (Outcome.RETRIED, 1)


def test_a_key_that_is_refused_fails_alone(make_shell: MakeShell, table: Table) -> None:
    shell = make_shell()
    good, bad = shell.submit(load(table), 1), shell.submit(load(table), None)
    shell.flush()
    assert good.result() is None
    assert isinstance(bad.error(), InvalidInput)


STATION = Table("station", MetaData(), Column("name", Text, primary_key=True), Column("n", Integer))


@pytest.fixture
def stations(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            STATION.create(connection)
        yield opened


def test_both_engines(stations: Database) -> None:
    with RequestBatcher(stations, flush_interval=3600.0) as batcher:
        batcher.submit(insert(STATION), {"name": "JFK", "n": 1})
        found = [batcher.submit(load(STATION), name) for name in ("JFK", "EWR", "JFK")]
        batcher.flush()
        batcher.submit(
            update(STATION).where(STATION.c.name == bindparam("of")).values(n=bindparam("to")), {"of": "JFK", "to": 2}
        )
        changed = batcher.submit(load(STATION), "JFK")
        batcher.flush()
        assert [future.result() for future in found] == [("JFK", 1), None, ("JFK", 1)]
        assert changed.result().n == 2


def test_both_engines_on_a_loop(stations: Database) -> None:
    async def run() -> list[Any]:
        async with AsyncRequestBatcher(stations) as batcher:
            await batcher.submit(insert(STATION), {"name": "JFK", "n": 1})
            return await asyncio.gather(*(batcher.submit(load(STATION), name) for name in ("JFK", "EWR")))

    assert asyncio.run(run()) == [("JFK", 1), None]
