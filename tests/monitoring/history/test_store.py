"""What is kept of each minute, and of each hour later."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError
from perflab.monitoring.change import Change
from perflab.monitoring.history.store import DAY_SECONDS, HOUR, MINUTE, History, Retention
from perflab.monitoring.instruments import flushes
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import change_of

DELIVERED, AGE = (flushes.DELIVERED, "sqlite"), (OLDEST, "mail")
START = 1_000.0 * DAY_SECONDS


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


def minute(number: int, items: float = 1.0, age: float = 0.0, minutes: int = 1) -> Change:
    """Of the minutes that end with this one."""
    end = START + number * MINUTE
    return change_of(end - minutes * MINUTE, end, {DELIVERED: items}, {AGE: age})


def items_of(spans: object) -> list[float]:
    return [span.counted.counted(flushes.DELIVERED) for span in spans]  # type: ignore[attr-defined]


def rows(db: Database) -> list[tuple[int, int]]:
    return db.fetch("SELECT resolution, count(*) FROM perflab_metrics_history GROUP BY resolution ORDER BY resolution")


def test_minutes_are_read_back_as_they_were(db: Database) -> None:
    history = History(db)
    kept = [minute(number, number, number) for number in (3, 1, 2)]
    for change in kept:
        history.keep(change)
    assert history.between(START, START + 3 * MINUTE) == sorted(kept, key=lambda change: change.ended_at)
    assert items_of(history.between(START + MINUTE, START + 2 * MINUTE)) == [2]


def test_each_minute_is_kept_once(db: Database) -> None:
    history = History(db)
    history.keep(minute(1, 5))
    history.keep(minute(1, 7))
    history.keep(minute(3, 50, minutes=3))
    history.keep(minute(2, 2))
    history.keep(minute(4, 9, minutes=2))
    assert items_of(history.between(START, START + HOUR)) == [5, 2, 9], "what overlaps was counted by another one"


def test_several_that_record_at_once_keep_a_minute_once(db: Database) -> None:
    history = History(db)
    together = threading.Barrier(4)

    def keep(items: float) -> None:
        together.wait()
        for number in range(1, 11):
            history.keep(minute(number, items))

    threads = [threading.Thread(target=keep, args=(float(items),)) for items in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.between(START, START + HOUR)) == 10


def test_spans_are_as_long_as_they_are_asked_for(db: Database) -> None:
    history = History(db)
    for number in range(1, 8):
        history.keep(minute(number, number, 100.0 - number))
    spans = history.between(START, START + HOUR, step=5 * MINUTE)
    assert items_of(spans) == [15, 13]
    assert [span.counted.gauged(OLDEST) for span in spans] == [[99.0], [94.0]], "the largest"
    assert [span.seconds for span in spans] == [5 * MINUTE, 2 * MINUTE]


def test_old_minutes_become_hours_that_hold_the_same(db: Database) -> None:
    history = History(db)
    for number in range(1, 121):
        history.keep(minute(number, number, number))
    now = START + 2 * DAY_SECONDS + 90 * MINUTE
    assert history.thin_out(now) == 60, "the second hour is not over for that long"
    assert rows(db) == [(MINUTE, 60), (HOUR, 1)]
    spans = history.between(START, now, step=HOUR)
    assert items_of(spans) == [sum(range(1, 61)), sum(range(61, 121))]
    assert spans[0].counted.gauged(OLDEST) == [60.0]
    assert (spans[0].began_at, spans[0].ended_at) == (START, START + HOUR)
    assert history.thin_out(now) == 0


def test_a_span_over_the_end_of_an_hour_is_not_lost(db: Database) -> None:
    history = History(db)
    history.keep(minute(10, 1))
    history.keep(minute(90, 2, minutes=80))
    history.thin_out(START + 3 * DAY_SECONDS)
    assert items_of(history.between(START, START + DAY_SECONDS)) == [1, 2]


def test_one_call_thins_out_a_day_at_most(db: Database) -> None:
    history = History(db)
    for hour in (1, 24, 25):
        history.keep(minute(hour * 60))
    assert history.thin_out(START + 9 * DAY_SECONDS) == 2
    assert history.thin_out(START + 9 * DAY_SECONDS) == 1
    assert rows(db) == [(HOUR, 3)]


def test_old_hours_are_forgotten(db: Database) -> None:
    history = History(db, Retention(minutes_days=1.0, hours_days=2.0))
    history.keep(minute(60))
    history.thin_out(START + 2 * DAY_SECONDS)
    assert rows(db) == [(HOUR, 1)]
    history.thin_out(START + 2 * DAY_SECONDS + HOUR)
    assert rows(db) == []


def test_two_that_thin_out_at_once_keep_each_item_once(db: Database) -> None:
    history = History(db)
    for number in range(1, 241):
        history.keep(minute(number))
    together = threading.Barrier(2)
    errors: list[BaseException] = []

    def thin_out() -> None:
        together.wait()
        try:
            history.thin_out(START + 3 * DAY_SECONDS)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thin_out) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert items_of(history.between(START, START + DAY_SECONDS)) == [60, 60, 60, 60]


def test_another_form_is_left_out_and_said(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    history = History(db)
    history.keep(minute(1))
    with db.transaction() as connection:
        connection.exec_driver_sql("UPDATE perflab_metrics_history SET counted = '{\"form\": 99}'")
    assert history.between(START, START + HOUR) == []
    assert "form 99" in caplog.text


@pytest.mark.parametrize(
    ("retention", "says"),
    [((0.01, 1.0), "minutes_days"), ((2.0, 1.0), "hours_days is 1"), ((1.0, 4_000.0), "hours_days")],
)
def test_a_retention_that_makes_no_sense_is_refused(retention: tuple[float, float], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Retention(*retention)


def test_a_step_below_a_minute_is_refused(db: Database) -> None:
    with pytest.raises(InvalidInput, match="step"):
        History(db).between(0.0, 1.0, step=59.0)


def test_without_its_table_it_says_what_to_do(database_url: str) -> None:
    with Database.open(database_url) as bare, pytest.raises(StatementError, match="create_schema"):
        History(bare).keep(minute(1))
