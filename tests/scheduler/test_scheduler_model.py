"""The scheduler against its model: two that tick in turns, workers that end, fail or vanish, and clocks that jump."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perflab.database.database import Database
from perflab.queue.backoff import Backoff
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import FinishedIngest, IngestState, TickReport, Watch
from tests.machines import EmptyDatabase, run_machine
from tests.scheduler.scheduler_model import (
    BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    ModelScheduler,
    ModelWatch,
    Tally,
)

pytestmark = pytest.mark.hypothesis
MIDNIGHT = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
LEASE_SECONDS = 30
NAMES = st.sampled_from("abc")
JOBS = st.lists(st.integers(0, 7), min_size=1, max_size=3)
"""Which of the jobs that were given out, counted from the newest."""


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class SchedulerMachine(RuleBasedStateMachine):
    def __init__(self, empty_database: EmptyDatabase) -> None:
        super().__init__()
        self.url = empty_database()
        self.now = MIDNIGHT
        self.model = ModelScheduler()
        self.given_out: list[Job] = []
        self.cursors = 0
        self.open()

    def open(self) -> None:
        self.database = Database.open(self.url)
        self.queue: PriorityQueue[int, bool] = PriorityQueue(
            self.database, now=lambda: moment(self.now), backoff=Backoff(0.0, 0.0)
        )
        backoff = Backoff(BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self.schedulers = [
            Scheduler(self.database, self.queue, now=lambda: moment(self.now), failure_backoff=backoff)
            for _ in range(2)
        ]

    def teardown(self) -> None:
        self.database.close()

    # -- watches -------------------------------------------------------------------------------------------------------

    @initialize()
    def each_kind_of_overlap(self) -> None:
        self.add_watch("a", (10, False), ("skip", 1), enabled=True)
        self.add_watch("b", (10, False), ("queue", 3), enabled=True)
        self.add_watch("c", (60, True), ("coalesce", 1), enabled=True)

    @rule(
        name=NAMES,
        schedule=st.sampled_from([(10, False), (25, False), (60, True), (120, True)]),
        overlap=st.sampled_from([("skip", 1), ("queue", 1), ("queue", 3), ("coalesce", 1)]),
        enabled=st.sampled_from([True, True, False]),
    )
    def add_watch(self, name: str, schedule: tuple[int, bool], overlap: tuple[str, int], enabled: bool) -> None:
        (period, is_cron), (how, catch_up) = schedule, overlap
        cron = f"*/{period // 60} * * * *" if is_cron else None
        watch = Watch(name, None if is_cron else period, cron, enabled=enabled, overlap=how, catch_up=catch_up)  # type: ignore[arg-type]
        self.schedulers[0].add_watches_bulk([watch])
        self.model.add(name, ModelWatch(period, is_cron, watch.overlap, catch_up, 0, enabled), self.now)

    @rule(name=NAMES, enabled=st.booleans())
    def pause_or_resume(self, name: str, enabled: bool) -> None:
        call = self.schedulers[0].resume_watches if enabled else self.schedulers[0].pause_watches
        assert call([name]) == [name in self.model.watches]
        if name in self.model.watches:
            self.model.watches[name] = replace(self.model.watches[name], enabled=enabled)

    @rule(name=NAMES)
    def remove_watch(self, name: str) -> None:
        assert self.schedulers[0].remove_watches([name]) == [name in self.model.watches]
        self.model.watches.pop(name, None)

    # -- ticks ---------------------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 3), which=st.integers(0, 1))
    def tick(self, limit: int, which: int) -> None:
        """Until nothing is due: it is not said which watches go first, nor when a cron expression is new to one."""
        reports = [self.schedulers[which].tick(limit=limit)]
        while reports[-1].more:
            reports.append(self.schedulers[1 - which if len(reports) % 3 == 2 else which].tick(limit=limit))
            assert len(reports) < 20
        assert summed(reports) == self.model.tick(self.now)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 3), answer_is_lost=st.sampled_from([False, False, True]))
    def claim(self, limit: int, answer_is_lost: bool) -> None:
        ready = self.model.ready(self.now)
        jobs = self.queue.claim(limit, LEASE_SECONDS)
        assert (
            sorted(ready[job.key or ""].run_at for job in jobs) == sorted(job.run_at for job in ready.values())[:limit]
        )
        for job in jobs:
            key = job.key or ""
            claimed = ready[key]
            assert job.payload == {
                "watch": claimed.watch,
                "slot": moment(claimed.slot).isoformat(timespec="microseconds"),
                "payload": None,
            }
            self.model.jobs[key] = replace(
                claimed, state="running", attempt=claimed.attempt + 1, lease_until=self.now + LEASE_SECONDS
            )
            assert job.attempt == claimed.attempt + 1
        if not answer_is_lost:
            self.given_out += jobs

    @precondition(lambda self: self.given_out)
    @rule(numbers=JOBS, failed=st.booleans())
    def finish_ingests(self, numbers: list[int], failed: bool) -> None:
        jobs = [self.given_out[-1 - number % min(8, len(self.given_out))] for number in numbers]
        ingests, expected = [], []
        for job in jobs:
            self.cursors += 1
            cursor, key, name = str(self.cursors), job.key or "", job.payload["watch"]
            ingests.append(FinishedIngest(job, IngestState(name, cursor, error="failed" if failed else None)))
            held = self.model.jobs.get(key)
            expected.append(
                held is not None
                and held.state == "running"
                and held.attempt == job.attempt
                and self.ids.get(key) == job.id
            )
            if not expected[-1] or held is None:
                continue
            self.model.note(name, cursor, self.now, failed=failed)
            if failed:
                self.model.fail(key, replace(held, state="scheduled", run_at=self.now))
            else:
                del self.model.jobs[key]
        assert self.schedulers[0].finish_ingests(self.queue, ingests) == expected

    @rule()
    def rescue_expired(self) -> None:
        expired = list(self.model.expired(self.now))
        assert self.queue.rescue_expired() == len(expired)
        for key in expired:
            job = self.model.jobs[key]
            again = (
                replace(job, state="ready") if job.attempt == 1 else replace(job, state="scheduled", run_at=self.now)
            )
            self.model.fail(key, again)

    # -- time, and the end of processes --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 5, 10, 31, 60, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= seconds

    @rule()
    def the_process_dies_and_another_one_comes(self) -> None:
        self.database.close()
        self.open()

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def both_have_the_same_jobs(self) -> None:
        rows = self.database.fetch("SELECT key, id, run_at, state, attempt FROM perflab_jobs WHERE state <> 'dead'")
        self.ids = {key: job_id for key, job_id, *_ in rows}
        assert {key: (run_at / 1e6, *rest) for key, _, run_at, *rest in rows} == {
            key: (job.run_at, job.state, job.attempt) for key, job in self.model.jobs.items()
        }

    @invariant()
    def both_have_the_same_watches(self) -> None:
        statuses = self.schedulers[0].watches()
        assert {name: (status.next_due_at, status.watch.enabled) for name, status in statuses.items()} == {
            name: (moment(watch.next_slot), watch.enabled) for name, watch in self.model.watches.items()
        }
        states = self.schedulers[0].ingest_states()
        assert {name: (state.cursor, state.consecutive_failures) for name, state in states.items()} == {
            name: (watch.cursor, watch.failures)
            for name, watch in self.model.watches.items()
            if watch.cursor is not None
        }


def summed(reports: list[TickReport]) -> Tally:
    return Tally(
        *(
            sum(getattr(report, name) for report in reports)
            for name in ("due", "enqueued", "skipped", "backed_off", "late")
        )
    )


@pytest.mark.case("F36")
@pytest.mark.case("F38")
def test_the_scheduler_does_what_the_model_does(empty_database: EmptyDatabase) -> None:
    run_machine(SchedulerMachine, empty_database)
