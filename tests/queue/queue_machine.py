"""What the queue's state machine knows of jobs and leases, and how both are looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from perflab.database.database import Database
from perflab.queue.backoff import Backoff
from perflab.queue.job import TRANSITIONS, Job, JobState, QueueCounts
from perflab.queue.queue import PriorityQueue
from tests.machines import EmptyDatabase

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {(step.source, step.operation, step.target) for step in TRANSITIONS}


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
    worker: int | None
    key: str | None


class QueueMachine(RuleBasedStateMachine):
    """The queue, the model beside it, and what must hold after each step. The steps are those of its subclasses."""

    def __init__(self, empty_database: EmptyDatabase) -> None:
        super().__init__()
        self.url = empty_database()
        self.now = 0.0
        self.rows: dict[int, Row] = {}
        self.workers: dict[int, float | None] = {}  # when their leases end; None: somebody has seen it run out
        self.leases: list[Job] = []  # all that were ever given out, and heard of
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

    def lasts(self, worker: int) -> bool:
        until = self.workers.get(worker)
        return until is not None and until > self.now

    def key_holder(self, key: str | None) -> int | None:
        held = [i for i, row in self.rows.items() if key is not None and row.key == key and row.state != "dead"]
        return held[0] if held else None

    def ended(self, row: Row, state: JobState, **changes: Any) -> Row:
        """The row after a lease has ended, dead if it was the last."""
        if row.attempt >= row.max_attempts:
            state, changes = JobState.DEAD, {"run_at": self.now}
        return replace(row, state=state, lease_until=None, worker=None, **changes)

    def give_back(self, job_id: int) -> None:
        row = self.rows[job_id]
        free = replace(row, state=JobState.READY, lease_until=None, worker=None, max_attempts=row.max_attempts + 1)
        self.move("release", job_id, free)

    def chosen(self, numbers: list[int]) -> list[Job]:
        """Leases old and new, the newest the likeliest."""
        return [self.leases[-1 - number % min(len(self.leases), 12)] for number in numbers] if self.leases else []

    def some_ids(self, numbers: list[int]) -> list[int]:
        return [number % (self.largest_id + 2) for number in numbers]

    # -- what must hold ------------------------------------------------------------------------------------------------

    def stored_rows(self) -> dict[int, Row]:
        return {
            job_id: Row(
                *(int(payload), priority, _seconds(run_at) or 0.0, JobState(state), attempt, most),
                *(_seconds(until), worker, key),
            )
            for job_id, payload, priority, run_at, state, attempt, most, until, worker, key in self.database.fetch(
                "SELECT id, CAST(payload AS TEXT), priority, run_at, state, attempt, max_attempts, lease_until, "
                "worker_id, key FROM perflab_jobs"
            )
        }

    @invariant()
    def both_hold_the_same(self) -> None:
        rows = self.stored_rows()
        assert rows.keys() == self.rows.keys()
        for job_id, row in self.rows.items():
            stored = rows[job_id]
            assert stored.run_at == pytest.approx(row.run_at, abs=2e-6)
            assert replace(stored, run_at=row.run_at) == row
        self.rows = {job_id: rows[job_id] for job_id in self.rows}  # a delay ends in the middle of a microsecond
        states = [row.state for row in self.rows.values()]
        assert self.queue.counts() == QueueCounts(*(states.count(state) for state in JobState))

    @invariant()
    def both_know_the_same_workers(self) -> None:
        stored = self.database.fetch("SELECT id, lease_until FROM perflab_workers")
        assert {worker: _seconds(until) if until else None for worker, until in stored} == self.workers
        assert {row.worker for row in self.rows.values()} - {None} <= self.workers.keys()


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else (microseconds - int(START.timestamp()) * 1_000_000) / 1e6
