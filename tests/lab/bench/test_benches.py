"""The arms write what they say: a bench that compares different work has no ratio."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.errors import InvalidInput, LabError
from perflab.lab.bench import (
    bulk_calls,
    compression,
    crossovers,
    drain,
    load,
    monitoring,
    singles,
    start_latency,
    submit,
)
from perflab.lab.bench.arms import BenchEngine, OurCall, RawForm
from perflab.lab.bench.comparison import Comparison
from perflab.lab.bench.load import fresh_table
from perflab.lab.bench.postgresql_engine import PostgresBench
from perflab.lab.bench.run import BENCH_NAMES, make_comparisons, open_engines
from perflab.lab.bench.sqlite_engine import SQLiteBench
from perflab.lab.load.process import LoadProcess
from perflab.monitoring.publishing import published_snapshots
from perflab.queue.job import Job

JOBS = (
    "SELECT id, queue, priority, state, attempt, max_attempts, key, payload, lease_until IS NULL, worker, last_error "
    "FROM perflab_jobs"
)
QUERIES = {
    "bulk_enqueue": JOBS,
    "claim": JOBS,
    "mark_done_bulk": JOBS,
    "add_watches_bulk": "SELECT name, queue, priority, interval, cron, timezone, enabled, payload FROM perflab_watches",
    "update_ingest_states_bulk": (
        "SELECT watches.name, cursor, etag, last_success_at, last_error, consecutive_failures "
        "FROM perflab_ingest_states JOIN perflab_watches AS watches ON watches.id = watch_id"
    ),
}
BULK_NAMES = ("enqueue", "claim", "done", "watches", "states")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchEngine]:
    monkeypatch.setattr(bulk_calls, "BATCHES", 3)  # of jobs: two to take, and one to leave
    if request.param == "sqlite":
        yield SQLiteBench()
    else:
        yield PostgresBench(request.getfixturevalue("postgres_url"))


@pytest.fixture
def small_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "ROWS", 300)
    monkeypatch.setattr(load, "TIMED_BATCHES", 1)


@pytest.mark.usefixtures("small_loads")
def test_all_loads_leave_the_same_rows(engine: BenchEngine) -> None:
    (comparison,) = make_comparisons(["load"], [engine])
    expected = [row for number in (0, 1) for row in load.make_batch(number)]
    assert len(comparison.others) == len(load.RAW_LOADS[engine.name])
    for arm in comparison.arms:
        left: list[Any] = []

        @contextmanager
        def looked_at(engine: BenchEngine, left: list[Any] = left) -> Iterator[str]:
            with fresh_table(engine) as url:
                yield url
                with Database.open(url) as database:
                    left += database.fetch(f"SELECT {', '.join(load.COLUMNS)} FROM loaded ORDER BY id")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load, "fresh_table", looked_at)
            assert arm.visit(0) > 0
        assert left == expected, arm.name


@pytest.mark.usefixtures("small_loads")
@pytest.mark.parametrize("write", ["insert", "upsert"])
def test_every_form_of_a_crossover_writes(engine: BenchEngine, write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossovers, "ROWS_PER_CELL", 100)
    forms = crossovers.POSTGRESQL_FORMS if engine.name == "postgresql" else crossovers.SQLITE_FORMS
    assert len(forms) == 3
    for form in forms:
        assert crossovers.visit(engine, write, form, 200, "seed") > 0
    seconds = {(engine.name, write, form.name, rows): [1e-6, 2e-6] for form in forms for rows in crossovers.ROWS}
    table = crossovers.crossover_table(seconds)
    assert all(f"| {engine.name} | {write} | {form.name} | **1.4** |" in table for form in forms)


def test_every_arm_of_a_drain_empties_the_queue_and_shows_its_handler_each_job(
    engine: BenchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "JOBS", 300)
    checked: list[tuple[str, int]] = []

    class Checksum(drain.Checksum):
        def check(self, arm: str) -> None:
            checked.append((arm, self.jobs))
            super().check(arm)

    monkeypatch.setattr(drain, "Checksum", Checksum)
    comparisons = make_comparisons(["drain"], [engine])
    assert len(comparisons) == len(drain.BATCH_SIZES)
    arms = [arm for comparison in comparisons for arm in comparison.arms]
    for arm in arms:
        assert arm.visit(0) > 0
    assert checked == [(arm.name, 300) for arm in arms]


def test_a_drain_that_showed_its_handler_something_else_has_no_figure() -> None:
    checksum = drain.Checksum()
    checksum.see({"number": 1})
    with pytest.raises(LabError, match="no figure"):
        checksum.check("an arm")


def test_every_arm_of_a_start_has_each_job_started_by_another_process_and_acknowledged(
    engine: BenchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_latency, "WARM_UP_JOBS", 1)
    monkeypatch.setattr(start_latency, "JOBS", 3)
    left: list[list[tuple[int, str]]] = []
    fresh_database = type(engine).fresh_database

    @contextmanager
    def looked_at(engine: Any) -> Iterator[str]:
        with fresh_database(engine) as url:
            yield url
            with Database.open(url) as database:
                left.append(database.fetch("SELECT attempt, state FROM perflab_jobs"))

    monkeypatch.setattr(type(engine), "fresh_database", looked_at)  # the engine itself goes to another process
    (comparison,) = make_comparisons(["start"], [engine])
    for arm in comparison.arms:
        assert arm.visit(0) > 0
    assert left[0] == [], "a worker that stops acknowledges its last job"
    assert left[1:] == [[(1, "running")]] * len(comparison.others), "a raw loop ends with its last claim"


def test_a_start_of_another_job_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadProcess, "receive", lambda _process: ("news", (7, 0.0)))
    with pytest.raises(LabError, match="job 0 was enqueued, and job 7 has started: no figure"):
        start_latency.OurStart(SQLiteBench()).visit(0)


def comparable(value: Any) -> Any:
    """JSON differs in its spaces, booleans in their type."""
    return value.replace('": ', '":').replace(', "', ',"') if isinstance(value, str) else value


def rows_and_answers(arm: OurCall | RawForm) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """What two batches of an arm leave in a fresh database, and what they return."""
    with arm.engine.fresh_database() as url:
        with Database.open(url) as database:
            arm.call.prepare(database)
            batches = [arm.call.make_rows(database, 0), arm.call.make_rows(database, 1)]
            if isinstance(arm, OurCall):
                answers: list[Any] = [arm.call.bind(database)(arm.call.make_items(batch)) for batch in batches]
        if isinstance(arm, RawForm):
            with arm.engine.connect(url) as connection:
                answers = []
                for batch in batches:
                    with arm.engine.transaction(connection):
                        answers.append(arm.write(connection, batch))
        cast = "::text" if arm.engine.name == "postgresql" else ""
        with Database.open(url) as database:
            rows = database.fetch(QUERIES[arm.call.name].replace("payload", f"payload{cast}"))
    return sorted((tuple(map(comparable, row)) for row in rows), key=repr), answers


def arms(name: str, engine: BenchEngine) -> tuple[OurCall, list[RawForm]]:
    (comparison,) = make_comparisons([name], [engine])
    assert isinstance(comparison.ours, OurCall)
    raw = [arm for arm in (*comparison.others, *comparison.alike) if isinstance(arm, RawForm)]
    assert len(raw) >= 3
    return comparison.ours, raw


@pytest.mark.parametrize("name", BULK_NAMES)
def test_all_arms_leave_the_same_rows(name: str, engine: BenchEngine) -> None:
    ours, others = arms(name, engine)
    expected, _ = rows_and_answers(ours)
    assert len(expected) >= 1_000
    for other in others:
        rows, _ = rows_and_answers(other)
        assert rows == expected, other.name


def test_all_arms_claim_the_same_jobs_in_the_same_order(engine: BenchEngine) -> None:
    ours, others = arms("claim", engine)
    _, claims = rows_and_answers(ours)
    expected = [[(job.id, job.priority, job.payload, job.attempt) for job in jobs] for jobs in claims]
    assert [len(jobs) for jobs in expected] == [1_000, 1_000]
    for other in others:
        _, answers = rows_and_answers(other)
        assert [[(row[2], row[0], row[3], row[4]) for row in rows] for rows in answers] == expected, other.name


def test_all_arms_refuse_a_lost_lease(engine: BenchEngine) -> None:
    """A job of another attempt stays, whatever else is acknowledged beside it."""
    ours, others = arms("done", engine)
    every: list[OurCall | RawForm] = [ours, *others]
    for arm in every:
        with arm.engine.fresh_database() as url:
            with Database.open(url) as database:
                arm.call.prepare(database)
                jobs: list[Job] = list(arm.call.make_rows(database, 0))
                with database.transaction() as connection:
                    connection.exec_driver_sql(f"UPDATE perflab_jobs SET attempt = 2 WHERE id = {jobs[0].id}")
                if isinstance(arm, OurCall):
                    arm.call.bind(database)(jobs)
            if isinstance(arm, RawForm):
                with arm.engine.connect(url) as connection, arm.engine.transaction(connection):
                    arm.write(connection, jobs)
            with Database.open(url) as database:
                left = database.fetch("SELECT id FROM perflab_jobs WHERE state = 'running'")
        assert left == [(jobs[0].id,)], arm.name


def test_every_arm_has_a_time(engine: BenchEngine) -> None:
    ours, (other, *_) = arms("watches", engine)
    assert 0 < ours.visit(0) < 1
    assert 0 < other.visit(1) < 1


def test_a_visit_leaves_nothing_behind_on_the_server(postgres_url: str) -> None:
    ours, _ = arms("watches", PostgresBench(postgres_url))
    ours.visit(0)
    with Database.open(postgres_url) as database:
        assert database.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'perflab%%'") == []
        assert database.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'perflab%%'") == []


def test_the_engine_says_what_its_durability_is(postgres_server: EmbeddedServer) -> None:
    assert "fsync=off, synchronous_commit=off" in PostgresBench(postgres_server.url).title


@pytest.mark.parametrize("name", ["submit", "life"])
def test_submits_are_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "ROUNDS", 3)
    for comparison in make_comparisons([name], []):
        assert all(0 < arm.visit(0) < 1 for arm in comparison.arms)


def test_singles_leave_the_same_jobs_as_the_bulk_call(engine: BenchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_calls, "BATCH_SIZE", 50)
    monkeypatch.setattr(singles, "BATCH_SIZE", 50)
    monkeypatch.setattr(singles, "TIMED_WINDOWS", 2)
    call = bulk_calls.enqueue_call()
    left: list[tuple[Any, ...]] = []
    fresh_database = engine.fresh_database

    @contextmanager
    def looked_at() -> Iterator[str]:
        with fresh_database() as url:
            yield url
            cast = "::text" if engine.name == "postgresql" else ""
            with Database.open(url) as database:
                left[:] = database.fetch(f"SELECT priority, payload{cast} FROM perflab_jobs")

    monkeypatch.setattr(engine, "fresh_database", looked_at)
    with Database.open("sqlite://") as database:
        given = [row for number in range(4) for row in call.make_rows(database, number)] * 4
    expected = sorted((priority, json.dumps(payload, separators=(",", ":"))) for priority, payload in given)
    arms = {type(arm): arm for comparison in make_comparisons(["singles"], [engine]) for arm in comparison.arms}
    assert len(arms) == 4
    for arm in arms.values():
        left.clear()
        assert arm.visit(0) > 0
        assert (
            sorted((priority, payload.replace('": ', '":').replace(', "', ',"')) for priority, payload in left)
            == expected
        )


def test_all_benches_by_default(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "JOBS_OF_KIBIBYTES", {16: 2})
    with open_engines(sqlite=True, postgresql=True, url=postgres_url) as engines:
        made: list[Comparison] = make_comparisons([], engines)
    counts = Counter(name for name in BENCH_NAMES for _ in make_comparisons([name], engines))
    assert set(counts) == set(BENCH_NAMES), "each has at least one"
    assert len(made) == counts.total()
    assert set(BULK_NAMES) < set(BENCH_NAMES)


def test_an_unknown_bench_is_refused() -> None:
    with pytest.raises(InvalidInput, match="there is no bench 'claims': use enqueue, claim, done, watches"):
        make_comparisons(["claims"], [])


def test_a_watched_batcher_writes_what_an_unwatched_one_does_and_is_counted(
    engine: BenchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "WARM_UP_BATCHES", 1)
    monkeypatch.setattr(monitoring, "TIMED_BATCHES", 2)
    left: list[tuple[int, int]] = []
    fresh_database = engine.fresh_database

    @contextmanager
    def looked_at() -> Iterator[str]:
        with fresh_database() as url:
            yield url
            with Database.open(url) as database:
                ((jobs,),) = database.fetch("SELECT count(*) FROM perflab_jobs")
                left.append((jobs, len(published_snapshots(database))))

    monkeypatch.setattr(engine, "fresh_database", looked_at)
    (comparison,) = make_comparisons(["monitoring"], [engine])
    for arm in comparison.arms:
        assert arm.visit(0) > 0
    assert left == [(300, 1), (300, 0)], "only the first one is watched"
