"""Bad input: one typed error each, and nothing written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import inspect

from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]

QUEUE_NAMES = [
    *("", " ", "a b", "A", "Ingest", "1a", "-a", "a-b", "a.b", "a;b", "a,b", "a:b", "a/b", "a\\b", "a%b", "a?b", "a$b"),
    *(
        "a'",
        "'a",
        '"a"',
        "`a`",
        "[a]",
        "a]",
        "a)",
        "a--",
        "a/*",
        "a\n",
        "a\x00",
        "\x00",
        "é",
        "\uff41",
        "a\u200b",
        "\ud800",
    ),
    "x'; DROP TABLE perflab_jobs; --",
    'x"; DROP TABLE perflab_jobs; --',
    "x) ; DELETE FROM perflab_jobs WHERE (1=1",
    "default' OR '1'='1",
    "default' UNION SELECT * FROM sqlite_master --",
    "x'||(SELECT sql FROM sqlite_master)||'",
    "?1",
    ":queue",
    "%s",
    "%(queue)s",
    "${queue}",
    "{{queue}}",
    "../jobs",
    "a" * 42,
    "a" * 100_000,
    None,
    1,
    True,
    b"default",
    ["default"],
]


def tables(database: Database) -> list[str]:
    with database.reading() as connection:
        return inspect(connection).get_table_names()


@pytest.mark.case("F41")
@pytest.mark.parametrize("name", QUEUE_NAMES)
def test_a_name_that_is_no_identifier_is_refused(database: Database, name: Any) -> None:
    before = tables(database)
    with pytest.raises(InvalidInput, match="the name of the queue is"):
        PriorityQueue(database, name)
    assert tables(database) == before


@pytest.mark.parametrize("name", ["a", "_", "default", "select", "a" * 41, "q_1"])
def test_a_good_name_works(database: Database, name: str) -> None:
    queue: Queue = PriorityQueue(database, name)
    queue.enqueue(name)
    assert [job.payload for job in queue.claim()] == [name]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


BAD_JOBS: dict[str, NewJob] = {
    "NaN": NewJob({"a": [float("nan")]}),
    "infinity": NewJob(float("-inf")),
    "NUL": NewJob("a\x00b"),
    "NUL in a key of the payload": NewJob({"a\x00": 1}),
    "surrogate": NewJob(["\ud800"]),
    "65 bits": NewJob({"n": 2**63}),
    "a set": NewJob({1, 2}),
    "a datetime": NewJob(datetime.now(UTC)),
    "too deep": NewJob(nested(100_000)),
    "too large": NewJob("x" * (1_048_576 - 1)),
    "priority too low": NewJob(1, -32_769),
    "priority too high": NewJob(1, 32_768),
    "priority far too high": NewJob(1, 10**5_000),
    "priority is a float": NewJob(1, 1.0),  # type: ignore[arg-type]
    "priority is a bool": NewJob(1, True),
    "priority is None": NewJob(1, None),  # type: ignore[arg-type]
    "no attempts": NewJob(1, max_attempts=0),
    "too many attempts": NewJob(1, max_attempts=32_768),
    "attempts is a bool": NewJob(1, max_attempts=True),
    "naive time": NewJob(1, run_at=datetime(2026, 1, 1)),  # noqa: DTZ001
    "time is a number": NewJob(1, run_at=1.5),  # type: ignore[arg-type]
    "empty key": NewJob(1, key=""),
    "long key": NewJob(1, key="k" * 201),
    "NUL in the key": NewJob(1, key="k\x00"),
    "surrogate in the key": NewJob(1, key="\udfff"),
    "key is a number": NewJob(1, key=1),  # type: ignore[arg-type]
    "no job": {"payload": 1},  # type: ignore[dict-item]
}


@pytest.mark.case("F26", "F32", "F34")
@pytest.mark.parametrize("case", BAD_JOBS)
def test_a_bad_job_is_refused_with_its_whole_batch(queue: Queue, case: str) -> None:
    good = [NewJob(number) for number in range(60)]
    with pytest.raises(InvalidInput), queue.db.counting() as count:
        queue.bulk_enqueue([*good, BAD_JOBS[case], *good])
    assert count.round_trips == 0
    assert queue.counts().unfinished == 0


@pytest.mark.case("F32")
def test_the_limits_themselves_are_allowed(queue: Queue) -> None:
    queue.bulk_enqueue(
        [
            NewJob("x" * (1_048_576 - 2), -32_768, max_attempts=32_767, key="😀" * 200),
            NewJob([2**63 - 1, -(2**63)], 32_767, run_at=datetime.min.replace(tzinfo=UTC)),
            NewJob(None, run_at=datetime.max.replace(tzinfo=UTC), max_attempts=1),
        ]
    )
    assert [job.priority for job in queue.claim()] == [-32_768, 32_767]
    assert queue.counts().scheduled == 1


def bad_calls(queue: Queue, job: Job) -> dict[str, Callable[[], object]]:
    anything: Any = queue
    return {
        "claim(0)": lambda: queue.claim(0),
        "claim(-1)": lambda: queue.claim(-1),
        "claim(True)": lambda: queue.claim(True),
        "claim(1.5)": lambda: anything.claim(1.5),
        "claim(10**9)": lambda: queue.claim(10**9),
        "no lease": lambda: queue.claim(1, 0),
        "negative lease": lambda: queue.claim(1, -1),
        "lease NaN": lambda: queue.claim(1, float("nan")),
        "lease for ever": lambda: queue.claim(1, float("inf")),
        "lease of text": lambda: anything.claim(1, "60"),
        "NUL in worker": lambda: queue.claim(worker="a\x00"),
        "long worker": lambda: queue.claim(worker="w" * 201),
        "worker is a number": lambda: anything.claim(worker=1),
        "extend by nothing": lambda: queue.extend_lease([job], 0),
        "extend what is no job": lambda: anything.extend_lease([job.id]),
        "extend one job": lambda: anything.extend_lease(job),
        "done: no job": lambda: anything.mark_done(job.id),
        "done: None": lambda: anything.mark_done(None),
        "done: a new job": lambda: anything.mark_done(NewJob(1)),
        "done: one among many": lambda: anything.mark_done_bulk([job, None]),
        "done: one where many are taken": lambda: anything.mark_done_bulk(job),
        "error: None": lambda: anything.mark_error(job, None),
        "error: a class": lambda: anything.mark_error(job, ValueError),
        "error: no pair": lambda: anything.mark_error_bulk([job]),
        "error: a triple": lambda: anything.mark_error_bulk([(job, "x", 1)]),
        "release: no job": lambda: anything.release([1]),
        "cancel: one id": lambda: anything.cancel(job.id),
        "cancel: text": lambda: anything.cancel("12"),
        "cancel: a text id": lambda: anything.cancel(["1"]),
        "cancel: a bool": lambda: queue.cancel([True]),
        "cancel: 65 bits": lambda: queue.cancel([2**63]),
        "retry: no attempts": lambda: queue.retry([job.id], attempts=0),
        "retry: a text id": lambda: anything.retry(["1 OR 1=1"]),
        "rescue 0": lambda: queue.rescue_expired(0),
        "purge in the future": lambda: queue.purge(older_than=-1),
        "purge NaN": lambda: queue.purge(older_than=float("nan")),
        "purge 0": lambda: queue.purge(limit=0),
        "enqueue: too high": lambda: queue.enqueue(1, 10**6),
        "enqueue: NaN": lambda: queue.enqueue(float("nan")),
        "bulk_enqueue: one job": lambda: anything.bulk_enqueue(NewJob(1)),
        "bulk_enqueue: text": lambda: anything.bulk_enqueue("jobs"),
    }


def test_a_bad_call_is_refused_and_nothing_is_written(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2), NewJob(3, run_at=clock.now + timedelta(days=1))])
    (job,) = queue.claim(1)
    before = queue.db.fetch("SELECT * FROM perflab_jobs")
    for name, call in bad_calls(queue, job).items():
        with queue.db.counting() as count, pytest.raises(InvalidInput) as refusal:
            call()
        assert len(str(refusal.value)) < 500, name
        assert count.round_trips == 0, name
    assert queue.db.fetch("SELECT * FROM perflab_jobs") == before


def test_a_clock_without_a_time_zone_is_refused(database: Database) -> None:
    queue: Queue = PriorityQueue(database, now=lambda: datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match=r"now\(\)"):
        queue.enqueue(1)
    with pytest.raises(InvalidInput, match=r"now\(\)"):
        queue.claim()


@pytest.mark.case("F41")
def test_payloads_that_look_like_sql_are_only_text(queue: Queue) -> None:
    text = "x'); DROP TABLE perflab_jobs; --"
    queue.enqueue({text: text}, key=text)
    (job,) = queue.claim(worker=text)
    assert job.payload == {text: text}
    assert queue.mark_error(job, text)
    assert queue.db.fetch("SELECT key, worker, last_error FROM perflab_jobs") == [(text, None, text)]
