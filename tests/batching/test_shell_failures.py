"""Faulty operations, passing failures and unusable databases: one suite, run on all three batchers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, insert

from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.operation import PLAIN_FROM
from perflab.errors import (
    DatabaseUnusable,
    DeliveryTimeout,
    InvalidInput,
    LifecycleError,
    StatementError,
)
from perflab.events import Event, FlushCompleted, Outcome
from tests.engines import on_sqlite

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]
QUICK = RetryPolicy(base_seconds=0.001, cap_seconds=0.002)


# -- operations that are faulty ----------------------------------------------------------------------------------------


class Faulty:
    """An operation on no table of its own, with one fault."""

    name = "faulty"
    tables = frozenset({"elsewhere"})

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def _fail(self, where: str) -> None:
        if self._fault == where:
            raise ZeroDivisionError(where)
        if self._fault == f"stop in {where}":
            raise StopIteration

    def prepare(self, item: int) -> int:
        self._fail("prepare")
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: Any, rows: Sequence[int]) -> Any:
        self._fail("apply")
        if self._fault == "too few results":
            return []
        if self._fault == "no results":
            return None
        if self._fault == "an error among the results":
            return (1 // 0 for _ in rows)
        return rows


class OnlyApply:
    def apply(self, connection: Any, rows: Sequence[int]) -> Sequence[int]:
        return rows


FAULTS: list[tuple[Any, type[BaseException]]] = [
    (Faulty("prepare"), ZeroDivisionError),
    (Faulty("apply"), ZeroDivisionError),
    (Faulty("stop in prepare"), StatementError),
    (Faulty("stop in apply"), StatementError),
    (Faulty("too few results"), ValueError),
    (Faulty("no results"), TypeError),
    (Faulty("an error among the results"), ZeroDivisionError),
    (OnlyApply(), AttributeError),
]


@pytest.mark.parametrize(("faulty", "error"), FAULTS, ids=lambda value: getattr(value, "_fault", None))
def test_a_faulty_operation_never_strands_its_neighbours(
    make_shell: MakeShell, append: Any, rows: Rows, faulty: Any, error: type[BaseException]
) -> None:
    shell = make_shell()
    before = shell.submit_all(append, [1, 2])
    broken = shell.submit(faulty, 5)
    after = shell.submit(append, 3)
    shell.flush()
    assert isinstance(broken.error(), error)
    assert [handle.result() for handle in (*before, after)] == [10, 20, 30]
    assert rows() == [1, 2, 3]
    assert shell.submit(append, 4) is not None
    shell.flush()
    assert rows() == [1, 2, 3, 4]


# -- items that are prepared together ----------------------------------------------------------------------------------


class Plain(Faulty):
    """An operation that prepares many items by columns; negative ones cannot be stored."""

    def __init__(self, fault: str = "") -> None:
        super().__init__(fault)
        self.singly: list[int] = []

    def prepare(self, item: int) -> int:
        self.singly.append(item)
        if item < 0:
            raise InvalidInput(f"{item} is negative")
        return 2 * item

    def prepare_plain(self, items: Sequence[int]) -> Sequence[int] | None:
        if min(items) < 0:
            raise InvalidInput("one is negative")
        rows = [2 * item for item in items]
        return {"none": None, "too few": rows[1:]}.get(self._fault, rows)


ITEMS = list(range(PLAIN_FROM))


def test_a_batch_is_prepared_together(make_shell: MakeShell) -> None:
    plain, shell = Plain(), make_shell()
    handles = shell.submit_all(plain, ITEMS)
    shell.flush()
    assert [handle.result() for handle in handles] == [2 * item for item in ITEMS]
    assert plain.singly == []


def test_whoever_is_refused_together_is_found_singly(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    plain, shell = Plain(), make_shell()
    first, handles, last = shell.submit(append, 1), shell.submit_all(plain, [*ITEMS, -1, 7]), shell.submit(append, 2)
    shell.flush()
    assert isinstance(handles.pop(-2).error(), InvalidInput)
    assert [handle.result() for handle in (first, *handles, last)] == [10, *(2 * item for item in (*ITEMS, 7)), 20]
    assert plain.singly == [*ITEMS, -1, 7]
    assert rows() == [1, 2]


@pytest.mark.parametrize("fault", ["none", "too few"])
def test_what_is_not_prepared_together_is_so_singly(make_shell: MakeShell, fault: str) -> None:
    plain, shell = Plain(fault), make_shell()
    handles = shell.submit_all(plain, ITEMS)
    shell.flush()
    assert [handle.result() for handle in handles] == [2 * item for item in ITEMS]
    assert plain.singly == ITEMS


# -- passing failures --------------------------------------------------------------------------------------------------


@pytest.fixture
def released_after(lock: Any, db: Database, flushes: list[FlushCompleted]) -> Callable[[int], None]:
    """Hold the write lock until that many attempts have failed of it."""

    def hold(attempts: int) -> None:
        lock.hold()

        def release(event: Event) -> None:
            if len([flush for flush in flushes if flush.outcome is Outcome.RETRIED]) >= attempts:
                lock.release()

        db.events.add(release)

    return hold


@pytest.mark.case("F18")
def test_a_busy_file_is_tried_again_until_it_is_free(
    make_shell: MakeShell,
    append: Any,
    rows: Rows,
    flushes: list[FlushCompleted],
    released_after: Callable[[int], None],
) -> None:
    shell = make_shell(retry=QUICK, batch_size=3)
    released_after(3)
    handles = shell.submit_all(append, range(7))
    shell.flush()
    assert [handle.result() for handle in handles] == [10 * n for n in range(7)]
    assert rows() == list(range(7)), "in the order in which they came"
    assert shell.metrics().retries == 3, "or the fault did not fire"
    assert [(flush.outcome, flush.attempt, flush.items) for flush in flushes[:4]] == [
        (Outcome.RETRIED, 1, 3),
        (Outcome.RETRIED, 2, 3),
        (Outcome.RETRIED, 3, 3),
        (Outcome.COMMITTED, 4, 3),
    ]
    assert shell.metrics().failed == 0


def test_a_begin_that_failed_was_sent_too(
    make_shell: MakeShell, append: Any, released_after: Callable[[int], None], db: Database, one_flush: Any
) -> None:
    shell = make_shell(retry=QUICK)
    released_after(2)
    with db.counting() as count:
        shell.submit(append, 1)
        shell.flush()
    assert shell.metrics().retries == 2, "or the fault did not fire"
    assert shell.metrics().round_trips == count.round_trips == 2 + one_flush()


def test_an_item_that_runs_out_of_time_fails_with_the_last_error(
    make_shell: MakeShell, append: Any, rows: Rows, lock: Any
) -> None:
    shell = make_shell(retry=RetryPolicy(base_seconds=0.001, cap_seconds=0.01, delivery_timeout=0.05))
    lock.hold()
    handle = shell.submit(append, 1)
    shell.flush()
    error = handle.error()
    assert type(error) is DeliveryTimeout
    assert "append was not delivered within 0.05 s, after " in str(error)
    assert "lock" in str(error)
    assert isinstance(error.__cause__, sqlite3.OperationalError | psycopg.errors.LockNotAvailable)
    assert isinstance(error, TimeoutError)
    lock.release()
    later = shell.submit(append, 2)
    shell.flush()
    assert later.result() == 20
    assert rows() == [2]
    assert shell.metrics().failed == 1


@pytest.mark.case("F20")
@on_sqlite
def test_a_full_disk_is_tried_again_and_earlier_commits_stay(
    make_shell: MakeShell, db: Database, table: Table, flushes: list[FlushCompleted]
) -> None:
    with db.writing_connection() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")

    def make_space(event: Event) -> None:
        if isinstance(event, FlushCompleted) and event.outcome is Outcome.RETRIED and event.attempt == 2:
            with db.writing_connection() as connection:
                connection.execute("PRAGMA max_page_count = 1000000")

    db.events.add(make_space)
    shell = make_shell(retry=QUICK)
    shell.submit(insert(table), {"n": 1})
    shell.flush()
    handle = shell.submit(insert(table), {"n": 2, "name": "x" * 50_000})
    shell.flush()
    assert handle.result() is None
    assert shell.metrics().retries == 2, "or the fault did not fire"
    assert db.fetch("SELECT n, length(name) FROM sample") == [(1, None), (2, 50_000)]


@on_sqlite
def test_an_unusable_database_fails_everything_at_once(
    make_shell: MakeShell, db: Database, append: Any, flushes: list[FlushCompleted]
) -> None:
    with db.writing_connection() as connection:
        connection.execute("PRAGMA query_only = ON")
    shell = make_shell()
    handles = shell.submit_all(append, range(8))
    shell.flush()
    assert {type(handle.error()) for handle in handles} == {DatabaseUnusable}
    assert [(flush.outcome, flush.attempt) for flush in flushes] == [(Outcome.FAILED, 1)]
    assert flushes[0].round_trips == 1, "one BEGIN, and no halving"


def test_a_closed_database_fails_everything_at_once(make_shell: MakeShell, db: Database, append: Any) -> None:
    shell = make_shell()
    handle = shell.submit(append, 1)
    db.close()
    shell.flush()
    assert isinstance(handle.error(), LifecycleError)
    assert "is closed" in str(handle.error())
