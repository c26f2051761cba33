from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError, TransientError
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import TickReport, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)


class Stop(threading.Event):
    """Notes how long it is waited for instead of waiting, and is set after a number of waits."""

    def __init__(self, after: int, meanwhile: Callable[[int], None] = lambda _waits: None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._after = after
        self._meanwhile = meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self._meanwhile(len(self.waits))
        if len(self.waits) == self._after:
            self.set()
        return self.is_set()


class Stopwatch:
    """Every reading is a quarter of a second after the last one."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.25
        return self.seconds


def test_it_ticks_at_an_interval_until_it_is_stopped(database: Database) -> None:
    scheduler = Scheduler(database, "ingest", stopwatch=Stopwatch())
    stop = Stop(after=3)
    scheduler.run(interval=2.0, stop=stop)
    assert stop.waits == [1.75, 1.75, 1.75]  # a tick takes 0.25 s
    assert scheduler.metrics().ticks == 3


def test_it_does_not_wait_when_ticks_take_longer(database: Database) -> None:
    stop = Stop(after=2)
    Scheduler(database, "ingest", stopwatch=Stopwatch()).run(interval=0.1, stop=stop)
    assert stop.waits == [0.0, 0.0]


def test_it_does_not_wait_while_more_is_due(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch(f"{n}", 60.0) for n in range(5)])
    reports: list[TickReport] = []
    stop = Stop(after=3)
    scheduler.run(interval=100.0, limit=2, stop=stop, on_tick=reports.append)
    assert [report.enqueued for report in reports] == [2, 2, 1]
    assert stop.waits[:2] == [0.0, 0.0]
    assert stop.waits[2] > 90.0
    assert database.fetch("SELECT count(*) FROM perflab_jobs") == [(5,)]


def test_a_set_event_means_no_tick(scheduler: Scheduler) -> None:
    stop = threading.Event()
    stop.set()
    scheduler.run(stop=stop)
    assert scheduler.metrics().ticks == 0


def test_it_stops_from_another_thread(scheduler: Scheduler) -> None:
    stop = threading.Event()
    runner = threading.Thread(target=scheduler.run, kwargs={"interval": 3600.0, "stop": stop})
    runner.start()
    stop.set()
    runner.join(timeout=30.0)
    assert not runner.is_alive()


def test_a_failure_that_passes_is_logged_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Database.open(url, busy_timeout=0.01) as database, Database.open(url) as other:
        database.create_schema()
        scheduler = Scheduler(database, "ingest")
        scheduler.add_watch("a", 60.0)
        with other.transaction() as connection:  # keeps the write lock until the third wait

            def meanwhile(waits: int) -> None:
                if waits == 3:
                    connection.rollback()

            stop = Stop(after=4, meanwhile=meanwhile)
            with caplog.at_level(logging.WARNING):
                scheduler.run(interval=1.0, stop=stop)

        assert [record.message.count("database is locked") for record in caplog.records] == [1, 1, 1]
        assert [wait <= longest for wait, longest in zip(stop.waits, (0.1, 0.2, 0.4, 1.0), strict=True)] == [True] * 4
        assert (scheduler.metrics().failures, scheduler.metrics().enqueued) == (3, 1)


def test_other_failures_end_it(database_url: str) -> None:
    with Database.open(database_url) as empty, pytest.raises(StatementError):
        Scheduler(empty, "ingest").run(stop=Stop(after=9))


def test_the_pause_after_failures_is_bounded(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick(**_options: int) -> TickReport:
        raise TransientError("busy")

    monkeypatch.setattr(scheduler, "tick", tick)
    stop = Stop(after=200)
    scheduler.run(stop=stop)
    assert 20.0 < max(stop.waits) <= 30.0


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_a_bad_interval_is_refused(scheduler: Scheduler, interval: float) -> None:
    with pytest.raises(InvalidInput, match="interval"):
        scheduler.run(interval=interval, stop=Stop(after=1))
