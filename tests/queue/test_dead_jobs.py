"""Dead jobs can be looked at, page by page, and sent round again, however many there are."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from perflab.errors import InvalidInput
from perflab.queue.job import DeadJob, Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
A_MINUTE = timedelta(minutes=1)


def kill(queue: Queue, *jobs: NewJob) -> list[int]:
    """Enqueue jobs of one attempt each, and let them fail in one call."""
    ids = queue.bulk_enqueue(jobs)
    claimed = queue.claim()
    assert queue.mark_error_bulk([(job, ValueError(f"no {job.payload}")) for job in claimed]) == [True] * len(jobs)
    return ids


def doomed(payload: object, key: str | None = None, priority: int = 0) -> NewJob:
    return NewJob(payload, priority, key=key, max_attempts=1)


def all_pages(queue: Queue, limit: int) -> list[int]:
    ids: list[int] = []
    page: list[DeadJob] = queue.dead_jobs(limit)
    while page:
        assert len(page) <= limit
        ids += [job.id for job in page]
        page = queue.dead_jobs(limit, before=page[-1])
    return ids


def test_a_dead_job_tells_what_it_was_and_what_it_died_of(queue: Queue, clock: SimpleNamespace) -> None:
    enqueued_at = clock.now
    job_id = queue.enqueue({"a": [1]}, 7, key="k", max_attempts=2)
    for _ in range(2):
        clock.now += timedelta(days=1)
        (job,) = queue.claim()
        queue.mark_error(job, ValueError("broken"))
    assert queue.dead_jobs() == [
        DeadJob(job_id, "ingest", {"a": [1]}, 7, 2, "k", "ValueError: broken", enqueued_at, clock.now)
    ]


def test_the_last_to_die_comes_first_and_pages_meet_without_gap_or_overlap(
    queue: Queue, clock: SimpleNamespace
) -> None:
    ids = []
    for number in range(3):  # four that share their time, three times
        ids += kill(queue, *[doomed(4 * number + more) for more in range(4)])
        clock.now += A_MINUTE
    for limit in (1, 3, 4, 5, 12, 100):
        assert all_pages(queue, limit) == ids[::-1]


def test_pages_follow_the_time_of_death_and_not_the_ids(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(doomed(number) for number in range(9))
    jobs = queue.claim()
    groups = [jobs[6:], jobs[:3], jobs[3:6]]
    for group in groups:
        queue.mark_error_bulk((job, "no") for job in group)
        clock.now += A_MINUTE
    expected = [job.id for group in reversed(groups) for job in reversed(group)]
    for limit in (1, 2, 3, 4, 100):
        assert all_pages(queue, limit) == expected


def test_a_page_stays_where_it_is_while_others_die_and_are_purged(queue: Queue, clock: SimpleNamespace) -> None:
    ids = kill(queue, *[doomed(number) for number in range(4)])
    first = queue.dead_jobs(2)
    clock.now += A_MINUTE
    kill(queue, doomed("later"))
    assert queue.retry([first[-1].id]) == [True]  # the page began at a job that is no longer dead
    assert [job.id for job in queue.dead_jobs(2, before=first[-1])] == ids[1::-1]


def test_only_dead_jobs_of_this_queue_are_listed(queue: Queue, clock: SimpleNamespace) -> None:
    other: Queue = PriorityQueue(queue.db, "other", now=lambda: clock.now)
    kill(other, doomed("theirs"))
    queue.enqueue("running")
    queue.claim()
    queue.bulk_enqueue([NewJob("ready"), NewJob("scheduled", run_at=clock.now + A_MINUTE)])
    assert queue.dead_jobs() == []
    assert queue.redrive() == 0
    assert other.counts().dead == 1


def test_a_payload_that_cannot_be_read_does_not_hide_its_job(queue: Queue) -> None:
    (job_id,) = kill(queue, doomed("x"))
    damaged = {"sqlite": "x'00'", "postgresql": r"'\x00'"}[queue.db.engine_name]
    with queue.db.driver_transaction() as connection:
        connection.execute(f"UPDATE perflab_jobs SET payload = 'null', payload_zstd = {damaged}")
    (dead,) = queue.dead_jobs()
    assert (dead.id, dead.payload, dead.error) == (job_id, None, "ValueError: no x")
    assert "cannot be decoded" in (dead.payload_error or "")


def test_redriven_jobs_are_claimed_with_as_many_attempts_as_stated(queue: Queue, clock: SimpleNamespace) -> None:
    ids = kill(queue, doomed(0), doomed(1))
    clock.now += A_MINUTE
    ids += kill(queue, doomed(2))
    assert queue.redrive(2, attempts=3) == 2
    jobs = queue.claim()
    assert [(job.id, job.attempt, job.max_attempts, job.run_at) for job in jobs] == [
        (job_id, 2, 4, clock.now) for job_id in ids[:2]
    ]
    assert [queue.redrive(2), queue.redrive(2)] == [1, 0]


def test_redriving_gets_past_any_number_that_must_stay_dead(queue: Queue, clock: SimpleNamespace) -> None:
    kill(queue, *[doomed(number, key=f"taken {number}") for number in range(20)])
    queue.bulk_enqueue([NewJob(number, 1, key=f"taken {number}") for number in range(20)])
    with queue.db.driver_transaction() as connection:
        connection.execute("UPDATE perflab_jobs SET attempt = 32767 WHERE key = 'taken 0' AND state = 'dead'")
    clock.now += A_MINUTE
    last = kill_first(queue, clock, doomed("free", priority=-1))
    assert [queue.redrive(1), queue.redrive(1)] == [1, 0]
    assert queue.claim(1)[0].id == last
    assert queue.counts() == QueueCounts(scheduled=0, ready=20, running=1, dead=20)


def kill_first(queue: Queue, clock: SimpleNamespace, job: NewJob) -> int:
    """Let one job die that goes before all others."""
    job_id = queue.enqueue(job.payload, job.priority, max_attempts=1)
    claimed: list[Job] = queue.claim(1)
    assert [claim.id for claim in claimed] == [job_id]
    queue.mark_error(claimed[0], "x")
    clock.now += A_MINUTE
    return job_id


def test_of_dead_jobs_with_one_key_the_first_is_redriven(queue: Queue) -> None:
    first, second, alone = (kill(queue, doomed(key, key=key))[0] for key in ("k", "k", "alone"))
    assert [queue.redrive(), queue.redrive()] == [2, 0]
    assert [job.id for job in queue.dead_jobs()] == [second]
    jobs = queue.claim()
    assert [job.id for job in jobs] == [first, alone]
    queue.mark_done_bulk(jobs)
    assert queue.redrive() == 1


@pytest.mark.case("F03")
def test_a_redriven_job_refuses_the_acknowledgement_of_its_former_life(queue: Queue) -> None:
    queue.enqueue("x", max_attempts=1)
    (old,) = queue.claim()
    queue.mark_error(old, "x")
    assert queue.redrive() == 1
    queue.claim()
    assert queue.mark_done(old) is False


@pytest.mark.parametrize("limit", [0, 1_000_001, True, "1"])
def test_a_limit_out_of_bounds_is_refused(queue: Queue, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit is"):
        queue.dead_jobs(limit)
    with pytest.raises(InvalidInput, match="limit is"):
        queue.redrive(limit)


def test_what_is_not_a_dead_job_or_no_number_of_attempts_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidInput, match="before is 3: give the last DeadJob of the page before, or None"):
        queue.dead_jobs(before=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="attempts is 0"):
        queue.redrive(attempts=0)
