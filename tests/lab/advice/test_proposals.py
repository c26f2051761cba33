"""What is proposed: the columns of an index in their order, and SQL to do and undo."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.lab.advice.advice import Finding, FindingKind, Proposal
from perflab.lab.advice.proposals import (
    index_proposals,
    pragma_proposals,
    statistics_proposals,
    storage_proposals,
)
from perflab.lab.advice.shape import Condition, OrderTerm, TableUse
from perflab.lab.advice.table_facts import IndexFacts, SQLiteSettings, TableFacts
from tests.lab.advice.conftest import JOB

READY = Condition("state", "\"state\" = 'ready'")
CLAIM = TableUse(
    "job", "job", (Condition("queue"), READY), ("run_at",), (OrderTerm("priority"), OrderTerm("id")), limited=True
)


def proposed(use: TableUse, facts: TableFacts = JOB, engine: str = "sqlite") -> list[Proposal]:
    return list(index_proposals(Finding((FindingKind.FULL_SCAN,), facts, ""), use, engine))


def keys(proposals: list[Proposal]) -> list[str]:
    """From the parenthesis on: columns and condition."""
    return [proposal.change.sql('"job"')[0].partition('ON "job" ')[2] for proposal in proposals]


def test_equalities_then_the_order_and_constants_as_the_condition() -> None:
    assert keys(proposed(CLAIM)) == [
        '("queue", "priority", "id") WHERE "state" = \'ready\'',
        '("queue", "state", "priority", "id")',
    ]


def test_equalities_then_the_range_where_no_order_is_wanted() -> None:
    assert keys(proposed(replace(CLAIM, order=(), limited=False))) == [
        '("queue", "run_at") WHERE "state" = \'ready\'',
        '("queue", "state", "run_at")',
    ]


def test_order_and_range_are_both_tried_where_all_rows_are_wanted() -> None:
    use = replace(CLAIM, equalities=(Condition("queue"),), limited=False)
    assert keys(proposed(use)) == ['("queue", "priority", "id")', '("queue", "run_at")']


def test_a_direction_matters_only_if_there_are_two() -> None:
    down = replace(CLAIM, equalities=(), order=(OrderTerm("priority", True), OrderTerm("run_at", True)))
    assert keys(proposed(down)) == ['("priority", "run_at")']
    mixed = replace(down, order=(OrderTerm("priority"), OrderTerm("run_at", descending=True)))
    assert keys(proposed(mixed)) == ['("priority", "run_at" DESC)']


def test_what_is_held_constant_orders_nothing() -> None:
    use = replace(CLAIM, equalities=(Condition("priority"),))
    assert keys(proposed(use)) == ['("priority", "id")']


@pytest.mark.parametrize(
    ("index", "left"),
    [
        (IndexFacts("has", ("queue", "priority", "id"), "state = 'ready'"), 1),
        (IndexFacts("has", ("queue", "priority", "id"), "(state = 'ready'::text)"), 1),
        (IndexFacts("has", ("queue", "priority", "id", "run_at")), 1),
        (IndexFacts("has", ("queue", "state", "priority", "id")), 1),
        (IndexFacts("has", ("queue", "priority"), "state = 'ready'"), 2),
        (IndexFacts("has", ("queue", "priority", "id"), "state = 'dead'"), 2),
    ],
)
def test_an_index_that_is_there_is_not_proposed(index: IndexFacts, left: int) -> None:
    assert len(proposed(CLAIM, replace(JOB, indexes=(index,)))) == left


def test_names_are_short_enough_and_free() -> None:
    long = replace(JOB, name="j" * 60, schema="s")
    taken = replace(JOB, indexes=(IndexFacts("job_queue_priority_id_partial", ("payload",)),))
    for facts in (long, taken):
        names = [p.change.sql("t")[0].split('"')[1] for p in proposed(CLAIM, facts)]
        assert len(set(names)) == 2
        assert all(len(name.encode()) <= 63 for name in names)
        assert not {index.name for index in facts.indexes} & set(names)


def test_quotes_in_names_are_quoted() -> None:
    use = TableUse("job", "job", (Condition('a"b'),))
    (proposal,) = proposed(use)
    assert keys([proposal]) == ['("a""b")']
    assert proposal.change.undo == ('DROP INDEX "job_a""b"',)


def test_postgresql_builds_it_beside_the_writers_but_not_in_a_copy() -> None:
    (proposal, _) = proposed(CLAIM, replace(JOB, schema="public"), "postgresql")
    assert proposal.change.sql("public.job")[0].startswith("CREATE INDEX CONCURRENTLY")
    assert proposal.change.sql_in_scratch("copy.job")[0].startswith('CREATE INDEX "job_queue')
    assert proposal.change.undo[0].startswith('DROP INDEX CONCURRENTLY "public"."job_queue')
    assert set(proposal.change.index_columns) == {"queue", "priority", "id", "state"}


# -- settings ----------------------------------------------------------------------------------------------------------

ANALYSED = replace(JOB, name="it's", statistics=(("ix", "20000 20000 1"), (None, "20000")))
SETTINGS = SQLiteSettings("wal", 1_000, 2 * 2**20, 4_096, 10 * 2**20)


def test_statistics_of_sqlite_can_be_put_back_as_they_were() -> None:
    (forget,) = statistics_proposals(Finding((FindingKind.SKIP_SCAN,), ANALYSED, ""), "sqlite")
    assert forget.change.do == ("DELETE FROM sqlite_stat1 WHERE tbl = 'it''s'", "ANALYZE sqlite_schema")
    assert "('it''s', 'ix', '20000 20000 1'), ('it''s', NULL, '20000')" in forget.change.undo[1]


def test_stale_statistics_are_made_again() -> None:
    stale = (FindingKind.STALE_STATISTICS,)
    assert [p.change.do[0] for p in statistics_proposals(Finding(stale, JOB, ""), "postgresql")] == ["ANALYZE {table}"]
    analyse, forget = statistics_proposals(Finding(stale, ANALYSED, ""), "sqlite")
    assert analyse.change.do == ("ANALYZE {table}",)
    assert analyse.change.undo == forget.change.undo


def test_storage_settings_go_back_to_what_they_were() -> None:
    dead = Finding((FindingKind.DEAD_ROWS,), JOB, "")
    (vacuum,) = storage_proposals(dead)
    assert vacuum.change.undo == ("ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor)",)
    (vacuum,) = storage_proposals(replace(dead, table=replace(JOB, options={"autovacuum_vacuum_scale_factor": "0.1"})))
    assert vacuum.change.undo == ("ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.1)",)
    cold = Finding((FindingKind.COLD_UPDATES,), JOB, "")
    (room,) = storage_proposals(cold)
    assert room.change.do == ("ALTER TABLE {table} SET (fillfactor = 80)",)
    assert list(storage_proposals(replace(cold, table=replace(JOB, options={"fillfactor": "50"})))) == []


def test_settings_of_a_connection_go_back_to_what_they_were() -> None:
    finding = Finding((FindingKind.CHECKPOINTS, FindingKind.SMALL_CACHE), JOB, "")
    log, cache = (proposal.change for proposal in pragma_proposals(finding, SETTINGS))
    assert (log.do, log.undo) == (("PRAGMA wal_autocheckpoint = 10000",), ("PRAGMA wal_autocheckpoint = 1000",))
    assert (cache.do, cache.undo) == (("PRAGMA cache_size = -10240",), ("PRAGMA cache_size = -2048",))
    assert log.on_connection
    assert cache.on_connection


def test_durability_is_never_for_sale() -> None:
    """Neither engine is told to wait less for its disk, whatever was found."""
    finding = Finding(tuple(FindingKind), ANALYSED, "")
    everything = [
        *index_proposals(finding, CLAIM, "postgresql"),
        *statistics_proposals(finding, "sqlite"),
        *storage_proposals(finding),
        *pragma_proposals(finding, SETTINGS),
    ]
    assert len(everything) == 8
    for proposal in everything:
        sql = " ".join((*proposal.change.do, *proposal.change.undo)).casefold()
        assert not [word for word in ("synchronous", "fsync", "journal_mode", "unlogged") if word in sql]
