"""The advisor on SQLite: the trap that ANALYZE sets for a job table, and tables that need no advice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perflab import DatabaseAdvisor, PriorityQueue
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.lab.advice.advice import Advice, Advices, FindingKind, Verdict
from perflab.lab.advice.findings import Thresholds
from perflab.lab.advice.proof import ProofSettings
from perflab.lab.advice.scratch import ScratchLimits
from perflab.queue.job import NewJob
from tests.lab.advice.conftest import OF_PROCESSOR, QUICK

CLAIM = (
    "UPDATE job SET state = 'running' WHERE id IN (SELECT id FROM job WHERE queue = ? AND state = 'ready' "
    "AND run_at <= ? ORDER BY priority, run_at LIMIT ?) RETURNING id"
)
HOWEVER_QUICK = Thresholds(slow_seconds=0.0)
NOW = 2_000_000_000
SETTINGS = {FindingKind.CHECKPOINTS, FindingKind.SMALL_CACHE}


@pytest.fixture
def engine() -> str:
    return "sqlite"


def everything(database: Database) -> list[Any]:
    """Schema, statistics and rows: what the advisor must not touch."""
    return [
        database.fetch("SELECT name, sql FROM sqlite_schema ORDER BY name"),
        database.fetch("SELECT * FROM sqlite_stat1 ORDER BY idx"),
        database.fetch("SELECT * FROM job ORDER BY id"),
    ]


def claim(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.driver_transaction() as connection:  # the jobs stay ready
        assert len(connection.execute(CLAIM, ("ingest", NOW, 10)).fetchall()) == 10
        raise ZeroDivisionError


def run(url: str, *statements: str) -> None:
    with Database.open(url) as database, database.writing_connection() as connection:
        for sql in statements:
            connection.execute(sql)


@pytest.fixture
def trapped(sqlite_url: str) -> Iterator[Database]:
    """ANALYZE at a moment at which all jobs are ready: the state column then looks useless."""
    run(sqlite_url, "ANALYZE")
    with Database.open(sqlite_url) as database:
        yield database


def advise(database: Database, **options: Any) -> Advices:
    with database.recording() as recorder:
        claim(database)
    return DatabaseAdvisor(database, thresholds=HOWEVER_QUICK).advise(recorder.statements(), **options)


def about_plans(advices: Advices) -> list[Advice]:
    return [advice for advice in advices.advice if not SETTINGS & set(advice.finding.kinds)]


def test_the_trap_is_found_and_the_way_out_is_proven(
    trapped: Database, scratch_directories: Callable[[], list[Path]]
) -> None:
    before = everything(trapped)
    (advice,) = about_plans(advise(trapped, prove=True, settings=OF_PROCESSOR))

    assert advice.finding.kinds == (FindingKind.SKIP_SCAN, FindingKind.SORT)
    assert advice.finding.plan is not None
    assert any("ANY(state)" in line for line in advice.finding.plan.lines)
    assert advice.best is advice.options[0]  # which of them it is, is a matter of the machine
    for option in advice.options:
        proof = option.proof
        assert proof is not None
        assert proof.gain is not None
        assert proof.verdict is Verdict.GAIN
        assert proof.gain.low <= proof.gain.ratio <= proof.gain.high < 0.5
        assert proof.gain.blocks == 6
        assert proof.rows == len(before[2])
        assert not [line for line in proof.plan_after if "ANY(" in line or "TEMP B-TREE" in line]
    # An index, a partial one or in full, is charged with what it costs the writes.
    costs = {
        option.proposal.change.do[0].partition(' ON {table} ("')[2]: [cost.what for cost in option.proof.costs]
        for option in advice.options
        if option.proof is not None
    }
    writes = ["inserts", "updates of indexed columns"]
    assert costs == {
        'queue", "priority", "run_at") WHERE "state" = \'ready\'': writes,
        'queue", "state", "priority", "run_at")': writes,
        "": [],  # no statistics
    }

    assert everything(trapped) == before
    assert scratch_directories() == []


def test_each_proposal_leads_out_of_the_trap_and_its_undo_back_into_it(sqlite_url: str, trapped: Database) -> None:
    (advice,) = about_plans(advise(trapped))
    before = everything(trapped)
    trapped.close()
    assert len(advice.options) == 3
    for option in advice.options:
        change = option.proposal.change
        run(sqlite_url, *change.sql('"job"'))
        with Database.open(sqlite_url) as database:
            assert about_plans(advise(database)) == []
        run(sqlite_url, *change.undo_sql('"job"'))
        with Database.open(sqlite_url) as database:
            assert everything(database) == before
            assert len(about_plans(advise(database))) == 1


def test_without_the_trap_it_is_silent(sqlite_jobs: Database) -> None:
    assert about_plans(advise(sqlite_jobs)) == []


def test_a_small_table_is_exempt(trapped: Database) -> None:
    with trapped.recording() as recorder:
        claim(trapped)
    advisor = DatabaseAdvisor(trapped, thresholds=Thresholds(deep_rows=1_000_000))
    assert advisor.advise(recorder.statements()).advice == ()


def test_a_fast_statement_is_left_alone(trapped: Database) -> None:
    with trapped.recording() as recorder:
        claim(trapped)
    advisor = DatabaseAdvisor(trapped, thresholds=Thresholds(slow_seconds=60.0))
    assert about_plans(advisor.advise(recorder.statements())) == []


def test_the_schema_of_perflab_is_immune(database: Database, jobs: list[tuple[Any, ...]]) -> None:
    """The same flights in the same state, analysed at the same bad moment, through perflab's own queue."""
    queue = PriorityQueue(database, "ingest")
    queue.bulk_enqueue([NewJob(json.loads(payload), priority=priority) for _, priority, _, _, payload in jobs])
    with database.writing_connection() as connection:
        connection.execute("ANALYZE")
        connection.execute("ANALYZE sqlite_schema")
    with database.recording() as recorder:
        queue.mark_done_bulk(queue.claim(limit=100))
    advices = DatabaseAdvisor(database, thresholds=Thresholds(slow_seconds=0.0)).advise(recorder.statements())
    assert about_plans(advices) == []
    assert advices.skipped == ()
    assert advices.statements > len(recorder.statements()) > 1  # its own statements were looked at too


def test_no_proven_gain_is_an_answer(sqlite_jobs: Database) -> None:
    """An index on a column that has one value only leads to all rows in a roundabout way."""
    advices = DatabaseAdvisor(sqlite_jobs).advise(
        statements=["SELECT count(payload) FROM job WHERE queue = 'ingest'"], prove=True, settings=OF_PROCESSOR
    )
    (advice,) = advices.advice
    assert advice.best is None
    assert [option.proof.verdict for option in advice.options if option.proof] == [Verdict.NO_GAIN]


def test_a_longer_log_is_proposed_to_who_writes(sqlite_jobs: Database) -> None:
    with sqlite_jobs.driver_transaction() as connection:  # until the database is larger than the log may get
        connection.execute("UPDATE job SET payload = payload || hex(zeroblob(100))")
    (advice,) = [
        advice
        for advice in advise(sqlite_jobs, prove=True, settings=QUICK).advice
        if FindingKind.CHECKPOINTS in advice.finding.kinds
    ]
    (option,) = advice.options
    assert option.proposal.change.do == ("PRAGMA wal_autocheckpoint = 10000",)
    assert option.proof is not None
    assert option.proof.gain is not None
    assert (option.proof.gain.what, option.proof.gain.unit) == ("commits of scattered updates", "s/row")


def test_parameters_get_values_from_the_table(trapped: Database) -> None:
    (advice,) = DatabaseAdvisor(trapped).advise(statements=[CLAIM]).advice
    statement = advice.finding.statement
    assert statement is not None
    queue, run_at, limit = statement.parameters or ()
    assert (queue, limit) == ("ingest", 10)
    assert trapped.fetch("SELECT count(*) > 0 FROM job WHERE run_at = ?", (run_at,)) == [(1,)]


def test_only_the_named_tables_are_looked_at(trapped: Database) -> None:
    with trapped.driver_transaction() as connection:
        connection.execute("CREATE TABLE other (id integer)")
    looked = DatabaseAdvisor(trapped).advise(statements=[CLAIM], tables=["other"])
    assert (looked.advice, looked.tables) == ((), 1)


# -- what cannot be measured -------------------------------------------------------------------------------------------


def reason(database: Database, statement: str, settings: ProofSettings = QUICK) -> str:
    (advice,) = DatabaseAdvisor(database).advise(statements=[statement], prove=True, settings=settings).advice
    proof = advice.options[0].proof
    assert proof is not None
    assert proof.verdict is Verdict.NOT_MEASURED
    assert advice.best is None
    return proof.why


def test_a_copy_that_would_be_too_large_is_not_made(
    trapped: Database, scratch_directories: Callable[[], list[Path]]
) -> None:
    assert "the limit is 1 MiB" in reason(trapped, CLAIM, ProofSettings(blocks=6, limits=ScratchLimits(bytes=2**20)))
    assert scratch_directories() == []


def test_a_parameter_without_a_column_cannot_be_drawn(trapped: Database) -> None:
    sql = CLAIM.replace("queue = ?", "queue = lower(?)")
    assert "the values of its parameters are not known" in reason(trapped, sql)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": ["jobs"]}, "there is no table jobs: there are job"),
        ({"statements": ["SELECT nothing FROM job"]}, "cannot be explained"),
    ],
)
def test_bad_input_is_refused(sqlite_jobs: Database, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        DatabaseAdvisor(sqlite_jobs).advise(**options)


def test_a_statement_that_cannot_be_read_is_said_to_be(sqlite_jobs: Database) -> None:
    advices = DatabaseAdvisor(sqlite_jobs).advise(statements=["SELECT 1; SELECT 2"])
    assert [why for _, why in advices.skipped] == ["its SQL could not be taken apart"]


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="blocks is 5"):
        ProofSettings(blocks=5)


def test_a_database_in_memory_can_be_copied_too() -> None:
    with Database.open("sqlite://") as database:
        with database.driver_transaction() as connection:
            connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
            connection.executemany("INSERT INTO item (name) VALUES (?)", [(f"n{n}",) for n in range(20_000)])
        (advice,) = DatabaseAdvisor(database).advise(
            statements=["SELECT id FROM item WHERE name = 'n7'"], prove=True, settings=OF_PROCESSOR
        ).advice  # fmt: skip
        assert advice.best is not None
        assert database.fetch("SELECT name FROM sqlite_schema") == [("item",)]
