"""What a measurement may be taken to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.lab.advice.advice import Change, Finding, FindingKind, Measured, Proposal, Verdict
from perflab.lab.advice.plan import Plan, Step, StepKind
from perflab.lab.advice.proof import _check_same_fault, _writes_per_call, is_gain, prove
from perflab.lab.advice.rows_in_hand import columns_without_index
from perflab.lab.advice.scratch import CannotMeasure
from perflab.lab.advice.statement import Source, Statement
from perflab.lab.advice.table_facts import IndexFacts
from tests.lab.advice.conftest import JOB, QUICK

GAIN = Measured("the statement", 0.02, 0.01, 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 10, "s/call")
INSERTS = Measured("inserts", 10e-6, 12e-6, 1.2, 1.1, 1.3, 1.2, 1.1, 1.3, 10, "s/row")


@pytest.mark.parametrize(
    ("bounds", "gained"),
    [
        ({}, True),
        ({"high": 0.90}, True),
        ({"high": 0.92}, False),  # less than the margin
        ({"median_high": 0.95}, False),  # one odd block decided
        ({"high": 1.2}, False),
    ],
)
def test_a_gain_needs_both_intervals_beyond_the_margin(bounds: dict[str, float], gained: bool) -> None:
    assert is_gain(replace(GAIN, **bounds)) is gained  # type: ignore[arg-type]  # numbers only


def test_how_many_inserts_eat_up_what_a_call_saves() -> None:
    assert _writes_per_call(GAIN, [INSERTS]) == pytest.approx(5_000)  # 10 ms over 2 µs
    assert _writes_per_call(GAIN, [replace(INSERTS, low=0.99)]) is None
    assert _writes_per_call(GAIN, [replace(INSERTS, what="updates of indexed columns")]) is None
    assert _writes_per_call(replace(GAIN, high=1.0), [INSERTS]) is None


def test_a_copy_with_another_plan_proves_nothing() -> None:
    finding = Finding((FindingKind.SORT,), JOB, "")
    _check_same_fault(finding, Plan((), (Step(StepKind.SORT, "job"),)))
    with pytest.raises(CannotMeasure, match="without the temporary sort"):
        _check_same_fault(finding, Plan((), (Step(StepKind.FULL_SCAN, "job"),)))
    _check_same_fault(replace(finding, kinds=(FindingKind.DEAD_ROWS,)), Plan((), ()))


def test_columns_that_no_index_has() -> None:
    facts = replace(JOB, indexes=(IndexFacts("ix", ("id", "queue"), "(state = 'ready'::text)"),))
    assert columns_without_index(facts) == ("priority", "run_at", "payload")


def prove_index(database: Database, statement: Statement | None, column: str) -> Any:
    finding = Finding((FindingKind.FULL_SCAN,), replace(JOB, columns=("id", column)), "", statement)
    change = Change((f"CREATE INDEX ix ON {{table}} ({column})",), (), index_columns=(column,))
    return prove(database, finding, Proposal(change, ""), (), QUICK)


def test_without_a_statement_there_is_nothing_to_measure(sqlite_jobs: Database) -> None:
    proof = prove_index(sqlite_jobs, None, "priority")
    assert (proof.verdict, proof.why) == (Verdict.NOT_MEASURED, "no statement that reads this table is known")


def test_an_empty_table_cannot_be_measured(sqlite_jobs: Database) -> None:
    with sqlite_jobs.driver_transaction() as connection:
        connection.execute("DELETE FROM job")
    proof = prove_index(sqlite_jobs, Statement("SELECT 1 FROM job WHERE priority = 9", Source.GIVEN), "priority")
    assert (proof.verdict, proof.why) == (Verdict.NOT_MEASURED, "the copy of the table is empty")


def test_the_writes_that_pay_are_real(sqlite_jobs: Database) -> None:
    """Rows are deleted, inserted and changed in the copy, and rolled back: afterwards none is missing or different."""
    with sqlite_jobs.driver_transaction() as connection:
        connection.execute("CREATE TABLE heard (what TEXT)")
        for event in ("INSERT", "DELETE", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER hear_{event} AFTER {event} ON job BEGIN SELECT RAISE(ABORT, 'no {event} here'); END"
            )
    proof = prove_index(sqlite_jobs, Statement("SELECT 1 FROM job WHERE priority = 9", Source.GIVEN), "priority")
    assert proof.verdict is Verdict.NOT_MEASURED
    assert "no DELETE here" in proof.why or "no UPDATE here" in proof.why
