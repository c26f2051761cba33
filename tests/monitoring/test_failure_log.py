"""The lines of failures: what they say, how many come, and what never stands in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert

from perflab.batching.batcher import RequestBatcher
from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.events import CacheAsked, Event, JobsClaimed, JobsFinished, LeasesRescued, TickFailed
from perflab.monitoring.failure_log import FailureLog
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from tests.monitoring.flushes import FAILURE, FLUSH

CANARY = "canary-7Zq"
TABLE = Table("sample", MetaData(), Column("name", Text, primary_key=True), Column("n", Integer))
RETRIED = replace(FAILURE, failed=0, undecided=100, errors=(("TransientError (SQLITE_BUSY)", 100),), retry_in=0.25)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db() -> Iterator[Database]:
    with Database.open("sqlite://") as opened:
        yield opened


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (
            FAILURE,
            logging.ERROR,
            (
                "batch 00c0ffee-17 (100 items, count, attempt 1): RejectedRow (SQLITE_CONSTRAINT_UNIQUE) for 2"
                "; 2 items failed for good"
            ),
        ),
        (
            RETRIED,
            logging.WARNING,
            (
                "batch 00c0ffee-17 (100 items, count, attempt 1): TransientError (SQLITE_BUSY) for 100"
                "; 100 are tried again in 0.25 s"
            ),
        ),
        (JobsFinished("mail", dead=2), logging.ERROR, "queue mail: 2 jobs failed for the last time and are dead"),
        (
            JobsFinished("mail", done=5, stale=1),
            logging.WARNING,
            "queue mail: 1 acknowledgements came after their lease was lost: the jobs are with others",
        ),
        (
            LeasesRescued("mail", ready=3, dead=1),
            logging.WARNING,
            "queue mail: 4 jobs were taken from workers that were lost; 3 come again, 1 are dead",
        ),
        (
            TickFailed("TransientError"),
            logging.WARNING,
            "a tick failed with TransientError: each slot has its job or is still due",
        ),
        (
            CacheAsked("fares", hits=1, stale=2, waited=0, misses=0, failed=3),
            logging.WARNING,
            "cache fares: 3 keys could not be read, 2 were served stale",
        ),
    ],
)
def test_a_failure_is_one_line(
    db: Database, caplog: pytest.LogCaptureFixture, event: Event, level: int, text: str
) -> None:
    with FailureLog(db):
        db.events.emit(event)
    assert caplog.record_tuples == [("perflab.failures", level, text)]


def test_its_fields_are_attributes_of_the_record(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with FailureLog(db):
        db.events.emit(RETRIED)
    (record,) = caplog.records
    expected = {
        "batch": "00c0ffee-17",
        "items": 100,
        "failed": 0,
        "undecided": 100,
        "errors": {"TransientError (SQLITE_BUSY)": 100},
        "cause": "count",
        "attempt": 1,
        "retry_in": 0.25,
        "engine": "sqlite",
    }
    assert expected.items() <= vars(record).items()


@pytest.mark.parametrize(
    "event",
    [
        FLUSH,
        JobsClaimed("mail", 1, 0.1),
        JobsFinished("mail", done=1, retried=1),
        LeasesRescued("mail", 0, 0),
        CacheAsked("fares", 1, 0, 1, 1, 0),
    ],
)
def test_what_goes_well_is_no_line(db: Database, caplog: pytest.LogCaptureFixture, event: Event) -> None:
    with FailureLog(db):
        db.events.emit(event)
    assert not caplog.records


def test_lines_of_one_kind_are_limited_and_counted(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with FailureLog(db, burst=2, period=60.0, clock=clock):
        for _ in range(5):
            db.events.emit(FAILURE)
        db.events.emit(RETRIED)
        assert len(caplog.records) == 3, "another kind has lines of its own"
        clock.now = 60.0
        db.events.emit(FAILURE)
        assert caplog.messages[-1].endswith("(3 more like it were not logged)")
        for _ in range(4):
            db.events.emit(FAILURE)
    assert caplog.messages[-1] == "3 more lines of batches with RejectedRow (SQLITE_CONSTRAINT_UNIQUE) were not logged"


def test_a_closed_log_hears_nothing(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(db)
    log.close()
    log.close()
    assert not db.events
    db.events.emit(FAILURE)
    assert not caplog.records


@pytest.mark.parametrize("wrong", [{"burst": 0}, {"period": 0.0}])
def test_an_argument_out_of_range_is_refused(db: Database, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        FailureLog(db, **wrong)  # type: ignore[arg-type]


@pytest.mark.case("F43")
def test_no_line_holds_a_payload(perflab_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Both engines quote the row that they refuse, in the message of the error."""
    caplog.set_level(logging.INFO)
    with Database.open(perflab_url) as database, FailureLog(database, burst=100):
        with database.transaction() as connection:
            TABLE.create(connection)
        quoted = []
        with RequestBatcher(database, batch_size=10, flush_interval=60.0) as batcher:
            futures = [batcher.submit(insert(TABLE), {"name": CANARY, "n": n}) for n in range(3)]
            futures.append(batcher.submit(insert(TABLE), {"name": "other", "n": CANARY}))
            batcher.flush()
            quoted += [str(future.exception()) for future in futures[1:]]
        inserter = BulkInserter(database, TABLE, 10, 60.0, on_reject=lambda _row, error: quoted.append(str(error)))
        with inserter:
            inserter.extend([{"name": CANARY, "n": 1}, {"name": CANARY, "n": 2}])
        queue: PriorityQueue[int, bool] = PriorityQueue(database, name="mail")
        queue.bulk_enqueue([NewJob(CANARY, max_attempts=1)])
        queue.mark_error(queue.claim(1)[0], CANARY)
    assert len(quoted) == 5
    if database.engine_name == "postgresql":
        assert any(CANARY in error for error in quoted), "or there was nothing to keep back"
    assert len([record for record in caplog.records if record.name == "perflab.failures"]) >= 3
    for record in caplog.records:
        assert CANARY not in repr(vars(record)) + record.getMessage() + caplog.text
