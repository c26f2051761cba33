from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import TransientError
from perflab.queue.held_lease import HeldLease
from perflab.queue.job import Job, NewJob
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.queue import PriorityQueue
from tests.processes import A_MINUTE, wait_for

Queue = PriorityQueue[int, bool]
LEASE_SECONDS = 0.03
NOT_RENEWED = 3_000.0


@pytest.fixture
def queue(database: Database, clock: SimpleNamespace) -> Queue:
    return PriorityQueue(database, now=lambda: clock.now)


@pytest.fixture
def in_hand() -> JobsInHand:
    return JobsInHand(lambda: None, monotonic=lambda: 0.0)


@contextmanager
def holding(
    queue: Queue, in_hand: JobsInHand, seconds: float = NOT_RENEWED, lost: Callable[[list[Job]], None] = lambda _: None
) -> Iterator[HeldLease]:
    lease = HeldLease(queue, in_hand, "its name", seconds, lost=lost, rng=Random(0))
    try:
        yield lease
    finally:
        lease.close()
        assert not lease._thread.is_alive()


def claim(queue: Queue, lease: HeldLease, in_hand: JobsInHand) -> list[Job]:
    with lease.claiming() as held:
        jobs = queue.claim(10, held)
        in_hand.add(jobs)
    return jobs


def test_the_lease_is_renewed_again_and_again(queue: Queue, in_hand: JobsInHand, clock: SimpleNamespace) -> None:
    queue.enqueue(1)
    with holding(queue, in_hand, LEASE_SECONDS) as lease:
        (job,) = claim(queue, lease, in_hand)

        def until() -> float:
            ((microseconds,),) = queue.db.fetch("SELECT lease_until FROM perflab_workers")
            return float(microseconds) / 1e6

        for _ in range(3):
            clock.now += timedelta(seconds=LEASE_SECONDS / 2)  # not so far that it runs out
            wait_for(lambda: until() == pytest.approx(clock.now.timestamp() + LEASE_SECONDS, abs=1e-6))
        assert queue.mark_done(job)


def test_at_its_end_it_gives_back_what_it_holds(queue: Queue, in_hand: JobsInHand) -> None:
    queue.enqueue(1)
    with holding(queue, in_hand) as lease:
        claim(queue, lease, in_hand)
        assert queue.counts().running == 1
    assert queue.counts().ready == 1
    assert queue.db.fetch("SELECT * FROM perflab_workers") == []


def test_jobs_of_dead_workers_are_rescued_at_once_and_later(
    queue: Queue, in_hand: JobsInHand, clock: SimpleNamespace
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    queue.claim(1, 10)
    clock.now += timedelta(minutes=1)
    with holding(queue, in_hand, LEASE_SECONDS):
        wait_for(lambda: queue.counts().ready == 2)
        queue.claim(1, 10)
        clock.now += timedelta(minutes=1)
        wait_for(lambda: queue.counts().running == 0)


@pytest.mark.case("F04")
def test_more_expired_leases_than_one_page_are_all_rescued_in_one_visit(
    queue: Queue, in_hand: JobsInHand, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.queue.held_lease.RESCUED_AT_ONCE", 3)
    with holding(queue, in_hand) as lease:
        queue.bulk_enqueue(NewJob(number) for number in range(10))
        queue.claim(10, 10)
        clock.now += timedelta(minutes=1)
        assert lease.look_after()
        assert queue.counts().ready == 10
        assert not lease.look_after()


def test_a_waiting_job_that_went_to_others_never_starts(
    queue: Queue, in_hand: JobsInHand, clock: SimpleNamespace
) -> None:
    queue.bulk_enqueue([NewJob("running"), NewJob("ended"), NewJob("waiting"), NewJob("kept")])
    lost: list[Job] = []
    with holding(queue, in_hand, lost=lost.extend) as lease:
        jobs = claim(queue, lease, in_hand)
        running, ended = in_hand.take(), in_hand.take()
        assert running is not None
        assert ended is not None
        in_hand.finish(ended, ended)
        clock.now += timedelta(hours=1)
        wait_for(queue.rescue_expired)
        (again,) = queue.claim(1)
        assert again.id == running.id
        assert lease.look_after(), "it was lost"
        assert lost == jobs[2:]
        assert in_hand.take_at_once() is None
        assert in_hand.running == 1, "its handler goes on; its acknowledgement will be refused"
        assert not lease.look_after(), "the new one holds"


def test_what_a_failed_claim_may_have_leased_is_given_back_and_the_rest_kept(queue: Queue, in_hand: JobsInHand) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    with holding(queue, in_hand) as lease:
        with lease.claiming() as held:
            in_hand.add(queue.claim(1, held))
        with pytest.raises(TransientError), lease.claiming() as held:
            queue.claim(1, held)
            raise TransientError("its answer never came")
        assert queue.counts().ready == 0
        with lease.claiming() as held:
            assert queue.counts().ready == 1
            (job,) = queue.claim(10, held)
        assert (job.payload, job.attempt) == (2, 2)
        (kept,) = in_hand.jobs()
        assert queue.mark_done(kept)


def test_a_failure_is_followed_by_another_try(
    queue: Queue, in_hand: JobsInHand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([TransientError("busy"), RuntimeError("a bug")])
    rescue: Any = queue.rescue_expired
    rescued = threading.Event()

    def fail_twice(limit: int) -> int:
        for failure in failures:
            raise failure
        rescued.set()
        return int(rescue(limit))

    monkeypatch.setattr(queue, "rescue_expired", fail_twice)
    with holding(queue, in_hand, LEASE_SECONDS):
        assert rescued.wait(A_MINUTE)
    assert caplog.text.count("trying again") == 2
