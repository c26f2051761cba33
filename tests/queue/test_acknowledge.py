from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.queue.backoff import Backoff
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.operations import LONGEST_ERROR
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
ONE_SECOND = timedelta(seconds=1)


def row(queue: Queue, job: Job, columns: str) -> tuple[Any, ...]:
    ((*values,),) = queue.db.fetch(f"SELECT {columns} FROM perflab_jobs WHERE id = {job.id}")
    return tuple(values)


def lose_the_lease(queue: Queue, clock: SimpleNamespace, job: Job) -> Job:
    """The lease runs out and somebody else claims the job."""
    clock.now = job.lease_until
    assert queue.rescue_expired() >= 1
    return next(claimed for claimed in queue.claim() if claimed.id == job.id)


# -- done --------------------------------------------------------------------------------------------------------------


def test_a_done_job_is_gone(queue: Queue) -> None:
    queue.enqueue(1)
    (job,) = queue.claim()
    assert queue.mark_done(job) is True
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=0)
    assert queue.mark_done(job) is False


def test_each_acknowledgement_of_a_batch_has_its_own_result(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(6))
    lost = queue.claim(2, 10)
    clock.now += 11 * ONE_SECOND
    queue.rescue_expired()
    again = queue.claim(1)
    held = queue.claim(2)
    queue.mark_done(held[0])
    assert (again[0].id, again[0].attempt) == (lost[0].id, 2)
    acknowledged = [lost[0], held[1], again[0], lost[1], held[0], held[1]]
    assert queue.mark_done_bulk(acknowledged) == [False, True, True, False, False, False]


@pytest.mark.case("F03")
@pytest.mark.parametrize("acknowledge", ["mark_done", "mark_error", "release", "extend_lease"])
def test_an_acknowledgement_of_a_lost_lease_changes_nothing(
    queue: Queue, clock: SimpleNamespace, acknowledge: str
) -> None:
    queue.enqueue(1)
    (stale,) = queue.claim()
    lose_the_lease(queue, clock, stale)
    before = row(queue, stale, "*")
    answers = {
        "mark_done": lambda: [queue.mark_done(stale)],
        "mark_error": lambda: [queue.mark_error(stale, "late")],
        "release": lambda: queue.release([stale]),
        "extend_lease": lambda: queue.extend_lease([stale]),
    }[acknowledge]()
    assert answers == [False]
    assert row(queue, stale, "*") == before


@pytest.mark.parametrize("jobs", [1, 500])
def test_the_round_trips_do_not_grow_with_the_jobs(queue: Queue, jobs: int) -> None:
    # SQLite asks for the lost ones of several first, which takes less time than hearing of each that is deleted.
    asked = int(jobs > 1 and queue.db.engine_name == "sqlite")
    for acknowledge, more in (
        (queue.extend_lease, 0),
        (lambda jobs: queue.mark_error_bulk([(job, "x") for job in jobs]), 0),
        (queue.release, 0),
        (queue.mark_done_bulk, asked),
    ):
        queue.bulk_enqueue([NewJob(0)] * jobs)
        claimed = queue.claim(jobs)
        with queue.db.counting() as count:
            assert acknowledge(claimed) == [True] * jobs
        assert count.round_trips == queue.db.round_trips_of_one + more


def test_nothing_to_write_costs_nothing(queue: Queue) -> None:
    with queue.db.counting() as count:
        assert queue.mark_done_bulk([]) == queue.mark_error_bulk([]) == queue.release([]) == queue.cancel([]) == []
        assert queue.bulk_enqueue([]) == []
    assert count.round_trips == 0


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_failed_job_comes_again_after_its_back_off_and_dies_at_last(db: Any, clock: SimpleNamespace) -> None:
    queue: Queue = PriorityQueue(
        db, backoff=Backoff(base_seconds=8, cap_seconds=20), now=lambda: clock.now, rng=Random(3)
    )
    expected = Random(3)
    queue.enqueue("x", max_attempts=3)
    for attempt, longest_seconds in ((1, 8), (2, 16)):
        (job,) = queue.claim()
        assert job.attempt == attempt
        assert queue.mark_error(job, ValueError(f"attempt {attempt}"))
        due = clock.now + timedelta(microseconds=int(expected.uniform(0, longest_seconds) * 1e6))
        assert queue.counts().scheduled == 1
        assert row(queue, job, "last_error, lease_until, worker") == (f"ValueError: attempt {attempt}", None, None)
        clock.now = due - timedelta(microseconds=1)
        assert queue.claim() == []
        clock.now = due
    (job,) = queue.claim()
    assert queue.mark_error(job, "the last one")
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=1)
    assert row(queue, job, "last_error, attempt") == ("the last one", 3)
    assert queue.mark_error(job, "again") is False


def test_errors_of_a_batch_are_told_apart(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(0, max_attempts=1), NewJob(1), NewJob(2)])
    a, b, c = queue.claim()
    queue.mark_done(c)
    assert queue.mark_error_bulk([(b, "b"), (c, "c"), (a, "a"), (b, "b again")]) == [True, False, True, False]
    assert row(queue, a, "state, last_error") == ("dead", "a")
    assert row(queue, b, "state, last_error") == ("scheduled", "b")


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("wrong"), "ValueError: wrong"),
        (KeyError("k"), "KeyError: 'k'"),
        (TimeoutError(), "TimeoutError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        ("plain text", "plain text"),
        ("", ""),
        ("nul \x00 and \ud800 surrogate", "nul � and ? surrogate"),
        ("é😀" * LONGEST_ERROR, "é😀" * (LONGEST_ERROR // 2)),
        (UnreadableError(), "UnreadableError: (its message could not be read: RuntimeError)"),
        ('quote " and \\ and \n', 'quote " and \\ and \n'),
    ],
)
def test_any_error_can_be_kept(queue: Queue, error: BaseException | str, text: str) -> None:
    queue.enqueue(1)
    (job,) = queue.claim()
    assert queue.mark_error(job, error)
    assert row(queue, job, "last_error") == (text,)


# -- leases ------------------------------------------------------------------------------------------------------------


def test_an_extended_lease_runs_from_now(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(0), NewJob(1)])
    kept, left = queue.claim(2, 10)
    clock.now += 9 * ONE_SECOND
    assert queue.extend_lease([kept, kept], 10) == [True, True]
    clock.now += 9 * ONE_SECOND
    assert queue.rescue_expired() == 1
    assert queue.mark_done_bulk([kept, left]) == [True, False]


def test_a_lease_that_ran_out_can_be_extended_until_somebody_takes_it(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue(1)
    (job,) = queue.claim(1, 10)
    clock.now += 20 * ONE_SECOND
    assert queue.extend_lease([job], 10) == [True]
    assert queue.rescue_expired() == 0


def test_items_of_one_batch_may_ask_for_different_leases(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(0), NewJob(1), NewJob(2)])
    a, b, c = queue.claim()
    assert queue.db.apply(queue.operations.extend_lease, [(a, 5), (b, 7.5), (c, 5)]) == [True] * 3
    ends = [row(queue, job, "lease_until")[0] / 1e6 - clock.now.timestamp() for job in (a, b, c)]
    assert ends == [5, 7.5, 5]


def test_a_released_job_is_ready_again_in_its_place_and_has_lost_no_attempt(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob("first", max_attempts=1), NewJob("second")])
    (job,) = queue.claim(1)
    assert queue.release([job, job]) == [True, False]
    again, _ = queue.claim()
    assert (again.payload, again.run_at, again.max_attempts - again.attempt) == ("first", job.run_at, 0)
    assert queue.mark_done(job) is False, "an acknowledgement of the lease that was given back fits no more"
    assert queue.mark_error(again, "its first and only failure")
    assert queue.counts().dead == 1


def test_a_job_released_very_often_dies_before_its_attempts_overflow(queue: Queue) -> None:
    queue.enqueue(1)
    with queue.db.driver_transaction() as connection:
        connection.execute("UPDATE perflab_jobs SET attempt = 32765, max_attempts = 32766")
    (job,) = queue.claim()
    assert queue.release([job]) == [True]
    (job,) = queue.claim()
    assert (job.attempt, job.max_attempts) == (32_767, 32_767)
    assert queue.release([job]) == [True]
    assert queue.counts().dead == 1
    assert queue.retry([job.id]) == [False]
