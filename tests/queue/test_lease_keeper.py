from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import TransientError
from perflab.queue.job import Job, NewJob
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.lease_keeper import LeaseKeeper
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
LEASE_SECONDS = 0.03


def wait_until(condition: Callable[[], bool]) -> None:
    """The test's own timeout ends it if the condition never holds."""
    while not condition():
        time.sleep(0.001)


def lease_end(queue: Queue, job: Job) -> float:
    ((microseconds,),) = queue.db.fetch(f"SELECT lease_until FROM perflab_jobs WHERE id = {job.id}")
    return float(microseconds) / 1e6


@contextmanager
def keeping(queue: Queue, in_hand: JobsInHand, lost: Callable[[list[Job]], None] = lambda _: None) -> Iterator[None]:
    keeper = LeaseKeeper(queue, in_hand, LEASE_SECONDS, lost, Random(0))
    try:
        yield
    finally:
        keeper.close()
        assert not keeper._thread.is_alive()


@pytest.fixture
def queue(database: Database, clock: SimpleNamespace) -> Queue:
    return PriorityQueue(database, now=lambda: clock.now)


def test_leases_in_hand_are_extended_again_and_again(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue(1)
    (job,) = queue.claim(1, LEASE_SECONDS)
    in_hand = JobsInHand(lambda: None)
    in_hand.add([job])
    with keeping(queue, in_hand):
        for _ in range(3):
            clock.now += timedelta(seconds=LEASE_SECONDS / 2)  # not so far that a rescue in the same visit takes it
            wait_until(lambda: lease_end(queue, job) == pytest.approx(clock.now.timestamp() + LEASE_SECONDS, abs=1e-6))
    assert queue.mark_done(job)


def test_jobs_of_dead_workers_are_rescued_at_once_and_later(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    queue.claim(1, 10)
    clock.now += timedelta(minutes=1)
    with keeping(queue, JobsInHand(lambda: None)):
        wait_until(lambda: queue.counts().ready == 2)
        queue.claim(1, 10)
        clock.now += timedelta(minutes=1)
        wait_until(lambda: queue.counts().ready == 2)


def test_more_expired_leases_than_one_page_are_all_rescued(
    queue: Queue, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.queue.lease_keeper.RESCUED_AT_ONCE", 3)
    monkeypatch.setattr(LeaseKeeper, "_extend", lambda _: None)
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    queue.claim(10, 10)
    clock.now += timedelta(minutes=1)
    keeper = LeaseKeeper(queue, JobsInHand(lambda: None), 3_600, lambda _: None, Random(0))  # visits once
    wait_until(lambda: queue.counts().ready == 10)
    keeper.close()


def test_a_waiting_job_whose_lease_was_lost_never_starts(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob("waiting"), NewJob("running")])
    waiting, running = queue.claim(2, 10)
    in_hand = JobsInHand(lambda: None)
    in_hand.add([waiting, running])
    in_hand.start(running)
    clock.now += timedelta(minutes=1)
    assert queue.rescue_expired() == 2
    lost: list[Job] = []
    with keeping(queue, in_hand, lost.extend):
        wait_until(lambda: bool(lost))
    assert lost == [waiting]
    assert not in_hand.start(waiting)
    assert in_hand.running == 1, "its handler goes on; its acknowledgement will be refused"


def test_a_failure_is_followed_by_another_try(
    queue: Queue, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
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
    with keeping(queue, JobsInHand(lambda: None)):
        assert rescued.wait(60)
    assert caplog.text.count("trying again") == 2
