"""Finished jobs and their results, where the queue keeps them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from perflab.database.compression import Compression
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.queue.backoff import Backoff
from perflab.queue.job import DoneJob, Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport

Queue = PriorityQueue[int, bool]
Kind = Callable[[Callable[[Job], object]], Callable[[Job], object]]
Report = Callable[..., WorkerReport]
NOTHING = QueueCounts(scheduled=0, ready=0, running=0, dead=0)


@pytest.fixture
def queue(db: Database, clock: SimpleNamespace) -> Queue:
    return PriorityQueue(db, "ingest", keep_done=True, now=lambda: clock.now, rng=Random(1))


def test_a_finished_job_moves_with_its_result(queue: Queue, clock: SimpleNamespace) -> None:
    enqueued_at = clock.now
    first, second = queue.bulk_enqueue([NewJob({"n": 1}, 3, key="k"), NewJob([2], 4)])
    jobs = queue.claim()
    clock.now += timedelta(seconds=1)
    assert queue.mark_done(jobs[0], {"rows": 7})
    clock.now += timedelta(seconds=1)
    assert queue.mark_done(jobs[1])
    assert queue.counts() == NOTHING
    expected = [
        DoneJob(second, "ingest", [2], None, 4, 1, None, enqueued_at, clock.now),
        DoneJob(first, "ingest", {"n": 1}, {"rows": 7}, 3, 1, "k", enqueued_at, clock.now - timedelta(seconds=1)),
    ]
    assert queue.done_jobs() == expected
    assert queue.find_done([first, 999, second, first]) == [expected[1], None, expected[0], expected[1]]
    assert queue.find_done([]) == []
    assert queue.enqueue("again", key="k") not in {first, second}


@pytest.mark.case("F03")
def test_only_the_holder_of_a_lease_leaves_a_result(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))
    jobs = {job.id: job for job in queue.claim(3, 1)}
    clock.now += timedelta(seconds=1)
    assert queue.rescue_expired(1) == 1  # any of them: all ran out at one moment
    again = queue.claim(1)
    lost = jobs[again[0].id]
    assert queue.mark_done_bulk([(lost, "late"), (again[0], "first"), (again[0], "second"), lost]) == [
        *(False, True, False, False)
    ]
    assert [(job.result, job.attempts) for job in queue.done_jobs()] == [("first", 2)]
    assert queue.counts().running == 2


def test_jobs_of_several_attempts_and_results_move_together(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(6))
    jobs = queue.claim(6)
    queue.release(jobs[::2])
    jobs[::2] = queue.claim(6)
    results: list[Any] = [None, "", 0, [1], {"a": None}, "\N{SNOWMAN}"]
    assert queue.mark_done_bulk(zip(jobs, results, strict=True)) == [True] * 6
    found = queue.find_done(job.id for job in jobs)
    assert [(job.result, job.attempts) for job in found if job] == [
        (result, 1 if job.attempt == 1 else 2) for job, result in zip(jobs, results, strict=True)
    ]


def test_large_payloads_and_results_stay_compressed(db: Database) -> None:
    with Database.open(db.url, compression=Compression(threshold=100)) as compressing:
        if db.url == "sqlite://":
            compressing.create_schema()
        queue: Queue = PriorityQueue(compressing, keep_done=True)
        large = {"text": "abc" * 1000}
        queue.bulk_enqueue([NewJob(large), NewJob("small")])
        queue.mark_done_bulk(zip(queue.claim(), [{"result": large}, large], strict=True))
        assert {(str(job.payload), str(job.result)) for job in queue.done_jobs()} == {
            (str(large), str({"result": large})),
            ("small", str(large)),
        }
        sizes = compressing.fetch("SELECT length(result_zstd), length(payload_zstd) FROM perflab_jobs_done ORDER BY id")
        assert 0 < sizes[0][0] < 100 > sizes[0][1]
        assert 0 < sizes[1][0] < 100


def test_pages_go_back_in_time_and_by_id_within_a_moment(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number, -number) for number in range(7))  # claimed from the last one on
    for size in (3, 1, 3):
        queue.mark_done_bulk(queue.claim(size))
        clock.now += timedelta(seconds=1)
    expected = [2, 1, 0, 3, 6, 5, 4]
    seen: list[int] = []
    page = queue.done_jobs(2)
    while page:
        seen += [job.payload for job in page]
        page = queue.done_jobs(2, before=page[-1])
    assert seen == expected


def test_old_ones_are_purged_and_those_of_other_queues_stay(queue: Queue, clock: SimpleNamespace) -> None:
    other: Queue = PriorityQueue(queue.db, "other", keep_done=True, now=lambda: clock.now)
    for one in (other, queue, queue, queue):
        one.enqueue("x")
        one.mark_done_bulk(one.claim())
        clock.now += timedelta(seconds=10)
    (foreign,) = other.done_jobs()
    assert queue.find_done([foreign.id]) == [None]
    newest = queue.done_jobs(1)
    assert queue.purge_done(older_than=20, limit=1) == 1
    assert queue.purge_done(older_than=20) == 1
    assert queue.purge_done(older_than=20) == 0
    assert queue.done_jobs() == newest
    assert other.done_jobs() == [foreign]


def test_damage_is_told_and_hides_no_other_job(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(2))
    queue.mark_done_bulk((job, "fine") for job in queue.claim())
    with queue.db.driver_transaction() as connection:
        frame = "decode('00', 'hex')" if queue.db.engine_name == "postgresql" else "x'00'"
        connection.execute(f"UPDATE perflab_jobs_done SET result_zstd = {frame} WHERE id = 2")
    second, first = queue.done_jobs()
    assert (second.payload, second.result) == (1, None)
    assert "the payload cannot be decoded" in str(second.unreadable)
    assert (first.result, first.unreadable) == ("fine", None)


@pytest.mark.parametrize("commit", [True, False])
def test_it_is_done_if_the_users_own_transaction_commits(queue: Queue, commit: bool) -> None:
    queue.bulk_enqueue([NewJob(0), NewJob(1)])
    done, failed = queue.claim()

    def work() -> None:
        with queue.db.transaction() as connection:
            connection.execute(text("INSERT INTO perflab_queues (name, paused_at) VALUES ('theirs', 0)"))
            assert queue.mark_done_bulk([(done, "result")], connection=connection) == [True]
            assert queue.mark_error_bulk([(failed, "no")], connection=connection) == [True]
            if not commit:
                raise KeyError

    if commit:
        work()
    else:
        with pytest.raises(KeyError):
            work()
    assert [job.result for job in queue.done_jobs()] == (["result"] if commit else [])
    assert queue.counts() == QueueCounts(scheduled=int(commit), ready=0, running=0 if commit else 2, dead=0)
    assert queue.db.fetch("SELECT count(*) FROM perflab_queues") == [(int(commit),)]


def test_what_is_done_and_what_comes_next_is_one_transaction(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))
    opened = queue.open_lease()
    jobs = queue.claim(2, opened)
    accepted, following = queue.mark_done_and_claim([(jobs[0], "a"), jobs[1]], 5, opened)
    assert accepted == [True, True]
    assert following is not None
    assert [job.payload for job in following] == [2]
    assert [job.result for job in queue.done_jobs()] == [None, "a"]


def test_a_result_that_cannot_be_kept_is_refused(queue: Queue) -> None:
    queue.enqueue("x")
    (job,) = queue.claim()
    with pytest.raises(InvalidInput):
        queue.mark_done(job, object())
    forgetful: Queue = PriorityQueue(queue.db, "ingest", now=queue._clock)
    with pytest.raises(InvalidInput, match=r"keeps no finished jobs: make it with PriorityQueue\(…, keep_done=True\)"):
        forgetful.mark_done(job, 1)
    wrong: Any = (job, 1, 2)
    with pytest.raises(InvalidInput, match=r"give \(job, result\)"):
        queue.mark_done_bulk([wrong])
    assert queue.counts().running == 1
    assert forgetful.mark_done_bulk([(job, None)]) == [True]
    assert queue.done_jobs() == []


@pytest.fixture
def keeping(real_time_queue: Queue) -> Queue:
    return PriorityQueue(real_time_queue.db, keep_done=True, backoff=Backoff(base_seconds=3600))


def test_what_a_handler_returns_is_the_result(keeping: Queue, kind: Kind, report: Report) -> None:
    ids = keeping.bulk_enqueue([NewJob(number) for number in range(30)])
    shared: dict[str, int] = {}

    def handler(job: Job) -> object:
        shared["n"] = job.payload  # what it returns is read there and then
        return shared if job.payload % 3 else None

    worker = Worker(keeping, kind(handler), concurrency=1)
    assert worker.run(until_empty=True) == report(done=30)
    results = [job.result for job in keeping.find_done(ids) if job]
    assert results == [{"n": number} if number % 3 else None for number in range(30)]


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"found": {1, 2}}, "the result cannot be stored"),
        (float("nan"), "the result cannot be stored"),
        ("x" * 2_000_000, "the result has 2,000,002 bytes, more than the limit of 1,048,576"),
    ],
    ids=["no JSON", "no number", "too large"],
)
def test_a_job_whose_result_cannot_be_kept_is_dead_and_says_why(
    keeping: Queue, kind: Kind, report: Report, result: object, complaint: str
) -> None:
    keeping.bulk_enqueue([NewJob(1), NewJob(2)])
    worker = Worker(keeping, kind(lambda job: result if job.payload == 1 else "small"), concurrency=1)
    assert worker.run(until_empty=True) == report(done=1, failed=1)
    (dead,) = keeping.dead_jobs()
    assert dead.payload == 1
    assert dead.attempts == 1
    assert str(dead.error).startswith("Discard: it was done, but the result")
    assert complaint in str(dead.error)
    assert [job.result for job in keeping.done_jobs()] == ["small"]


def test_without_a_place_for_results_what_a_handler_returns_is_nobodys_business(
    real_time_queue: Queue, kind: Kind, report: Report
) -> None:
    real_time_queue.enqueue(1)
    assert Worker(real_time_queue, kind(lambda _job: object())).run(until_empty=True) == report(done=1)


def test_a_page_begins_behind_a_job(queue: Queue) -> None:
    wrong: Any = 7
    job_id: Any = "x"
    with pytest.raises(InvalidInput, match="give the last DoneJob"):
        queue.done_jobs(before=wrong)
    with pytest.raises(InvalidInput, match="limit"):
        queue.done_jobs(0)
    with pytest.raises(InvalidInput, match="a job id"):
        queue.find_done([wrong, job_id])
