"""What the batchers for threads, inline and asyncio have in common: one suite, run on all three."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, Table, bindparam, delete, insert, update

from perflab.batching.drain_report import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import (
    InvalidInput,
    RejectedRow,
    StatementError,
)
from perflab.events import Cause, Event, FlushCompleted, FlushFailed, JobsEnqueued, Outcome
from tests.batching.conftest import Append

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]
QUICK = RetryPolicy(base_seconds=0.001, cap_seconds=0.002)


# -- each item gets its own answer -------------------------------------------------------------------------------------


def test_every_item_gets_its_own_result_in_order(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell(batch_size=4)
    handles = shell.submit_all(append, range(10))
    shell.flush()
    assert [handle.result() for handle in handles] == [10 * n for n in range(10)]
    assert rows() == list(range(10))
    assert [n for batch in append.applied for n in batch] == list(range(10))


def test_core_writes_and_returning(make_shell: MakeShell, table: Table, rows: Rows) -> None:
    shell = make_shell()
    plain = shell.submit(insert(table), {"n": 1})
    returning = shell.submit_all(insert(table).returning(table.c.n, table.c.name), [{"n": 2}, {"n": 3, "name": "x"}])
    changed = shell.submit(
        update(table).where(table.c.n == bindparam("old")).values(n=bindparam("new")), {"old": 1, "new": 4}
    )
    removed = shell.submit(delete(table).where(table.c.n == bindparam("which")), {"which": 2})
    shell.flush()
    assert plain.result() is changed.result() is removed.result() is None
    assert [handle.result() for handle in returning] == [[(2, None)], [(3, "x")]]
    assert rows() == [4, 3]


@pytest.mark.case("F31")
@pytest.mark.parametrize("position", [0, 4, 7])
def test_a_poison_row_fails_alone(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted], position: int
) -> None:
    items = list(range(20, 28))
    items[position] = 13
    shell = make_shell(batch_size=8)
    handles = shell.submit_all(append, items)
    shell.flush()
    error = handles[position].error()
    assert type(error) is RejectedRow
    assert re.search("append failed: .*check constraint", str(error), re.IGNORECASE)
    assert isinstance(error.__cause__, sqlite3.IntegrityError | psycopg.errors.CheckViolation)
    good = [n for n in items if n != 13]
    assert [handle.result() for handle in handles if handle is not handles[position]] == [10 * n for n in good]
    assert rows() == good
    assert [(flush.outcome, flush.items, flush.delivered) for flush in flushes] == [(Outcome.PARTIAL, 8, 7)]
    assert shell.metrics().failed == 1


def test_a_refused_item_fails_alone_and_costs_no_attempt(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted], one_flush: Any
) -> None:
    shell = make_shell()
    handles = shell.submit_all(append, [1, -5, 2])
    shell.flush()
    assert [handles[0].result(), handles[2].result()] == [10, 20]
    assert isinstance(handles[1].error(), InvalidInput)
    assert rows() == [1, 2]
    assert [flush.round_trips for flush in flushes] == [one_flush()]


def test_a_duplicate_key_fails_and_the_first_stays(make_shell: MakeShell, table: Table, rows: Rows) -> None:
    shell = make_shell()
    handles = shell.submit_all(insert(table), [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 3}])
    shell.flush()
    assert "unique constraint" in str(handles[2].error()).lower()
    assert rows() == [1, 2, 3]


def test_a_batch_in_which_everything_fails(
    make_shell: MakeShell, table: Table, append: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    missing = Table("missing", table.metadata, Column("n", Integer))
    handles = [shell.submit(insert(missing), {"n": 1}), shell.submit(append, 13)]
    shell.flush()
    assert isinstance(handles[0].error(), StatementError)
    assert isinstance(handles[1].error(), RejectedRow)
    assert [flush.outcome for flush in flushes] == [Outcome.FAILED]
    only_refused = shell.submit(append, -1)
    shell.flush()
    assert isinstance(only_refused.error(), InvalidInput)
    assert len(flushes) == 1, "a batch of refused items sends nothing"
    assert shell.metrics().failed == 3


def test_what_cannot_be_batched_is_refused_for_its_submitter(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell()
    good = shell.submit(append, 1)
    with pytest.raises(InvalidInput, match="cannot batch str"):
        shell.submit("DELETE FROM sample", {}).result()  # raised by submit, or for asyncio by the future
    shell.flush()
    assert good.result() == 10
    assert rows() == [1]


# -- why a batch leaves ------------------------------------------------------------------------------------------------


def causes(flushes: list[FlushCompleted]) -> list[tuple[Cause, int]]:
    return [(flush.cause, flush.items) for flush in flushes]


def test_a_batch_leaves_by_count(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
    shell = make_shell(batch_size=3)
    for handle in shell.submit_all(append, range(6)):
        handle.result()
    shell.flush()
    assert causes(flushes) == [(Cause.COUNT, 3), (Cause.COUNT, 3)]
    assert [flush.capacity for flush in flushes] == [3, 3]
    assert shell.metrics().causes == {Cause.COUNT: 2}
    assert shell.metrics().utilisation == 1.0


@pytest.mark.case("F32")
def test_a_batch_leaves_by_bytes(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
    shell = make_shell(batch_bytes=80)
    handles = [shell.submit(append, n) for n in range(4)]  # of forty bytes each
    for handle in handles:
        handle.result()
    shell.flush()
    assert causes(flushes) == [(Cause.BYTES, 2), (Cause.BYTES, 2)]
    assert [flush.bytes for flush in flushes] == [80, 80]


def test_a_full_buffer_cuts_the_wait(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
    """Elsewhere a full buffer still waits the linger out (franz-go#726)."""
    shell = make_shell(max_pending_bytes=100)
    handles = [shell.submit(append, n) for n in range(3)]
    for handle in handles:
        handle.result()
    shell.flush()
    assert causes(flushes) == [(Cause.MEMORY, 3)]


def test_a_barrier_and_a_close_send_what_there_is(
    make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    shell.submit_all(append, [1, 2])
    shell.flush()
    shell.submit(append, 3)
    shell.close()
    assert causes(flushes) == [(Cause.BARRIER, 2), (Cause.CLOSE, 1)]


def test_a_flush_with_nothing_to_do_returns(make_shell: MakeShell, flushes: list[FlushCompleted]) -> None:
    shell = make_shell()
    shell.flush()
    shell.flush(timeout=0.0)
    assert flushes == []


# -- counts ------------------------------------------------------------------------------------------------------------


def test_round_trips_are_those_of_the_database(make_shell: MakeShell, db: Database, append: Any) -> None:
    shell = make_shell(batch_size=10)
    with db.counting() as count:
        shell.submit_all(append, [*range(20, 38), 13, 20])
        shell.flush()
    metrics = shell.metrics()
    assert metrics.round_trips == count.round_trips
    assert metrics.items == 18
    assert metrics.failed == 2
    assert metrics.pending == 0


@pytest.mark.parametrize("returning", [False, True], ids=["", "returning"])
def test_savings_are_against_one_transaction_for_each_item(
    make_shell: MakeShell, table: Table, db: Database, one_flush: Any, returning: bool
) -> None:
    shell = make_shell()
    statement = insert(table).returning(table.c.id) if returning else insert(table)
    shell.submit_all(statement, [{"n": n} for n in range(10)])
    shell.flush()
    assert shell.metrics().round_trips == one_flush()
    assert shell.metrics().round_trips_saved == 10 * db.round_trips_of_one - one_flush()


def test_rows_of_mixed_columns_save_no_more_than_they_cost(
    make_shell: MakeShell, table: Table, db: Database, one_flush: Any
) -> None:
    shell = make_shell()
    shell.submit_all(insert(table), [{"n": n} if n % 2 else {"n": n, "name": "x"} for n in range(6)])
    shell.flush()
    assert shell.metrics().round_trips == one_flush(6)
    assert shell.metrics().round_trips_saved == 6 * db.round_trips_of_one - one_flush(6)


def test_savings_are_over_the_least_that_one_write_costs(
    make_shell: MakeShell, append: Any, db: Database, one_flush: Any
) -> None:
    write = append.apply

    def write_and_change(connection: Any, numbers: Sequence[int]) -> Any:
        connection.execute("UPDATE sample SET name = 'a'")
        return write(connection, numbers)

    append.apply = write_and_change
    shell = make_shell()
    shell.submit_all(append, range(5))
    shell.flush()
    assert shell.metrics().round_trips == one_flush(2)
    assert shell.metrics().round_trips_saved == 5 * db.round_trips_of_one - one_flush(2)


# -- order, cancelling, listening --------------------------------------------------------------------------------------


def test_mixed_operations_keep_the_order_on_a_table(make_shell: MakeShell, table: Table, rows: Rows) -> None:
    add, remove = insert(table), delete(table).where(table.c.n == bindparam("which"))
    shell = make_shell()
    for n in range(5):
        shell.submit(add, {"n": n})
        shell.submit(remove, {"which": n})
    shell.submit(remove, {"which": 9})
    shell.submit(add, {"n": 9})
    shell.flush()
    assert rows() == [9]


def test_equal_statements_of_different_submitters_share_one_statement(
    make_shell: MakeShell, table: Table, flushes: list[FlushCompleted], one_flush: Any
) -> None:
    shell = make_shell()
    for n in range(10):
        shell.submit(insert(table), {"n": n})
    shell.flush()
    assert [flush.round_trips for flush in flushes] == [one_flush()]


def test_a_cancelled_item_is_not_written(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    handles = shell.submit_all(append, [1, 2, 3])
    assert shell.cancel(handles[1])
    shell.flush()
    assert handles[0].result() == 10
    assert handles[1].future.cancelled()
    assert rows() == [1, 3]
    assert [(flush.items, flush.delivered, flush.outcome) for flush in flushes] == [(2, 2, Outcome.COMMITTED)]


def test_a_batch_of_which_all_are_cancelled_is_not_sent(make_shell: MakeShell, db: Database, append: Any) -> None:
    """Elsewhere all callers have left, and the work is done (strawberry#3606)."""
    shell = make_shell()
    with db.counting() as count:
        for handle in shell.submit_all(append, [1, 2, 3]):
            assert shell.cancel(handle)
        shell.flush()
    assert count.round_trips == 0
    assert shell.metrics().pending == 0
    assert shell.close() == DrainReport(0, 0, 0)


def test_a_listener_that_raises_disturbs_nobody(
    make_shell: MakeShell, db: Database, append: Any, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    db.events.add(broken)
    heard: list[Event] = []
    db.events.add(heard.append)
    shell = make_shell(batch_size=2)
    handles = shell.submit_all(append, range(4))
    shell.flush()
    assert [handle.result() for handle in handles] == [0, 10, 20, 30]
    assert len(heard) == 2
    assert caplog.text.count("a listener failed on FlushCompleted") == 2


class Announced(Append):
    """Tells listeners what it wrote; of 9 it cannot."""

    name = "announced"

    def event(self, items: Sequence[int], results: Sequence[int]) -> Event | None:
        if 9 in items:
            raise ZeroDivisionError
        return JobsEnqueued(f"{items} {results}", len(items)) if len(items) > 1 else None


def test_listeners_hear_of_written_items_of_an_operation_together(
    make_shell: MakeShell, db: Database, append: Any, rows: Rows
) -> None:
    heard: list[Event] = []
    db.events.add(lambda event: None if isinstance(event, FlushCompleted | FlushFailed) else heard.append(event))
    announced = Announced()
    shell = make_shell()
    shell.submit_all(announced, [1, 13, 2])
    shell.submit(append, 3)
    shell.submit(announced, -1)
    shell.flush()
    assert heard == [JobsEnqueued("[1, 2] [10, 20]", 2)]
    shell.submit(announced, 5)
    shell.submit(append, 6)
    shell.flush()
    handle = shell.submit(announced, 9)
    shell.flush()
    assert handle.result() == 90
    assert db.apply(announced, [7, 8]) == [70, 80]
    assert heard[1:] == [JobsEnqueued("[7, 8] [70, 80]", 2)]
    assert sorted(rows()) == [1, 2, 3, 5, 6, 7, 8, 9]


def test_flushes_are_reported_before_the_barrier_ends(
    make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    for n in range(1, 11):
        shell.submit(append, n)
        shell.flush()
        assert len(flushes) == shell.metrics().batches == n
