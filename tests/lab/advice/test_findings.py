"""From where on something is worth a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.errors import InvalidInput
from perflab.lab.advice.advice import FindingKind
from perflab.lab.advice.findings import (
    PlanFinding,
    Thresholds,
    is_slow,
    plan_findings,
    setting_findings,
    table_findings,
)
from perflab.lab.advice.plan import Plan, Step, StepKind
from perflab.lab.advice.shape import Condition, OrderTerm, Shape, TableUse
from perflab.lab.advice.statement import Source, Statement
from perflab.lab.advice.table_facts import IndexFacts, SQLiteSettings, TableFacts
from tests.lab.advice.conftest import JOB

STATEMENT = Statement("SELECT 1", Source.GIVEN)
LIMITS = Thresholds()
BY_QUEUE = TableUse("job", "j", (Condition("queue"),))
DEEP = replace(JOB, schema="public", statistics_rows=JOB.rows)


def found(step: Step, use: TableUse = BY_QUEUE, facts: TableFacts = JOB) -> list[PlanFinding]:
    shape = Shape((use,), (), writes=False)
    return list(plan_findings(STATEMENT, Plan((), (step,)), shape, {"job": facts}, LIMITS))


def test_a_scan_of_a_deep_table_is_found_by_its_alias() -> None:
    (one,) = found(Step(StepKind.FULL_SCAN, "j"))
    assert one.finding.kinds == (FindingKind.FULL_SCAN,)
    assert one.finding.detail == "sequential scan on job, which has about 20,000 rows"
    assert found(Step(StepKind.FULL_SCAN, "other")) == []


def test_small_tables_are_exempt() -> None:
    assert found(Step(StepKind.FULL_SCAN, "j"), facts=replace(JOB, rows=LIMITS.deep_rows - 1)) == []
    assert found(Step(StepKind.FULL_SCAN, "j"), facts=replace(JOB, rows=LIMITS.deep_rows))


def test_a_scan_that_keeps_most_rows_is_right() -> None:
    most, few = Step(StepKind.FULL_SCAN, "j", rows=15_000), Step(StepKind.FULL_SCAN, "j", rows=150)
    assert found(most) == []
    assert found(few)
    assert found(most, replace(BY_QUEUE, limited=True))


def test_a_statement_that_wants_the_whole_table_is_left_alone() -> None:
    step = Step(StepKind.FULL_SCAN, "j")
    assert found(step, TableUse("job", "j")) == []
    in_order = TableUse("job", "j", order=(OrderTerm("run_at"),))
    assert found(step, in_order) == []
    assert found(step, replace(in_order, limited=True))


def test_a_sort_of_few_rows_is_left_alone() -> None:
    use = replace(BY_QUEUE, order=(OrderTerm("run_at"),))
    assert found(Step(StepKind.SORT, "j", rows=10), use) == []
    assert found(Step(StepKind.SORT, "j", rows=10_000), use)
    assert found(Step(StepKind.SORT, "j", rows=None), use)


def test_a_use_that_finds_single_rows_is_not_blamed() -> None:
    by_id = TableUse("job", "j", (Condition("id"), Condition("state", "x")))
    assert found(Step(StepKind.SKIP_SCAN, "j"), by_id) == []
    partial = replace(JOB, indexes=(IndexFacts("some", ("id",), "state = 'ready'", unique=True),))
    assert found(Step(StepKind.SKIP_SCAN, "j"), by_id, partial)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (replace(DEEP, statistics_rows=None), FindingKind.STALE_STATISTICS),
        (replace(DEEP, changed_rows=10_001), FindingKind.STALE_STATISTICS),
        (replace(DEEP, statistics_rows=9_000), FindingKind.STALE_STATISTICS),
        (replace(DEEP, schema="", statistics_rows=50_000), FindingKind.STALE_STATISTICS),
        (replace(DEEP, dead_rows=4_001), FindingKind.DEAD_ROWS),
        (replace(DEEP, updates=20_000, hot_updates=9_999), FindingKind.COLD_UPDATES),
    ],
)
def test_counters_beyond_a_threshold_are_found(facts: TableFacts, kind: FindingKind) -> None:
    assert [finding.kinds for finding in table_findings(facts, LIMITS)] == [(kind,)]
    assert list(table_findings(replace(facts, rows=9_999), LIMITS)) == []


@pytest.mark.parametrize(
    "facts",
    [
        DEEP,
        replace(DEEP, changed_rows=10_000),
        replace(DEEP, dead_rows=4_000),
        replace(DEEP, updates=20_000, hot_updates=10_000),
        replace(DEEP, updates=19_999),
        replace(DEEP, schema="", statistics_rows=None),  # SQLite does well without statistics
    ],
)
def test_counters_below_it_are_not(facts: TableFacts) -> None:
    assert list(table_findings(facts, LIMITS)) == []


SETTINGS = SQLiteSettings("wal", 1_000, 64 * 2**20, 4_096, 10 * 2**20)


@pytest.mark.parametrize(
    ("settings", "writes", "kinds"),
    [
        (SETTINGS, True, [FindingKind.CHECKPOINTS]),
        (SETTINGS, False, []),
        (replace(SETTINGS, checkpoint_pages=10_000), True, []),
        (replace(SETTINGS, checkpoint_pages=0), True, []),
        (replace(SETTINGS, database_bytes=2**20), True, []),
        (replace(SETTINGS, cache_bytes=2**20), False, [FindingKind.SMALL_CACHE]),
        (replace(SETTINGS, cache_bytes=2**20, journal_mode="memory"), True, []),
    ],
)
def test_settings_of_sqlite(settings: SQLiteSettings, writes: bool, kinds: list[FindingKind]) -> None:
    findings = setting_findings(settings, JOB, STATEMENT, Plan((), ()), LIMITS, writes=writes)
    assert [finding.kinds[0] for finding in findings] == kinds
    shallow = replace(JOB, rows=10)
    assert list(setting_findings(settings, shallow, STATEMENT, Plan((), ()), LIMITS, writes=writes)) == []


def test_fast_statements_are_left_alone_and_unknown_ones_are_not() -> None:
    assert is_slow(STATEMENT, LIMITS)
    assert is_slow(replace(STATEMENT, calls=10, seconds=0.02), LIMITS)
    assert not is_slow(replace(STATEMENT, calls=100, seconds=0.02), LIMITS)


@pytest.mark.parametrize("wrong", [{"deep_rows": 0}, {"slow_seconds": -1.0}, {"dead_share": 0.0}])
def test_thresholds_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Thresholds(**wrong)  # type: ignore[arg-type]  # that is the point
