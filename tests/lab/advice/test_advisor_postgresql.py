"""The advisor on PostgreSQL: a deep job table without a usable index, stale statistics, dead rows, cold updates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from perflab import DatabaseAdvisor, PriorityQueue
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.lab.advice.advice import Advice, FindingKind, Proof, Verdict
from perflab.lab.advice.findings import Thresholds
from perflab.lab.advice.proof import is_gain
from perflab.lab.advice.statement import Source
from perflab.queue.job import NewJob
from tests.conftest import NOT_DURABLE
from tests.lab.advice.conftest import QUICK, schemas_of

CLAIM = (
    "UPDATE job SET state = 'running' WHERE id = ANY(ARRAY(SELECT id FROM job WHERE queue = %s AND state = 'ready' "
    "AND run_at <= %s ORDER BY priority, run_at LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING id"
)
PLANS = {FindingKind.FULL_SCAN, FindingKind.SORT, FindingKind.SKIP_SCAN}


def run(database: Database, *statements: str) -> None:
    """Outside of a transaction; the counters of the server are up to date when it returns."""
    with database.writing_connection() as connection:
        for sql in statements:
            connection.execute(sql)
            connection.execute("SELECT pg_stat_force_next_flush()")


def with_kind(advice: tuple[Advice, ...], kind: FindingKind) -> Advice:
    (found,) = [each for each in advice if kind in each.finding.kinds]
    return found


def proof_of(advice: Advice, position: int = 0) -> Proof:
    proof = advice.options[position].proof
    assert proof is not None
    return proof


def test_a_deep_job_table_without_an_index_is_offered_one_that_is_tried(postgresql_jobs: Database) -> None:
    run(postgresql_jobs, "VACUUM ANALYZE job")
    before = postgresql_jobs.fetch("SELECT ctid::text, xmin::text FROM job ORDER BY 1")
    with postgresql_jobs.recording() as recorder, postgresql_jobs.driver_conversation() as connection:
        assert len(connection.execute(CLAIM, ("ingest", 2_000_000_000, 10)).fetchall()) == 10
    rows = postgresql_jobs.fetch("SELECT ctid::text, xmin::text FROM job ORDER BY 1")
    assert len(rows) == len(before)

    advisor = DatabaseAdvisor(postgresql_jobs, thresholds=Thresholds(slow_seconds=0.0))
    (advice,) = advisor.advise(recorder.statements(), prove=True, settings=QUICK).advice
    assert advice.finding.statement is not None
    assert advice.finding.statement.sql == CLAIM
    assert set(advice.finding.kinds) == {FindingKind.FULL_SCAN, FindingKind.SORT}
    partial = 'ON job ("queue", "priority", "run_at") WHERE "state" = \'ready\''
    (proof,) = [each.proof for each in advice.options if each.proposal.change.sql("job")[0].endswith(partial)]
    assert proof is not None
    assert proof.gain is not None
    assert [cost.what for cost in proof.costs] == ["inserts", "updates of indexed columns"]
    assert any("Seq Scan" in line for line in proof.plan_before)
    assert any("job_queue_priority_run_at_partial" in line for line in proof.plan_after)
    assert (proof.verdict is Verdict.GAIN) is is_gain(proof.gain)  # how much it gains is a matter of the machine
    # The table itself was only read, and nothing is left beside it.
    assert postgresql_jobs.fetch("SELECT ctid::text, xmin::text FROM job ORDER BY 1") == rows
    assert schemas_of(postgresql_jobs) == []
    assert postgresql_jobs.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_statistics_that_are_stale_after_a_bulk_load_are_tried_as_they_are(postgresql_jobs: Database) -> None:
    """Analysed while all jobs were ready; then as many that are dead. The copy plans with the old statistics."""
    run(
        postgresql_jobs,
        "CREATE INDEX job_state ON job (state)",
        "ANALYZE job",
        "INSERT INTO job (queue, priority, run_at, state, payload) "
        "SELECT queue, priority, run_at, 'dead', payload FROM job",
        "INSERT INTO job (queue, priority, run_at, state, payload) "
        "SELECT queue, priority, run_at, 'rare', payload FROM job LIMIT 5",
    )
    statement = "SELECT count(payload) FROM job WHERE state = 'dead' AND priority < 2"
    advices = DatabaseAdvisor(postgresql_jobs, thresholds=Thresholds(stale_share=0.4)).advise(
        statements=[statement], prove=True, settings=QUICK
    )
    stale = with_kind(advices.advice, FindingKind.STALE_STATISTICS)
    assert "were changed since" in stale.finding.detail
    proof = proof_of(stale)
    assert proof.verdict in (Verdict.GAIN, Verdict.NO_GAIN)
    assert proof.gain is not None
    assert proof.gain.blocks == 6
    # Planned for no dead job at all before, and for half of the table after.
    assert stale.finding.plan is not None
    assert any("1 rows expected" in line for line in stale.finding.plan.lines)
    assert [line.replace("job_state_idx", "job_state") for line in proof.plan_before] == [*stale.finding.plan.lines]
    assert proof.plan_after != proof.plan_before
    assert schemas_of(postgresql_jobs) == []


def test_a_table_without_statistics_is_found(postgresql_jobs: Database) -> None:
    (advice,) = DatabaseAdvisor(postgresql_jobs).advise().advice
    assert advice.finding.kinds == (FindingKind.STALE_STATISTICS,)
    assert "has no statistics" in advice.finding.detail
    assert advice.options[0].proposal.change.sql("job") == ("ANALYZE job",)


def test_dead_rows_of_a_hot_table_are_found_and_what_they_cost_is_measured(postgresql_jobs: Database) -> None:
    run(
        postgresql_jobs,
        "VACUUM ANALYZE job",
        "UPDATE job SET priority = priority + 1",
        "UPDATE job SET priority = priority - 1",
        "ANALYZE job",
    )
    advices = DatabaseAdvisor(postgresql_jobs).advise(
        statements=["SELECT count(*) FROM job WHERE priority < 9"], prove=True, settings=QUICK
    )
    dead = with_kind(advices.advice, FindingKind.DEAD_ROWS)
    assert "dead rows beside" in dead.finding.detail
    assert dead.options[0].proposal.change.sql("job") == (
        "ALTER TABLE job SET (autovacuum_vacuum_scale_factor = 0.02)",
        "VACUUM (ANALYZE) job",
    )
    proof = proof_of(dead)
    assert proof.gain is not None
    assert proof.rows == postgresql_jobs.fetch("SELECT count(*) FROM job")[0][0]
    assert schemas_of(postgresql_jobs) == []


def test_updates_that_leave_their_page_get_room_on_it(postgresql_jobs: Database) -> None:
    run(
        postgresql_jobs,
        "CREATE INDEX job_priority ON job (priority)",
        "VACUUM ANALYZE job",
        "UPDATE job SET priority = priority + 1",
        "VACUUM ANALYZE job",
    )
    advices = DatabaseAdvisor(postgresql_jobs).advise(prove=True, settings=QUICK)
    cold = with_kind(advices.advice, FindingKind.COLD_UPDATES)
    assert cold.options[0].proposal.change.sql("job") == ("ALTER TABLE job SET (fillfactor = 80)",)
    gain = proof_of(cold).gain
    assert gain is not None
    assert gain.what == "updates of one row each"


def test_the_schema_of_perflab_is_silent(postgres_url: str, jobs: list[tuple[Any, ...]]) -> None:
    with Database.open(postgres_url) as database:
        database.create_schema()
        queue = PriorityQueue(database, "ingest")
        queue.bulk_enqueue([NewJob(payload, priority=priority) for _, priority, _, _, payload in jobs])
        run(database, "ANALYZE perflab_jobs")
        with database.recording() as recorder:
            queue.mark_done_bulk(queue.claim(limit=100))
        advices = DatabaseAdvisor(database, thresholds=Thresholds(slow_seconds=0.0)).advise(recorder.statements())
        assert [each.finding.detail for each in advices.advice if PLANS & set(each.finding.kinds)] == []
        assert advices.skipped == ()


# -- what cannot be measured -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT count(*) FROM public.job WHERE priority = 9", "it names public.job with a schema"),
        ("SELECT spend(1) FROM job WHERE priority = 9", "it calls spend(), which may write outside of the copy"),
    ],
)
def test_what_could_reach_the_tables_themselves_is_not_run(postgresql_jobs: Database, statement: str, why: str) -> None:
    run(
        postgresql_jobs,
        "ANALYZE job",
        "CREATE TABLE spent (n int)",
        "CREATE FUNCTION spend(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO public.spent VALUES (n) RETURNING n'",
    )
    (advice,) = DatabaseAdvisor(postgresql_jobs).advise(statements=[statement], prove=True, settings=QUICK).advice
    proof = proof_of(advice)
    assert proof.verdict is Verdict.NOT_MEASURED
    assert why in proof.why
    assert postgresql_jobs.fetch("SELECT count(*) FROM spent") == [(0,)]
    assert schemas_of(postgresql_jobs) == []


# -- pg_stat_statements ------------------------------------------------------------------------------------------------


@pytest.fixture
def remembering() -> Iterator[Database]:
    """A server with pg_stat_statements, which has to be loaded at its start."""
    settings = {**dict.fromkeys(NOT_DURABLE, "off"), "shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory(prefix="perflab-postgres-") as directory,
        EmbeddedServer.start(directory, settings=settings) as server,
        Database.open(server.url) as database,
    ):
        yield database


def test_what_the_server_remembers_is_looked_at(remembering: Database) -> None:
    run(
        remembering,
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE item (id bigint PRIMARY KEY, name text)",
        "INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 30000) AS n",
        "ANALYZE item",
        "SELECT * FROM item WHERE name = 'n7' ORDER BY id LIMIT 3",
    )
    thresholds = Thresholds(slow_seconds=0.0)
    advices = DatabaseAdvisor(remembering, thresholds=thresholds).advise(prove=True, settings=QUICK)
    (advice,) = [each for each in advices.advice if FindingKind.FULL_SCAN in each.finding.kinds]
    statement = advice.finding.statement
    assert statement is not None
    assert statement.source is Source.SERVER
    assert (statement.sql, statement.calls) == ("SELECT * FROM item WHERE name = %(p1)s ORDER BY id LIMIT %(p2)s", 1)
    assert ('CREATE INDEX CONCURRENTLY "item_name_id" ON item ("name", "id")',) in [
        option.proposal.change.sql("item") for option in advice.options
    ]
    assert all(option.proof is not None and option.proof.gain is not None for option in advice.options)
