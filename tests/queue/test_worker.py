from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput, LifecycleError, StatementError, TransientError
from perflab.events import Event, JobsFinished
from perflab.queue.backoff import Backoff
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport

Queue = PriorityQueue[int, bool]
EMPTY = QueueCounts(scheduled=0, ready=0, running=0, dead=0)
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def queue(database: Database) -> Queue:
    return PriorityQueue(database, backoff=Backoff(base_seconds=3600), rng=Random(0))


def report(**ends: int) -> WorkerReport:
    zero = {field.name: 0 for field in fields(WorkerReport)}
    return WorkerReport(**{**zero, "claimed": sum(ends.values()), **ends})


@contextmanager
def running(worker: Worker, *, until_empty: bool = False) -> Iterator[list[WorkerReport]]:
    """Run a worker in a thread; the list holds its report once the block has ended."""
    reports: list[WorkerReport] = []
    thread = threading.Thread(target=lambda: reports.append(worker.run(until_empty=until_empty)))
    thread.start()
    try:
        yield reports
    finally:
        if not until_empty:
            worker.stop()
        thread.join(A_MINUTE)
        assert reports, "the worker did not return"


def as_async(handler: Callable[[Job], object]) -> Callable[[Job], object]:
    async def run(job: Job) -> object:
        await asyncio.sleep(0)
        return handler(job)

    return run


either_kind = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async def"])
Kind = Callable[[Callable[[Job], object]], Callable[[Job], object]]


# -- work --------------------------------------------------------------------------------------------------------------


@either_kind
@pytest.mark.parametrize("prefetch", [None, 0, 1, 50])
def test_every_job_is_handled_once_and_done(queue: Queue, kind: Kind, prefetch: int | None) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(120))
    handled: list[int] = []
    worker = Worker(queue, kind(lambda job: handled.append(job.payload)), concurrency=3, prefetch=prefetch)
    assert worker.run(until_empty=True) == report(done=120)
    assert sorted(handled) == list(range(120))
    assert queue.counts() == EMPTY


@either_kind
def test_one_at_a_time_means_by_priority(queue: Queue, kind: Kind) -> None:
    queue.bulk_enqueue([NewJob("b", 2), NewJob("c", 3), NewJob("a", 1)])
    handled: list[str] = []
    Worker(queue, kind(lambda job: handled.append(job.payload)), concurrency=1).run(until_empty=True)
    assert handled == ["a", "b", "c"]


def test_a_def_handler_runs_in_as_many_threads_as_stated(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(12))
    together = threading.Barrier(4)
    inside: list[int] = []
    most: list[int] = []

    def handler(job: Job) -> None:
        inside.append(job.id)
        most.append(len(inside))
        together.wait(A_MINUTE)  # passes only if four are in here
        inside.remove(job.id)

    assert Worker(queue, handler, concurrency=4).run(until_empty=True) == report(done=12)
    assert max(most) <= 4 + 3  # up to three may not have left yet when the next four come in


def test_an_async_handler_runs_as_many_jobs_at_a_time_as_stated(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(25))
    inside: set[int] = set()
    most: list[int] = []

    async def handler(job: Job) -> None:
        inside.add(job.id)
        most.append(len(inside))
        await asyncio.sleep(0.001)
        inside.discard(job.id)

    assert Worker(queue, handler, concurrency=5, prefetch=20).run(until_empty=True) == report(done=25)
    assert max(most) == 5


class CallableHandler:
    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def __call__(self, job: Job) -> None:
        await asyncio.sleep(0)
        self.jobs.append(job)


def test_handlers_may_be_objects_and_partials(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    handler = CallableHandler()
    assert Worker(queue, handler).run(until_empty=True) == report(done=2)

    async def keep(kept: list[Job], job: Job) -> None:
        await asyncio.sleep(0)
        kept.append(job)

    queue.enqueue(3)
    assert Worker(queue, functools.partial(keep, handler.jobs)).run(until_empty=True) == report(done=1)
    assert sorted(job.payload for job in handler.jobs) == [1, 2, 3]


def test_jobs_that_arrive_while_it_runs_are_handled(queue: Queue) -> None:
    handled = threading.Semaphore(0)
    worker = Worker(queue, lambda _job: handled.release(), poll_interval=0.005)
    with running(worker) as reports:
        for number in range(5):
            queue.enqueue(number)
            assert handled.acquire(timeout=A_MINUTE)
    assert reports == [report(done=5)]


def test_a_handler_may_enqueue_more_and_until_empty_waits_for_it(queue: Queue) -> None:
    queue.enqueue(5)

    def handler(job: Job) -> None:
        if job.payload:
            queue.enqueue(job.payload - 1)

    assert Worker(queue, handler, concurrency=1).run(until_empty=True) == report(done=6)


def test_no_more_is_claimed_than_is_run_and_prefetched(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(50))
    go_on = threading.Event()
    inside = threading.Semaphore(0)

    def handler(_job: Job) -> None:
        inside.release()
        go_on.wait(A_MINUTE)

    with running(Worker(queue, handler, concurrency=2, prefetch=7), until_empty=True) as reports:
        for _ in range(2):
            inside.acquire(timeout=A_MINUTE)
        while queue.counts().running < 9:
            time.sleep(0.001)
        assert queue.counts() == QueueCounts(scheduled=0, ready=41, running=9, dead=0)
        go_on.set()
    assert reports == [report(done=50)]


def test_acknowledgements_go_in_batches(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(1_000))
    with queue.db.counting() as count:
        Worker(queue, lambda _job: None, prefetch=1_000, flush_interval=3600, batch_size=100).run(until_empty=True)
    assert count.round_trips < 100


def test_jobs_of_a_worker_that_died_are_taken_over(database: Database, queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert len(queue.claim(2, 1)) == 2
    later: Queue = PriorityQueue(database, now=lambda: utc_now() + timedelta(hours=1))
    attempts = threading.Semaphore(0)
    with running(Worker(later, lambda _job: attempts.release(), poll_interval=0.005)) as reports:
        for _ in range(2):
            assert attempts.acquire(timeout=A_MINUTE)
    assert reports == [report(done=2)]


# -- handlers that misbehave -------------------------------------------------------------------------------------------


ERRORS = [
    ValueError("wrong"),
    KeyboardInterrupt(),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopAsyncIteration(),
    RecursionError(),
    BaseException("anything"),
]


@either_kind
def test_whatever_a_handler_raises_is_its_jobs_error(queue: Queue, kind: Kind) -> None:
    queue.bulk_enqueue(NewJob(number, max_attempts=1 + number % 2) for number in range(len(ERRORS)))
    queue.enqueue(None, 1)

    def handler(job: Job) -> None:
        if job.payload is not None:
            raise ERRORS[job.payload]

    assert Worker(queue, kind(handler), concurrency=2).run(until_empty=True) == report(failed=len(ERRORS), done=1)
    assert queue.counts() == QueueCounts(scheduled=4, ready=0, running=0, dead=4)
    kept = [text for (text,) in queue.db.fetch("SELECT last_error FROM perflab_jobs ORDER BY CAST(payload AS INT)")]
    assert [text.partition(":")[0] for text in kept] == [type(error).__name__ for error in ERRORS]


def test_a_def_handler_that_returns_a_coroutine_is_told_so(queue: Queue) -> None:
    queue.enqueue(1)

    async def forgotten(_job: Job) -> None:
        await asyncio.sleep(0)

    assert Worker(queue, lambda job: forgotten(job)).run(until_empty=True) == report(failed=1)  # noqa: PLW0108
    assert "async def" in queue.db.fetch("SELECT last_error FROM perflab_jobs")[0][0]


@either_kind
def test_a_handler_that_takes_no_job_fails_its_jobs(queue: Queue, kind: Kind) -> None:
    queue.enqueue(1)
    handler: Any = kind(lambda: None)  # type: ignore[misc, arg-type]
    assert Worker(queue, handler).run(until_empty=True) == report(failed=1)


def test_an_async_handler_may_stop_its_loop_or_cancel_what_it_sees(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(60))

    async def handler(job: Job) -> None:
        if job.payload % 5 == 1:
            asyncio.get_running_loop().stop()
        elif job.payload % 5 == 2:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        elif job.payload % 5 == 3:
            for task in asyncio.all_tasks():
                task.cancel()
        elif job.payload % 5 == 4:
            raise SystemExit
        await asyncio.sleep(0)

    result = Worker(queue, handler, concurrency=4).run(until_empty=True)
    assert result.done + result.failed == result.claimed == 60
    assert result.done > 0
    assert queue.counts() == QueueCounts(scheduled=result.failed, ready=0, running=0, dead=0)


def test_tasks_that_an_async_handler_leaves_behind_are_cancelled(queue: Queue) -> None:
    queue.enqueue(1)
    cleaned_up: list[bool] = []
    tasks: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(A_MINUTE)
        finally:
            cleaned_up.append(True)

    async def handler(_job: Job) -> None:
        tasks.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    assert Worker(queue, handler).run(until_empty=True) == report(done=1)
    assert cleaned_up == [True]


def test_a_handler_that_acknowledges_by_itself_makes_the_workers_note_stale(queue: Queue) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert Worker(queue, queue.mark_done).run(until_empty=True) == report(stale=2)


@either_kind
def test_random_handlers_lose_no_job(queue: Queue, kind: Kind) -> None:
    rng = Random(5)
    queue.bulk_enqueue(NewJob(rng.choice(["done", "raise", "exit", "own ack"])) for _ in range(300))
    expected = Counter(job for (job,) in queue.db.fetch("SELECT payload FROM perflab_jobs"))

    def handler(job: Job) -> None:
        if job.payload == "raise":
            raise ValueError(job.id)
        if job.payload == "exit":
            raise SystemExit(job.id)
        if job.payload == "own ack":
            assert queue.mark_error(job, "by itself")

    result = Worker(queue, kind(handler), concurrency=4, prefetch=10, batch_size=7).run(until_empty=True)
    assert result == report(
        done=expected['"done"'], failed=expected['"raise"'] + expected['"exit"'], stale=expected['"own ack"']
    )
    assert queue.counts() == QueueCounts(scheduled=300 - result.done, ready=0, running=0, dead=0)


# -- stopping ----------------------------------------------------------------------------------------------------------


@either_kind
def test_a_handler_may_stop_its_worker(queue: Queue, kind: Kind) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(20))

    def handler(job: Job) -> None:
        if job.payload == 2:
            worker.stop()

    worker = Worker(queue, kind(handler), concurrency=1, prefetch=4)
    result = worker.run()
    assert result == report(done=result.done, released=result.released)
    assert result.done >= 3
    assert queue.counts() == QueueCounts(scheduled=0, ready=20 - result.done, running=0, dead=0)
    assert worker.run() == report(), "a stopped worker stays stopped"


def test_running_jobs_may_end_while_draining(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    inside, go_on = threading.Event(), threading.Event()

    def handler(_job: Job) -> None:
        inside.set()
        go_on.wait(A_MINUTE)

    with running(Worker(queue, handler, concurrency=1, prefetch=3)) as reports:
        assert inside.wait(A_MINUTE)
        while queue.counts().running < 4:
            time.sleep(0.001)
        threading.Timer(0.05, go_on.set).start()
    assert reports == [report(done=1, released=3)]


def test_what_does_not_end_in_time_is_given_back_and_its_late_end_does_not_count(queue: Queue) -> None:
    queue.enqueue(1)
    inside, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def handler(_job: Job) -> None:
        inside.set()
        go_on.wait(A_MINUTE)
        ended.set()

    with running(Worker(queue, handler, drain_timeout=0)) as reports:
        assert inside.wait(A_MINUTE)
    assert reports == [report(released=1)]
    go_on.set()
    assert ended.wait(A_MINUTE)
    (job,) = queue.claim()
    assert (job.attempt, job.max_attempts) == (2, 6)


def test_an_async_handler_is_cancelled_when_its_time_is_up(queue: Queue) -> None:
    queue.enqueue(1)
    inside = threading.Event()
    cleaned_up: list[bool] = []

    async def handler(_job: Job) -> None:
        inside.set()
        try:
            await asyncio.sleep(A_MINUTE)
        finally:
            cleaned_up.append(True)

    with running(Worker(queue, handler, drain_timeout=0)) as reports:
        assert inside.wait(A_MINUTE)
    assert reports == [report(released=1)]
    assert cleaned_up == [True]
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=0)


def test_a_signal_in_the_main_thread_drains_and_the_handlers_of_before_come_back(queue: Queue) -> None:
    before = signal.getsignal(signal.SIGTERM)
    queue.bulk_enqueue(NewJob(number) for number in range(5))

    def handler(job: Job) -> None:
        if job.payload == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert Worker(queue, handler, concurrency=1).run() == report(done=5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_runs_once_at_a_time(queue: Queue) -> None:
    worker = Worker(queue, lambda _job: None)
    queue.enqueue(1)
    with running(worker):
        while queue.counts() != EMPTY:
            time.sleep(0.001)
        with pytest.raises(LifecycleError, match="running already"):
            worker.run()


def test_a_worker_that_ran_until_empty_can_run_again(queue: Queue) -> None:
    worker = Worker(queue, lambda _job: None)
    for _ in range(2):
        queue.enqueue(1)
        assert worker.run(until_empty=True) == report(done=1)


def test_an_acknowledgement_that_is_just_being_handed_over_is_waited_for(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = RequestBatcher.submit

    def submit_late(batcher: RequestBatcher, *arguments: Any) -> Any:
        time.sleep(0.05)
        return submit(batcher, *arguments)

    monkeypatch.setattr(RequestBatcher, "submit", submit_late)
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert Worker(queue, lambda _job: None).run(until_empty=True) == report(done=2)


# -- databases that misbehave ------------------------------------------------------------------------------------------


def test_passing_failures_of_a_claim_are_sat_out(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue.enqueue(1)
    claim = queue.claim
    failures = iter([TransientError("busy"), TransientError("busy")])

    def fail_at_first(*arguments: Any, **options: Any) -> list[Job]:
        for failure in failures:
            raise failure
        return claim(*arguments, **options)

    monkeypatch.setattr(queue, "claim", fail_at_first)
    assert Worker(queue, lambda _job: None, poll_interval=0.001).run(until_empty=True) == report(done=1)
    assert caplog.text.count("trying again") == 2


def test_a_lasting_failure_of_a_claim_is_raised_after_what_runs_has_ended(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    claim = queue.claim

    def fail_at_last(*arguments: Any, **options: Any) -> list[Job]:
        if queue.counts().running:
            raise StatementError("no such table")
        return claim(1, *arguments[1:], **options)

    monkeypatch.setattr(queue, "claim", fail_at_last)
    with pytest.raises(StatementError):
        Worker(queue, lambda _job: time.sleep(0.05), concurrency=1).run()
    counts = queue.counts()
    assert counts.running == 0
    assert counts.ready in (1, 2)  # the first one was done, or given back before it had started


def test_a_refused_acknowledgement_is_reported_and_the_job_runs_again(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(3))

    def fail(*_arguments: Any) -> list[bool]:
        raise StatementError("no such column")

    monkeypatch.setattr(queue.operations.mark_done, "apply", fail)
    assert Worker(queue, lambda _job: None).run(until_empty=True) == report(unacknowledged=3)
    assert caplog.text.count("could not be written") == 3
    assert queue.counts().running == 3
    later: Queue = PriorityQueue(database, now=lambda: utc_now() + timedelta(hours=1))
    assert later.rescue_expired() == 3


def test_jobs_that_cannot_be_given_back_are_reported(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(9))

    def fail(_jobs: list[Job]) -> list[bool]:
        raise TransientError("busy")

    monkeypatch.setattr(queue, "release", fail)

    def handler(_job: Job) -> None:
        worker.stop()
        while worker._in_hand.waiting:
            time.sleep(0.001)

    worker = Worker(queue, handler, concurrency=1, prefetch=8)
    assert worker.run() == report(done=1, unacknowledged=8)
    assert "could not be given back" in caplog.text


@pytest.mark.parametrize("available", [0, 1, 3])
def test_no_thread_means_an_error_and_no_claim(queue: Queue, monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    queue.enqueue(1)
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_some(thread: threading.Thread) -> None:
        if len(started) == available:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    worker = Worker(queue, lambda _job: None)
    monkeypatch.setattr(threading.Thread, "start", start_some)
    with pytest.raises(RuntimeError, match="new thread"):
        worker.run()
    for thread in started:
        thread.join(A_MINUTE)
        assert not thread.is_alive()
    assert queue.counts().ready == 1


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_listeners_hear_of_each_job_that_ends(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number, max_attempts=2 - number // 2) for number in range(3))
    heard: list[Event] = []

    def handler(job: Job) -> None:
        if job.payload:
            raise ValueError

    with queue.db.events.listening(heard.append):
        Worker(queue, handler).run(until_empty=True)
    finished = [event for event in heard if isinstance(event, JobsFinished)]
    assert sum(event.done for event in finished) == 1
    assert sum(event.retried for event in finished) == 1
    assert sum(event.dead for event in finished) == 1


def test_a_worker_of_a_write_behind_queue_works_the_same(database: Database) -> None:
    with RequestBatcher(database) as batcher:
        queue = PriorityQueue(database, "q", batcher)
        job_ids = [queue.enqueue(number) for number in range(10)]
        batcher.flush()
        assert len({job_id.result() for job_id in job_ids}) == 10
        assert Worker(queue, lambda _job: None).run(until_empty=True) == report(done=10)


def test_the_worker_is_named_in_the_table(queue: Queue) -> None:
    queue.enqueue(1)
    seen: list[Any] = []
    worker = Worker(queue, lambda _job: seen.extend(queue.db.fetch("SELECT worker FROM perflab_jobs")), name="Käthe")
    worker.run(until_empty=True)
    assert seen == [("Käthe",)]
    assert str(os.getpid()) in Worker(queue, print).name


@pytest.mark.parametrize(
    "wrong",
    [
        {"handler": None},
        {"concurrency": 0},
        {"concurrency": True},
        {"prefetch": -1},
        {"prefetch": 1.5},
        {"lease": 0},
        {"lease": float("inf")},
        {"poll_interval": 0},
        {"poll_interval": "0.1"},
        {"drain_timeout": -1},
        {"batch_size": 0},
        {"flush_interval": float("nan")},
        {"name": "a\x00"},
        {"name": 7},
    ],
    ids=str,
)
def test_a_bad_setting_is_refused(queue: Queue, wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"handler": print, **wrong}
    with pytest.raises(InvalidInput):
        Worker(queue, arguments.pop("handler"), **arguments)
