from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.sqlite_rows import ROWS_PER_STATEMENT
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


def payloads_by_id(queue: Queue) -> dict[int, str]:
    return dict(
        queue.db.fetch(f"SELECT id, CAST(payload AS TEXT) FROM perflab_jobs WHERE queue = '{queue.name}' ORDER BY id")
    )


def test_a_job_comes_back_as_it_went_in(queue: Queue, clock: SimpleNamespace) -> None:
    payload = {"text": "é😀\\u0000", "list": [1, -(2**63), 1.5, None, True], "nested": {"a": {}}}
    job_id = queue.enqueue(payload, 7, run_at=clock.now - timedelta(microseconds=1), key="kéy", max_attempts=2)
    (job,) = queue.claim()
    assert (job.id, job.queue, job.payload, job.priority, job.key) == (job_id, "ingest", payload, 7, "kéy")
    assert (job.run_at, job.attempt, job.max_attempts) == (clock.now - timedelta(microseconds=1), 1, 2)
    assert job.lease_until == clock.now + timedelta(seconds=60)


def test_one_call_is_a_batch_of_one(queue: Queue) -> None:
    queue.enqueue("single", 3, key="a", max_attempts=4)
    queue.bulk_enqueue([NewJob("single", 3, key="b", max_attempts=4)])
    rows = queue.db.fetch("SELECT queue, priority, run_at, state, attempt, max_attempts, payload FROM perflab_jobs")
    assert rows[0] == rows[1]


@pytest.mark.parametrize("jobs", [0, 1, 2, ROWS_PER_STATEMENT - 1, ROWS_PER_STATEMENT, ROWS_PER_STATEMENT + 1, 1_234])
def test_each_job_gets_its_own_id_in_order(queue: Queue, jobs: int) -> None:
    ids = queue.bulk_enqueue(NewJob(number) for number in range(jobs))
    assert payloads_by_id(queue) == {job_id: str(number) for number, job_id in enumerate(ids)}
    assert ids == sorted(ids)


def test_ids_are_right_where_others_draw_some_in_between(queue: Queue) -> None:
    if queue.db.engine_name == "postgresql":
        with queue.db.transaction() as connection:
            connection.exec_driver_sql("ALTER SEQUENCE perflab_jobs_id_seq INCREMENT BY 3")
    ids = queue.bulk_enqueue(NewJob(number) for number in range(200))
    assert payloads_by_id(queue) == {job_id: str(number) for number, job_id in enumerate(ids)}


def test_ids_are_right_after_deletes_and_rollbacks_and_never_come_back(queue: Queue) -> None:
    first = queue.bulk_enqueue([NewJob(number) for number in range(120)])
    queue.cancel(first[60:])
    with suppress(ZeroDivisionError), queue.db.transaction() as connection:
        queue.bulk_enqueue([NewJob("lost")] * 70, connection=connection)
        raise ZeroDivisionError
    second = queue.bulk_enqueue([NewJob(str(number)) for number in range(120)])
    assert min(second) > max(first)
    assert payloads_by_id(queue) == {
        **{job_id: str(number) for number, job_id in enumerate(first[:60])},
        **{job_id: f'"{number}"' for number, job_id in enumerate(second)},
    }


def test_the_round_trips_do_not_grow_with_the_jobs(queue: Queue) -> None:
    def round_trips(jobs: list[NewJob]) -> int:
        with queue.db.counting() as count:
            queue.bulk_enqueue(jobs)
        return count.round_trips

    expected = {
        "sqlite": [3, 4, 4, 5],  # BEGIN, a look-up of keys, an INSERT for all full lists, one for the rest, COMMIT
        "postgresql": [1, 1, 1, 1],
    }[queue.db.engine_name]
    assert expected == [
        round_trips([NewJob(0)]),
        round_trips([NewJob(0)] * 200),
        round_trips([NewJob(0)] * 2_000),
        round_trips([NewJob(0, key=str(number)) for number in range(2_000)]),
    ]


def test_a_key_is_taken_while_its_job_is_unfinished(queue: Queue, clock: SimpleNamespace) -> None:
    job_id = queue.enqueue("first", key="k", max_attempts=1)
    assert queue.enqueue("ready", key="k") == job_id
    (job,) = queue.claim()
    assert queue.enqueue("running", key="k") == job_id
    assert queue.mark_done(job)
    second = queue.enqueue("after it was done", key="k", max_attempts=1, run_at=clock.now + timedelta(hours=1))
    assert second > job_id
    assert queue.enqueue("scheduled", key="k") == second
    clock.now += timedelta(hours=2)
    (job,) = queue.claim()
    assert job.payload == "after it was done"
    assert queue.mark_error(job, "dead at once")
    assert queue.enqueue("dead counts as finished", key="k") > second


def test_a_key_counts_in_its_own_queue_only(queue: Queue) -> None:
    other: Queue = PriorityQueue(queue.db, "other")
    assert other.enqueue(1, key="k") != queue.enqueue(1, key="k")


@pytest.mark.case("F30")
def test_jobs_with_one_key_in_one_batch_share_an_id_and_the_first_wins(queue: Queue) -> None:
    held = queue.enqueue("held", key="h")
    a, none, again, h, b, twice = queue.bulk_enqueue(
        [
            NewJob("a", key="a"),
            NewJob("none"),
            NewJob("a again", key="a"),
            NewJob("h", key="h"),
            NewJob("b", key="b"),
            NewJob("a twice", key="a"),
        ]
    )
    assert a == again == twice
    assert h == held
    assert payloads_by_id(queue) == {held: '"held"', a: '"a"', none: '"none"', b: '"b"'}
    assert a < none < b


@settings(max_examples=40)
@given(keys=st.lists(st.none() | st.sampled_from(["a", "b", 'q"', "é", "\\", "[1]"]), max_size=130))
def test_any_mix_of_keys_gives_the_ids_of_the_rows_that_are_there(
    keys: Sequence[str | None], database: Database
) -> None:
    queue: Queue = PriorityQueue(database)
    ids = queue.bulk_enqueue([NewJob(number, key=key) for number, key in enumerate(keys)])
    holder = dict(database.fetch("SELECT key, id FROM perflab_jobs WHERE key IS NOT NULL"))
    rows = dict(database.fetch("SELECT id, CAST(payload AS TEXT) FROM perflab_jobs"))
    for number, (key, job_id) in enumerate(zip(keys, ids, strict=True)):
        if key is None:
            assert rows[job_id] == str(number)
        else:
            assert job_id == holder[key]
            assert rows[job_id] == str(keys.index(key))
    assert len(set(ids)) == len(rows)
    queue.cancel(ids)


def test_a_job_for_later_waits_in_a_state_of_its_own(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(
        [NewJob(0), NewJob(1, run_at=clock.now), NewJob(2, run_at=clock.now + timedelta(microseconds=1))]
    )
    assert queue.counts() == QueueCounts(scheduled=1, ready=2, running=0, dead=0)


def test_in_a_transaction_of_the_caller_jobs_exist_if_it_commits(queue: Queue) -> None:
    with queue.db.transaction() as connection:
        kept = queue.bulk_enqueue([NewJob("kept")], connection=connection)
    with suppress(ZeroDivisionError), queue.db.transaction() as connection:
        queue.bulk_enqueue([NewJob("lost")], connection=connection)
        raise ZeroDivisionError
    assert payloads_by_id(queue) == {kept[0]: '"kept"'}
