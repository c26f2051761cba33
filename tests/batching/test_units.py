"""Atomic units: all of it or none, several to a transaction, and each item its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, Text, bindparam, delete, insert

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.dead_letters import DeadLetter
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import BufferFull, InvalidInput, LifecycleError, RejectedRow, UnitBroken
from perflab.events import Cause, FlushCompleted
from tests.batching.conftest import PATIENCE_SECONDS, Gate
from tests.listening import to_flushes

METADATA = MetaData()
HOUR = Table("weather_hour", METADATA, Column("id", Integer, primary_key=True), Column("origin", Text))
FLIGHT = Table(
    "flight",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("hour", ForeignKey("weather_hour.id"), nullable=False),
    Column("distance", Integer, CheckConstraint("distance > 0")),
)
LATE: dict[str, Any] = {"flush_interval": 3600.0}


@pytest.fixture
def target(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            METADATA.create_all(connection)
        yield opened


@pytest.fixture
def flushed(target: Database) -> list[FlushCompleted]:
    seen: list[FlushCompleted] = []
    target.events.add(to_flushes(seen.append))
    return seen


def stored(database: Database) -> tuple[list[int], list[int]]:
    hours = [n for (n,) in database.fetch("SELECT id FROM weather_hour ORDER BY id")]
    return hours, [n for (n,) in database.fetch("SELECT id FROM flight ORDER BY id")]


def submit_hour(unit: Any, number: int, distances: list[int]) -> list[Any]:
    """An hour and its flights, whose numbers are ten times that of the hour and up."""
    futures = [unit.submit(insert(HOUR).returning(HOUR.c.id), {"id": number, "origin": "JFK"})]
    for place, distance in enumerate(distances):
        row = {"id": 10 * number + place, "hour": number, "distance": distance}
        futures.append(unit.submit(insert(FLIGHT), row))
    return futures


def test_units_share_a_transaction_and_statements(target: Database, flushed: list[FlushCompleted]) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        futures = []
        for number in range(1, 6):
            with batcher.atomic() as unit:
                futures.append(submit_hour(unit, number, [100, 200]))
        batcher.flush()
        assert [future.result() for future in futures[2]] == [[(3,)], None, None]
        assert stored(target) == ([1, 2, 3, 4, 5], [10, 11, 20, 21, 30, 31, 40, 41, 50, 51])
        (flush,) = flushed
        assert (flush.items, flush.delivered) == (15, 15)
        # On SQLite BEGIN, COMMIT, and one INSERT for each table: hours may go before the flights of other hours.
        assert flush.round_trips == (1 if target.engine_name == "postgresql" else 4)
        assert batcher.metrics().items == 15


def test_a_unit_counts_as_all_of_its_items(target: Database, flushed: list[FlushCompleted]) -> None:
    """Elsewhere a request of many items counts as one (BentoML#3710)."""
    with RequestBatcher(target, 4, max_pending=8, overflow="raise", **LATE) as batcher:
        with batcher.atomic() as unit:
            submit_hour(unit, 1, [5, 5])
        assert batcher.metrics().pending == 3
        with batcher.atomic() as unit:  # together they are more than a batch, so that the first leaves without it
            submit_hour(unit, 2, [5])
        batcher.flush()
        with batcher.atomic() as unit:  # larger than a batch and than the buffer: accepted and written as a whole
            large = submit_hour(unit, 3, [5] * 9)
        batcher.flush()
        assert [future.exception() for future in large] == [None] * 10
        metrics = batcher.metrics()
    assert [(flush.items, flush.capacity) for flush in flushed] == [(3, 4), (2, 4), (10, 10)]
    assert metrics.utilisation == pytest.approx(15 / 18)
    assert metrics.causes[Cause.COUNT] == 2


def test_no_unit_is_accepted_by_a_full_buffer(target: Database, gate: Gate) -> None:
    with RequestBatcher(target, 1, max_pending=3, overflow="raise", **LATE) as batcher:
        with batcher.atomic() as unit:
            unit.submit(gate, 1)
            unit.submit(gate, 2)
            unit.submit(gate, 3)
        assert gate.entered.wait(PATIENCE_SECONDS)
        with pytest.raises(BufferFull, match="3 items are pending"), batcher.atomic() as unit:
            refused = submit_hour(unit, 1, [5])
        assert all(isinstance(future.exception(), BufferFull) for future in refused)
        gate.opened.set()
    assert stored(target) == ([], [])


def test_an_item_breaks_its_own_unit_only(target: Database, flushed: list[FlushCompleted]) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        units = []
        for number in (1, 2, 3):
            with batcher.atomic() as unit:
                units.append(submit_hour(unit, number, [100, -5 if number == 2 else 200, 300]))
        batcher.flush()
        assert stored(target) == ([1, 3], [10, 11, 12, 30, 31, 32])
        hour, first, bad, last = (future.exception() for future in units[1])
        assert type(bad) is RejectedRow
        assert str(bad).startswith("insert flight, item 3 of 4 of its atomic unit, failed: ")
        for other in (hour, first, last):
            assert isinstance(other, UnitBroken)
            assert other.position == 2
            assert other.__cause__ is bad
            assert "item 3 of 4" in str(other)
        assert batcher.metrics().failed == 4


def test_a_row_that_is_refused_before_anything_is_sent(target: Database, flushed: list[FlushCompleted]) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        with batcher.atomic() as unit:
            good = unit.submit(insert(HOUR), {"id": 1})
            bad = unit.submit(insert(HOUR), {"id": 2**70})
        batcher.flush()
        assert isinstance(bad.exception(), InvalidInput)
        assert "item 2 of 2" in str(bad.exception())
        assert isinstance(good.exception(), UnitBroken)
        assert not flushed
        assert stored(target) == ([], [])


def test_dead_letters_are_the_items(target: Database) -> None:
    letters: list[DeadLetter] = []
    with RequestBatcher(target, dead_letters=letters.extend, **LATE) as batcher, batcher.atomic() as unit:
        submit_hour(unit, 1, [-5])
    assert [(letter.operation, letter.item["id"], type(letter.error)) for letter in letters] == [
        ("insert weather_hour", 1, UnitBroken),
        ("insert flight", 10, RejectedRow),
    ]


def test_a_unit_of_inserts_may_come_in_any_order(target: Database) -> None:
    """What others refer to goes first, and each item has its own answer and place all the same."""
    with RequestBatcher(target, **LATE) as batcher:
        with batcher.atomic() as unit:
            flight = unit.submit(insert(FLIGHT).returning(FLIGHT.c.distance), {"id": 10, "hour": 1, "distance": 5})
            hour = unit.submit(insert(HOUR).returning(HOUR.c.id), {"id": 1})
        with batcher.atomic() as unit:
            bad = unit.submit(insert(FLIGHT), {"id": 20, "hour": 2, "distance": -5})
            good = unit.submit(insert(HOUR), {"id": 2})
        batcher.flush()
        assert (flight.result(), hour.result()) == ([(5,)], [(1,)])
        assert "item 1 of 2" in str(bad.exception())
        broken = good.exception()
        assert isinstance(broken, UnitBroken)
        assert broken.position == 0
    assert stored(target) == ([1], [10])


def test_in_other_units_the_order_is_kept(target: Database) -> None:
    """So a reference to what comes later breaks the unit."""
    with RequestBatcher(target, **LATE) as batcher:
        with batcher.atomic() as unit:
            gone = unit.submit(delete(HOUR).where(HOUR.c.id == bindparam("which")), {"which": 7})
            flight = unit.submit(insert(FLIGHT), {"id": 10, "hour": 1, "distance": 5})
            hour = unit.submit(insert(HOUR), {"id": 1})
        batcher.flush()
        assert type(flight.exception()) is RejectedRow
        assert isinstance(gone.exception(), UnitBroken)
        assert isinstance(hour.exception(), UnitBroken)
    assert stored(target) == ([], [])


def test_what_removes_rows_stays_between_those_around_it(target: Database) -> None:
    """An hour may go before the flights of another, but never past a delete."""
    remove = delete(HOUR).where(HOUR.c.id == bindparam("which"))
    with RequestBatcher(target, **LATE) as batcher:
        singles = []
        for _ in range(2):
            singles.append(batcher.submit(insert(HOUR), {"id": 1}))
            singles.append(batcher.submit(remove, {"which": 1}))
            singles.append(batcher.submit(insert(HOUR), {"id": 1}))
        with batcher.atomic() as unit:
            futures = submit_hour(unit, 2, [5])
        batcher.flush()
        outcomes = [future.exception() is None for future in singles]
        assert outcomes == [True, True, True, False, True, True], "only the fourth finds hour 1 there"
        assert [future.exception() for future in futures] == [None, None]
    assert stored(target) == ([1, 2], [20])


@settings(max_examples=25)
@given(
    st.lists(st.one_of(st.booleans(), st.lists(st.sampled_from([5, 5, 5, -5]), max_size=4)), max_size=8),
    st.integers(1, 12),
)
def test_every_unit_is_there_whole_or_not_at_all(
    target: Database, submitted: list[bool | list[int]], batch_size: int
) -> None:
    """A list is a unit of an hour with these flights, a boolean a single hour that is good or bad."""
    with target.transaction() as connection:
        connection.execute(delete(FLIGHT))
        connection.execute(delete(HOUR))
    hours, flights, outcomes = [], [], []
    with RequestBatcher(target, batch_size, **LATE) as batcher:
        for number, what in enumerate(submitted, start=1):
            if isinstance(what, bool):
                row = {"id": number if what else 2**70}
                outcomes.append((what, [batcher.submit(insert(HOUR), row)]))
            else:
                with batcher.atomic() as unit:
                    outcomes.append((min(what, default=1) > 0, submit_hour(unit, number, what)))
            if outcomes[-1][0]:
                hours.append(number)
                flights += [] if isinstance(what, bool) else [10 * number + place for place in range(len(what))]
    assert stored(target) == (hours, flights)
    for is_good, futures in outcomes:
        assert all((future.exception() is None) is is_good for future in futures)


def test_a_block_that_raises_submits_nothing(target: Database) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        futures: list[Any] = []
        with pytest.raises(ZeroDivisionError), batcher.atomic() as unit:
            futures += submit_hour(unit, 1, [5])
            raise ZeroDivisionError
        assert batcher.metrics().pending == 0
        assert all(future.cancelled() for future in futures)
    assert stored(target) == ([], [])


def test_cancelling_an_item_takes_the_whole_unit_back(target: Database) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        with batcher.atomic() as unit:
            futures = submit_hour(unit, 1, [5, 5])
        with batcher.atomic() as unit:
            kept = submit_hour(unit, 2, [5])
        assert futures[1].cancel()
        assert all(future.cancelled() for future in futures)
        batcher.flush()
        assert not kept[0].cancel()
        assert kept[0].result() == [(2,)]
    assert stored(target) == ([2], [20])


def test_what_cannot_be(target: Database) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        unit = batcher.atomic()
        with pytest.raises(LifecycleError, match="only inside its own with block"):
            unit.submit(insert(HOUR), {"id": 1})
        with unit:
            with pytest.raises(LifecycleError, match="a unit of this batcher is open here already"), batcher.atomic():
                pass
            with pytest.raises(InvalidInput, match="load weather_hour reads"):
                unit.submit(load(HOUR), 1)  # type: ignore[call-overload]
        with pytest.raises(LifecycleError, match="only inside its own with block"):
            unit.submit(insert(HOUR), {"id": 1})
        with pytest.raises(LifecycleError, match="used before"), unit:
            pass
        with batcher.atomic():  # nothing in it, and nothing is sent
            pass
        assert batcher.metrics().pending == 0


def test_a_unit_that_is_not_accepted(target: Database) -> None:
    with RequestBatcher(target, **LATE) as batcher:
        batcher.close()
        with pytest.raises(LifecycleError), batcher.atomic() as unit:
            futures = submit_hour(unit, 1, [5])
        assert all(isinstance(future.exception(), LifecycleError) for future in futures)
    assert stored(target) == ([], [])


def test_inline(target: Database) -> None:
    with RequestBatcher(target, mode="inline", **LATE) as batcher:
        with batcher.atomic() as unit:
            futures = submit_hour(unit, 1, [5])
        assert futures[0].result() == [(1,)]
    assert stored(target) == ([1], [10])


def test_on_a_loop(target: Database) -> None:
    async def run() -> None:
        async with AsyncRequestBatcher(target, **LATE) as batcher:
            async with batcher.atomic(lane="urgent") as unit:
                first = submit_hour(unit, 1, [5, 6])
            assert await asyncio.gather(*first) == [[(1,)], None, None]
            with batcher.atomic() as unit:
                bad = submit_hour(unit, 2, [5, -5])
            with batcher.atomic() as unit:
                dropped = submit_hour(unit, 3, [5])
            waiter = asyncio.ensure_future(asyncio.wait_for(dropped[1], 60))
            await asyncio.sleep(0)
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter
            await batcher.flush()
            errors = await asyncio.gather(*bad, return_exceptions=True)
            assert [type(error) for error in errors] == [UnitBroken, UnitBroken, RejectedRow]
            assert all(future.cancelled() for future in dropped)

    asyncio.run(run())
    assert stored(target) == ([1], [10, 11])
