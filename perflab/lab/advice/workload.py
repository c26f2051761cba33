"""Which statements are looked at: recorded ones, those that the server remembers, perflab's own, and given ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from perflab.database.database import Database
from perflab.database.recorder import RecordedStatement
from perflab.database.statements import load_statements
from perflab.errors import DatabaseError
from perflab.lab.advice.placeholders import as_parameters, numbered_for_psycopg, placeholder_names
from perflab.lab.advice.shape import Shape
from perflab.lab.advice.statement import Source, Statement
from perflab.lab.advice.table_facts import Tables, quoted

OWN_PACKAGES = {"perflab.queue": "perflab_jobs", "perflab.scheduler": "perflab_watches"}
"""Whose statements, and a table that is there when they are used."""
ROWS_OF_A_LIMIT = 10
"""What a LIMIT is taken to be where its value is not known."""
FARTHEST_ROW = 100_000
"""The middle of a huge table would take long to come to."""


def recorded(statements: Iterable[RecordedStatement]) -> Iterator[Statement]:
    """What `Database.recording` has seen."""
    for each in statements:
        yield Statement(each.sql, Source.RECORDED, parameters=each.parameters, calls=each.calls, seconds=each.seconds)


def given(sql: Iterable[str], engine: str) -> Iterator[Statement]:
    """What somebody typed; on PostgreSQL with `$1` as well as `%s`."""
    for each in sql:
        text = each.strip().rstrip(";")
        yield Statement(numbered_for_psycopg(text) if engine == "postgresql" else text, Source.GIVEN)


def own(database: Database, tables: Tables) -> Iterator[Statement]:
    """The statements of perflab, where its tables are there."""
    for package, table in OWN_PACKAGES.items():
        if table in tables:
            for name, sql in load_statements(package, database.engine_name).items():
                yield Statement(sql, Source.PERFLAB, f"{package.rpartition('.')[2]}.{name}")


def remembered(database: Database, *, limit: int) -> Sequence[Statement]:
    """The slowest statements that pg_stat_statements knows; none where it is not installed, or not loaded."""
    if database.engine_name == "sqlite":
        return []
    statements = load_statements("perflab.lab.advice", "postgresql")
    schemas = database.fetch(statements["has_statements"])
    if not schemas:
        return []
    sql = statements["statements"].replace("SCHEMA.", f"{schemas[0][0]}.")
    try:
        rows = database.fetch(sql, (limit,))
    except DatabaseError:  # created, but not in shared_preload_libraries, or not for this user
        return []
    return [Statement(numbered_for_psycopg(query), Source.SERVER, "", None, calls, s) for query, calls, s in rows]


def with_drawn_parameters(database: Database, statement: Statement, shape: Shape | None, tables: Tables) -> Statement:
    """The statement with values from the tables for its parameters, if one can be found for each of them.

    Columns of one table get their values from one row, that in the middle, so that they fit together.
    """
    names = placeholder_names(statement.sql, database.engine_name)
    if statement.parameters is not None or not names:
        return statement
    known = {parameter.name: parameter for parameter in shape.parameters} if shape else {}
    if any(name not in known or not (known[name].column or known[name].is_limit) for name in names):
        return statement
    rows: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    for name in names:
        parameter = known[name]
        if parameter.is_limit:
            values[name] = ROWS_OF_A_LIMIT
            continue
        if parameter.table not in rows:
            rows[parameter.table] = _row_in_the_middle(database, tables, parameter.table)
        values[name] = rows[parameter.table].get(parameter.column)
    return replace(statement, parameters=as_parameters(values, statement.sql, database.engine_name))


def _row_in_the_middle(database: Database, tables: Tables, table: str) -> dict[str, Any]:
    facts = tables[table]
    columns = ", ".join(map(quoted, facts.columns))
    # Names are quoted, and placeholders cannot stand for them.
    offset = min(facts.rows // 2, FARTHEST_ROW)
    sql = f"SELECT {columns} FROM {facts.sql_name} LIMIT 1 OFFSET {offset}"  # noqa: S608
    rows = database.fetch(sql, () if database.engine_name == "sqlite" else None)
    return dict(zip(facts.columns, rows[0], strict=True)) if rows else {}
