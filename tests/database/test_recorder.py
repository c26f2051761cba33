"""Recording statements: what is counted and timed, and that nothing is left of it afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from sqlalchemy import text

from perflab.database.database import Database
from perflab.database.recorder import StatementRecorder
from perflab.errors import LifecycleError


@pytest.fixture(params=["sqlite file", "sqlite in memory", "postgresql"])
def db(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Database]:
    urls: dict[str, Callable[[], str]] = {
        "sqlite file": lambda: sqlite_url,
        "sqlite in memory": lambda: "sqlite://",
        "postgresql": lambda: str(request.getfixturevalue("postgres_url")),
    }
    with Database.open(urls[request.param]()) as opened:
        with opened.driver_transaction() as connection:
            connection.execute("CREATE TABLE item (id integer PRIMARY KEY, name text)")
        yield opened


def mark(db: Database) -> str:
    return "?" if db.engine_name == "sqlite" else "%s"


def test_statements_are_counted_and_timed(db: Database) -> None:
    select = f"SELECT name FROM item WHERE id = {mark(db)}"
    with db.recording() as recorder:
        for number in range(3):
            db.fetch(select, (number,))
    (statement,) = recorder.statements()
    assert (statement.sql, statement.calls) == (select, 3)
    assert statement.seconds is not None
    assert statement.seconds > 0
    assert statement.parameters in [(0,), (1,), (2,)]


def test_many_rows_are_one_call_with_the_first_of_them_as_its_example(db: Database) -> None:
    insert = f"INSERT INTO item (id, name) VALUES ({mark(db)}, {mark(db)})"
    with db.recording() as recorder, db.driver_transaction() as connection:
        connection.executemany(insert, iter([(1, "a"), (2, "b")]))
    (statement,) = recorder.statements()
    assert (statement.sql, statement.calls, statement.parameters) == (insert, 1, (1, "a"))
    # In a pipeline a server answers all statements at once.
    assert (statement.seconds is None) == (db.engine_name == "postgresql")
    assert db.fetch("SELECT count(*) FROM item") == [(2,)]


def test_a_users_transaction_is_recorded_too(db: Database) -> None:
    with db.recording() as recorder, db.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM item")).scalar() == 0
    assert [statement.sql for statement in recorder.statements()] == ["SELECT count(*) FROM item"]


def test_connections_that_open_while_it_runs_are_recorded(db: Database) -> None:
    with db.recording() as recorder:
        together = threading.Barrier(3)

        def read() -> None:
            with db.reading() as connection:
                connection.execute(text("SELECT 1")).all()
                if db.url != "sqlite://":  # which has one connection only
                    together.wait(30)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [(each.sql, each.calls) for each in recorder.statements()] == [("SELECT 1", 3)]


def test_nothing_is_recorded_before_or_after(db: Database) -> None:
    db.fetch("SELECT 1")
    with db.recording() as recorder:
        db.fetch("SELECT 2")
    db.fetch("SELECT 3")
    assert [statement.sql for statement in recorder.statements()] == ["SELECT 2"]


def test_the_count_of_round_trips_stays_true(db: Database) -> None:
    with db.recording(), db.counting() as count:
        db.fetch("SELECT 1")
    assert count.round_trips == 1


def test_two_recordings_at_once_are_refused(db: Database) -> None:
    with db.recording(), pytest.raises(LifecycleError, match="already"), db.recording():
        pass
    with db.recording() as recorder:
        db.fetch("SELECT 1")
    assert len(recorder.statements()) == 1


# -- the recorder alone ------------------------------------------------------------------------------------------------


def test_the_slowest_call_is_the_example() -> None:
    recorder = StatementRecorder()
    for seconds, parameters in ((0.1, "first"), (0.3, "slowest"), (0.2, "last")):
        recorder.record("SELECT 1", parameters, seconds)
    (statement,) = recorder.statements()
    assert statement.parameters == "slowest"
    assert statement.seconds == pytest.approx(0.6)


def test_calls_without_a_time_are_taken_to_be_like_the_others() -> None:
    recorder = StatementRecorder()
    recorder.record("SELECT 1", "timed", 0.1)
    recorder.record("SELECT 1", "not timed", None)
    recorder.record("SELECT 2", "never timed", None)
    timed, never = recorder.statements()
    assert (timed.calls, timed.parameters) == (2, "timed")
    assert timed.seconds == pytest.approx(0.2)
    assert (never.calls, never.seconds, never.parameters) == (1, None, "never timed")


def test_the_costliest_comes_first_and_what_is_no_operation_does_not_come() -> None:
    recorder = StatementRecorder()
    for sql, seconds in (
        ("BEGIN IMMEDIATE", 9.0),
        ("  -- why\n  select 1", 0.1),
        ("DELETE FROM item", 0.2),
        ("COMMIT", 9.0),
    ):
        recorder.record(sql, (), seconds)
    assert [statement.sql for statement in recorder.statements()] == ["DELETE FROM item", "  -- why\n  select 1"]


def test_it_is_bounded_and_says_what_it_left_out() -> None:
    recorder = StatementRecorder(keep=2)
    for number in [1, 2, 3, 1, 3]:
        recorder.record(f"SELECT {number}", (), 0.1)
    recorder.add_seconds("SELECT 3", 1.0)
    assert {each.sql: each.calls for each in recorder.statements()} == {"SELECT 1": 2, "SELECT 2": 1}
    assert recorder.overlooked == 2


def test_fetching_counts_as_time() -> None:
    ticks = count()
    recorder = StatementRecorder(clock=lambda: float(next(ticks)))
    recorder.record("SELECT 1", (), 1.0)
    recorder.add_seconds("SELECT 1", 2.0)
    assert recorder.statements()[0].seconds == 3.0
