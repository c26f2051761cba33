"""What several connections do to each other on PostgreSQL: who waits, who passes by, and that nobody deadlocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, make_url

from perflab.database.database import Database
from perflab.errors import RejectedRow, TransientError
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from tests.postgres_databases import PostgresDatabases

Queue = PriorityQueue[int, bool]
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def db(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    with Database.open(postgres_databases.perflab(), busy_timeout=A_MINUTE) as opened:
        yield opened


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor() as threads:
        yield threads.submit


@pytest.fixture
def reading_through(db: Database, queue: Queue) -> Iterator[Queue]:
    """The queue of somebody whose server finds jobs by reading through the table, in the order of their places."""
    url = make_url(db._pools.writer.engine.url).update_query_dict(
        {"options": "-c enable_indexscan=off -c enable_bitmapscan=off -c enable_indexonlyscan=off"}
    )
    with Database.open(url.set(drivername="postgresql").render_as_string(), busy_timeout=A_MINUTE) as opened:
        yield PriorityQueue(opened, queue.name, now=queue._clock)


def wait_until_somebody_waits(db: Database) -> None:
    """The test's own timeout ends it if nobody does."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not db.fetch(waiting):
        time.sleep(0.001)


def lock(connection: Connection, job_id: int) -> None:
    connection.exec_driver_sql(f"SELECT FROM perflab_jobs WHERE id = {job_id} FOR UPDATE")


def free_jobs(db: Database) -> list[int]:
    """The ids of jobs that nobody has locked."""
    return [job_id for (job_id,) in db.fetch("SELECT id FROM perflab_jobs ORDER BY id FOR UPDATE SKIP LOCKED")]


def scatter(db: Database) -> None:
    """Put the rows into another order in the table, so that reading through it is not reading by id."""
    ids = [job_id for (job_id,) in db.fetch("SELECT id FROM perflab_jobs")]
    Random(3).shuffle(ids)
    for job_id in ids:
        with db.driver_transaction() as connection:
            connection.execute(f"UPDATE perflab_jobs SET last_error = 'moved' WHERE id = {job_id}")


# -- order -------------------------------------------------------------------------------------------------------------


def claimed(queue: Queue, *, on_attempts: int = 2) -> list[Job]:
    """Nine jobs in the order of their ids, all on their first attempt, or every second one on its second."""
    queue.bulk_enqueue(NewJob(number) for number in range(9))
    jobs = queue.claim(9)
    if on_attempts == 2:
        queue.release(jobs[1::2])
        jobs = jobs[::2] + queue.claim(9)
    return sorted(jobs, key=lambda job: job.id)


CALLS: dict[str, Callable[[Queue, list[Job]], list[bool]]] = {
    "mark_done": lambda queue, jobs: queue.mark_done_bulk(jobs),
    "mark_error": lambda queue, jobs: queue.mark_error_bulk([(job, "x") for job in jobs]),
    "release": lambda queue, jobs: queue.release(jobs),
    "extend_lease": lambda queue, jobs: queue.extend_lease(jobs),
    "cancel": lambda queue, jobs: queue.cancel([job.id for job in jobs]),
    "retry": lambda queue, jobs: queue.retry([job.id for job in jobs]),
    "retry differently": lambda queue, jobs: queue.db.apply(
        queue.operations.retry, [(job.id, 1 + job.id % 2) for job in jobs]
    ),
}


def prepare(queue: Queue, call: str, on_attempts: int) -> list[Job]:
    jobs = claimed(queue, on_attempts=on_attempts)
    if call == "cancel":
        queue.release(jobs)
    elif call.startswith("retry"):
        with queue.db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_jobs SET state = 'dead', lease_until = NULL")
    scatter(queue.db)
    return jobs


@pytest.mark.parametrize("on_attempts", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_jobs_are_locked_by_id_whatever_their_order(
    queue: Queue, reading_through: Queue, call: str, on_attempts: int, in_thread: Callable[..., Future[list[bool]]]
) -> None:
    jobs = prepare(queue, call, on_attempts)
    shuffled = Random(1).sample(jobs, len(jobs))
    with queue.db.transaction() as connection:
        lock(connection, jobs[4].id)
        answers = in_thread(CALLS[call], reading_through, shuffled)
        wait_until_somebody_waits(queue.db)
        assert free_jobs(queue.db) == [job.id for job in jobs[5:]]
    assert answers.result(A_MINUTE) == [True] * 9


@pytest.mark.case("F13")
def test_calls_on_the_same_jobs_in_any_order_never_deadlock(
    queue: Queue, in_thread: Callable[..., Future[list[int]]]
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(400))
    first = queue.claim(400)
    queue.release(first[::2])
    jobs = first[1::2] + queue.claim(400)

    def work(seed: int) -> list[int]:
        """Mostly extend leases, which leaves the jobs there to be fought for, and end a few."""
        rng = Random(seed)
        ended = []
        for _ in range(60):
            CALLS["extend_lease"](queue, rng.sample(jobs, 200))
            batch = rng.sample(jobs, 4)
            answers = CALLS[rng.choice(["mark_done", "mark_error", "release"])](queue, batch)
            ended += [job.id for job, accepted in zip(batch, answers, strict=True) if accepted]
        return ended

    ended = [job_id for future in [in_thread(work, seed) for seed in range(3)] for job_id in future.result(A_MINUTE)]
    assert len(ended) == len(set(ended)) > 0, "each lease was ended once"


# -- after the wait ----------------------------------------------------------------------------------------------------

FENCED = ("mark_done", "mark_error", "release", "extend_lease")


@pytest.mark.case("F03")
@pytest.mark.parametrize("call", FENCED)
def test_a_lease_that_was_extended_meanwhile_still_holds(
    queue: Queue, call: str, in_thread: Callable[..., Future[list[bool]]]
) -> None:
    jobs = claimed(queue)
    with queue.db.transaction() as connection:
        queue.db.apply(queue.operations.extend_lease, [(jobs[4], 7.0)], connection=connection)
        answers = in_thread(CALLS[call], queue, jobs)
        wait_until_somebody_waits(queue.db)
    assert answers.result(A_MINUTE) == [True] * 9
    assert not any(CALLS["mark_done"](queue, jobs)) or call == "extend_lease"


@pytest.mark.case("F03")
@pytest.mark.parametrize("call", FENCED)
def test_a_lease_that_was_given_up_meanwhile_holds_no_more(
    queue: Queue, call: str, in_thread: Callable[..., Future[list[bool]]]
) -> None:
    jobs = claimed(queue)
    with queue.db.transaction() as connection:
        queue.db.apply(queue.operations.release, [jobs[4]], connection=connection)
        answers = in_thread(CALLS[call], queue, jobs)
        wait_until_somebody_waits(queue.db)
    assert answers.result(A_MINUTE) == [job is not jobs[4] for job in jobs]


@pytest.mark.case("F14")
def test_a_wait_for_another_transaction_ends_with_a_passing_error(queue: Queue) -> None:
    jobs = claimed(queue)
    with Database.open(queue.db._pools.writer.engine.url.render_as_string(), busy_timeout=0.05) as impatient:
        theirs: Queue = PriorityQueue(impatient, queue.name, now=queue._clock)
        with queue.db.transaction() as connection:
            lock(connection, jobs[4].id)
            with pytest.raises(TransientError, match="lock timeout"):
                theirs.mark_done_bulk(jobs)
        assert theirs.mark_done_bulk(jobs) == [True] * 9, "nothing had been written"


# -- passing by --------------------------------------------------------------------------------------------------------


def test_calls_that_choose_their_jobs_pass_over_locked_ones(queue: Queue, clock: SimpleNamespace) -> None:
    soon = clock.now + timedelta(seconds=1)
    ready, _, scheduled, _ = queue.bulk_enqueue([NewJob(1), NewJob(2), NewJob(3, run_at=soon), NewJob(4, run_at=soon)])
    clock.now += timedelta(minutes=1)
    with queue.db.transaction() as connection:
        lock(connection, ready)
        lock(connection, scheduled)
        jobs = queue.claim(9, 10)
        assert [job.payload for job in jobs] == [2, 4]
        clock.now += timedelta(minutes=1)
        lock(connection, jobs[0].id)
        assert queue.rescue_expired() == 1
    (job,) = queue.mark_error_bulk([(queue.claim(1)[0], "x")])
    assert job
    assert queue.counts() == QueueCounts(scheduled=1, ready=2, running=1, dead=0)


def test_purge_passes_over_locked_jobs(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number, max_attempts=1) for number in range(3))
    jobs = queue.claim()
    queue.mark_error_bulk([(job, "x") for job in jobs])
    with queue.db.transaction() as connection:
        lock(connection, jobs[1].id)
        assert queue.purge(older_than=0) == 2
    assert queue.purge(older_than=0) == 1


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_just_being_taken_is_waited_for_and_shared(
    queue: Queue, in_thread: Callable[..., Future[list[int]]]
) -> None:
    new = [NewJob("c", key="c"), NewJob("no key"), NewJob("b", key="b"), NewJob("a", key="a"), NewJob("b", key="b")]
    with queue.db.transaction() as connection:
        (theirs,) = queue.bulk_enqueue([NewJob("theirs", key="b")], connection=connection)
        answer = in_thread(queue.bulk_enqueue, new)
        wait_until_somebody_waits(queue.db)
    c, none, b, a, b_again = answer.result(A_MINUTE)
    assert b == b_again == theirs
    assert dict(queue.db.fetch("SELECT id, payload FROM perflab_jobs")) == {
        theirs: "theirs",
        c: "c",
        none: "no key",
        a: "a",
    }


def test_a_key_that_is_held_is_only_read(queue: Queue) -> None:
    held = queue.enqueue("held", key="k")
    with queue.db.transaction() as connection:
        lock(connection, held)
        assert queue.enqueue("more", key="k") == held


def test_a_key_that_is_given_up_again_goes_to_the_one_who_waits(
    queue: Queue, in_thread: Callable[..., Future[list[int]]]
) -> None:
    with queue.db.transaction() as connection:
        queue.bulk_enqueue([NewJob("theirs", key="b")], connection=connection)
        answer = in_thread(queue.bulk_enqueue, [NewJob("b", key="b")])
        wait_until_somebody_waits(queue.db)
        connection.exec_driver_sql("ROLLBACK")
    (job_id,) = answer.result(A_MINUTE)
    assert queue.db.fetch("SELECT id, payload FROM perflab_jobs") == [(job_id, "b")]


@pytest.mark.case("F13")
def test_enqueuers_of_the_same_keys_in_any_order_never_deadlock_and_agree(
    queue: Queue, in_thread: Callable[..., Future[list[dict[str, int]]]]
) -> None:
    def work(seed: int) -> list[dict[str, int]]:
        rng = Random(seed)
        answers = []
        for number in range(25):
            keys = [f"{number}-{key}" for key in rng.sample(range(60), 50)]
            answers.append(dict(zip(keys, queue.bulk_enqueue([NewJob(1, key=key) for key in keys]), strict=True)))
        return answers

    futures = [in_thread(work, seed) for seed in range(3)]
    ids: dict[str, set[int]] = {}
    for future in futures:
        for answer in future.result(A_MINUTE):
            for key, job_id in answer.items():
                ids.setdefault(key, set()).add(job_id)
    assert {key: {job_id} for key, job_id in queue.db.fetch("SELECT key, id FROM perflab_jobs")} == ids


@pytest.mark.parametrize("taken", [True, False])
def test_a_retry_whose_key_is_just_being_taken_is_refused_as_a_whole_and_goes_through_afterwards(
    queue: Queue, taken: bool, in_thread: Callable[..., Future[list[bool]]]
) -> None:
    ids = queue.bulk_enqueue([NewJob("alone", max_attempts=1), NewJob("k", key="k", max_attempts=1)])
    queue.mark_error_bulk([(job, "x") for job in queue.claim()])
    with queue.db.transaction() as connection:
        queue.bulk_enqueue([NewJob("theirs", key="k")], connection=connection)
        answer = in_thread(queue.retry, ids)
        wait_until_somebody_waits(queue.db)
        if not taken:
            connection.exec_driver_sql("ROLLBACK")
    if taken:
        with pytest.raises(RejectedRow):
            answer.result(A_MINUTE)
        assert queue.counts().dead == 2
        assert queue.retry(ids) == [True, False]
    else:
        assert answer.result(A_MINUTE) == [True, True]


def test_a_replacement_waits_for_a_claim_and_lets_what_it_took_run(
    queue: Queue, in_thread: Callable[..., Future[Any]]
) -> None:
    old = queue.enqueue("old", key="k")
    with queue.db.transaction() as claim:
        claim.exec_driver_sql("UPDATE perflab_jobs SET state = 'running', attempt = 1, lease_until = 0")
        replacing = in_thread(queue.enqueue, "new", key="k", on_conflict="replace")
        wait_until_somebody_waits(queue.db)
    new = replacing.result(A_MINUTE)
    assert new != old
    rows = queue.db.fetch("SELECT id, state, key, max_attempts FROM perflab_jobs ORDER BY id")
    assert rows == [(old, "running", None, 1), (new, "ready", "k", 5)]


def test_a_claim_passes_over_what_is_being_replaced(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob("old", key="k"), NewJob("other", 1)])
    with queue.db.transaction() as connection:
        queue.bulk_enqueue([NewJob("new", key="k")], on_conflict="replace", connection=connection)
        assert [job.payload for job in queue.claim()] == ["other"]
    assert [job.payload for job in queue.claim()] == ["new"]
