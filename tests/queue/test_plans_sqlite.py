"""The plan that SQLite chooses for every statement, on tables that mislead it."""

from collections.abc import Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements

STATEMENTS = load_statements("perflab.queue", "sqlite")
BY_ID = "SEARCH perflab_jobs USING INTEGER PRIMARY KEY (rowid=?)"
EXPECTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "held_keys": (("q", '["a"]'), "SEARCH perflab_jobs USING INDEX perflab_jobs_key (queue=? AND key=?)"),
    "free_keys": (("[1]",), BY_ID),
    "replace": (("1", None, 0, 5, 9, "k", "ready", 9, 1), BY_ID),
    "promote": (("q", 9, 9), "perflab_jobs_scheduled (queue=? AND run_at<?)"),
    "claim": (("q", 9, 9, "w", 1, 9), "perflab_jobs_ready (queue=?)"),
    "claim_aged": (("q", 9, 9, "w", 1, 9, 9), "perflab_jobs_ready (queue=? AND priority=?)"),
    "mark_done": (("[1]", 1), BY_ID),
    "lost": (("[1]", 1), BY_ID),
    "copy_done": (("[1]", 1, 9), BY_ID),
    "keep_result": (("1", None, 1), "SEARCH perflab_jobs_done USING INTEGER PRIMARY KEY (rowid=?)"),
    "done_jobs": (("q", 9, 9, 9), "perflab_jobs_done_at (queue=? AND done_at<?)"),
    "find_done": (("[1]", "q"), "SEARCH perflab_jobs_done USING INTEGER PRIMARY KEY (rowid=?)"),
    "purge_done": (("q", 9, 9), "perflab_jobs_done_at (queue=? AND done_at<?)"),
    "release": (("[1]", 1, 9), BY_ID),
    "extend_lease": (("[1]", 1, 9), BY_ID),
    "report_progress": (('[[1, 1, 0.5, "x"]]', 9), BY_ID),
    "progress": (("[1]", "q"), BY_ID),
    "mark_error": (('[[1, 1, 9, "x"]]', 9), BY_ID),
    "cancel": (("[1]", "q"), BY_ID),
    "retry": (("[1]", "q", 1, 9), BY_ID),
    "rescue_expired": (("q", 9, 9, 1.0, 9.0, 0.5), "perflab_jobs_running (queue=? AND worker_id=? AND lease_until<?)"),
    "keep_jobs": (("[1]", 1, 1), BY_ID),
    "release_worker": (("q", 1, 9), "perflab_jobs_running (queue=? AND worker_id=?)"),
    "forget_workers": (("q",), "perflab_jobs_running (queue=? AND worker_id=?)"),
    "renew_lease": ((1, 9, 9), "SEARCH perflab_workers USING INTEGER PRIMARY KEY (rowid=?)"),
    "close_lease": ((1,), "SEARCH perflab_workers USING INTEGER PRIMARY KEY (rowid=?)"),
    "purge": (("q", 9, 9), "perflab_jobs_dead (queue=? AND run_at<?)"),
    "redrive": (("q", 9, 1, 9), "SEARCH job USING INDEX perflab_jobs_dead (queue=?)"),
    "dead_jobs": (("q", 9, 9, 9), "perflab_jobs_dead (queue=? AND run_at<?)"),
    "resume": (("q",), "SEARCH perflab_queues USING INDEX"),
    "paused_at": (("q",), "SEARCH perflab_queues USING INDEX"),
    "count_waiting": (("q", 9), "perflab_jobs_scheduled (queue=?)"),
    "counts": (("q",), "perflab_jobs_ready (queue=?)"),
}
SORTING = {"claim_aged"}
"""The next jobs of each priority, and nothing else."""


@pytest.fixture(scope="module", params=["ready", "scheduled", "running", "dead", "mixed"])
def deep_table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """20,000 jobs of one queue, all in one state (then its column looks useless to the planner), or in all four."""
    states = ["ready", "scheduled", "running", "dead"] if request.param == "mixed" else [request.param]
    with Database.open(f"sqlite:///{tmp_path_factory.mktemp('plans') / 'deep.db'}") as database:
        database.create_schema()
        with database.driver_transaction() as connection:
            connection.executemany(
                "INSERT INTO perflab_jobs (queue, priority, run_at, state, attempt, max_attempts, lease_until, "
                "worker_id, key, payload, enqueued_at) VALUES ('q', ?, ?, ?, 1, 5, ?, ?, ?, '1', 0)",
                [
                    (
                        number % 5,
                        number,
                        states[number % len(states)],
                        number,
                        None if number % 3 else 1 + number % 40,
                        f"k{number}" if number % 2 else None,
                    )
                    for number in range(20_000)
                ],
            )
            connection.executemany(
                "INSERT INTO perflab_workers (queue, name, started_at, lease_until) VALUES ('q', 'w', 0, ?)",
                [(0 if number < 2 else 9,) for number in range(40)],
            )
        yield database


def test_every_statement_that_looks_for_something_has_a_guard() -> None:
    assert STATEMENTS.keys() - EXPECTED.keys() == {"enqueue", "pause", "open_lease", "give_up_workers"}


@pytest.mark.parametrize("analysed", [False, True])
def test_no_statement_reads_more_than_it_needs(deep_table: Database, analysed: bool) -> None:
    with deep_table.driver_transaction() as connection:
        if analysed:
            connection.execute("ANALYZE")
            connection.execute("ANALYZE sqlite_schema")  # loads the new statistics
        for name, (parameters, expected) in EXPECTED.items():
            rows = connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", parameters).fetchall()
            plan = [step for *_, step in rows]
            assert any(expected in step for step in plan), (name, plan)
            if name not in SORTING:
                assert not [step for step in plan if "TEMP B-TREE" in step], (name, plan)
            assert not [step for step in plan if "SCAN perflab_jobs" in step], (name, plan)
            assert all("=?" in step for step in plan if "perflab_jobs" in step), (name, plan)
