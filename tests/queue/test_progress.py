"""How far jobs are: what handlers say is kept, fenced, and read by others."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.errors import InvalidInput, StatementError, TransientError
from perflab.queue.job import Job, JobProgress, NewJob, QueueCounts
from perflab.queue.progress_reports import SECONDS_BETWEEN_WRITES, Progress, ProgressReports
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport
from tests.processes import A_MINUTE, wait_for

Queue = PriorityQueue[int, bool]
Report = Callable[..., WorkerReport]
Running = Callable[..., AbstractContextManager[list[WorkerReport]]]


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_the_last_report_of_each_job_is_read_by_its_id(queue: Queue, clock: SimpleNamespace) -> None:
    first, second, third = queue.bulk_enqueue(NewJob(number) for number in range(3))
    jobs = queue.claim()
    assert queue.progress([first]) == [None]
    reports = [(jobs[0], 0.25, "a"), (jobs[1], 0, ""), (jobs[0], 0.5, "Käthe \N{SNOWMAN}")]
    assert queue.report_progress(reports) == [True, True, True]
    expected = JobProgress(first, 1, 0.5, "Käthe \N{SNOWMAN}", clock.now)
    assert queue.progress([second, third, first, 999, first]) == [
        *(JobProgress(second, 1, 0.0, "", clock.now), None, expected, None, expected)
    ]
    clock.now += timedelta(seconds=1)
    assert queue.report_progress([(jobs[0], 1, "c")]) == [True]
    assert queue.progress([first]) == [JobProgress(first, 1, 1.0, "c", clock.now)]
    queue.mark_done(jobs[0])
    assert queue.progress([first]) == [None]
    assert queue.report_progress([]) == []
    assert queue.progress([]) == []


def test_only_who_holds_a_job_reports_on_it(queue: Queue, clock: SimpleNamespace) -> None:
    (job_id,) = queue.bulk_enqueue([NewJob("x")])
    (lost,) = queue.claim(1, 1)
    assert queue.report_progress([(lost, 0.9, "nearly")]) == [True]
    clock.now += timedelta(seconds=1)
    queue.rescue_expired()
    assert queue.report_progress([(lost, 1, "too late")]) == [False]
    (again,) = queue.claim()
    assert queue.report_progress([(lost, 1, "too late"), (again, 0.1, "anew"), (lost, 1, "")]) == [False, True, False]
    assert queue.progress([job_id]) == [JobProgress(job_id, 2, 0.1, "anew", clock.now)]
    queue.mark_error(again, "no")
    (kept,) = queue.progress([job_id])
    assert kept is not None
    assert kept.attempt == 2, "how far it came is kept while it waits"
    assert PriorityQueue(queue.db, "other").progress([job_id]) == [None]


@pytest.mark.parametrize(
    ("fraction", "note", "complaint"),
    [
        (1.1, "", "at most 1"),
        (-0.1, "", "at least 0"),
        (float("nan"), "", "finite"),
        ("1", "", "give a number"),
        (True, "", "give a number"),
        (0.5, None, "note is None"),
        (0.5, "x" * 2_001, "at most 2,000 characters"),
        (0.5, "a\x00", "NUL"),
        (0.5, "\ud800", "surrogate"),
    ],
)
def test_a_report_that_cannot_be_kept_is_refused(queue: Queue, fraction: Any, note: Any, complaint: str) -> None:
    job_ids = queue.bulk_enqueue([NewJob(1), NewJob(2)])
    good, job = queue.claim()
    with pytest.raises(InvalidInput, match=complaint):
        queue.report_progress([(good, 0.5, "good"), (job, fraction, note)])
    assert queue.progress(job_ids) == [None, None]
    reports = ProgressReports(queue, monotonic=lambda: 0.0)
    with pytest.raises(InvalidInput, match=complaint):
        Progress(reports, job)(fraction, note)


def test_an_item_that_is_none_is_refused(queue: Queue) -> None:
    wrong: Any = (1, 0.5)
    with pytest.raises(InvalidInput, match=r"give \(job, fraction, note\)"):
        queue.report_progress([wrong])
    wrong = (1, 0.5, "")
    with pytest.raises(InvalidInput, match="give a Job"):
        queue.report_progress([wrong])


# -- reports of a worker -----------------------------------------------------------------------------------------------


def test_reports_are_coalesced_and_written_now_and_then(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = SimpleNamespace(now=100.0)
    ids = queue.bulk_enqueue(NewJob(number) for number in range(3))
    jobs = queue.claim()
    written: list[int] = []
    report = queue.report_progress

    def note(items: Collection[Any]) -> list[bool]:
        written.append(len(items))
        return report(items)

    monkeypatch.setattr(queue, "report_progress", note)
    reports = ProgressReports(queue, monotonic=lambda: seconds.now)
    reports.write_if_due()
    for step in range(11):
        for job in jobs:
            Progress(reports, job)(step / 10, f"step {step}")
        reports.write_if_due()
    assert written == [3], "the first at once, and the others later"
    assert [one and one.note for one in queue.progress(ids)] == ["step 0"] * 3
    seconds.now += SECONDS_BETWEEN_WRITES
    reports.write_if_due()
    reports.write()
    assert written == [3, 3]
    assert [one and one.note for one in queue.progress(ids)] == ["step 10"] * 3


def test_what_could_not_be_written_is_tried_again_unless_there_is_news(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = queue.bulk_enqueue(NewJob(number) for number in range(2))
    first, second = queue.claim()
    reports = ProgressReports(queue, monotonic=lambda: 0.0)
    Progress(reports, first)(0.1, "old")
    Progress(reports, second)(0.1, "old")

    def fail(_items: object) -> list[bool]:
        Progress(reports, first)(0.2, "new")  # while it is written
        raise TransientError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "report_progress", fail)
        reports.write()
    reports.write()
    assert [one and one.note for one in queue.progress(ids)] == ["new", "old"]
    assert caplog.text.count("trying again") == 1

    def refuse(_items: object) -> list[bool]:
        raise StatementError("no such column")

    monkeypatch.setattr(queue, "report_progress", refuse)
    Progress(reports, first)(0.3)
    reports.write()
    assert "cannot be written" in caplog.text
    assert not reports._last


@pytest.mark.parametrize("asynchronously", [False, True])
def test_a_handler_with_two_parameters_says_how_far_it_is(
    real_time_queue: Queue, report: Report, running: Running, *, asynchronously: bool
) -> None:
    queue = real_time_queue
    job_id = queue.enqueue("x")
    go_on = threading.Event()

    def handler(job: Job, progress: Progress) -> None:
        for page in range(1, 5):
            progress(page / 10, f"{job.payload}: page {page} of 10")
        assert go_on.wait(A_MINUTE)

    async def async_handler(job: Job, progress: Progress) -> None:
        await asyncio.to_thread(handler, job, progress)

    with running(Worker(queue, async_handler if asynchronously else handler), until_empty=True) as reports:
        wait_for(lambda: queue.progress([job_id]) != [None])
        wait_for(lambda: (one := queue.progress([job_id])[0]) is not None and one.note == "x: page 4 of 10")
        go_on.set()
    assert reports == [report(done=1)]


def test_what_is_given_back_shows_how_far_it_came(real_time_queue: Queue, report: Report) -> None:
    queue = real_time_queue
    job_id = queue.enqueue("x")
    go_on = threading.Event()

    def handler(_job: Job, progress: Progress) -> None:
        progress(0.7, "then it was told to stop")
        worker.stop()
        assert go_on.wait(A_MINUTE)

    worker = Worker(queue, handler, concurrency=1, drain_timeout=0)
    assert worker.run() == report(released=1)
    go_on.set()
    (one,) = queue.progress([job_id])
    assert one is not None
    assert (one.fraction, one.note) == (0.7, "then it was told to stop")
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=0)


def test_who_takes_a_job_alone_gets_it_alone(real_time_queue: Queue, report: Report) -> None:
    seen: list[tuple[Any, ...]] = []

    class Handler:
        def one(self, job: Job, retries: int = 3, *, verbose: bool = False) -> None:
            seen.append((job.payload, retries, verbose))

        def two(self, job: Job, progress: Progress) -> None:
            progress(1)
            seen.append((job.payload, type(progress)))

        def __call__(self, job: Job, progress: Progress) -> None:
            self.two(job, progress)

    def bound(limit: int, job: Job, progress: Progress) -> None:
        seen.append((job.payload, limit, type(progress)))

    one = Handler()
    handlers: list[Callable[..., object]] = [
        one.one,
        one.two,
        one,
        functools.partial(bound, 9),
        lambda *given: seen.append((len(given),)),
    ]
    for number, handler in enumerate(handlers):
        real_time_queue.enqueue(number)
        assert Worker(real_time_queue, handler).run(until_empty=True) == report(done=1)
    assert seen == [(0, 3, False), (1, Progress), (2, Progress), (3, 9, Progress), (1,)]


def test_a_bad_report_is_its_jobs_error(real_time_queue: Queue, report: Report) -> None:
    real_time_queue.enqueue("x", max_attempts=1)

    def handler(_job: Job, progress: Progress) -> None:
        progress(40)

    assert Worker(real_time_queue, handler).run(until_empty=True) == report(failed=1)
    (dead,) = real_time_queue.dead_jobs()
    assert "the fraction that is done is 40" in str(dead.error)
