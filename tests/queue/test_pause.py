"""A paused queue takes jobs in, gives none out, and lets those that are out come back."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from perflab.database.database import Database
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

Queue = PriorityQueue[int, bool]


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed(queue: Queue) -> None:
    job_id = queue.enqueue("before")
    assert queue.pause() is True
    second = queue.enqueue("meanwhile")
    assert queue.claim() == []
    assert queue.counts() == QueueCounts(scheduled=0, ready=2, running=0, dead=0)
    assert queue.resume() is True
    assert [job.id for job in queue.claim()] == [job_id, second]


def test_what_was_claimed_before_ends_as_ever(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(number, max_attempts=1) for number in range(5)])
    done, failed, released, kept, _expired = [queue.claim(1, 60 if n < 4 else 1)[0] for n in range(5)]
    queue.pause()
    clock.now += timedelta(seconds=2)
    assert queue.mark_done(done)
    assert queue.mark_error(failed, "x")
    assert queue.release([released]) == queue.extend_lease([kept]) == [True]
    assert queue.rescue_expired() == 1
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=1, dead=2)
    assert queue.claim() == []


def test_the_pause_has_a_beginning_that_a_second_pause_does_not_move(queue: Queue, clock: SimpleNamespace) -> None:
    assert queue.paused_at() is None
    assert queue.resume() is False
    queue.pause()
    began = clock.now
    clock.now += timedelta(minutes=1)
    assert queue.pause() is False
    assert queue.paused_at() == began
    assert queue.resume() is True
    assert queue.paused_at() is None


def test_other_queues_go_on(queue: Queue) -> None:
    other: Queue = PriorityQueue(queue.db, "other")
    other.enqueue(1)
    queue.pause()
    assert other.paused_at() is None
    assert len(other.claim()) == 1
    assert other.resume() is False


def test_a_pause_holds_in_every_process_and_outlives_the_one_that_asked_for_it(database_url: str) -> None:
    with Database.open(database_url) as first:
        first.create_schema()
        PriorityQueue(first).enqueue(1)
        PriorityQueue(first).pause()
    with Database.open(database_url) as second:
        queue: Queue = PriorityQueue(second)
        assert queue.claim() == []
        queue.resume()
        assert len(queue.claim()) == 1


@pytest.mark.parametrize("seconds", [0, 60])
def test_jobs_that_fall_due_in_a_pause_are_ready_when_it_ends(
    queue: Queue, clock: SimpleNamespace, seconds: float
) -> None:
    job_id = queue.enqueue(1, run_at=clock.now + timedelta(seconds=30))
    queue.pause()
    clock.now += timedelta(seconds=seconds)
    assert queue.claim() == []
    clock.now += timedelta(seconds=60)
    queue.resume()
    assert [job.id for job in queue.claim()] == [job_id]


def test_a_worker_of_a_paused_queue_runs_nothing(real_time_queue: Queue) -> None:
    seen: list[int] = []
    real_time_queue.enqueue(1)
    real_time_queue.pause()
    assert Worker(real_time_queue, lambda job: seen.append(job.id)).run(until_empty=True).claimed == 0
    assert seen == []
    real_time_queue.resume()
    assert Worker(real_time_queue, lambda job: seen.append(job.id)).run(until_empty=True).done == 1


def test_a_claim_asks_for_the_pause_at_no_round_trip_more(queue: Queue) -> None:
    with queue.db.counting() as count:
        queue.claim()
    expected = {"sqlite": 4, "postgresql": 1}[queue.db.engine_name]  # BEGIN, promote, claim, COMMIT
    assert count.round_trips == expected
