"""What a worker does when the database, or the machine, lets it down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import StatementError, TransientError
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport

Queue = PriorityQueue[int, bool]
Report = Callable[..., WorkerReport]
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def queue(real_time_queue: Queue) -> Queue:
    return real_time_queue


def test_passing_failures_of_a_claim_are_sat_out(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    queue.enqueue(1)
    claim = queue.claim
    failures = iter([TransientError("busy"), TransientError("busy")])

    def fail_at_first(*arguments: Any, **options: Any) -> list[Job]:
        for failure in failures:
            raise failure
        return claim(*arguments, **options)

    monkeypatch.setattr(queue, "claim", fail_at_first)
    assert Worker(queue, lambda _job: None, poll_interval=0.001).run(until_empty=True) == report(done=1)
    assert caplog.text.count("trying again") == 2


def test_a_lasting_failure_of_a_claim_is_raised_after_what_runs_has_ended(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    claim = queue.claim

    def fail_at_last(*arguments: Any, **options: Any) -> list[Job]:
        if queue.counts().running:
            raise StatementError("no such table")
        return claim(1, *arguments[1:], **options)

    monkeypatch.setattr(queue, "claim", fail_at_last)
    with pytest.raises(StatementError):
        Worker(queue, lambda _job: time.sleep(0.05), concurrency=1).run()
    counts = queue.counts()
    assert counts.running == 0
    assert counts.ready in (1, 2)  # the first one was done, or given back before it had started


def test_a_refused_acknowledgement_is_reported_and_the_job_runs_again(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))

    def fail(*_arguments: Any) -> list[bool]:
        raise StatementError("no such column")

    monkeypatch.setattr(queue.operations.mark_done, "apply", fail)
    assert Worker(queue, lambda _job: None).run(until_empty=True) == report(unacknowledged=3)
    assert caplog.text.count("could not be written") == 3
    assert queue.counts().running == 3
    later: Queue = PriorityQueue(database, now=lambda: utc_now() + timedelta(hours=1))
    assert later.rescue_expired() == 3


def test_jobs_that_cannot_be_given_back_are_reported(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(9))

    def fail(_jobs: list[Job]) -> list[bool]:
        raise TransientError("busy")

    monkeypatch.setattr(queue, "release", fail)

    def handler(_job: Job) -> None:
        worker.stop()
        while worker._in_hand.waiting:
            time.sleep(0.001)

    worker = Worker(queue, handler, concurrency=1, prefetch=8)
    assert worker.run() == report(done=1, unacknowledged=8)
    assert "could not be given back" in caplog.text


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
