import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.errors import StatementError, TransientError
from perflab.queue import postgresql, sqlite
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


@settings(max_examples=40)
@given(jobs=st.lists(st.tuples(st.integers(-2, 2), st.integers(-3, 0)), max_size=40), limit=st.integers(1, 7))
def test_jobs_leave_by_priority_then_time_then_id(jobs: list[tuple[int, int]], limit: int, database: Database) -> None:
    queue: Queue = PriorityQueue(database, "in_order")
    now = queue._clock()
    new = [NewJob(None, priority, now + timedelta(hours=hours)) for priority, hours in jobs]
    ids = queue.bulk_enqueue(new)
    expected = [job_id for *_, job_id in sorted((job.priority, job.run_at, ids[i]) for i, job in enumerate(new))]
    claimed: list[int] = []
    while batch := queue.claim(limit):
        assert len(batch) == limit or len(claimed) + len(batch) == len(ids)
        claimed += [job.id for job in batch]
        queue.mark_done_bulk(batch)
    assert claimed == expected


def test_jobs_of_one_call_leave_in_its_order(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(300))
    assert [job.payload for job in queue.claim(300)] == list(range(300))


def test_a_claimed_job_is_nobody_elses(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(0), NewJob(1)])
    assert [job.payload for job in queue.claim(1)] == [0]
    assert [job.payload for job in queue.claim()] == [1]
    assert queue.claim() == []
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=2, dead=0)


def test_queues_in_one_database_do_not_see_each_other(queue: Queue) -> None:
    other: Queue = PriorityQueue(queue.db, "other")
    other.enqueue(1)
    assert queue.claim() == []
    assert len(other.claim()) == 1


def test_a_scheduled_job_leaves_when_its_time_has_come(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue("later", -5, run_at=clock.now + timedelta(seconds=10))
    queue.enqueue("now")
    assert [job.payload for job in queue.claim()] == ["now"]
    clock.now += timedelta(seconds=10) - timedelta(microseconds=1)
    assert queue.claim() == []
    queue.enqueue("now too")
    clock.now += timedelta(microseconds=1)
    assert [job.payload for job in queue.claim()] == ["later", "now too"]


def test_one_claim_promotes_a_bounded_number_the_earliest_first(
    queue: Queue, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in (postgresql, sqlite):
        monkeypatch.setattr(engine, "PROMOTED_AT_ONCE", 3)
    queue.bulk_enqueue([NewJob(number, run_at=clock.now + timedelta(seconds=9 - number)) for number in range(8)])
    clock.now += timedelta(minutes=1)
    assert [job.payload for job in queue.claim(1)] == [7]
    assert queue.counts() == QueueCounts(scheduled=5, ready=2, running=1, dead=0)
    assert [job.payload for job in queue.claim(10)] == [6, 5, 4, 3, 2]


def test_the_table_shows_who_holds_a_job_and_until_when(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    (job,) = queue.claim(1, 5.5, worker="héron:17")
    queue.claim(1)
    assert job.lease_until == clock.now + timedelta(seconds=5.5)
    rows = queue.db.fetch("SELECT worker, lease_until / 1000000.0 FROM perflab_jobs ORDER BY id")
    assert rows[0] == ("héron:17", job.lease_until.timestamp())
    assert rows[1][0] is None


def test_a_claim_costs_the_same_round_trips_for_one_job_and_for_many(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(0)] * 1_001)
    for limit in (1, 1_000):
        with queue.db.counting() as count:
            assert len(queue.claim(limit)) == limit
        assert (
            count.round_trips
            == {
                "sqlite": 4,  # BEGIN, promote, claim, COMMIT
                "postgresql": 1,
            }[queue.db.engine_name]
        )


def write_payload(queue: Queue, job_id: int, text: str) -> None:
    with queue.db.driver_transaction() as connection:
        connection.execute(f"UPDATE perflab_jobs SET payload = '{text}' WHERE id = {job_id}")


def check_that_it_harms_its_own_job_alone(queue: Queue, text: str) -> None:
    broken, good = queue.bulk_enqueue([NewJob("to be broken", max_attempts=2), NewJob("good")])
    write_payload(queue, broken, text)
    assert [job.id for job in queue.claim()] == [good]
    ((state, error),) = queue.db.fetch(f"SELECT state, last_error FROM perflab_jobs WHERE id = {broken}")
    assert state == "scheduled"
    assert "cannot be decoded" in error


@pytest.mark.case("F34")
def test_a_payload_too_deep_to_be_read_harms_its_own_job_alone(queue: Queue) -> None:
    check_that_it_harms_its_own_job_alone(queue, "[" * 5_000 + "]" * 5_000)


@pytest.mark.case("F31")
@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "nan"])
def test_a_payload_that_is_no_json_harms_its_own_job_alone(queue: Queue, text: str) -> None:
    if queue.db.engine_name == "sqlite":
        check_that_it_harms_its_own_job_alone(queue, text)
    else:
        with pytest.raises(Exception, match=r"invalid input syntax for type json|stack depth"):
            write_payload(queue, queue.enqueue(1), text)


def test_threads_never_get_the_same_job(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(400))
    claimed: list[Job] = []

    def claim() -> None:
        while jobs := queue.claim(7):
            claimed.extend(jobs)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.payload for job in claimed) == list(range(400))


def test_a_database_without_the_table_is_a_typed_error(database: Database) -> None:
    queue: Queue = PriorityQueue(database)
    with database.driver_transaction() as connection:
        connection.execute("ALTER TABLE perflab_jobs RENAME TO hidden")
    try:
        for call in (queue.claim, queue.rescue_expired, queue.purge, queue.counts, lambda: queue.enqueue(1)):
            with pytest.raises(StatementError, match="create_schema"):
                call()
    finally:
        with database.driver_transaction() as connection:
            connection.execute("ALTER TABLE hidden RENAME TO perflab_jobs")
    assert queue.claim() == []


@pytest.mark.case("F18")
def test_a_file_that_another_process_is_writing_is_a_passing_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    with Database.open(url) as writer, Database.open(url, busy_timeout=0.05) as database:
        writer.create_schema()
        queue: Queue = PriorityQueue(database)
        with writer.driver_transaction():
            for call in (queue.claim, queue.rescue_expired, queue.purge, lambda: queue.enqueue(1)):
                with pytest.raises(TransientError):
                    call()
            assert queue.counts().unfinished == 0  # reading goes on
        queue.enqueue(1)
        assert len(queue.claim()) == 1
