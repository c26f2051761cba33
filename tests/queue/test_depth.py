"""A bounded queue holds its producers up."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput, QueueFull
from perflab.queue.depth import LOOK_AGAIN_SECONDS, DepthGate, DepthLimit, QueuePressure
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


class Time:
    """Passes while somebody sleeps; what shall happen meanwhile does."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []
        self.happens: Any = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps.append(seconds)
        self.happens()


@pytest.fixture
def time() -> Time:
    return Time()


def bounded(db: Database, clock: SimpleNamespace, time: Time, limit: DepthLimit | int | None) -> Queue:
    return PriorityQueue(
        db,
        "ingest",
        max_depth=limit,
        now=lambda: clock.now,
        rng=Random(1),
        stopwatch=lambda: time.now,
        sleep=time.sleep,
    )


def jobs(number: int) -> list[NewJob]:
    return [NewJob(index) for index in range(number)]


def test_what_waits_counts_and_what_runs_does_not(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, DepthLimit(4, overflow="raise"))
    queue.bulk_enqueue([*jobs(3), NewJob("later", run_at=clock.now + timedelta(hours=1))])
    assert queue.pressure() == QueuePressure(4, 4)
    assert queue.pressure().share == 1.0
    with pytest.raises(QueueFull, match=r"the queue 'ingest' has no room for 1 more: up to 4 jobs may wait in it"):
        queue.enqueue("x")
    claimed = queue.claim(2)
    assert queue.pressure().share == 0.5
    with pytest.raises(QueueFull, match="no room for 3 more"):
        queue.bulk_enqueue(jobs(3))
    queue.bulk_enqueue(jobs(2))
    queue.mark_done_bulk(claimed)
    assert queue.counts().unfinished == 4
    assert time.naps == []


def test_a_producer_waits_until_there_is_room(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, 10)
    queue.bulk_enqueue(jobs(10))
    workers = bounded(db, clock, time, None)

    def happens() -> None:
        if len(time.naps) == 5:
            workers.mark_done_bulk(workers.claim(3))

    time.happens = happens
    assert len(queue.bulk_enqueue(jobs(3))) == 3
    assert len(time.naps) == 5
    assert time.naps[0] < 0.01, "it looks again soon"
    assert queue.counts().ready == 10


def test_it_waits_for_so_long_and_then_says_so(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, DepthLimit(2, timeout=7.0))
    queue.bulk_enqueue(jobs(2))
    began = time.now
    with pytest.raises(QueueFull):
        queue.enqueue("x")
    assert time.now - began == pytest.approx(7.0)
    assert max(time.naps) <= 0.25
    assert queue.counts().ready == 2


def test_more_than_ever_fit_are_refused(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, 5)
    with pytest.raises(InvalidInput, match=r"6 jobs at once can never fit into the queue 'ingest', where 5 may wait"):
        queue.bulk_enqueue(jobs(6))
    assert queue.bulk_enqueue([]) == []
    assert queue.counts().unfinished == 0


def test_nobody_waits_inside_a_transaction(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, 4)
    with db.transaction() as connection:
        queue.bulk_enqueue(jobs(3), connection=connection)
        with pytest.raises(QueueFull):  # what is not committed yet counts too
            queue.bulk_enqueue(jobs(2), connection=connection)
        queue.bulk_enqueue(jobs(1), connection=connection)
    assert time.naps == []
    assert queue.counts().ready == 4


def test_single_jobs_look_once_in_a_while(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, 800)
    with db.recording() as recorder:
        for number in range(101):
            queue.enqueue(number)
    looks = sum(seen.calls for seen in recorder.statements() if "AS waiting" in seen.sql)
    assert looks == 2, "room for 800, of which 100 may be filled, and then for 700"


def test_write_behind_is_held_up_where_it_is_submitted(db: Database, clock: SimpleNamespace, time: Time) -> None:
    limit = DepthLimit(3, overflow="raise")
    with RequestBatcher(db, 10, 0.0) as batcher:
        queue = PriorityQueue(db, "ingest", batcher, max_depth=limit, stopwatch=lambda: time.now, rng=Random(1))
        for number in range(3):
            queue.enqueue(number).result(60)
        with pytest.raises(QueueFull):
            queue.enqueue("x")


def test_without_a_limit_the_pressure_is_a_count(db: Database, clock: SimpleNamespace, time: Time) -> None:
    queue = bounded(db, clock, time, None)
    queue.bulk_enqueue([*jobs(2), NewJob("later", run_at=clock.now + timedelta(hours=1))])
    assert queue.pressure() == QueuePressure(3, None)
    assert queue.pressure().share == 0.0


@pytest.mark.parametrize("limit", [0, True, "x", 10_000_001])
def test_a_limit_is_a_number_of_jobs(db: Database, limit: Any) -> None:
    with pytest.raises(InvalidInput, match="the depth of a queue"):
        PriorityQueue(db, max_depth=limit)


def test_the_other_settings_are_checked() -> None:
    wrong: Any = "drop"
    with pytest.raises(InvalidInput, match="overflow is 'drop'"):
        DepthLimit(5, overflow=wrong)
    with pytest.raises(InvalidInput, match="timeout"):
        DepthLimit(5, timeout=-1)


@pytest.mark.case("F39")
@given(
    limit=st.integers(1, 50),
    steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12), st.sampled_from([0.0, LOOK_AGAIN_SECONDS]))),
)
def test_one_producer_never_exceeds_the_limit(limit: int, steps: list[tuple[int, int, float]]) -> None:
    """Workers only ever make room between two looks."""
    time, waiting = Time(), 0
    gate = DepthGate(
        "q",
        DepthLimit(limit, overflow="raise"),
        lambda most: min(most, waiting),
        clock=lambda: time.now,
        sleep=time.sleep,
        rng=Random(0),
    )
    for wanted, done, seconds in steps:
        try:
            gate.admit(wanted)
        except QueueFull:
            assert waiting + wanted > limit
        except InvalidInput:
            assert wanted > limit
        else:
            waiting += wanted
        assert waiting <= limit
        waiting = max(0, waiting - done)
        time.now += seconds
