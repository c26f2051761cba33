"""The plan that PostgreSQL chooses for every statement, on tables and statistics that mislead it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements
from tests.postgres_databases import PostgresDatabases

JOBS = 20_000
BATCH = 100
WORKERS = 40
STATEMENTS = load_statements("perflab.queue", "postgresql")
STATES = ["scheduled", "ready", "running", "dead"]
IDS = list(range(1, JOBS, JOBS // BATCH))
PARAMETERS = {
    "queue": "q",
    "now": 9,
    "limit": 9,
    "claimed": 10,
    "channel": "perflab_jobs",
    "base": 1.0,
    "cap": 9.0,
    "phase": 0.5,
    "ageing": 9,
    "most": 9,
    "ids": IDS,
    "attempt": 1,
    "lease_until": 9,
    "worker": "w",
    "worker_id": 1,
    "delays": [9] * BATCH,
    "errors": ["x"] * BATCH,
    "fractions": [0.5] * BATCH,
    "notes": ["x"] * BATCH,
    "died_before": 9,
    "done_before": 9,
    "before": 9,
    "before_id": 9,
    "results": [],
    "payloads": ["1"] * BATCH,
    "frames": [],
    "priorities": [0] * BATCH,
    "max_attempts": [5] * BATCH,
    "run_at": [None] * BATCH,
    "keys": [f"k{job_id}" for job_id in IDS],
}
BY_ID = ("perflab_jobs_pkey", "(id = ANY (")
EXPECTED: dict[str, tuple[str, str]] = {
    "enqueue_with_keys": ("perflab_jobs_key", "((queue = 'q'::text) AND (key = new.key))"),
    "free_keys": ("perflab_jobs_key", "((queue = 'q'::text) AND (key = given.key))"),
    "promote": ("perflab_jobs_scheduled", "((queue = 'q'::text) AND (run_at <= '9'::bigint))"),
    "promote_and_notify": ("perflab_jobs_scheduled", "((queue = 'q'::text) AND (run_at <= '9'::bigint))"),
    "claim": ("perflab_jobs_ready", "(queue = 'q'::text)"),
    "claim_aged": ("perflab_jobs_ready", "((queue = 'q'::text) AND (priority = levels_1.priority))"),
    "lock": BY_ID,
    "mark_done": BY_ID,
    "keep_done": BY_ID,
    "release": BY_ID,
    "report_progress": BY_ID,
    "progress": BY_ID,
    "extend_lease": BY_ID,
    "mark_error": BY_ID,
    "cancel": BY_ID,
    "retry": BY_ID,
    "redrive": ("perflab_jobs_dead", "(queue = 'q'::text)"),
    "count_waiting": ("perflab_jobs_ready", "(queue = 'q'::text)"),
    "dead_jobs": (
        "perflab_jobs_dead",
        "((queue = 'q'::text) AND (ROW(run_at, id) < ROW('9'::bigint, '9'::bigint)))",
    ),
    "rescue_expired": (
        "perflab_jobs_running",
        "((queue = 'q'::text) AND (worker_id IS NULL) AND (lease_until <= '9'::bigint))",
    ),
    "replace_lease": BY_ID,
    "release_worker": ("perflab_jobs_running", "((queue = 'q'::text) AND (worker_id = '1'::bigint))"),
    "forget_workers": ("perflab_jobs_running", "((queue = 'q'::text) AND (worker_id = worker.id))"),
    "purge": ("perflab_jobs_dead", "((queue = 'q'::text) AND (run_at <= '9'::bigint))"),
}
OF_FINISHED_JOBS = {
    "done_jobs": (
        "perflab_jobs_done_at",
        "((queue = 'q'::text) AND (ROW(done_at, id) < ROW('9'::bigint, '9'::bigint)))",
    ),
    "find_done": ("perflab_jobs_done_pkey", "(id = ANY ("),
    "purge_done": ("perflab_jobs_done_at", "((queue = 'q'::text) AND (done_at <= '9'::bigint))"),
}
SMALL_TABLES = {"perflab_queues", "perflab_workers"}
INDEXES_OF_SMALL_TABLES = {"perflab_queues_pkey", "perflab_workers_pkey"}
WITHOUT_JOBS = {
    *(
        "enqueue",
        "enqueue_one",
        "enqueue_or_raise",
        "enqueue_replacing",
        "pause",
        "resume",
        "paused_at",
        "counts",
        "notify",
    ),
    *OF_FINISHED_JOBS,
    *("open_lease", "renew_lease", "close_lease", "give_up_workers"),
}
"""Statements that only insert jobs, count them all, or do not read them."""
IN_INDEX_ORDER = (
    "count_waiting",
    "promote",
    "promote_and_notify",
    "claim",
    "redrive",
    "dead_jobs",
    "rescue_expired",
    "purge",
)


@pytest.fixture(scope="module")
def database(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    with Database.open(postgres_databases.perflab()) as opened:
        yield opened


def fill(database: Database, states: list[str]) -> None:
    """Jobs of one queue, all in one state (then its column looks useless to the planner), or in several."""
    with database.driver_transaction() as connection:
        connection.execute("TRUNCATE perflab_jobs, perflab_workers RESTART IDENTITY")
        connection.execute(
            "INSERT INTO perflab_jobs (queue, priority, run_at, state, attempt, max_attempts, lease_until, worker_id, "
            "key, payload, enqueued_at) SELECT 'q', n %% 5, n, (%b::text[])[1 + n %% %s], 1, 5, n, "
            "CASE WHEN n %% 3 = 0 THEN 1 + n %% %s END, CASE WHEN n %% 2 = 1 THEN 'k' || n END, '1', 0 "
            "FROM generate_series(1, %s) AS n",
            (states, len(states), WORKERS, JOBS),
        )
        connection.execute(
            "INSERT INTO perflab_workers (queue, name, started_at, lease_until) "
            "SELECT 'q', 'w', 0, CASE WHEN n > 2 THEN 9 ELSE 0 END FROM generate_series(1, %s) AS n",
            (WORKERS,),
        )


def analyse(database: Database) -> None:
    with database.driver_transaction() as connection:
        connection.execute("ANALYZE perflab_jobs")


def forget_statistics(database: Database) -> None:
    with database.driver_transaction() as connection:
        connection.execute("DELETE FROM pg_statistic WHERE starelid = 'perflab_jobs'::regclass")


def parts(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from parts(child)


def plan_of(database: Database, name: str) -> list[dict[str, Any]]:
    attempts: Any = [1] * BATCH if name in {"mark_error", "report_progress", "replace_lease"} else 1
    (((explained,),),) = (
        database.fetch(f"EXPLAIN (FORMAT JSON) {STATEMENTS[name]}", {**PARAMETERS, "attempts": attempts}),
    )
    return list(parts(explained[0]["Plan"]))


def check_plans(database: Database) -> None:
    for name, (index, condition) in EXPECTED.items():
        plan = plan_of(database, name)
        scanned = [part["Relation Name"] for part in plan if part["Node Type"] == "Seq Scan"]
        assert set(scanned) <= SMALL_TABLES, (name, plan)
        used = [part for part in plan if part.get("Index Name") == index]
        assert any(condition in part.get("Index Cond", "") for part in used), (name, plan)
        indexes = {part["Index Name"] for part in plan if "Index Name" in part}
        index_too = {"perflab_jobs_scheduled"} if name == "count_waiting" else set()
        assert indexes - index_too <= {index, "perflab_jobs_pkey", "perflab_jobs_key", *INDEXES_OF_SMALL_TABLES}, (
            name,
            plan,
        )
        assert all(part.get("Index Cond") for part in plan if "Index Name" in part), (name, plan)
        if name in IN_INDEX_ORDER:
            assert not [part for part in plan if "Sort" in part["Node Type"]], (name, plan)


def test_every_statement_that_looks_for_jobs_has_a_guard() -> None:
    assert STATEMENTS.keys() - EXPECTED.keys() == WITHOUT_JOBS


@pytest.mark.parametrize("states", [*([state] for state in STATES), STATES], ids="+".join)
def test_no_statement_reads_more_than_it_needs(database: Database, states: list[str]) -> None:
    fill(database, states)
    forget_statistics(database)
    check_plans(database)
    analyse(database)
    check_plans(database)


@pytest.mark.parametrize("now", STATES)
@pytest.mark.parametrize("then", STATES)
def test_statistics_of_another_day_do_not_mislead(database: Database, then: str, now: str) -> None:
    fill(database, [then])
    analyse(database)
    fill(database, [now])
    check_plans(database)


def test_new_jobs_are_inserted_in_their_order_without_a_sort(database: Database) -> None:
    assert not [part for part in plan_of(database, "enqueue") if "Sort" in part["Node Type"]]


@pytest.mark.parametrize("analysed", [False, True])
def test_finished_jobs_are_found_by_their_indexes(database: Database, analysed: bool) -> None:
    with database.driver_transaction() as connection:
        connection.execute("TRUNCATE perflab_jobs_done")
        connection.execute(
            "INSERT INTO perflab_jobs_done SELECT n, 'q', 0, 0, 1, NULL, '1', NULL, '1', NULL, 0, n "
            "FROM generate_series(1, %s) AS n",
            (JOBS,),
        )
        connection.execute(
            "ANALYZE perflab_jobs_done"
            if analysed
            else "DELETE FROM pg_statistic WHERE starelid = 'perflab_jobs_done'::regclass"
        )
    for name, (index, condition) in OF_FINISHED_JOBS.items():
        plan = plan_of(database, name)
        assert not [part for part in plan if part["Node Type"] == "Seq Scan" or "Sort" in part["Node Type"]], (
            name,
            plan,
        )
        used = [part for part in plan if part.get("Index Name") == index]
        assert any(condition in part.get("Index Cond", "") for part in used), (name, plan)
