"""Plans of both engines, as the engines give them."""

from __future__ import annotations

from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import StatementError
from perflab.lab.advice.plan import Step, StepKind, explain, read_postgresql_plan, read_sqlite_plan
from perflab.lab.advice.statement import Source, Statement


def given(sql: str, parameters: Any = None) -> Statement:
    return Statement(sql, Source.GIVEN, parameters=parameters)


@pytest.mark.parametrize(
    ("details", "steps"),
    [
        ([(2, 0, "SCAN job")], [Step(StepKind.FULL_SCAN, "job")]),
        ([(2, 0, "SCAN j USING COVERING INDEX ix")], [Step(StepKind.FULL_SCAN, "j")]),
        ([(2, 0, "SEARCH job USING INDEX ix (queue=?)")], []),
        ([(2, 0, "SEARCH job USING INDEX ix (ANY(state) AND run_at<?)")], [Step(StepKind.SKIP_SCAN, "job")]),
        (
            [(2, 0, "SEARCH job USING INDEX ix (a=?)"), (3, 0, "USE TEMP B-TREE FOR ORDER BY")],
            [Step(StepKind.SORT, "job")],
        ),
        ([(2, 0, "SEARCH job USING INDEX ix (a=?)"), (3, 0, "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY")], []),
        ([(2, 0, "SEARCH job USING INTEGER PRIMARY KEY (rowid=?)"), (3, 0, "USE TEMP B-TREE FOR ORDER BY")], []),
        (  # the sort stands beside what it sorts, not beside what is around it
            [(2, 0, "SCAN outside"), (3, 0, "LIST SUBQUERY 1"), (4, 3, "SEARCH job USING INDEX ix (a=?)"),
             (5, 3, "USE TEMP B-TREE FOR ORDER BY")],
            [Step(StepKind.FULL_SCAN, "outside"), Step(StepKind.SORT, "job")],
        ),
    ],
)  # fmt: skip
def test_steps_of_sqlite(details: list[tuple[int, int, str]], steps: list[Step]) -> None:
    plan = read_sqlite_plan([(number, parent, 0, detail) for number, parent, detail in details])
    assert list(plan.steps) == steps
    assert len(plan.lines) == len(details)


def node(kind: str, *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "Node Type": kind,
        "Plan Rows": 7,
        "Plans": list(children),
        **{k.replace("_", " "): v for k, v in fields.items()},
    }


def test_steps_of_postgresql() -> None:
    scan = node("Seq Scan", Schema="public", Relation_Name="job", Filter="(a = 1)", Plan_Rows=500)
    plan = read_postgresql_plan(node("Limit", node("Sort", scan)))
    assert plan.steps == (Step(StepKind.SORT, "job", 500), Step(StepKind.FULL_SCAN, "job", 500))
    assert plan.relations == {("public", "job")}
    assert plan.lines[-1] == "    Seq Scan on job, 500 rows expected ((a = 1))"


def test_a_scan_that_keeps_everything_and_a_sort_of_no_table_are_no_faults() -> None:
    assert read_postgresql_plan(node("Seq Scan", Schema="s", Relation_Name="job")).steps == ()
    found = node("Index Scan", Schema="public", Relation_Name="job", Index_Cond="(a = 1)")
    few_of_each = node("Nested Loop", node("CTE Scan"), node("Limit", found))
    assert read_postgresql_plan(node("Sort", few_of_each)).steps == (), "no more of them in a deeper table"
    assert read_postgresql_plan(node("Sort", node("Function Scan"))).steps == ()


def test_sqlite_explains_without_values_and_does_not_run(sqlite_jobs: Database) -> None:
    plan = explain(sqlite_jobs, given("DELETE FROM job WHERE payload = ? AND id > ?2"))
    assert plan.lines == ("SEARCH job USING INTEGER PRIMARY KEY (rowid>?)",)
    assert explain(sqlite_jobs, given("SELECT 1 FROM job WHERE payload = :x")).steps == (
        Step(StepKind.FULL_SCAN, "job"),
    )
    assert sqlite_jobs.fetch("SELECT count(*) > 0 FROM job") == [(1,)]


def test_postgresql_explains_with_and_without_values_and_does_not_run(postgresql_jobs: Database) -> None:
    for statement in (
        given("DELETE FROM job WHERE payload::text = %s", ("x",)),
        given("DELETE FROM job WHERE payload::text = %(x)s"),
        given("DELETE FROM job WHERE payload::text LIKE '%x'"),
    ):
        plan = explain(postgresql_jobs, statement)
        assert [step.kind for step in plan.steps] == [StepKind.FULL_SCAN]
        assert plan.relations == {("public", "job")}
    assert postgresql_jobs.fetch("SELECT count(*) > 0 FROM job") == [(True,)]


@pytest.mark.parametrize("engine", ["sqlite_jobs", "postgresql_jobs"])
def test_a_statement_that_cannot_run_is_a_typed_error(request: pytest.FixtureRequest, engine: str) -> None:
    with pytest.raises(StatementError, match="nothing"):
        explain(request.getfixturevalue(engine), given("SELECT nothing FROM job"))
