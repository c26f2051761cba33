"""What a handler says of its job's future by what it raises."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.events import Event, JobsFinished
from perflab.queue.hints import Discard, Retry
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

Queue = PriorityQueue[int, bool]


def test_a_job_comes_again_when_its_handler_says_and_not_before(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue(1)
    assert queue.mark_error(queue.claim()[0], Retry("busy over there", after=90))
    clock.now += timedelta(seconds=89.999)
    assert queue.claim() == []
    clock.now += timedelta(seconds=0.001)
    (job,) = queue.claim()
    assert job.attempt == 2
    ((error,),) = queue.db.fetch("SELECT last_error FROM perflab_jobs")
    assert error == "Retry: busy over there"


def test_after_its_last_attempt_a_retry_is_dead(queue: Queue) -> None:
    queue.enqueue(1, max_attempts=1)
    queue.mark_error(queue.claim()[0], Retry(after=0))
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=1)


def test_a_discarded_job_is_dead_at_once_and_can_be_seen_and_redriven(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue(1)
    clock.now += timedelta(seconds=5)
    assert queue.mark_error(queue.claim()[0], Discard("no such airport"))
    (dead,) = queue.dead_jobs()
    assert (dead.error, dead.attempts, dead.died_at) == ("Discard: no such airport", 1, clock.now)
    assert queue.redrive() == 1


def test_hints_and_errors_of_one_call_each_have_their_own_end(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(4))
    jobs = queue.claim()
    heard: list[Event] = []
    with queue.db.events.listening(heard.append):
        errors: list[Any] = [Discard(), Retry(after=0), "as usual", Discard()]
        assert queue.mark_error_bulk(zip(jobs, errors, strict=True)) == [True] * 4
    assert heard == [JobsFinished("ingest", retried=2, dead=2)]
    assert {job.id for job in queue.dead_jobs()} == {jobs[0].id, jobs[3].id}
    assert [job.id for job in queue.claim()] == [jobs[1].id]


def test_a_worker_passes_hints_on(real_time_queue: Queue) -> None:
    real_time_queue.bulk_enqueue(NewJob(number) for number in range(3))
    seen: list[tuple[int, int]] = []

    def handler(job: Any) -> None:
        seen.append((job.payload, job.attempt))
        if job.payload == 1 and job.attempt < 3:
            raise Retry(after=0)
        if job.payload == 2:
            raise Discard

    report = Worker(real_time_queue, handler, concurrency=1).run(until_empty=True)
    assert (report.done, report.failed) == (2, 3)
    assert sorted(seen) == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
    assert real_time_queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=1)


@pytest.mark.parametrize("after", [-1, float("inf"), 1e9, "1", None, True])
def test_a_time_that_cannot_be_is_refused(after: Any) -> None:
    with pytest.raises(InvalidInput, match="after"):
        Retry(after=after)
