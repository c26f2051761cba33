from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, LabError, WrongAnswer
from perflab.lab.load.consumer import Consumer
from perflab.lab.load.generator import Generator, SelfCheck, busiest
from perflab.lab.load.items import QUEUE, check_written, make_items, prepare_database
from perflab.lab.load.observed import Observed, histogram_of
from perflab.lab.load.plan import LoadPlan, Share
from perflab.lab.load.process import LoadProcess, answers
from perflab.lab.load.report import load_text, load_values
from perflab.lab.load.run import run_load
from perflab.lab.sweep.plan import Engine
from perflab.lab.workloads.distributions import Constant
from perflab.lab.workloads.operation_mix import OperationMix
from perflab.lab.workloads.schedule import ScheduleRecipe
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState

RECIPE = ScheduleRecipe(
    duration_seconds=1.5,
    rate_per_second=120.0,
    mix=OperationMix({"enqueue": 3.0, "insert": 1.0, "state": 1.0}),
    payload=Constant(300),
    seed=13,
)


def test_every_arrival_is_sent_by_one_of_the_processes_and_worked_off_once(
    engine: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is measured depends on the machine: here only what was sent and written counts
    monkeypatch.setattr("perflab.lab.load.run.require_keeping_up", lambda _plan, _checks: None)
    plan = LoadPlan(RECIPE, engine=engine, warm_up_seconds=0.2, generators=2, workers=1)
    heard = []
    findings = run_load(
        plan, postgres_url if engine == "postgresql" else None, heard=lambda all_: heard.append(len(all_))
    )
    arrivals = len(RECIPE.make())
    seen = findings.seen
    assert seen.sent + seen.unsent == arrivals
    assert seen.done.total() == seen.sent
    assert sum(one.seen for one in findings.completed) == seen.done["enqueue"] > 0
    assert sum(one.checksum for one in findings.completed) == seen.checksum
    assert (seen.response.counts.total(), seen.service.counts.total()) == (seen.measured, seen.measured)
    assert heard
    assert set(heard) == {2}
    assert len(findings.checks) == 2
    values = load_values(findings)
    assert values["operations"] == dict(seen.done)
    text = load_text(findings)
    assert "open loop: Poisson arrivals, 120 a second, seed 13" in text
    assert "2 generator processes, batches of 500 items or 10 ms, 1 worker process" in text
    if engine == "postgresql":
        with Database.open(postgres_url) as database:
            schemas = [name for (name,) in database.fetch("SELECT nspname FROM pg_namespace")]
        assert not [name for name in schemas if name.startswith("perflab")], "the scratch schema is gone"


def test_clients_wait_for_their_answers(sqlite_url: str) -> None:
    assert sqlite_url
    plan = LoadPlan(RECIPE, warm_up_seconds=0.2, writes="single", clients=2)
    findings = run_load(plan)
    assert findings.stability is None
    assert findings.seen.done.total() == findings.seen.sent > 0
    text = load_text(findings)
    assert text.startswith("closed loop, 2 clients\n")
    assert "offered" not in text


class Given:
    """Generators that say what they were given to say."""

    clocks = ("machine 1: 2 ms ahead",)

    def __init__(self, seen: Observed, late_seconds: float = 0.0) -> None:
        self.seen = seen
        self.late_seconds = late_seconds

    def __call__(self, shares: Sequence[Share], _stack: ExitStack) -> Given:
        assert [share.position for share in shares] == [0]
        return self

    def check(self) -> list[SelfCheck]:
        return [SelfCheck(500, np.full(500, 0.001), self.late_seconds, 1.0)]

    def run(self, start_at: float, heard: object) -> list[Observed]:
        assert start_at
        assert heard
        return [self.seen]


GIVEN_PLAN = LoadPlan(replace(RECIPE, duration_seconds=10.0), warm_up_seconds=0.0)


def seen_with(medians: list[float], **values: Any) -> Observed:
    return Observed([histogram_of(np.full(60, median)) for median in medians], measured=1_200, last_end=10.0, **values)


def test_a_generator_that_cannot_keep_up_is_refused() -> None:
    with pytest.raises(LabError, match=r"generator 1 cannot keep up .* 500 items in its busiest second.* 0\.20 s late"):
        run_load(GIVEN_PLAN, open_generators=Given(seen_with([0.01] * 20), late_seconds=0.2))


def test_an_overload_has_no_percentiles() -> None:
    given = Given(seen_with([0.01 + 0.1 * window for window in range(20)]))
    findings = run_load(GIVEN_PLAN, open_generators=given)
    assert not findings.stable
    assert findings.readings() == {}
    text = load_text(findings)
    assert "writing: UNSTABLE at this rate, the response grew by 1" in text
    assert "p50" not in text
    assert load_values(findings)["percentiles"] == {}


def test_what_the_generator_adds_itself_is_said() -> None:
    findings = run_load(GIVEN_PLAN, open_generators=Given(seen_with([0.005] * 20)))
    assert findings.generator_share == pytest.approx(0.2, rel=0.02)
    assert "generator: 999 µs late" in load_text(findings)
    assert "MORE THAN A TENTH" in load_text(findings)
    assert "machine 1: 2 ms ahead" in load_text(findings)
    slow = run_load(GIVEN_PLAN, open_generators=Given(seen_with([0.050] * 20)))
    assert "MORE THAN A TENTH" not in load_text(slow)
    reading = load_values(slow)["percentiles"]["response"]
    assert reading[0]["seconds"] == pytest.approx(0.050, rel=0.01)
    assert reading[2]["samples"] == 1_200
    assert reading[3]["reason"].startswith("p99.9 needs 10,000 samples")


def test_failures_are_named() -> None:
    failed = seen_with([0.01] * 20, failed=Counter(TransientError=2), first_errors={"TransientError": "it was busy"})
    assert "FAILED: 2 TransientError: it was busy" in load_text(run_load(GIVEN_PLAN, open_generators=Given(failed)))


@pytest.mark.parametrize("operation", ["enqueue", "insert"])
def test_an_acknowledged_item_that_is_not_there_has_no_figures(operation: str) -> None:
    with pytest.raises(WrongAnswer, match=f"1 items of '{operation}' were acknowledged, and 0 are there"):
        run_load(GIVEN_PLAN, open_generators=Given(seen_with([0.01] * 20, done=Counter({operation: 1}))))


def test_what_nobody_acknowledged_has_no_figures_either(database: Database) -> None:
    prepare_database(database)
    queue = PriorityQueue(database, QUEUE)
    queue.enqueue({})
    none = seen_with([0.01] * 20)
    with pytest.raises(WrongAnswer, match="0 items of 'enqueue' were acknowledged, and 1 are there"):
        check_written(database, none, 0)
    check_written(database, replace(none, failed=Counter(OutcomeUnknown=1)), 0)  # it may be the one that failed
    with pytest.raises(WrongAnswer, match="0 items of 'enqueue' were acknowledged, and 1 are there"):
        check_written(database, none, 0)


def test_a_state_of_another_watch_is_found(database: Database) -> None:
    prepare_database(database)
    scheduler = Scheduler(database, PriorityQueue(database, QUEUE))
    scheduler.update_ingest_states_bulk([IngestState("watch-003", cursor="1003")])
    check_written(database, seen_with([0.01] * 20), 0)
    scheduler.update_ingest_states_bulk([IngestState("watch-004", cursor="1003")])
    with pytest.raises(WrongAnswer, match=r"states of others.*watch-004"):
        check_written(database, seen_with([0.01] * 20), 0)


def test_payloads_have_the_bytes_that_the_schedule_says() -> None:
    items = make_items(RECIPE.make(), RECIPE.mix.names, seed=1)
    assert {item.operation for item in items} == {"enqueue", "insert", "state"}
    for item in items:
        if item.operation == "enqueue":
            assert abs(len(json.dumps(item.value.payload)) - 300) <= 2
        elif item.operation == "insert":
            assert len(item.value["data"]) == 300


def test_the_busiest_stretch_is_checked() -> None:
    assert busiest(np.array([0.0, 5.0, 5.1, 5.2, 9.0, 9.9]), 1.0) == (1, 4)
    assert busiest(np.array([3.0]), 1.0) == (0, 1)
    check = Generator(Share(LoadPlan(RECIPE, warm_up_seconds=0.0), 0, "")).check()
    assert 0 < check.items < len(RECIPE.make())
    assert len(check.lags) == check.items
    assert (check.lags >= 0).all()


def test_a_process_that_is_killed_ends_the_load() -> None:
    with (
        LoadProcess(
            "generator 1", Generator, Share(LoadPlan(RECIPE, warm_up_seconds=0.0), 0, "sqlite:///:memory:")
        ) as process,
        pytest.raises(LabError, match="generator 1 has ended in the middle of the load, with exit code -9"),
    ):
        process.order("prepare")
        answers([process])
        process.order("run", time.time() + 3_600)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        answers([process])


def test_what_a_process_cannot_do_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://somebody:secret@/perflab?host={tmp_path}&connect_timeout=1"
    with LoadProcess("worker 1", Consumer, url, 1, "normal", np.arange(20.0)) as process:
        process.order("seen")
        with pytest.raises(LabError, match="worker 1: ") as raised:
            answers([process])
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generators": 0}, "generators is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"connections": 1.5}, "connections is 1.5"),
        ({"clients": 0}, "clients is 0"),
        ({"flush_interval": -1.0}, "flush_interval is -1.0"),
        ({"warm_up_seconds": float("nan")}, "warm_up_seconds is nan"),
        ({"engine": "mysql"}, "engine is 'mysql': use one of 'sqlite', 'postgresql'"),
        ({"writes": "both"}, "writes is 'both'"),
        ({"recipe": replace(RECIPE, mix=OperationMix({"delete": 1.0}))}, "the mix has 'delete'"),
        ({"recipe": replace(RECIPE, mix=OperationMix({"insert": 1.0})), "workers": 1}, "no 'enqueue'"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        LoadPlan(**{"recipe": RECIPE, **values})


def test_too_few_arrivals_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"come after 1\.4 s of warm-up: 100 are needed"):
        run_load(LoadPlan(RECIPE, warm_up_seconds=1.4))
