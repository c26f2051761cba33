"""What a worker does when the database, or the machine, lets it down."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import OutcomeUnknown, ResultLost, StatementError, TransientError
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport

Queue = PriorityQueue[int, bool]
Report = Callable[..., WorkerReport]
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def queue(real_time_queue: Queue) -> Queue:
    return real_time_queue


def test_passing_failures_are_sat_out(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    exchange = queue.mark_done_and_claim
    failures = iter([None, TransientError("busy"), OutcomeUnknown("lost at COMMIT"), ResultLost("lost after it")])

    def fail_at_first(*arguments: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return exchange(*arguments)

    monkeypatch.setattr(queue, "mark_done_and_claim", fail_at_first)
    worker = Worker(queue, lambda _job: None, poll_interval=0.001, concurrency=1)
    assert worker.run(until_empty=True) == report(done=2)
    assert caplog.text.count("trying again") == 3


def test_jobs_of_a_claim_that_nobody_heard_of_are_given_back_and_claimed_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    exchange = queue.mark_done_and_claim
    unheard: list[Any] = []
    attempts: list[int] = []

    def lose_the_first_answer(*arguments: Any) -> Any:
        accepted, jobs = exchange(*arguments)
        if not unheard:
            unheard.extend(jobs or ())
            return accepted, None
        return accepted, jobs

    monkeypatch.setattr(queue, "mark_done_and_claim", lose_the_first_answer)
    worker = Worker(queue, lambda job: attempts.append(job.attempt), poll_interval=0.001)
    with_none_running = worker.run(until_empty=True)
    if not attempts:  # it looked empty, and the lease was closed, which gave the jobs back
        with_none_running = worker.run(until_empty=True)
    assert with_none_running == report(done=2)
    assert len(unheard) == 2
    assert attempts == [2, 2]


def test_a_lasting_failure_is_raised_after_what_runs_has_ended(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    exchange = queue.mark_done_and_claim
    inside, failed = threading.Event(), threading.Event()

    def fail_at_last(done: Any, _limit: int, lease: Any) -> Any:
        if queue.counts().running:
            assert inside.wait(A_MINUTE)  # or the job would be given back before it has started
            failed.set()
            raise StatementError("no such table")
        return exchange(done, 1, lease)

    def handler(_job: Job) -> None:
        inside.set()
        assert failed.wait(A_MINUTE)

    monkeypatch.setattr(queue, "mark_done_and_claim", fail_at_last)
    with pytest.raises(StatementError):
        Worker(queue, handler, concurrency=1).run()
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=0)


def test_what_cannot_be_acknowledged_is_raised_and_runs_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))

    def fail(*_arguments: Any) -> list[bool]:
        raise StatementError("no such column")

    with monkeypatch.context() as patch:
        patch.setattr("perflab.queue.operations.MarkDone.apply", fail)
        with pytest.raises(StatementError):
            Worker(queue, lambda _job: None).run(until_empty=True)
    assert "3 jobs cannot be acknowledged" in caplog.text
    assert queue.counts().ready == 3, "the lease was closed, which gives back what it held"


def test_a_worker_whose_lease_was_lost_goes_on_with_another(
    database: Database, queue: Queue, report: Report, running: Callable[..., Any]
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(20))
    inside, go_on = threading.Event(), threading.Event()
    runs: list[tuple[int, int]] = []

    def handler(job: Job) -> None:
        runs.append((job.payload, job.attempt))
        inside.set()
        go_on.wait(A_MINUTE)

    later: Queue = PriorityQueue(database, now=lambda: utc_now() + timedelta(hours=1))
    with running(Worker(queue, handler, concurrency=1, prefetch=3, lease=3000), until_empty=True) as reports:
        assert inside.wait(A_MINUTE)
        while not (rescued := later.rescue_expired()):  # it is left alone while a claim uses the lease
            time.sleep(0.001)
        go_on.set()
    assert reports == [report(done=20, stale=rescued)]
    assert Counter(payload for payload, _ in runs).total() == 20 + rescued
    assert queue.counts().unfinished == 0


def test_what_cannot_be_given_back_one_by_one_goes_back_with_the_lease(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(9))

    def fail(_jobs: list[Job]) -> list[bool]:
        raise TransientError("busy")

    monkeypatch.setattr(queue, "release", fail)

    def handler(_job: Job) -> None:
        worker.stop()
        while "could not be given back" not in caplog.text:
            time.sleep(0.001)

    worker = Worker(queue, handler, concurrency=1, prefetch=8)
    assert worker.run() == report(done=1, unacknowledged=8)
    assert queue.counts() == QueueCounts(scheduled=0, ready=8, running=0, dead=0)


@pytest.mark.parametrize("available", [0, 1, 3])
def test_no_thread_means_an_error_and_no_claim(queue: Queue, monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    queue.enqueue(1)
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_some(thread: threading.Thread) -> None:
        if len(started) == available:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    worker = Worker(queue, lambda _job: None)
    monkeypatch.setattr(threading.Thread, "start", start_some)
    with pytest.raises(RuntimeError, match="new thread"):
        worker.run()
    for thread in started:
        thread.join(A_MINUTE)
        assert not thread.is_alive()
    assert queue.counts().ready == 1
