"""What takes too long is halved at once, and never tried again at the same size (mirrors neomjs/neo#16972)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from math import log2
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflab.batching.batcher import RequestBatcher
from perflab.batching.inserter import BulkInserter
from perflab.batching.isolation import isolate
from perflab.batching.part_size import PartSize
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.errors import DeliveryTimeout, RejectedRow
from perflab.events import FlushCompleted, Outcome
from tests.batching.conftest import PATIENCE_SECONDS
from tests.database.sqlite_of import sqlite_of
from tests.engines import on_sqlite
from tests.listening import to_flushes

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]


class Slow:
    """All or nothing, like a transaction: what holds more than it can write in time is cut off."""

    def __init__(self, fits: int, poison: frozenset[int] = frozenset()) -> None:
        self.fits = fits
        self.poison = poison
        self.sizes: list[int] = []
        self.rows: list[int] = []

    def write(self, part: Sequence[int]) -> Sequence[int]:
        self.sizes.append(len(part))
        if len(part) > self.fits:
            raise MemoryError
        if self.poison & set(part):
            raise RejectedRow("poison")
        self.rows += part
        return part


@given(n=st.integers(1, 2_000), fits=st.integers(1, 2_000))
@example(n=1_000, fits=1)
def test_a_batch_that_is_too_much_goes_through_in_parts_that_fit(n: int, fits: int) -> None:
    table = Slow(fits)
    outcome = isolate(range(n), table.write)
    assert [item for item, _ in outcome.delivered] == list(range(n))
    assert table.rows == list(range(n))
    assert not outcome.undecided
    assert not outcome.failed
    first_fit = next(index for index, size in enumerate(table.sizes) if size <= fits)
    assert first_fit == next(halvings for halvings in count() if n >> halvings <= fits)
    fitting = [size for size in table.sizes if size <= fits]
    assert len(fitting) <= n / (fits / 2) + 1, "parts are at least half as large as they could be, but for the last"
    assert len(table.sizes) - len(fitting) <= first_fit + len(fitting), "no more probes than parts"


@given(n=st.integers(2, 300), fits=st.integers(1, 300), poison=st.sets(st.integers(0, 299), max_size=5))
def test_poison_in_a_batch_that_is_too_much_fails_alone(n: int, fits: int, poison: set[int]) -> None:
    table = Slow(fits, frozenset(poison))
    outcome = isolate(range(n), table.write)
    assert table.rows == [item for item in range(n) if item not in poison]
    assert [item for item, _ in outcome.failed] == [item for item in range(n) if item in poison]


@given(weights=st.lists(st.integers(1, 40), min_size=1, max_size=60), fits=st.integers(40, 400))
def test_units_are_as_much_as_their_items(weights: list[int], fits: int) -> None:
    """What they teach holds for single items afterwards, and the other way round."""
    part_size, tried = PartSize(), []

    def write(part: Sequence[int]) -> Sequence[int]:
        tried.append(sum(part))
        if sum(part) > fits:
            raise MemoryError
        return part

    outcome = isolate(weights, write, part_size=part_size, weigh=sum)
    assert [item for item, _ in outcome.delivered] == weights
    if sum(weights) <= fits:
        assert tried == [sum(weights)]
    else:
        *_, last = (weight for weight in tried if weight > fits)
        assert last // 2 <= part_size.cut(10**6) <= max(last // 2, fits + 1, 1.1 * fits), "in items, not in units"


@given(n=st.integers(1, 2_000))
def test_where_nothing_fits_all_wait_after_a_few_attempts(n: int) -> None:
    """Elsewhere a batch that times out is tried again at the same size (neo#16972)."""
    table, part_size = Slow(0), PartSize()
    outcome = isolate(range(n), table.write, part_size=part_size)
    assert outcome.undecided == list(range(n))
    assert outcome.attempts == len(table.sizes) <= log2(n) + 1
    assert isinstance(outcome.error, MemoryError)
    assert isolate(range(n), table.write, part_size=part_size).attempts == 1, "a retry begins where this one ended"


def test_where_there_is_no_time_left_nothing_smaller_is_tried() -> None:
    table = Slow(1)
    outcome = isolate(range(100), table.write, has_time=lambda item: item > 0)
    assert table.sizes == [100]
    assert outcome.undecided == list(range(100))


def test_a_size_falls_by_half_and_comes_back_by_tenths() -> None:
    part_size = PartSize()
    part_size.fitted(10**6)
    assert part_size.cut(10**9) == 10**9, "what was never too much is not bounded"
    part_size.too_much(1_000)
    assert (part_size.cut(1_000), part_size.cut(7)) == (500, 7)
    part_size.fitted(7)
    assert part_size.cut(1_000) == 500, "a small part says nothing of larger ones"
    part_size.fitted(500)
    assert part_size.cut(1_000) == 550
    for _ in range(20):
        part_size.too_much(part_size.cut(1_000))
    sizes = []
    for _ in range(5):
        sizes.append(part_size.cut(1_000))
        part_size.fitted(sizes[-1])
    assert sizes == [1, 2, 3, 4, 5]


# -- on the engines ----------------------------------------------------------------------------------------------------


class Laborious:
    """Works for each row, in one statement for all of them, which SQLite interrupts when it takes too long."""

    name = "laborious"
    tables = frozenset({"sample"})
    steps_of_one = 20_000

    def __init__(self, rows_in_time: float) -> None:
        self.applied: list[int] = []
        self._steps_in_time = int(rows_in_time * self.steps_of_one * 3)  # at least three instructions a step

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[int]:
        self.applied.append(len(rows))
        driver = sqlite_of(connection)
        driver.set_progress_handler(lambda: True, self._steps_in_time)
        try:
            connection.execute(
                "WITH RECURSIVE step(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM step WHERE i < ?) "
                "SELECT sum(i) FROM step",
                (len(rows) * self.steps_of_one,),
            ).fetchall()
        finally:
            driver.set_progress_handler(None, 0)
        connection.executemany("INSERT INTO sample (n) VALUES (?)", [(row,) for row in rows])
        return rows


@pytest.mark.case("F06")
@on_sqlite
def test_an_interrupted_batch_is_cut_in_every_shell(
    make_shell: MakeShell, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    laborious = Laborious(rows_in_time=20)
    shell = make_shell()
    handles = shell.submit_all(laborious, range(100, 140))
    shell.flush()
    assert [handle.result() for handle in handles] == list(range(100, 140))
    assert rows() == list(range(100, 140))
    assert laborious.applied[:2] == [40, 20]
    assert flushes[0].too_much, "the fault fired, and the sizing policy is told"
    assert [flush.outcome for flush in flushes] == [Outcome.COMMITTED]
    seen = len(laborious.applied)
    shell.submit_all(laborious, range(140, 180))
    shell.flush()
    assert max(laborious.applied[seen:]) < 40, "the next batch is not tried at that size"
    assert shell.metrics().cut_batches == sum(flush.too_much for flush in flushes)


@on_sqlite
def test_an_item_that_is_too_much_alone_fails_with_its_deadline(make_shell: MakeShell, rows: Rows) -> None:
    laborious = Laborious(rows_in_time=0.01)
    shell = make_shell(retry=RetryPolicy(base_seconds=0.001, cap_seconds=0.002, delivery_timeout=0.05))
    handles = shell.submit_all(laborious, range(3))
    shell.flush()
    for handle in handles:
        error = handle.error()
        assert isinstance(error, DeliveryTimeout)
        assert isinstance(error.__cause__, sqlite3.OperationalError)
    assert rows() == []


class Sleepy(Laborious):
    def __init__(self) -> None:
        super().__init__(0)

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[int]:
        self.applied.append(len(rows))
        connection.execute("SELECT pg_sleep(%s)", (0.05 * len(rows),))
        connection.executemany("INSERT INTO sleepy (n) VALUES (%s)", [(row,) for row in rows])
        return rows


@pytest.mark.case("F14")
def test_a_statement_timeout_of_postgresql_cuts_the_batch(postgres_url: str) -> None:
    """On the engines; elsewhere a batch that times out is tried again at the same size (neo#16972)."""
    separator = "&" if "?" in postgres_url else "?"
    with Database.open(f"{postgres_url}{separator}options=-c%20statement_timeout%3D300") as database:
        with database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE sleepy (id serial, n int)")
        flushes: list[FlushCompleted] = []
        database.events.add(to_flushes(flushes.append))
        sleepy = Sleepy()
        with RequestBatcher(database, batch_size=8, flush_interval=3_600) as batcher:
            futures = [batcher.submit(sleepy, n) for n in range(8)]
            assert [future.result(PATIENCE_SECONDS) for future in futures] == list(range(8))
        assert sleepy.applied[:2] == [8, 4]
        assert flushes[0].too_much
        assert [n for (n,) in database.fetch("SELECT n FROM sleepy ORDER BY id")] == list(range(8))


@pytest.mark.case("F14")
def test_a_statement_timeout_cuts_the_batch_of_an_inserter(postgres_url: str) -> None:
    separator = "&" if "?" in postgres_url else "?"
    with Database.open(f"{postgres_url}{separator}options=-c%20statement_timeout%3D300") as database:
        with database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE sleepy (n int PRIMARY KEY)")
            connection.exec_driver_sql(
                "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER sleep BEFORE INSERT ON sleepy FOR EACH ROW EXECUTE FUNCTION sleep()"
            )
        with BulkInserter(database, "sleepy", batch_size=8, flush_interval=3_600) as inserter:
            inserter.extend({"n": n} for n in range(16))
        assert database.fetch("SELECT count(*) FROM sleepy") == [(16,)]
        assert inserter.metrics().cut_batches >= 1, "the timeout fired"
        assert inserter.metrics().retries == 0
