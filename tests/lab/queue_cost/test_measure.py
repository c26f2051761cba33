"""Small measurements, whose answers are certain: counts, orders, and what a snapshot keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.calls import visit_calls
from perflab.lab.queue_cost.depth import visit_depth
from perflab.lab.queue_cost.drain import visit_drain
from perflab.lab.queue_cost.measure import measure_queue
from perflab.lab.queue_cost.plan import QUEUE, Depth, Handler, Hold, QueuePlan, queue_plan
from perflab.lab.queue_cost.rows import bytes_on_disk, dead_rows, fill, held_snapshot, tidy
from perflab.lab.queue_cost.snapshot import visit_snapshot
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from tests.processes import wait_for

SMALL = replace(
    queue_plan("smoke", engine="sqlite", most_ready=20_000),
    batch_sizes=(1, 4),
    blocks=1,
    most_calls=5,
    most_jobs=20,
    idle_jobs=300,
    waiting_jobs=20,
    claims=3,
    steps=1,
    step_jobs=200,
)


@pytest.fixture
def fresh(database: Database, perflab_url: str) -> FreshDatabase:
    return FreshDatabase(database, database, None, lambda: None, perflab_url)


def test_every_part_is_measured_in_every_block(engine: str, request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue("postgres_url")) if engine == "postgresql" else None
    blocks = 1 if url else 2
    plan = replace(SMALL, engine=engine, workers=(1,), blocks=blocks, deep_blocks=blocks)  # type: ignore[arg-type]
    findings = measure_queue(plan, url)
    assert findings.visits.groupby("part").size().to_dict() == plan.visits
    figures = [findings.call_costs["seconds_per_job"], findings.drain_rates["jobs_per_second"]]
    figures += [findings.claim_costs["claim_seconds"], findings.snapshot_steps["claim_seconds"]]
    assert all((column > 0).all() for column in figures)
    assert findings.snapshot_steps["hold"].tolist() == [str(hold) for hold in Hold]
    assert findings.claim_costs[["scheduled", "ready"]].to_numpy().tolist() == [
        [0, 10_000],
        [0, 20_000],
        [20_000, 10_000],
    ]
    assert str(findings.environment["engine"]).lower().startswith(engine)


def test_round_trips_are_those_of_the_calls(fresh: FreshDatabase) -> None:
    rows = visit_calls(SMALL, 4, fresh)
    assert [(row["call"], row["jobs"]) for row in rows] == [("enqueue", 20), ("claim", 20), ("mark_done", 20)]
    of_a_call = [row["round_trips_per_job"] * 4 for row in rows]
    assert of_a_call == ([1, 1, 1] if fresh.direct.engine_name == "postgresql" else [3, 4, 4])


def test_several_processes_share_the_jobs(fresh: FreshDatabase) -> None:
    (row,) = visit_drain(SMALL, (Handler.NOTHING, 2), fresh)
    assert (row["handler"], row["workers"], row["jobs"]) == ("does nothing", 2, 300)
    assert row["jobs_per_second"] == pytest.approx(300 / row["seconds"])


def test_filled_rows_are_those_that_enqueue_writes(database: Database) -> None:
    fill(database, ready=9, scheduled=3)
    queue = PriorityQueue(database, QUEUE)
    jobs = queue.claim(100)
    assert [job.payload["number"] for job in jobs] == [0, 4, 8, 1, 5, 2, 6, 3, 7]
    assert [job.priority for job in jobs] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert {(job.attempt, job.max_attempts, job.key) for job in jobs} == {(1, 5, None)}
    assert (queue.counts().scheduled, queue.counts().ready) == (3, 0)
    assert all(queue.mark_done_bulk(jobs))


def _come_and_go(database: Database, jobs: int) -> None:
    queue = PriorityQueue(database, QUEUE)
    for _ in range(jobs // 200):
        queue.mark_done_bulk(queue.claim(200))


@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_held_snapshot_keeps_dead_rows_and_release_lets_go(database: Database, perflab_url: str) -> None:
    fill(database, ready=5_000, priorities=1)
    tidy(database)
    before = bytes_on_disk(database)
    with held_snapshot(perflab_url):
        _come_and_go(database, 2_000)
        tidy(database)
        held = dead_rows(database)
        assert held is not None
        assert held >= 2_000
        assert bytes_on_disk(database) > before

    def nothing_is_dead() -> bool:
        tidy(database)
        return dead_rows(database) == 0

    wait_for(nothing_is_dead)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_held_snapshot_keeps_the_log_and_release_lets_go(database: Database, perflab_url: str) -> None:
    def pages_that_must_stay() -> int:
        with database.writing_connection() as connection:
            _, in_log, written_back = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(in_log - written_back)

    fill(database, ready=5_000, priorities=1)
    assert pages_that_must_stay() == 0
    before = bytes_on_disk(database)
    with held_snapshot(perflab_url):
        _come_and_go(database, 2_000)
        assert pages_that_must_stay() > 0
        assert bytes_on_disk(database) > before
        assert dead_rows(database) is None
    assert pages_that_must_stay() == 0


@pytest.fixture(params=["lost", "twice"])
def faulty_claims(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    claim: Callable[..., list[Job]] = PriorityQueue.claim
    fired: list[bool] = []

    def faulty(queue: Any, *arguments: Any, **options: Any) -> list[Job]:
        jobs = claim(queue, *arguments, **options)
        if jobs:
            fired.append(True)
        return jobs[1:] if request.param == "lost" else jobs + jobs[:1]

    monkeypatch.setattr(PriorityQueue, "claim", faulty)
    yield
    assert fired


def _calls(plan: QueuePlan, fresh: FreshDatabase) -> object:
    return visit_calls(plan, 4, fresh)


def _depth(plan: QueuePlan, fresh: FreshDatabase) -> object:
    return visit_depth(plan, Depth(10_000), fresh)


@pytest.mark.parametrize("engine", ["sqlite"])  # the check is Python
@pytest.mark.parametrize("visit", [_calls, _depth, visit_snapshot])
@pytest.mark.usefixtures("faulty_claims")
def test_a_wrong_answer_has_no_time(visit: Callable[[QueuePlan, FreshDatabase], object], fresh: FreshDatabase) -> None:
    with pytest.raises(WrongAnswer, match=r"claimed|left"):
        visit(SMALL, fresh)
