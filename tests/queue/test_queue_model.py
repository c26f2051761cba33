"""The queue against a dictionary: whatever is done in whatever order, both hold the same jobs and leases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from perflab.errors import RejectedRow
from perflab.queue.engine import OnConflict
from perflab.queue.job import JobState, NewJob
from tests.machines import EmptyDatabase, run_machine
from tests.queue.lease_steps import LeaseSteps
from tests.queue.queue_machine import START, Row

pytestmark = pytest.mark.hypothesis


class WholeQueue(LeaseSteps):
    @initialize()
    def two_workers_have_jobs(self) -> None:
        self.enqueue([(0, None, None, 3)] * 4, "skip")
        self.claim(1, 20, answer_is_lost=False)
        self.open_lease(10)
        self.mark_done_and_claim([], 2, 0, answer_is_lost=False)

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
        return Row(job.payload, job.priority, run_at, state, attempt, attempt + job.max_attempts, None, None, job.key)

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

    @rule(seconds=st.sampled_from([1, 10, 3600]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.now -= seconds

    @rule()
    def the_process_dies_and_another_one_opens_the_queue(self) -> None:
        self.database.close()
        self.open_queue()


@pytest.mark.case("F03")
@pytest.mark.case("F36")
def test_the_queue_does_what_the_model_does(empty_database: EmptyDatabase) -> None:
    run_machine(WholeQueue, empty_database)
