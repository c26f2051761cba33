"""The recorder, by a clock that is moved by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest

from perflab.database.database import Database
from perflab.errors import DatabaseError
from perflab.monitoring.change import Change
from perflab.monitoring.history.recorder import HistoryRecorder
from perflab.monitoring.history.store import DAY_SECONDS, HOUR, MINUTE, History
from perflab.monitoring.instruments import flushes
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from tests.monitoring.flushes import FLUSH
from tests.processes import wait_for

START = 1_000.0 * DAY_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = START + 20.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


class Watched:
    """A process that publishes, and a recorder."""

    def __init__(self, db: Database) -> None:
        self.db, self.clock, registry = db, Clock(), MetricsRegistry()
        registry.observe(db)
        self.publisher = MetricsPublisher(registry, db, interval=600.0)
        self.recorder = HistoryRecorder(db, clock=self.clock)

    def minute(self, flushed: int, seconds: float = 0.5) -> None:
        """Flushes, and then the next full minute and some seconds."""
        for _ in range(flushed):
            self.db.events.emit(FLUSH)
        self.publisher.publish()
        self.clock.now = (self.clock.now // MINUTE + 1) * MINUTE + seconds
        self.recorder.record()

    def kept(self) -> list[tuple[float, float, float]]:
        spans = History(self.db).between(0.0, 2 * START)
        return [(span.began_at - START, span.ended_at - START, span.counted.counted(flushes.FLUSHES)) for span in spans]


@pytest.fixture
def watched(db: Database) -> Iterator[Watched]:
    watched = Watched(db)
    yield watched
    watched.recorder.close()
    watched.publisher.close()


def test_whole_minutes_are_kept_on_a_grid(watched: Watched) -> None:
    watched.minute(1)
    watched.minute(2, seconds=3.0)
    watched.recorder.record()
    watched.minute(3, seconds=0.0)
    assert watched.kept() == [(60.0, 120.0, 2.0), (120.0, 180.0, 3.0)], "the first one is a part only"


def test_what_could_not_be_kept_is_kept_with_the_next_one(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: History, _change: Change) -> NoReturn:
        raise DatabaseError("the database is away")

    watched.minute(0)
    with monkeypatch.context() as patch:
        patch.setattr(History, "keep", fail)
        for _ in range(2):
            with pytest.raises(DatabaseError):
                watched.minute(2)
    watched.minute(1)
    assert watched.kept() == [(60.0, 240.0, 5.0)]


def test_it_thins_out_each_hour(watched: Watched) -> None:
    watched.minute(0)
    watched.minute(1)
    watched.clock.now += 3 * DAY_SECONDS
    watched.minute(1)
    found = watched.db.fetch("SELECT resolution FROM perflab_metrics_history ORDER BY resolution")
    assert found == [(MINUTE,), (HOUR,)]


def test_it_records_by_itself(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def quick() -> float:
        """Each look is a minute later, just before it is full."""
        clock.now += MINUTE
        return (clock.now // MINUTE) * MINUTE - 0.001

    with caplog.at_level(logging.WARNING), HistoryRecorder(db, clock=quick):
        wait_for(lambda: db.fetch("SELECT 1 FROM perflab_metrics_history LIMIT 1"))
    assert not caplog.records


def test_an_outage_is_said_once(
    db: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, failures = Clock(), []

    def quick() -> float:
        clock.now += MINUTE
        return (clock.now // MINUTE) * MINUTE - 0.001

    def fail(_self: History, _change: Change) -> NoReturn:
        failures.append(1)
        raise DatabaseError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(History, "keep", fail)
        recorder = HistoryRecorder(db, clock=quick)
        wait_for(lambda: len(failures) > 2)
    wait_for(lambda: "history is kept again" in caplog.text)
    recorder.close()
    assert caplog.text.count("history cannot be kept until this is over: DatabaseError") == 1
