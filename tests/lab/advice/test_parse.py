"""What a statement asks of its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.database.statements import load_statements
from perflab.lab.advice.parse import parse_statement
from perflab.lab.advice.shape import Condition, OrderTerm, Shape, TableUse
from perflab.lab.advice.table_facts import Tables
from tests.lab.advice.conftest import JOB, TABLES

READY = Condition("state", "\"state\" = 'ready'")


def shape_of(sql: str, engine: str = "sqlite", tables: Tables = TABLES) -> Shape:
    shape = parse_statement(sql, engine, tables)
    assert shape is not None
    return shape


def only_use(sql: str, engine: str = "sqlite") -> TableUse:
    (use,) = shape_of(sql, engine).uses
    return use


def test_equalities_ranges_and_order_of_a_select() -> None:
    assert only_use(
        "SELECT * FROM job WHERE queue = ? AND 'ready' = state AND run_at <= ? ORDER BY priority, id LIMIT 10"
    ) == TableUse(
        "job",
        "job",
        (Condition("queue"), READY),
        ("run_at",),
        (OrderTerm("priority"), OrderTerm("id")),
        limited=True,
    )


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("state = 'ready'", READY),
        ("(state = 'ready')", READY),
        ("state = ?", Condition("state")),
        ("state IN ('ready', 'dead')", Condition("state")),
        ("state IS NULL", Condition("state", '"state" IS NULL')),
        ("priority = -1", Condition("priority", '"priority" = -1')),
        ("priority", Condition("priority", '"priority"')),
        ("state <> 'dead'", None),
        ("state IS NOT NULL", None),
        ("lower(state) = 'ready'", None),
        ("state = queue", None),
        ("NOT priority = 1", None),
        ("state = 'ready' OR queue = 'q'", None),
    ],
)
def test_what_counts_as_an_equality(condition: str, found: Condition | None) -> None:
    assert only_use(f"SELECT 1 FROM job WHERE {condition}").equalities == ((found,) if found else ())


@pytest.mark.parametrize("condition", ["run_at < ?", "? <= run_at", "run_at BETWEEN ? AND ?"])
def test_what_counts_as_a_range(condition: str) -> None:
    assert only_use(f"SELECT 1 FROM job WHERE {condition}").ranges == ("run_at",)


def test_a_range_on_what_is_equal_anyway_is_none() -> None:
    use = only_use("SELECT 1 FROM job WHERE run_at = ? AND run_at < ?")
    assert ([each.column for each in use.equalities], use.ranges) == (["run_at"], ())


def test_an_order_by_an_expression_is_no_order_of_columns() -> None:
    assert only_use("SELECT 1 FROM job ORDER BY priority, lower(queue)").order == ()
    assert only_use("SELECT 1 FROM job ORDER BY priority DESC").order == (OrderTerm("priority", descending=True),)


def test_a_block_inside_another_is_a_use_of_its_own() -> None:
    outer, inner = shape_of(
        "UPDATE job SET state = 'running' WHERE id IN (SELECT id FROM job WHERE state = 'ready' "
        "ORDER BY run_at LIMIT 5)"
    ).uses
    assert (outer.equalities, outer.order, outer.limited) == ((Condition("id"),), (), False)
    assert (inner.equalities, inner.order, inner.limited) == ((READY,), (OrderTerm("run_at"),), True)


def test_columns_of_joined_tables_go_to_their_own() -> None:
    job, owner = shape_of(
        "SELECT * FROM job AS j JOIN owner ON owner.id = j.queue WHERE j.state = 'ready' AND name = ? ORDER BY name"
    ).uses
    assert (job.table, job.alias, job.equalities) == ("job", "j", (READY, Condition("queue")))
    assert (owner.equalities, owner.order) == ((Condition("name"), Condition("id")), (OrderTerm("name"),))
    assert job.order == ()


def test_a_common_table_expression_is_no_table() -> None:
    uses = shape_of("WITH job AS (SELECT 1 AS queue) SELECT * FROM job WHERE queue = 1").uses
    assert uses == ()


def test_parameters_know_their_columns() -> None:
    shape = shape_of("UPDATE job SET state = ?1 WHERE queue = ?2 AND run_at < ?3 AND id IN (SELECT value FROM f(?4))")
    assert {each.name: each.column for each in shape.parameters} == {
        "p1": "state", "p2": "queue", "p3": "run_at", "p4": "",
    }  # fmt: skip
    (limit,) = shape_of("SELECT 1 FROM job LIMIT %(n)s::int8", "postgresql").parameters
    assert (limit.name, limit.is_limit) == ("n", True)


def test_whether_it_writes_and_what_it_calls() -> None:
    assert not shape_of("SELECT my_function(id) FROM job").writes
    assert shape_of("SELECT My_Function(id) FROM job").functions == ("my_function",)
    assert shape_of("SELECT lower(queue), count(*) FROM job").functions == ()
    assert shape_of("WITH gone AS (DELETE FROM job RETURNING id) SELECT * FROM gone", "postgresql").writes


@pytest.mark.parametrize("sql", ["nonsense", "SELECT FROM WHERE", "SELECT 1; SELECT 2", "", "((((("])
def test_what_cannot_be_read_is_none(sql: str) -> None:
    assert parse_statement(sql, "sqlite", TABLES) is None or not shape_of(sql).uses


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("package", ["perflab.queue", "perflab.scheduler"])
def test_the_statements_of_perflab_can_be_read(package: str, engine: str) -> None:
    names = {"perflab_jobs": JOB, "perflab_watches": JOB, "perflab_ingest_states": JOB}
    tables = {name: replace(facts, name=name) for name, facts in names.items()}
    unread = {
        name for name, sql in load_statements(package, engine).items() if parse_statement(sql, engine, tables) is None
    }
    assert unread == set(), "after an operator the parser takes interval for a keyword: quote it"
