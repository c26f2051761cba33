"""The queue against a dictionary: whatever is done in whatever order, both hold the same jobs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from perflab.database.database import Database
from perflab.errors import RejectedRow
from perflab.queue.backoff import Backoff
from perflab.queue.engine import OnConflict
from perflab.queue.job import TRANSITIONS, Job, JobState, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from tests.postgres_databases import PostgresDatabases

pytestmark = pytest.mark.hypothesis
START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {(step.source, step.operation, step.target) for step in TRANSITIONS}
LEASE_SECONDS = st.sampled_from([5, 10, 20])


@dataclass(frozen=True)
class Row:
    """What the model knows of a job; times are seconds after the start."""

    payload: int
    priority: int
    run_at: float
    state: JobState
    attempt: int
    max_attempts: int
    lease_until: float | None
    key: str | None


class QueueMachine(RuleBasedStateMachine):
    def __init__(self, empty_database: Callable[[], str]) -> None:
        super().__init__()
        self.url = empty_database()
        self.now = 0.0
        self.rows: dict[int, Row] = {}
        self.leases: list[Job] = []  # all that were ever given out
        self.largest_id = 0
        self.is_paused = False
        self.payloads = 0
        self.backoff = Backoff(base_seconds=2, cap_seconds=16)
        self.rng, self.same_rng = Random(7), Random(7)
        self.open_queue()

    def open_queue(self) -> None:
        self.database = Database.open(self.url)
        self.queue: PriorityQueue[int, bool] = PriorityQueue(
            self.database,
            backoff=self.backoff,
            now=lambda: START + timedelta(seconds=self.now),
            rng=self.rng,
        )

    def teardown(self) -> None:
        self.database.close()

    # -- the model -----------------------------------------------------------------------------------------------------

    def move(self, operation: str, job_id: int, row: Row | None) -> None:
        before = self.rows.get(job_id)
        step = (before.state if before else None, operation, row.state if row else None)
        assert step in STEPS, step
        if row is None:
            del self.rows[job_id]
        else:
            self.rows[job_id] = row

    def holds(self, job: Job) -> bool:
        row = self.rows.get(job.id)
        return row is not None and row.state is JobState.RUNNING and row.attempt == job.attempt

    def key_holder(self, key: str | None) -> int | None:
        held = [i for i, row in self.rows.items() if key is not None and row.key == key and row.state != "dead"]
        return held[0] if held else None

    def ended(self, row: Row, state: JobState, **changes: Any) -> Row:
        """The row after a lease has ended, dead if it was the last."""
        if row.attempt >= row.max_attempts:
            state, changes = JobState.DEAD, {"run_at": self.now}
        return replace(row, state=state, lease_until=None, **changes)

    def chosen(self, numbers: list[int]) -> list[Job]:
        """Leases old and new, the newest the likeliest."""
        return [self.leases[-1 - number % min(len(self.leases), 12)] for number in numbers] if self.leases else []

    def some_ids(self, numbers: list[int]) -> list[int]:
        return [number % (self.largest_id + 2) for number in numbers]

    # -- what may happen -----------------------------------------------------------------------------------------------

    @rule(
        jobs=st.lists(
            st.tuples(
                st.integers(-1, 1),
                st.none() | st.integers(-5, 15),
                st.none() | st.sampled_from("ab"),
                st.integers(1, 3),
            ),
            max_size=4,
        ),
        on_conflict=st.sampled_from(get_args(OnConflict)),
    )
    def enqueue(self, jobs: list[tuple[int, int | None, str | None, int]], on_conflict: OnConflict) -> None:
        new = []
        for priority, delay, key, max_attempts in jobs:
            self.payloads += 1
            run_at = None if delay is None else START + timedelta(seconds=self.now + delay)
            new.append(NewJob(self.payloads, priority, run_at, key, max_attempts))
        keys = [job.key for job in new if job.key is not None]
        if on_conflict == "raise" and (len(set(keys)) < len(keys) or any(map(self.key_holder, keys))):
            with pytest.raises(RejectedRow):
                self.queue.bulk_enqueue(new, on_conflict=on_conflict)
            return
        ids = self.queue.bulk_enqueue(new, on_conflict=on_conflict)
        earlier, first_new = set(self.rows), self.largest_id + 1
        for job, job_id in zip(new, ids, strict=True):
            holder = self.key_holder(job.key)
            if holder is not None and on_conflict == "replace" and self.rows[holder].state is JobState.RUNNING:
                running = self.rows[holder]
                self.move("enqueue", holder, replace(running, key=None, max_attempts=running.attempt))
                holder = None
            assert job_id == holder if holder else job_id not in earlier
            if holder is None or on_conflict == "replace":
                attempt = self.rows[holder].attempt if holder else 0
                self.move("enqueue", job_id, self.waiting(job, attempt))
            self.largest_id = max(self.largest_id, job_id)
        # Those that are new follow one another in the order of the rows, later than any before.
        written = [job_id for job_id in dict.fromkeys(ids) if job_id not in earlier]
        assert written == sorted(written)
        assert not written or written[0] >= first_new

    def waiting(self, job: NewJob, attempt: int) -> Row:
        run_at = self.now if job.run_at is None else (job.run_at - START).total_seconds()
        state = JobState.SCHEDULED if run_at > self.now else JobState.READY
        return Row(job.payload, job.priority, run_at, state, attempt, attempt + job.max_attempts, None, job.key)

    @rule(limit=st.integers(1, 4), lease=LEASE_SECONDS)
    def claim(self, limit: int, lease: int) -> None:
        for job_id, row in list(self.rows.items()):
            if row.state is JobState.SCHEDULED and row.run_at <= self.now:
                self.move("claim", job_id, replace(row, state=JobState.READY))
        ready = [(row.priority, row.run_at, i) for i, row in self.rows.items() if row.state is JobState.READY]
        expected = [] if self.is_paused else [job_id for *_, job_id in sorted(ready)[:limit]]
        for job_id in expected:
            row = self.rows[job_id]
            claimed = replace(row, state=JobState.RUNNING, attempt=row.attempt + 1, lease_until=self.now + lease)
            self.move("claim", job_id, claimed)
        jobs = self.queue.claim(limit, lease)
        assert [job.id for job in jobs] == expected
        for job in jobs:
            row = self.rows[job.id]
            assert (job.payload, job.priority, job.attempt, job.max_attempts, job.key) == (
                *(row.payload, row.priority, row.attempt, row.max_attempts, row.key),
            )
            assert job.run_at == START + timedelta(seconds=row.run_at)
        self.leases += jobs

    @rule(numbers=st.lists(st.integers(0, 11), max_size=4))
    def mark_done(self, numbers: list[int]) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            expected.append(self.holds(job))
            if expected[-1]:
                self.move("mark_done", job.id, None)
        assert self.queue.mark_done_bulk(jobs) == expected

    @rule(numbers=st.lists(st.integers(0, 11), max_size=4))
    def mark_error(self, numbers: list[int]) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            delay = int(self.backoff.delay_seconds(job.attempt, self.same_rng) * 1e6) / 1e6
            expected.append(self.holds(job))
            if expected[-1]:
                row = self.ended(self.rows[job.id], JobState.SCHEDULED, run_at=self.now + delay)
                self.move("mark_error", job.id, row)
        assert self.queue.mark_error_bulk([(job, "failed") for job in jobs]) == expected

    @rule(numbers=st.lists(st.integers(0, 11), max_size=4))
    def release(self, numbers: list[int]) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            expected.append(self.holds(job))
            if expected[-1]:
                row = self.rows[job.id]
                row = replace(row, state=JobState.READY, lease_until=None, max_attempts=row.max_attempts + 1)
                self.move("release", job.id, row)
        assert self.queue.release(jobs) == expected

    @rule(numbers=st.lists(st.integers(0, 11), max_size=4), lease=LEASE_SECONDS)
    def extend_lease(self, numbers: list[int], lease: int) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            expected.append(self.holds(job))
            if expected[-1]:
                self.move("extend_lease", job.id, replace(self.rows[job.id], lease_until=self.now + lease))
        assert self.queue.extend_lease(jobs, lease) == expected

    @rule(limit=st.integers(1, 3))
    def rescue_expired(self, limit: int) -> None:
        expired = sorted(
            (row.lease_until, job_id)
            for job_id, row in self.rows.items()
            if row.lease_until is not None and row.lease_until <= self.now
        )
        phase = self.same_rng.random()
        for _, job_id in expired[:limit]:
            row = self.rows[job_id]
            if row.attempt == 1:
                after = self.ended(row, JobState.READY)
            else:
                share = math.modf(job_id * 0.6180339887498949 + phase)[0]
                delay = self.backoff.longest_seconds(row.attempt) * share
                after = self.ended(row, JobState.SCHEDULED, run_at=self.now + delay)
            self.move("rescue_expired", job_id, after)
        assert self.queue.rescue_expired(limit) == min(limit, len(expired))

    @rule(numbers=st.lists(st.integers(0, 50), max_size=3))
    def cancel(self, numbers: list[int]) -> None:
        ids, expected = self.some_ids(numbers), []
        for job_id in ids:
            row = self.rows.get(job_id)
            expected.append(row is not None and row.state in (JobState.SCHEDULED, JobState.READY))
            if expected[-1]:
                self.move("cancel", job_id, None)
        assert self.queue.cancel(ids) == expected

    @rule(numbers=st.lists(st.integers(0, 50), max_size=3), attempts=st.integers(1, 2))
    def retry(self, numbers: list[int], attempts: int) -> None:
        # By id, as the statement goes through them: of two dead jobs with one key, the first gets it.
        ids, expected = sorted(self.some_ids(numbers)), []
        for job_id in ids:
            row = self.rows.get(job_id)
            expected.append(row is not None and row.state is JobState.DEAD and self.key_holder(row.key) is None)
            if row is not None and expected[-1]:
                bound = row.attempt + attempts
                self.move("retry", job_id, replace(row, state=JobState.READY, run_at=self.now, max_attempts=bound))
        assert self.queue.retry(ids, attempts=attempts) == expected

    @rule(limit=st.integers(1, 3), attempts=st.integers(1, 2))
    def redrive(self, limit: int, attempts: int) -> None:
        dead = sorted(
            (row.run_at, job_id)
            for job_id, row in self.rows.items()
            if row.state is JobState.DEAD and self.key_holder(row.key) is None
        )
        redriven = 0
        for job_id in sorted(job_id for _, job_id in dead[:limit]):
            row = self.rows[job_id]
            if self.key_holder(row.key) is None:
                bound = row.attempt + attempts
                self.move("redrive", job_id, replace(row, state=JobState.READY, run_at=self.now, max_attempts=bound))
                redriven += 1
        assert self.queue.redrive(limit, attempts=attempts) == redriven

    @rule(limit=st.integers(1, 3))
    def look_through_dead_jobs(self, limit: int) -> None:
        dead = [(row.run_at, job_id) for job_id, row in self.rows.items() if row.state is JobState.DEAD]
        seen: list[int] = []
        page = self.queue.dead_jobs(limit)
        while page:
            seen += [job.id for job in page]
            page = self.queue.dead_jobs(limit, before=page[-1])
        assert seen == [job_id for _, job_id in sorted(dead, reverse=True)]

    @rule()
    def pause_or_resume(self) -> None:
        assert self.queue.resume() if self.is_paused else self.queue.pause()
        self.is_paused = not self.is_paused

    @rule(older_than=st.integers(0, 20))
    def purge(self, older_than: int) -> None:
        gone = [
            job_id
            for job_id, row in self.rows.items()
            if row.state is JobState.DEAD and row.run_at <= self.now - older_than
        ]
        for job_id in gone:
            self.move("purge", job_id, None)
        assert self.queue.purge(older_than=older_than) == len(gone)

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_process_dies_and_another_one_opens_the_queue(self) -> None:
        self.database.close()
        self.open_queue()

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def both_hold_the_same(self) -> None:
        def seconds(microseconds: int | None) -> float | None:
            return None if microseconds is None else microseconds / 1e6 - START.timestamp()

        rows = {
            job_id: Row(
                int(payload), priority, seconds(run_at) or 0.0, JobState(state), attempt, most, seconds(until), key
            )
            for job_id, payload, priority, run_at, state, attempt, most, until, key in self.database.fetch(
                "SELECT id, CAST(payload AS TEXT), priority, run_at, state, attempt, max_attempts, lease_until, key "
                "FROM perflab_jobs"
            )
        }
        assert rows.keys() == self.rows.keys()
        for job_id, row in self.rows.items():
            stored = rows[job_id]
            assert stored.run_at == pytest.approx(row.run_at, abs=2e-6)
            assert replace(stored, run_at=row.run_at) == row
        states = [row.state for row in self.rows.values()]
        assert self.queue.counts() == QueueCounts(*(states.count(state) for state in JobState))


def check(empty_database: Callable[[], str]) -> None:
    make: Any = partial(QueueMachine, empty_database)
    run_state_machine_as_test(make, settings=settings(max_examples=40, stateful_step_count=40))


def test_on_sqlite(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    with Database.open(f"sqlite:///{empty}") as database:
        database.create_schema()
    numbers = count()

    def empty_database() -> str:
        copy = tmp_path / f"{next(numbers)}.db"
        shutil.copyfile(empty, copy)
        return f"sqlite:///{copy}"

    check(empty_database)


def test_on_postgresql(postgres_databases: PostgresDatabases) -> None:
    check(postgres_databases.perflab)
