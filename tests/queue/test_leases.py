"""One lease for all jobs of a worker: kept by one row, lost for good, and never in the way of a rescue."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


def states(queue: Queue) -> dict[int, str]:
    return dict(queue.db.fetch("SELECT id, state FROM perflab_jobs ORDER BY id"))


def workers(queue: Queue) -> list[tuple[Any, ...]]:
    return queue.db.fetch("SELECT id, queue, name, started_at, lease_until FROM perflab_workers ORDER BY id")


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def test_a_lease_is_one_row_however_many_jobs_it_holds(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(5))
    opened = queue.open_lease("w", 10)
    start, until = clock.now, clock.now + timedelta(seconds=10)
    assert (opened.worker, opened.seconds, opened.until) == ("w", 10, until)
    jobs = queue.claim(3, opened)
    assert [(job.payload, job.attempt, job.lease_until) for job in jobs] == [(n, 1, until) for n in range(3)]
    held = queue.db.fetch("SELECT DISTINCT state, worker_id, lease_until, worker FROM perflab_jobs WHERE attempt = 1")
    assert held == [("running", opened.id, None, None)]
    clock.now += timedelta(seconds=9)
    renewed = queue.renew_lease(opened)
    assert renewed is not None
    assert renewed.until == clock.now + timedelta(seconds=10)
    assert workers(queue) == [(opened.id, "ingest", "w", microseconds(start), microseconds(renewed.until))]
    clock.now += timedelta(seconds=9)
    assert queue.rescue_expired() == 0
    assert queue.mark_done_bulk(jobs) == [True] * 3


@pytest.mark.case("F03")
def test_a_lease_that_ran_out_is_lost_for_good(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(0), NewJob(1, max_attempts=1), NewJob(2)])
    opened = queue.open_lease("gone", 10)
    jobs = queue.claim(2, opened)
    clock.now += timedelta(seconds=10)
    assert queue.renew_lease(opened) is None
    assert queue.claim(1, opened) == [], "a lost lease finds no job"
    assert queue.rescue_expired() == 2
    clock.now -= timedelta(seconds=5)
    assert queue.renew_lease(opened) is None, "other clocks may be behind"
    assert queue.claim(1, opened) == []
    assert states(queue) == {jobs[0].id: "ready", jobs[1].id: "dead", 3: "ready"}
    errors = {error for (error,) in queue.db.fetch("SELECT last_error FROM perflab_jobs WHERE attempt = 1")}
    assert errors == {"the lease of attempt 1 ran out at worker gone"}
    assert queue.mark_done_bulk(jobs) == [False, False]
    assert workers(queue) == []


def test_a_name_is_not_asked_for(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue("x")
    queue.claim(1, queue.open_lease(lease=1))
    clock.now += timedelta(seconds=1)
    assert queue.rescue_expired() == 1
    assert queue.db.fetch("SELECT last_error FROM perflab_jobs") == [("the lease of attempt 1 ran out",)]


@pytest.mark.case("F04")
def test_rescue_is_bounded_and_goes_on_until_all_are_free(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(12))
    alive = queue.open_lease("alive", 60)
    queue.claim(2, alive)
    queue.claim(3, 10)
    gone = [queue.open_lease(f"gone {number}", 10) for number in range(2)]
    for lease in gone:
        queue.claim(3, lease)
    clock.now += timedelta(seconds=10)
    assert [queue.rescue_expired(4) for _ in range(4)] == [4, 4, 1, 0]
    assert queue.counts() == QueueCounts(scheduled=0, ready=10, running=2, dead=0)
    assert [row[0] for row in workers(queue)] == [alive.id]


@pytest.mark.case("F04")
def test_jobs_of_live_workers_are_never_in_the_way(queue: Queue, clock: SimpleNamespace) -> None:
    """However many, and however long they have been held."""
    queue.bulk_enqueue(NewJob(number) for number in range(60))
    alive = queue.open_lease("alive", 10)
    assert len(queue.claim(50, alive)) == 50
    (own,) = queue.claim(1, 5)
    (of_another,) = queue.claim(1, queue.open_lease("gone", 5))
    clock.now += timedelta(seconds=9)
    assert queue.renew_lease(alive)
    assert queue.rescue_expired(1) == queue.rescue_expired(1) == 1
    assert queue.rescue_expired(1) == 0
    assert states(queue)[own.id] == states(queue)[of_another.id] == "ready"


@pytest.mark.case("F03")
def test_a_finished_job_is_never_revived(queue: Queue, clock: SimpleNamespace) -> None:
    ids = queue.bulk_enqueue(NewJob(number) for number in range(4))
    opened = queue.open_lease("slow", 10)
    done, failed, released, left = queue.claim(4, opened)
    clock.now += timedelta(seconds=10)
    assert queue.mark_done(done)
    assert queue.mark_error(failed, "x")
    assert queue.release([released]) == [True]
    assert queue.rescue_expired() == 1
    assert states(queue) == {failed.id: "scheduled", released.id: "ready", left.id: "ready"}
    assert done.id == ids[0]


def test_a_queue_rescues_from_its_own_workers_only(queue: Queue, clock: SimpleNamespace) -> None:
    other: Queue = PriorityQueue(queue.db, "other", now=lambda: clock.now)
    other.enqueue("x")
    lease = other.open_lease("w", 1)
    assert len(other.claim(1, lease)) == 1
    clock.now += timedelta(seconds=1)
    assert queue.rescue_expired() == 0
    assert len(workers(queue)) == 1
    assert other.rescue_expired() == 1


def test_closing_gives_back_what_is_held_and_costs_no_attempt(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(0, max_attempts=1), NewJob(1), NewJob(2)])
    opened = queue.open_lease("w")
    done, *_ = queue.claim(2, opened)
    queue.mark_done(done)
    assert queue.close_lease(opened) == 1
    assert queue.close_lease(opened) == 0
    assert queue.claim(5, opened) == []
    assert queue.renew_lease(opened) is None
    assert workers(queue) == []
    again = queue.claim(5)
    assert [(job.payload, job.attempt, job.max_attempts) for job in again] == [(1, 2, 6), (2, 1, 5)]


def test_replacing_tells_what_is_still_held_and_frees_the_rest(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(6))
    opened = queue.open_lease("w", 10)
    kept, done, unknown, own = queue.claim(4, opened)  # whoever asks has heard of two of them
    assert queue.mark_done(done)
    assert queue.extend_lease([own], 100) == [True]
    new, holds = queue.replace_lease(opened, [done, kept, own, kept])
    assert holds == [False, True, True, False]
    assert new.id != opened.id
    assert (new.worker, new.seconds) == ("w", 10)
    assert states(queue) == {kept.id: "running", unknown.id: "ready", own.id: "running", 5: "ready", 6: "ready"}
    assert queue.claim(1, opened) == [], "a claim that was still on its way"
    clock.now += timedelta(seconds=9)
    assert queue.renew_lease(new)
    clock.now += timedelta(seconds=9)
    assert queue.rescue_expired() == 0
    assert queue.mark_done_bulk([kept, own]) == [True, True]


def test_a_lost_lease_is_replaced_too(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))
    opened = queue.open_lease("w", 10)
    jobs = queue.claim(3, opened)
    clock.now += timedelta(seconds=10)
    assert queue.rescue_expired(1) == 1
    new, holds = queue.replace_lease(opened, jobs)
    assert sorted(holds) == [False, True, True]
    assert [row[0] for row in workers(queue)] == [new.id]
    assert queue.mark_done_bulk(jobs) == holds


def test_nothing_need_be_held(queue: Queue) -> None:
    queue.enqueue("x")
    opened = queue.open_lease("w", 10)
    queue.claim(1, opened)
    new, holds = queue.replace_lease(opened, [])
    assert holds == []
    assert [job.payload for job in queue.claim(1, new)] == ["x"]


def test_a_job_can_get_a_lease_of_its_own(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue("x")
    opened = queue.open_lease("w", 10)
    (job,) = queue.claim(1, opened)
    assert queue.extend_lease([job], 20) == [True]
    clock.now += timedelta(seconds=19)
    assert queue.rescue_expired() == 0
    assert workers(queue) == [], "the worker's is lost, and holds nothing"
    clock.now += timedelta(seconds=1)
    assert queue.rescue_expired() == 1
    assert queue.db.fetch("SELECT last_error FROM perflab_jobs") == [("the lease of attempt 1 ran out at worker w",)]


def test_a_paused_queue_gives_nothing_to_a_worker(queue: Queue) -> None:
    queue.enqueue("x")
    opened = queue.open_lease("w", 10)
    queue.pause()
    assert queue.claim(1, opened) == []
    queue.resume()
    assert len(queue.claim(1, opened)) == 1


def test_what_a_worker_finished_and_what_it_gets_next_is_one_transaction(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(5))
    opened = queue.open_lease("w", 10)
    first = queue.claim(2, opened)
    assert queue.mark_done(first[0])
    with queue.db.counting() as count:
        accepted, jobs = queue.mark_done_and_claim(first, 2, opened)
    assert accepted == [False, True]
    assert jobs is not None
    assert [(job.payload, job.lease_until) for job in jobs] == [(2, opened.until), (3, opened.until)]
    # SQLite: BEGIN, what is lost, DELETE, promotion, claim, COMMIT
    assert count.round_trips == (1 if queue.db.engine_name == "postgresql" else 6)
    assert queue.mark_done_and_claim([], 1, 5.0)[1] == [
        Job(5, "ingest", 4, 0, jobs[0].run_at, 1, 5, queue._clock() + timedelta(seconds=5), None)
    ]
    assert queue.mark_done_and_claim(jobs, 1, opened) == ([True, True], [])


@pytest.mark.parametrize("lease", [0, -1, 1e9, "x", None])
def test_a_lease_has_a_length(queue: Queue, lease: Any) -> None:
    with pytest.raises(InvalidInput, match="lease"):
        queue.open_lease("w", lease)


def test_what_is_no_lease_is_refused(queue: Queue) -> None:
    wrong: Any = 60.0
    with pytest.raises(InvalidInput, match="give what open_lease"):
        queue.renew_lease(wrong)
    with pytest.raises(InvalidInput, match="give what open_lease"):
        queue.close_lease(wrong)
    with pytest.raises(InvalidInput, match="give a Job"):
        queue.replace_lease(queue.open_lease(), [wrong])
    with pytest.raises(InvalidInput, match="name of the worker"):
        queue.open_lease("x" * 201)
