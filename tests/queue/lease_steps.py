"""The steps of the queue's state machine in which leases begin, last and end."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from perflab.queue.job import Job, JobState
from perflab.queue.leases import WorkerLease
from tests.machines import EmptyDatabase
from tests.queue.queue_machine import START, QueueMachine, Row

SECONDS = st.sampled_from([5, 10, 20])
JOBS = st.lists(st.integers(0, 11), max_size=4)
"""Which of the leases that were given out, counted from the newest."""
WORKER = st.integers(0, 4)
"""The same for leases of workers."""


class LeaseSteps(QueueMachine):
    def __init__(self, empty_database: EmptyDatabase) -> None:
        self.opened: list[WorkerLease] = []
        super().__init__(empty_database)

    def worker(self, number: int) -> WorkerLease:
        return self.opened[-1 - number % len(self.opened)]

    # -- leases of jobs ------------------------------------------------------------------------------------------------

    def claimed(self, limit: int, until: float | None, worker: int | None) -> list[int]:
        """Which jobs a claim gets. Also one in vain makes those ready whose time has come."""
        for job_id, row in list(self.rows.items()):
            if row.state is JobState.SCHEDULED and row.run_at <= self.now:
                self.move("claim", job_id, replace(row, state=JobState.READY))
        if self.is_paused or (worker is not None and not self.lasts(worker)):
            return []
        ready = sorted((row.priority, row.run_at, i) for i, row in self.rows.items() if row.state is JobState.READY)
        chosen = [job_id for *_, job_id in ready[:limit]]
        for job_id in chosen:
            row = self.rows[job_id]
            taken = replace(row, state=JobState.RUNNING, attempt=row.attempt + 1, lease_until=until, worker=worker)
            self.move("claim", job_id, taken)
        return chosen

    def hand_over(self, jobs: list[Job], expected: list[int], *, answer_is_lost: bool) -> None:
        assert [job.id for job in jobs] == expected
        for job in jobs:
            row = self.rows[job.id]
            assert (job.payload, job.priority, job.attempt, job.max_attempts, job.key) == (
                *(row.payload, row.priority, row.attempt, row.max_attempts, row.key),
            )
            assert abs((job.run_at - START).total_seconds() - row.run_at) < 1e-6
        if not answer_is_lost:
            self.leases += jobs

    @rule(limit=st.integers(1, 4), seconds=SECONDS, answer_is_lost=st.booleans())
    def claim(self, limit: int, seconds: int, answer_is_lost: bool) -> None:
        expected = self.claimed(limit, self.now + seconds, None)
        self.hand_over(self.queue.claim(limit, seconds), expected, answer_is_lost=answer_is_lost)

    @precondition(lambda self: self.opened)
    @rule(numbers=JOBS, limit=st.integers(1, 4), worker=WORKER, answer_is_lost=st.booleans())
    def mark_done_and_claim(self, numbers: list[int], limit: int, worker: int, answer_is_lost: bool) -> None:
        lease, done = self.worker(worker), self.chosen(numbers)
        accepted = self.done(done)
        expected = self.claimed(limit, None, lease.id)
        answer, jobs = self.queue.mark_done_and_claim(done, limit, lease)
        assert answer == accepted
        assert jobs is not None
        self.hand_over(jobs, expected, answer_is_lost=answer_is_lost)

    def done(self, jobs: list[Job]) -> list[bool]:
        accepted = []
        for job in jobs:
            accepted.append(self.holds(job))
            if accepted[-1]:
                self.move("mark_done", job.id, None)
        return accepted

    @rule(numbers=JOBS)
    def mark_done(self, numbers: list[int]) -> None:
        jobs = self.chosen(numbers)
        expected = self.done(jobs)
        assert self.queue.mark_done_bulk(jobs) == expected

    @rule(numbers=JOBS)
    def mark_error(self, numbers: list[int]) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            delay = int(self.backoff.delay_seconds(job.attempt, self.same_rng) * 1e6) / 1e6
            expected.append(self.holds(job))
            if expected[-1]:
                row = self.ended(self.rows[job.id], JobState.SCHEDULED, run_at=self.now + delay)
                self.move("mark_error", job.id, row)
        assert self.queue.mark_error_bulk([(job, "failed") for job in jobs]) == expected

    @rule(numbers=JOBS)
    def release(self, numbers: list[int]) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            expected.append(self.holds(job))
            if expected[-1]:
                self.give_back(job.id)
        assert self.queue.release(jobs) == expected

    @rule(numbers=JOBS, seconds=SECONDS)
    def extend_lease(self, numbers: list[int], seconds: int) -> None:
        jobs, expected = self.chosen(numbers), []
        for job in jobs:
            expected.append(self.holds(job))
            if expected[-1]:
                own = replace(self.rows[job.id], lease_until=self.now + seconds, worker=None)
                self.move("extend_lease", job.id, own)
        assert self.queue.extend_lease(jobs, seconds) == expected

    # -- leases of workers ---------------------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def open_lease(self, seconds: int) -> None:
        lease = self.queue.open_lease("w", seconds)
        assert all(lease.id > other.id for other in self.opened)
        self.workers[lease.id] = self.now + seconds
        self.opened.append(lease)

    @precondition(lambda self: self.opened)
    @rule(worker=WORKER, too_late=st.booleans())
    def renew_lease(self, worker: int, too_late: bool) -> None:
        lease = self.worker(worker)
        if too_late:
            self.now = max(self.now, self.workers.get(lease.id) or self.now)
        lasts = self.lasts(lease.id)
        assert (self.queue.renew_lease(lease) is not None) is lasts
        if lasts:
            self.workers[lease.id] = self.now + lease.seconds

    @precondition(lambda self: self.opened)
    @rule(worker=WORKER, numbers=JOBS)
    def replace_lease(self, worker: int, numbers: list[int]) -> None:
        lease, jobs = self.worker(worker), self.chosen(numbers)
        new, kept = self.queue.replace_lease(lease, jobs)
        self.workers.pop(lease.id, None)
        self.workers[new.id] = self.now + lease.seconds
        self.opened.append(new)
        expected = []
        for number, job in enumerate(jobs):
            expected.append(self.holds(job) and job not in jobs[:number])
            if expected[-1]:
                self.move("extend_lease", job.id, replace(self.rows[job.id], lease_until=None, worker=new.id))
        assert kept == expected
        self.give_back_all(lease)

    @precondition(lambda self: self.opened)
    @rule(worker=WORKER)
    def close_lease(self, worker: int) -> None:
        lease = self.worker(worker)
        released = self.queue.close_lease(lease)
        self.workers.pop(lease.id, None)
        assert released == self.give_back_all(lease)

    def give_back_all(self, lease: WorkerLease) -> int:
        held = [job_id for job_id, row in self.rows.items() if row.worker == lease.id]
        for job_id in held:
            self.give_back(job_id)
        return len(held)

    # -- rescue --------------------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 3))
    def another_worker_takes_over(self, limit: int) -> None:
        """So that what the first one says of its jobs comes too late."""
        self.now = max([self.now, *(row.lease_until or self.now for row in self.rows.values())])
        self.now = max([self.now, *(until or self.now for until in self.workers.values())])
        self.rescue_expired(limit)
        self.claim(limit, 20, answer_is_lost=False)

    @rule(limit=st.integers(1, 3))
    def rescue_expired(self, limit: int) -> None:
        self.workers = {worker: until if self.lasts(worker) else None for worker, until in self.workers.items()}
        running = {job_id: row for job_id, row in self.rows.items() if row.state is JobState.RUNNING}
        ends = {job_id: row.lease_until for job_id, row in running.items() if row.lease_until is not None}
        own = {job_id for job_id, until in ends.items() if until <= self.now}
        of_workers = {
            job_id for job_id, row in running.items() if row.worker is not None and self.workers[row.worker] is None
        }
        phase = self.same_rng.random()
        assert self.queue.rescue_expired(limit) == min(limit, len(own) + len(of_workers))
        # Of leases that end together, and of jobs of one worker, it is not said which go first.
        rescued = {job_id for job_id, row in self.stored_rows().items() if row.state is not JobState.RUNNING} & set(
            running
        )
        assert len(rescued & own) == min(limit, len(own))
        assert len(rescued & of_workers) == min(limit - len(rescued & own), len(of_workers))
        assert rescued <= own | of_workers
        assert all(ends[first] <= ends[later] for first in rescued & own for later in own - rescued)
        for job_id in rescued:
            self.move("rescue_expired", job_id, self.after_rescue(job_id, phase))
        holding = {row.worker for row in self.rows.values()}
        self.workers = {
            worker: until for worker, until in self.workers.items() if until is not None or worker in holding
        }

    def after_rescue(self, job_id: int, phase: float) -> Row:
        row = self.rows[job_id]
        if row.attempt == 1:
            return self.ended(row, JobState.READY)
        share = math.modf(job_id * 0.6180339887498949 + phase)[0]
        delay = self.backoff.longest_seconds(row.attempt) * share
        return self.ended(row, JobState.SCHEDULED, run_at=self.now + delay)
