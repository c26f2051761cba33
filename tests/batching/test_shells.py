"""What the batchers for threads, inline and asyncio have in common: one suite, run on all three."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Column, Integer, Table, bindparam, delete, insert, update

from perflab.batching.batcher import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import (
    DatabaseUnusable,
    DeliveryTimeout,
    InvalidInput,
    LifecycleError,
    RejectedRow,
    StatementError,
)
from perflab.events import Cause, Event, FlushCompleted, Outcome

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
    assert "append failed: CHECK constraint failed" in str(error)
    assert isinstance(error.__cause__, sqlite3.IntegrityError)
    good = [n for n in items if n != 13]
    assert [handle.result() for handle in handles if handle is not handles[position]] == [10 * n for n in good]
    assert rows() == good
    assert [(flush.outcome, flush.items, flush.delivered) for flush in flushes] == [(Outcome.PARTIAL, 8, 7)]
    assert shell.metrics().failed == 1


def test_a_refused_item_fails_alone_and_costs_no_attempt(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    handles = shell.submit_all(append, [1, -5, 2])
    shell.flush()
    assert [handles[0].result(), handles[2].result()] == [10, 20]
    assert isinstance(handles[1].error(), InvalidInput)
    assert rows() == [1, 2]
    assert [flush.round_trips for flush in flushes] == [3]


def test_a_duplicate_key_fails_and_the_first_stays(make_shell: MakeShell, table: Table, rows: Rows) -> None:
    shell = make_shell()
    handles = shell.submit_all(insert(table), [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 3}])
    shell.flush()
    assert "UNIQUE constraint failed" in str(handles[2].error())
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


def test_a_batch_leaves_by_bytes(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
    shell = make_shell(batch_bytes=80)
    handles = [shell.submit(append, n) for n in range(4)]  # of forty bytes each
    for handle in handles:
        handle.result()
    shell.flush()
    assert causes(flushes) == [(Cause.BYTES, 2), (Cause.BYTES, 2)]
    assert [flush.bytes for flush in flushes] == [80, 80]


def test_a_full_buffer_cuts_the_wait(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
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


@pytest.mark.parametrize(
    ("returning", "round_trips", "saved"),
    [(False, 3, 10 * 3 - 3), (True, 12, 10 * 3 - 12)],
    ids=["one statement", "one statement for each row"],
)
def test_savings_are_against_one_transaction_for_each_item(
    make_shell: MakeShell, table: Table, returning: bool, round_trips: int, saved: int
) -> None:
    shell = make_shell()
    statement = insert(table).returning(table.c.id) if returning else insert(table)
    shell.submit_all(statement, [{"n": n} for n in range(10)])
    shell.flush()
    assert shell.metrics().round_trips == round_trips
    assert shell.metrics().round_trips_saved == saved


def test_rows_of_mixed_columns_save_no_more_than_they_cost(make_shell: MakeShell, table: Table) -> None:
    shell = make_shell()
    shell.submit_all(insert(table), [{"n": n} if n % 2 else {"n": n, "name": "x"} for n in range(6)])
    shell.flush()
    assert shell.metrics().round_trips == 2 + 6
    assert shell.metrics().round_trips_saved == 6 * 3 - 8


def test_savings_are_over_the_least_that_one_write_costs(make_shell: MakeShell, db: Database) -> None:
    class Twice(Faulty):
        def apply(self, connection: Any, rows: Sequence[int]) -> Sequence[int]:
            connection.execute("UPDATE sample SET name = 'a'")
            connection.execute("UPDATE sample SET name = 'b'")
            return rows

    shell = make_shell()
    shell.submit_all(Twice("none"), range(5))
    shell.flush()
    assert shell.metrics().round_trips == 4
    assert shell.metrics().round_trips_saved == 5 * db.round_trips_of_one - 4


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
    make_shell: MakeShell, append: Any, released_after: Callable[[int], None], db: Database
) -> None:
    shell = make_shell(retry=QUICK)
    released_after(2)
    with db.counting() as count:
        shell.submit(append, 1)
        shell.flush()
    assert shell.metrics().retries == 2, "or the fault did not fire"
    assert shell.metrics().round_trips == count.round_trips == 2 + 3


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
    assert "database is locked" in str(error)
    assert isinstance(error.__cause__, sqlite3.OperationalError)
    assert isinstance(error, TimeoutError)
    lock.release()
    later = shell.submit(append, 2)
    shell.flush()
    assert later.result() == 20
    assert rows() == [2]
    assert shell.metrics().failed == 1


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
    make_shell: MakeShell, table: Table, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    for n in range(10):
        shell.submit(insert(table), {"n": n})
    shell.flush()
    assert [flush.round_trips for flush in flushes] == [3]


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


def test_flushes_are_reported_before_the_barrier_ends(
    make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    for n in range(1, 11):
        shell.submit(append, n)
        shell.flush()
        assert len(flushes) == shell.metrics().batches == n


# -- closing -----------------------------------------------------------------------------------------------------------


def test_closing_writes_what_waits_and_says_how_it_ended(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell()
    shell.submit_all(append, [1, 2])
    shell.flush()
    handles = shell.submit_all(append, [3, 13, -1, 4, 5])
    report = shell.close()
    assert report == DrainReport(delivered=3, failed=2, abandoned=0)
    assert rows() == [1, 2, 3, 4, 5]
    assert all(handle.future.done() for handle in handles)
    assert shell.close() is report, "closing again changes nothing"


def test_nothing_is_accepted_after_close(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell()
    shell.close()
    with pytest.raises(LifecycleError, match="is closed: it accepts no more items"):
        shell.submit(append, 1)
    shell.flush()
    assert rows() == []
    assert shell.close() == DrainReport(0, 0, 0)


def test_an_unused_batcher_closes(make_shell: MakeShell) -> None:
    assert make_shell().close() == DrainReport(0, 0, 0)


def test_closing_out_of_time_abandons_what_waits(
    make_shell: MakeShell, append: Any, rows: Rows, lock: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell(retry=RetryPolicy(base_seconds=3_000.0, cap_seconds=3_000.0, delivery_timeout=4_000.0))
    lock.hold()
    handles = shell.submit_all(append, range(4))
    report = shell.close(timeout=0.05)
    assert len(flushes) == 1, "the fault fired once"
    assert report == DrainReport(delivered=0, failed=0, abandoned=4)
    for handle in handles:
        error = handle.error()
        assert type(error) is LifecycleError
        assert "closed before this item could be delivered" in str(error)
    assert shell.metrics().failed == 4
    assert rows() == []


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), "soon"])
def test_a_bad_timeout_is_refused_and_changes_nothing(
    make_shell: MakeShell, append: Any, rows: Rows, timeout: Any
) -> None:
    shell = make_shell()
    with pytest.raises(InvalidInput, match="timeout is"):
        shell.close(timeout)
    with pytest.raises(InvalidInput, match="timeout is"):
        shell.flush(timeout)
    shell.submit(append, 1)
    shell.flush()
    assert rows() == [1]


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"overflow": "drop"}, {"flush_interval": -1.0}])
def test_bad_settings_are_refused(make_shell: MakeShell, setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(setting))} is"):
        make_shell(**setting)


def test_an_operation_may_be_shared_with_direct_calls(
    make_shell: MakeShell, db: Database, table: Table, rows: Rows
) -> None:
    operation = CoreWrite(insert(table), db.dialect)
    shell = make_shell()
    shell.submit(operation, {"n": 1})
    db.apply(operation, [{"n": 2}])
    shell.flush()
    assert rows() == [2, 1]
