from datetime import timedelta
from types import SimpleNamespace

import pytest

from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
LATER = timedelta(minutes=10)


def kill(queue: Queue, jobs: list[NewJob]) -> list[int]:
    """Enqueue jobs and let them die."""
    ids = queue.bulk_enqueue(jobs)
    while claimed := [job for job in queue.claim() if job.id in ids]:
        queue.mark_error_bulk([(job, "fatal") for job in claimed])
    assert queue.counts().dead >= len(ids)
    return ids


def test_only_jobs_that_have_not_started_are_cancelled(queue: Queue, clock: SimpleNamespace) -> None:
    (dead,) = kill(queue, [NewJob("dead", max_attempts=1)])
    running = queue.enqueue("running")
    queue.claim()
    ready, scheduled = queue.bulk_enqueue([NewJob("ready"), NewJob("scheduled", run_at=clock.now + LATER)])
    ids = [dead, ready, running, 10**9, scheduled, ready]
    assert queue.cancel(ids) == [False, True, False, False, True, False]
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=1, dead=1)


def test_a_queue_cares_for_its_own_jobs_only(queue: Queue) -> None:
    other: Queue = PriorityQueue(queue.db, "other", now=queue._clock)
    (dead,) = kill(other, [NewJob("dead", max_attempts=1)])
    ready = other.enqueue("ready")
    assert queue.cancel([ready]) == queue.retry([dead]) == [False]
    assert queue.purge(older_than=0) == 0
    assert other.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=1)
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=0)


def test_a_dead_job_gets_as_many_attempts_more_as_stated(queue: Queue) -> None:
    (job_id,) = kill(queue, [NewJob("x", max_attempts=1)])
    assert queue.retry([job_id, job_id], attempts=2) == [True, False]
    (job,) = queue.claim()
    assert (job.id, job.attempt, job.max_attempts) == (job_id, 2, 3)
    assert queue.retry([job_id]) == [False]


def test_a_dead_job_whose_key_was_taken_stays_dead(queue: Queue) -> None:
    first, second, alone = (kill(queue, [NewJob(key, key=key, max_attempts=1)])[0] for key in ("k", "k", "alone"))
    assert queue.retry([first, alone, second]) == [True, True, False]
    assert queue.counts() == QueueCounts(scheduled=0, ready=2, running=0, dead=1)
    queue.mark_done_bulk(queue.claim())
    assert queue.retry([second]) == [True]


def test_rescue_takes_only_leases_that_have_run_out(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(0, max_attempts=1), NewJob(1), NewJob(2)])
    (last_attempt,) = queue.claim(1, 10, worker="gone")
    (other,) = queue.claim(1, 10)
    queue.claim(1, 10.000001)
    clock.now += timedelta(seconds=10) - timedelta(microseconds=1)
    assert queue.rescue_expired() == 0
    clock.now += timedelta(microseconds=1)
    assert queue.rescue_expired() == 2
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=1, dead=1)
    errors = dict(queue.db.fetch("SELECT id, last_error FROM perflab_jobs"))
    assert errors[last_attempt.id] == "the lease of attempt 1 ran out at worker gone"
    assert errors[other.id] == "the lease of attempt 1 ran out"


def test_rescue_goes_page_by_page_from_the_oldest(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(5))
    leases = [queue.claim(1, 10 - number)[0] for number in range(5)]
    clock.now += LATER
    assert [queue.rescue_expired(2) for _ in range(4)] == [2, 2, 1, 0]
    clock.now -= LATER
    assert queue.mark_done_bulk(leases) == [False] * 5


def test_purge_deletes_what_has_been_dead_for_long_the_oldest_first(queue: Queue, clock: SimpleNamespace) -> None:
    old = kill(queue, [NewJob("old", max_attempts=1, run_at=clock.now - LATER)])
    clock.now += LATER
    older_half = kill(queue, [NewJob("middle", max_attempts=1)])
    clock.now += LATER
    kill(queue, [NewJob("young", max_attempts=1)])
    seconds = LATER.total_seconds()
    assert queue.purge(older_than=seconds * 2 + 1) == 0
    assert queue.purge(older_than=seconds, limit=1) == 1
    assert queue.db.fetch("SELECT min(id) FROM perflab_jobs") == [(older_half[0],)]
    assert queue.purge(older_than=seconds) == 1
    assert queue.purge(older_than=0) == 1
    assert old[0] < older_half[0]
    assert queue.counts().dead == 0


@pytest.mark.parametrize("how", ["mark_error", "rescue_expired", "release"])
def test_a_job_is_dead_from_the_moment_of_its_death(queue: Queue, clock: SimpleNamespace, how: str) -> None:
    queue.enqueue(1, run_at=clock.now - LATER, max_attempts=1)
    if how == "release":
        with queue.db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_jobs SET attempt = 32766, max_attempts = 32767")
    (job,) = queue.claim(1, 1)
    clock.now += LATER
    if how == "mark_error":
        queue.mark_error(job, "x")
    elif how == "release":
        queue.release([job])
    else:
        queue.rescue_expired()
    assert queue.counts().dead == 1
    assert queue.purge(older_than=1) == 0
    assert queue.purge(older_than=0) == 1
