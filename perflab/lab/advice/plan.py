"""What an engine means to do with a statement: the steps that read too much."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from perflab.database.database import Database
from perflab.errors import StatementError
from perflab.lab.advice.placeholders import as_parameters, numbered_for_server, placeholder_names
from perflab.lab.advice.statement import Statement

GENERIC_PLAN_VERSION = 160_000


class StepKind(StrEnum):
    """What a step does that costs more than it returns."""

    FULL_SCAN = "sequential scan"
    SKIP_SCAN = "skip-scan"
    SORT = "temporary sort"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan that reads or sorts a table.

    Attributes:
        kind: What it does.
        table: Its name, or on SQLite its alias in the statement.
        rows: How many the planner expects out of a scan or into a sort; None where it does not say.
    """

    kind: StepKind
    table: str
    rows: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, as much of it as advice is made of.

    Attributes:
        lines: The whole plan, for people.
        steps: Those that read or sort more than they need.
        relations: Schema and name of each table that is touched, on PostgreSQL.
    """

    lines: tuple[str, ...]
    steps: tuple[Step, ...]
    relations: frozenset[tuple[str, str]] = frozenset()


def explain(database: Database, statement: Statement) -> Plan:
    """The plan of a statement, which is not run.

    Raises:
        StatementError: the engine does not take the statement, or needs values for it that are not known.
    """
    if database.engine_name == "sqlite":
        return _explain_sqlite(database, statement)
    return _explain_postgresql(database, statement)


# -- SQLite ------------------------------------------------------------------------------------------------------------

_SCAN = re.compile(r"SCAN (\S+)")
_SEARCH = re.compile(r"SEARCH (\S+) USING (.*)")


def _explain_sqlite(database: Database, statement: Statement) -> Plan:
    parameters = statement.parameters
    if parameters is None:  # SQLite plans without looking at values
        unknown = dict.fromkeys(placeholder_names(statement.sql, "sqlite"))
        parameters = as_parameters(unknown, statement.sql, "sqlite")
    return read_sqlite_plan(database.fetch(f"EXPLAIN QUERY PLAN {statement.sql}", parameters))


def read_sqlite_plan(rows: list[tuple[Any, ...]]) -> Plan:
    """The plan of the rows (id, parent, unused, detail) of EXPLAIN QUERY PLAN."""
    steps: list[Step] = []
    read_under: dict[int, str] = {}  # by parent: the table that a sort beside it sorts
    for _, parent, _, detail in rows:
        scan, search = _SCAN.match(detail), _SEARCH.match(detail)
        if scan:
            steps.append(Step(StepKind.FULL_SCAN, scan[1]))
            read_under.setdefault(parent, scan[1])
        elif search:
            if "ANY(" in search[2]:
                steps.append(Step(StepKind.SKIP_SCAN, search[1]))
            if not search[2].startswith("INTEGER PRIMARY KEY (rowid=?"):
                read_under.setdefault(parent, search[1])
        elif detail in ("USE TEMP B-TREE FOR ORDER BY", "USE TEMP B-TREE FOR GROUP BY") and parent in read_under:
            steps.append(Step(StepKind.SORT, read_under[parent]))
    return Plan(tuple(_indented(rows)), tuple(steps))


def _indented(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    depth: dict[int, int] = {}
    for number, parent, _, detail in rows:
        depth[number] = depth.get(parent, -1) + 1
        yield "  " * depth[number] + detail


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


READ_IN_FULL = ("Seq Scan", "Index Scan", "Index Only Scan")
"""Without a condition on its index, a scan of that reads the whole table too, in another order."""


def _explain_postgresql(database: Database, statement: Statement) -> Plan:
    if statement.parameters is None and placeholder_names(statement.sql, "postgresql"):
        ((version,),) = database.fetch("SELECT current_setting('server_version_num')::int4")
        if version < GENERIC_PLAN_VERSION:
            raise StatementError(
                "the values of its parameters are not known, and this server cannot plan without them: give the "
                "statement with values, or use PostgreSQL 16 or newer"
            )
        sql = f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {numbered_for_server(statement.sql)}"
        ((explained,),) = database.fetch(sql, None)
    else:
        sql = f"EXPLAIN (VERBOSE, FORMAT JSON) {statement.sql}"
        ((explained,),) = database.fetch(sql, statement.parameters)
    return read_postgresql_plan(explained[0]["Plan"])


def read_postgresql_plan(root: Mapping[str, Any]) -> Plan:
    """The plan of the JSON of EXPLAIN (VERBOSE)."""
    steps: list[Step] = []
    relations: set[tuple[str, str]] = set()
    for node in _nodes(root):
        if "Relation Name" in node:
            relations.add((node.get("Schema", ""), node["Relation Name"]))
        if node["Node Type"] in READ_IN_FULL and "Filter" in node and "Index Cond" not in node:
            steps.append(Step(StepKind.FULL_SCAN, node["Relation Name"], node["Plan Rows"]))
        elif node["Node Type"] == "Sort":
            (child,) = node["Plans"][:1]
            scanned = next((each["Relation Name"] for each in _unlimited(child) if "Relation Name" in each), None)
            if scanned is not None:
                steps.append(Step(StepKind.SORT, scanned, child["Plan Rows"]))
    return Plan(tuple(_described(root)), tuple(steps), frozenset(relations))


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _unlimited(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those whose rows come up as they are: what a LIMIT lets through does not grow with the table."""
    if node["Node Type"] != "Limit":
        yield node
        for child in node.get("Plans", ()):
            yield from _unlimited(child)


def _described(node: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    table = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    index = f" using {node['Index Name']}" if "Index Name" in node else ""
    condition = next((f" ({node[key]})" for key in ("Index Cond", "Filter") if key in node), "")
    yield f"{'  ' * depth}{node['Node Type']}{index}{table}, {node['Plan Rows']:,} rows expected{condition}"
    for child in node.get("Plans", ()):
        yield from _described(child, depth + 1)
