"""Priorities that are worth some seconds each, so that nothing waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.events import Event, JobsClaimed
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
AGEING = 4.0


@pytest.fixture
def make(db: Database, clock: SimpleNamespace) -> Callable[[float | None], Queue]:
    return lambda ageing: PriorityQueue(db, "ingest", ageing=ageing, now=lambda: clock.now)


def overload(queue: Queue, clock: SimpleNamespace, seconds: int) -> dict[Any, float]:
    """For so long, three urgent jobs come each second and two are done; how long each of the others has waited."""
    waits = {}
    queue.bulk_enqueue(NewJob(priority, priority) for priority in (3, 5))
    start = clock.now
    for _ in range(seconds):
        queue.bulk_enqueue(NewJob(None) for _ in range(3))
        for job in queue.claim(2):
            if job.payload is not None:
                waits[job.payload] = (clock.now - start).total_seconds()
            queue.mark_done(job)
        clock.now += timedelta(seconds=1)
    return waits


@pytest.mark.case("F40")
def test_without_it_a_low_priority_starves(make: Callable[[float | None], Queue], clock: SimpleNamespace) -> None:
    assert overload(make(None), clock, 60) == {}


@pytest.mark.case("F40")
def test_with_it_nothing_waits_longer_than_the_bound(
    make: Callable[[float | None], Queue], clock: SimpleNamespace
) -> None:
    waits = overload(make(AGEING), clock, 60)
    # Before the virtual deadline of priority p come the urgent jobs of its first p · AGEING seconds, three in each and
    # those of that very moment, and the other one, if that has a smaller number; two are done in a second.
    bound = {priority: (3 * (priority * AGEING + 1) + (priority == 5)) / 2 for priority in (3, 5)}
    assert waits.keys() == bound.keys()
    for priority, waited in waits.items():
        assert priority * AGEING <= waited <= bound[priority]


def test_claims_follow_the_virtual_deadlines(make: Callable[[float | None], Queue], clock: SimpleNamespace) -> None:
    rng = Random(5)
    queue = make(1.5)
    waiting: list[tuple[float, int, int]] = []
    start = clock.now
    for _ in range(40):
        new = [(rng.randint(-3, 3), rng.randint(-6, 0)) for _ in range(rng.randint(0, 7))]
        moment = (clock.now - start).total_seconds()
        ids = queue.bulk_enqueue(
            NewJob(None, priority, clock.now + timedelta(seconds=delay)) for priority, delay in new
        )
        waiting += [
            (moment + delay + priority * 1.5, priority, job_id)
            for (priority, delay), job_id in zip(new, ids, strict=True)
        ]
        limit = rng.randint(1, 5)
        waiting.sort()
        expected, waiting = waiting[:limit], waiting[limit:]
        jobs = queue.claim(limit)
        assert [job.id for job in jobs] == [job_id for *_, job_id in expected]
        clock.now += timedelta(seconds=rng.randint(0, 2))


def test_nothing_that_a_claim_must_respect_is_passed_over(
    make: Callable[[float | None], Queue], clock: SimpleNamespace
) -> None:
    queue = make(AGEING)
    queue.bulk_enqueue([NewJob("now", 9), NewJob("later", 0, clock.now + timedelta(seconds=100))])
    lease = queue.open_lease("w", 10)
    queue.pause()
    assert queue.claim() == queue.claim(5, lease) == []
    queue.resume()
    assert [job.payload for job in queue.claim(5, lease)] == ["now"]
    clock.now += timedelta(seconds=100)
    assert queue.claim(5, lease) == [], "it is lost"
    (job,) = queue.claim(1)
    accepted, jobs = queue.mark_done_and_claim([job], 5, 60.0)
    assert (job.payload, accepted, jobs) == ("later", [True], [])


def test_what_is_looked_at_and_not_taken_is_free_again(make: Callable[[float | None], Queue]) -> None:
    queue = make(AGEING)
    queue.bulk_enqueue(NewJob(number, number % 4) for number in range(20))
    taken = [len(queue.claim(3)) for _ in range(8)]
    assert taken == [3, 3, 3, 3, 3, 3, 2, 0]


def test_claims_tell_how_long_was_waited(make: Callable[[float | None], Queue], clock: SimpleNamespace) -> None:
    queue = make(None)
    heard: list[Event] = []
    queue.bulk_enqueue([NewJob(0, 0), NewJob(1, 1, clock.now - timedelta(seconds=5))])
    clock.now += timedelta(seconds=2)
    with queue.db.events.listening(heard.append):
        queue.claim()
        queue.claim()
    assert [event.waited for event in heard if isinstance(event, JobsClaimed)] == [7.0, 0.0]


@pytest.mark.parametrize("ageing", [-1, "x", float("nan"), 1e9])
def test_ageing_is_a_number_of_seconds(make: Callable[[Any], Queue], ageing: Any) -> None:
    with pytest.raises(InvalidInput, match="ageing"):
        make(ageing)
