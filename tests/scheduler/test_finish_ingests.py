"""All that an ingest leaves behind, written together or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from perflab.database.database import Database
from perflab.errors import DatabaseError, InvalidInput
from perflab.events import Event, JobsFinished
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import FinishedIngest, IngestState, IngestStatus, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
Queue = PriorityQueue[int, bool]


@pytest.fixture
def queue(database: Database, clock: SimpleNamespace) -> Queue:
    return PriorityQueue(database, "ingest", now=lambda: clock.now)


def claim(scheduler: Scheduler, queue: Queue, names: str) -> dict[str, Job]:
    """The claimed jobs of watches with these one-letter names."""
    scheduler.add_watches_bulk([Watch(name, 60.0) for name in names])
    scheduler.tick()
    return {job.payload["watch"]: job for job in queue.claim(lease=30.0)}


def lose(queue: Queue, clock: SimpleNamespace, job: Job) -> Job:
    """Let the lease of a job run out, and somebody else have it."""
    clock.now += timedelta(seconds=31)
    queue.rescue_expired()
    taken = {other.id: other for other in queue.claim(lease=3600.0)}
    return taken[job.id]


def test_state_watch_job_and_what_follows_are_written_together(
    database: Database, scheduler: Scheduler, queue: Queue
) -> None:
    jobs = claim(scheduler, queue, "abc")
    heard: list[Event] = []

    with database.events.listening(heard.append), database.counting() as count:
        results = scheduler.finish_ingests(
            queue,
            [
                FinishedIngest(
                    jobs["a"], IngestState("a", cursor="a-1", etag="1"), jobs=[NewJob("parse"), NewJob("index")]
                ),
                FinishedIngest(jobs["b"], IngestState("b", error=OSError("gone")), Watch("b", 3600.0, enabled=False)),
                FinishedIngest(jobs["c"], IngestState("c", cursor="c-1")),
            ],
        )

    assert results == [True] * 3
    if database.engine_name == "postgresql":
        assert count.round_trips == 1
    assert scheduler.ingest_states() == {
        "a": IngestStatus("a-1", "1", NEW_YEAR, None, 0, NEW_YEAR),
        "b": IngestStatus(None, None, None, "OSError: gone", 1, NEW_YEAR),
        "c": IngestStatus("c-1", None, NEW_YEAR, None, 0, NEW_YEAR),
    }
    stored = scheduler.watches()["b"].watch
    assert (stored.interval, stored.enabled) == (3600.0, False)
    assert queue.counts() == QueueCounts(scheduled=1, ready=2, running=0, dead=0)
    assert [job.payload for job in queue.claim()] == ["parse", "index"]
    assert [event for event in heard if isinstance(event, JobsFinished)] == [JobsFinished("ingest", done=2, retried=1)]


def test_round_trips_do_not_grow_with_the_ingests(database: Database, scheduler: Scheduler, queue: Queue) -> None:
    counts = []
    for first, size in ((0, 60), (60, 500)):
        scheduler.add_watches_bulk([Watch(f"{n}", 60.0) for n in range(first, first + size)])
        scheduler.tick()
        jobs = queue.claim(1_000)
        assert len(jobs) == size
        with database.counting() as count:
            assert all(
                scheduler.finish_ingests(
                    queue,
                    [
                        FinishedIngest(job, IngestState(job.payload["watch"], error="gone" if n % 2 else None))
                        for n, job in enumerate(jobs)
                    ],
                )
            )
        counts.append(count.round_trips)
    assert counts == ([1, 1] if database.engine_name == "postgresql" else [counts[0]] * 2)


@pytest.mark.case("F03")
def test_of_a_lost_lease_nothing_is_written(scheduler: Scheduler, queue: Queue, clock: SimpleNamespace) -> None:
    jobs = claim(scheduler, queue, "ab")
    mine = lose(queue, clock, jobs["a"])
    scheduler.update_ingest_state("a", cursor="a-2")

    results = scheduler.finish_ingests(
        queue,
        [
            FinishedIngest(
                jobs["a"], IngestState("a", cursor="a-1"), Watch("a", 7.0), [NewJob("follows what is lost")]
            ),
            FinishedIngest(mine, IngestState("a", etag="new")),
            FinishedIngest(mine, IngestState("a", cursor="twice")),
        ],
    )

    assert results == [False, True, False]
    state = scheduler.ingest_states()["a"]
    assert (state.cursor, state.etag) == ("a-2", "new")
    assert scheduler.watches()["a"].watch.interval == 60.0
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=1, dead=0)  # that of b


def test_all_leases_are_lost(scheduler: Scheduler, queue: Queue, clock: SimpleNamespace) -> None:
    jobs = claim(scheduler, queue, "a")
    lose(queue, clock, jobs["a"])
    assert scheduler.finish_ingests(queue, [FinishedIngest(jobs["a"], IngestState("a", cursor="1"))]) == [False]
    assert scheduler.ingest_states() == {}
    assert scheduler.finish_ingests(queue, []) == []


def test_a_job_that_is_done_is_not_held(scheduler: Scheduler, queue: Queue) -> None:
    jobs = claim(scheduler, queue, "ab")
    queue.mark_done(jobs["a"])
    queue.release([jobs["b"]])
    finished = [FinishedIngest(jobs[name], IngestState(name, cursor="1")) for name in "ab"]
    assert scheduler.finish_ingests(queue, finished) == [False, False]
    assert scheduler.ingest_states() == {}


def test_several_ingests_of_one_watch_apply_in_order(
    scheduler: Scheduler, queue: Queue, clock: SimpleNamespace
) -> None:
    scheduler.add_watch("a", 60.0, overlap="queue")
    for _ in range(3):
        scheduler.tick()
        clock.now += timedelta(minutes=1)
    jobs = queue.claim()

    states = [IngestState("a", error="one"), IngestState("a", cursor="2"), IngestState("a", error="three")]
    finished = [FinishedIngest(job, state) for job, state in zip(jobs, states, strict=True)]
    assert scheduler.finish_ingests(queue, finished) == [True] * 3

    state = scheduler.ingest_states()["a"]
    assert (state.cursor, state.last_error, state.consecutive_failures) == ("2", "three", 1)


def test_the_state_of_a_removed_watch_is_dropped(scheduler: Scheduler, queue: Queue) -> None:
    jobs = claim(scheduler, queue, "a")
    scheduler.remove_watches(["a"])
    assert scheduler.finish_ingests(queue, [FinishedIngest(jobs["a"], IngestState("a", cursor="1"))]) == [True]
    assert scheduler.ingest_states() == {}
    assert queue.counts().unfinished == 0


def test_results_are_kept_with_the_finished_jobs(database: Database, scheduler: Scheduler) -> None:
    queue = PriorityQueue(database, "ingest", keep_done=True)
    jobs = claim(scheduler, queue, "a")
    assert scheduler.finish_ingests(queue, [FinishedIngest(jobs["a"], IngestState("a"), result={"rows": 7})]) == [True]
    (done,) = queue.find_done([jobs["a"].id])
    assert done is not None
    assert done.result == {"rows": 7}


def test_in_a_transaction_of_yours(
    database: Database, scheduler: Scheduler, queue: Queue, clock: SimpleNamespace
) -> None:
    jobs = claim(scheduler, queue, "ab")
    lost, jobs["b"] = jobs["b"], lose(queue, clock, jobs["b"])
    queue.extend_lease([jobs["b"]], 3600.0)
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE fares (fare INTEGER)"))

    def ingest(fare: int) -> list[bool]:
        with database.transaction() as connection:
            results = scheduler.finish_ingests(
                queue,
                [FinishedIngest(job, IngestState("b", cursor=f"{fare}")) for job in (lost, jobs["b"])],
                connection=connection,
            )
            connection.execute(text("INSERT INTO fares VALUES (:fare)"), {"fare": 100 // fare})
        return results

    with pytest.raises(ZeroDivisionError):
        ingest(0)
    assert scheduler.ingest_states() == {}
    assert ingest(5) == [False, True]
    assert scheduler.ingest_states()["b"].cursor == "5"
    assert database.fetch("SELECT fare FROM fares") == [(20,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda job: (job, IngestState("a")), r"write FinishedIngest\(job, state\)"),
        (lambda _job: FinishedIngest("job", IngestState("a")), r"give a Job that claim\(\) returned"),  # type: ignore[arg-type]
        (lambda job: FinishedIngest(job, "a"), "write IngestState"),  # type: ignore[arg-type]
        (lambda job: FinishedIngest(job, IngestState("a"), Watch("b", 60.0)), "change its own"),
        (lambda job: FinishedIngest(job, IngestState("a"), Watch("a")), "neither an interval nor a cron"),
        (lambda job: FinishedIngest(job, IngestState("a"), jobs=[NewJob({1})]), "payload"),
        (lambda job: FinishedIngest(job, IngestState("a", error="e"), result=1), "both an error and a result"),
        (lambda job: FinishedIngest(job, IngestState("a"), result=1), "keeps no finished jobs"),
    ],
)
def test_a_bad_ingest_is_refused_and_nothing_is_written(
    scheduler: Scheduler, queue: Queue, change: object, message: str
) -> None:
    jobs = claim(scheduler, queue, "ab")
    assert callable(change)
    good = FinishedIngest(jobs["b"], IngestState("b", cursor="1"))
    with pytest.raises(InvalidInput, match=message):
        scheduler.finish_ingests(queue, [good, change(jobs["a"])])
    assert scheduler.ingest_states() == {}
    assert queue.counts().running == 2


def test_a_queue_of_another_name_is_refused(database: Database, scheduler: Scheduler, queue: Queue) -> None:
    jobs = claim(scheduler, queue, "a")
    with pytest.raises(InvalidInput, match="is of queue 'ingest': finish it with that queue, and not with 'other'"):
        scheduler.finish_ingests(PriorityQueue(database, "other"), [FinishedIngest(jobs["a"], IngestState("a"))])


def test_when_one_part_fails_nothing_is_written(database: Database, scheduler: Scheduler, queue: Queue) -> None:
    jobs = claim(scheduler, queue, "a")
    with database.transaction() as connection:
        connection.execute(text("DROP TABLE perflab_ingest_states"))
    with pytest.raises(DatabaseError):
        scheduler.finish_ingests(
            queue, [FinishedIngest(jobs["a"], IngestState("a"), Watch("a", 7.0), [NewJob("follows")])]
        )
    assert scheduler.watches()["a"].watch.interval == 60.0
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=1, dead=0)
