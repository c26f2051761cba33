"""The main paths through perflab, each as something to break: prepared, run, looked at, and run again.

A run may end in a typed error. Whatever it does, each call has done all or nothing; and when the path is run again on a
database that works, the end is the one of a run without a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Protocol

from perflab.batching.batcher import RequestBatcher
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import OutcomeUnknown, PerflabError, ResultLost
from perflab.queue.backoff import Backoff
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import FinishedIngest, IngestState, Watch
from tests.processes import A_MINUTE

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
JOBS = 10
QUICK = RetryPolicy(base_seconds=0.0001, cap_seconds=0.001, delivery_timeout=A_MINUTE)
Queue = PriorityQueue[int, bool]


def queue_of(database: Database, *, hours: int = 0) -> Queue:
    """The same queue, some hours later."""
    moment = NEW_YEAR + timedelta(hours=hours)
    return PriorityQueue(
        database, now=lambda: moment, rng=Random(1), backoff=Backoff(base_seconds=60.0), sleep=lambda _seconds: None
    )


def scheduler_of(database: Database) -> Scheduler:
    return Scheduler(database, "default", now=lambda: NEW_YEAR)


def states(database: Database) -> Counter[str]:
    return Counter(dict(database.fetch("SELECT state, count(*) FROM perflab_jobs GROUP BY state")))


def payloads(database: Database) -> list[int]:
    rows = database.fetch("SELECT CAST(CAST(payload AS TEXT) AS INTEGER) FROM perflab_jobs ORDER BY 1")
    return [number for (number,) in rows]


def is_in_doubt(error: BaseException | None) -> bool:
    return isinstance(error, OutcomeUnknown | ResultLost)


class MainPath(Protocol):
    def prepare(self, database: Database) -> None:
        """What has to be there; nothing fails yet."""

    def run(self, database: Database) -> None:
        """Where something fails. Raises nothing but a `PerflabError`."""

    def check(self, database: Database, error: PerflabError | None) -> None:
        """After it, on a fresh database: all or nothing of each call is there."""

    def finish(self, database: Database) -> None:
        """Do it again, and check that the end is that of a run without a fault."""


class Enqueue:
    """Twice as many jobs as a key each."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def prepare(self, database: Database) -> None:
        pass

    def run(self, database: Database) -> None:
        self.ids = queue_of(database).bulk_enqueue(NewJob(n, key=f"k{n}") for n in range(JOBS))

    def check(self, database: Database, error: PerflabError | None) -> None:
        there = payloads(database)
        assert there in ([], list(range(JOBS)))
        if error is None:
            stored = database.fetch("SELECT id FROM perflab_jobs ORDER BY CAST(CAST(payload AS TEXT) AS INTEGER)")
            assert [job_id for (job_id,) in stored] == self.ids
        elif not is_in_doubt(error):
            assert there == [], "an error says that nothing is written"

    def finish(self, database: Database) -> None:
        self.run(database)
        assert payloads(database) == list(range(JOBS))


class Flush:
    """Through a batcher with a thread of its own: it tries again by itself, and each future tells what became of it."""

    def __init__(self) -> None:
        self.told: dict[int, BaseException | None] = {}

    def prepare(self, database: Database) -> None:
        queue_of(database).enqueue(-1)

    def run(self, database: Database) -> None:
        enqueue = queue_of(database).operations.enqueue
        with RequestBatcher(database, batch_size=JOBS // 2, flush_interval=3_600.0, retry=QUICK) as batcher:
            futures = {n: batcher.submit(enqueue, NewJob(n)) for n in range(JOBS)}
            batcher.flush(A_MINUTE)
            self.told = {n: future.exception(A_MINUTE) for n, future in futures.items()}
        assert batcher.metrics().pending == 0

    def check(self, database: Database, error: PerflabError | None) -> None:
        assert error is None or not self.told
        there = Counter(payloads(database))
        assert there.pop(-1) == 1
        assert set(there.values()) <= {1}, "nothing is written twice"
        for n, refused in self.told.items():
            assert isinstance(refused, PerflabError | None)
            if not is_in_doubt(refused):
                assert (n in there) is (refused is None)

    def finish(self, database: Database) -> None:
        there = set(payloads(database))
        enqueue = queue_of(database).operations.enqueue
        with RequestBatcher(database, batch_size=JOBS, flush_interval=0.0) as batcher:
            for n in set(range(JOBS)) - there:
                batcher.submit(enqueue, NewJob(n))
        assert payloads(database) == [-1, *range(JOBS)]


class Claim:
    def __init__(self) -> None:
        self.claimed: list[Job] = []

    def prepare(self, database: Database) -> None:
        queue_of(database).bulk_enqueue(NewJob(n) for n in range(JOBS))

    def run(self, database: Database) -> None:
        self.claimed = queue_of(database).claim(JOBS)

    def check(self, database: Database, error: PerflabError | None) -> None:
        there = states(database)
        assert there in (Counter(ready=JOBS), Counter(running=JOBS)), "all of them or none"
        if error is None:
            assert there == Counter(running=JOBS)
            assert sorted(job.payload for job in self.claimed) == list(range(JOBS))

    def finish(self, database: Database) -> None:
        later = queue_of(database, hours=1)
        later.rescue_expired()
        jobs = later.claim(JOBS)
        assert sorted(job.payload for job in jobs) == list(range(JOBS))
        assert later.mark_done_bulk(jobs) == [True] * JOBS
        assert payloads(database) == []


class Acknowledge:
    """Some are done, some have failed, some are given back: three calls."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def prepare(self, database: Database) -> None:
        queue_of(database).bulk_enqueue(NewJob(n) for n in range(9))
        self.jobs = queue_of(database).claim(9)

    def calls(self, database: Database) -> list[Callable[[], object]]:
        queue = queue_of(database)
        return [
            lambda: queue.mark_done_bulk(self.jobs[:3]),
            lambda: queue.mark_error_bulk((job, "failed") for job in self.jobs[3:6]),
            lambda: queue.release(self.jobs[6:]),
        ]

    def run(self, database: Database) -> None:
        for call in self.calls(database):
            call()

    def check(self, database: Database, error: PerflabError | None) -> None:
        there = states(database)
        assert there["scheduled"] in (0, 3)
        assert there["ready"] in (0, 3)
        assert there.total() in (6, 9)
        if error is None:
            assert there == Counter(scheduled=3, ready=3)

    def finish(self, database: Database) -> None:
        self.run(database)
        self.check(database, None)
        assert payloads(database) == [job.payload for job in self.jobs[3:]]


class Rescue:
    def prepare(self, database: Database) -> None:
        queue = queue_of(database)
        queue.bulk_enqueue(NewJob(n) for n in range(JOBS))
        queue.claim(JOBS // 2, queue.open_lease("gone"))
        queue.claim(JOBS)

    def run(self, database: Database) -> None:
        queue_of(database, hours=1).rescue_expired(JOBS // 2)

    def check(self, database: Database, error: PerflabError | None) -> None:
        there = states(database)
        assert there.total() == JOBS
        assert there["running"] in ((JOBS, JOBS // 2) if error else (JOBS // 2,))

    def finish(self, database: Database) -> None:
        later = queue_of(database, hours=2)
        while later.rescue_expired(JOBS // 2):
            pass
        assert sorted(job.payload for job in queue_of(database, hours=9).claim(2 * JOBS)) == list(range(JOBS))


class Tick:
    def prepare(self, database: Database) -> None:
        scheduler_of(database).add_watches_bulk(
            [Watch(f"w{n}", 60.0) for n in range(JOBS // 2)]
            + [Watch(f"c{n}", cron="0 * * * *", start_at=NEW_YEAR) for n in range(JOBS // 2)]
        )

    def run(self, database: Database) -> None:
        scheduler_of(database).tick(NEW_YEAR)

    def check(self, database: Database, error: PerflabError | None) -> None:
        jobs = states(database).total()
        moved = [
            status.next_due_at is not None and status.next_due_at > NEW_YEAR
            for status in scheduler_of(database).watches().values()
        ]
        assert jobs == sum(moved), "a slot has its job, or is still due"
        assert jobs > 0 or error is not None

    def finish(self, database: Database) -> None:
        scheduler = scheduler_of(database)
        while scheduler.tick(NEW_YEAR).more:
            pass
        self.check(database, None)
        assert states(database).total() == JOBS


class FinishIngests:
    """State, watch, job and what follows, in one transaction."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def prepare(self, database: Database) -> None:
        scheduler = scheduler_of(database)
        scheduler.add_watches_bulk(Watch(f"w{n}", 60.0) for n in range(JOBS))
        scheduler.tick(NEW_YEAR)
        self.jobs = queue_of(database).claim(JOBS)

    def run(self, database: Database) -> None:
        scheduler_of(database).finish_ingests(
            queue_of(database),
            [
                FinishedIngest(job, IngestState(job.payload["watch"], cursor="1"), jobs=[NewJob("next")])
                for job in self.jobs
            ],
        )

    def check(self, database: Database, error: PerflabError | None) -> None:
        cursors = [status.cursor for status in scheduler_of(database).ingest_states().values()]
        outcome = cursors.count("1"), states(database)
        all_of_it, nothing = (JOBS, Counter(ready=JOBS)), (0, Counter(running=JOBS))
        assert outcome in ([all_of_it] if error is None else [all_of_it, nothing])
        if error is not None and not is_in_doubt(error):
            assert outcome == nothing

    def finish(self, database: Database) -> None:
        self.run(database)
        self.check(database, None)


MAIN_PATHS: list[type[MainPath]] = [Enqueue, Flush, Claim, Acknowledge, Rescue, Tick, FinishIngests]
