"""Reading a statement with sqlglot: which columns of which tables it compares and sorts by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from perflab.lab.advice.placeholders import for_parser
from perflab.lab.advice.shape import Condition, OrderTerm, Parameter, Shape, TableUse
from perflab.lab.advice.table_facts import Tables, quoted

DIALECTS = {"sqlite": "sqlite", "postgresql": "postgres"}
# What the parser does not know and what says nothing of columns.
_SQLITE_ONLY = re.compile(r"\bOR\s+(?:IGNORE|REPLACE|ABORT|FAIL|ROLLBACK)\b|\bNOT\s+INDEXED\b", re.IGNORECASE)
_BLOCKS = (exp.Select, exp.Update, exp.Delete)
_APART = (*_BLOCKS, exp.Insert, exp.Merge)
_RANGES = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between)
_CONSTANTS = (exp.Literal, exp.Boolean, exp.Null, exp.Neg)


def parse_statement(sql: str, engine: str, tables: Tables) -> Shape | None:
    """The shape of a statement; None where the parser does not understand it."""
    text = for_parser(sql, engine)
    if engine == "sqlite":
        text = _SQLITE_ONLY.sub(" ", text)
    try:
        parsed = sqlglot.parse(text, read=DIALECTS[engine])
    except (SqlglotError, RecursionError):
        return None
    if len(parsed) != 1 or parsed[0] is None:
        return None
    tree: Any = parsed[0]
    blocks = [_Block(block, engine, tables) for block in tree.find_all(*_BLOCKS)]
    uses = tuple(use for block in blocks for use in block.uses())
    known = {parameter.name: parameter for block in blocks for parameter in block.parameters()}
    everyone = [str(each.this) for each in tree.find_all(exp.Placeholder)]
    parameters = tuple(known.get(name, Parameter(name)) for name in dict.fromkeys(everyone))
    writes = tree.find(exp.Insert, exp.Update, exp.Delete, exp.Merge) is not None
    functions = sorted({str(call.name).lower() for call in tree.find_all(exp.Anonymous)})
    return Shape(uses, parameters, writes, tuple(functions))


class _Block:
    """One SELECT, UPDATE or DELETE, without those inside it."""

    def __init__(self, block: Any, engine: str, tables: Tables) -> None:
        self._block = block
        self._dialect = DIALECTS[engine]
        self._tables = tables
        # Names of common table expressions hide those of tables.
        hidden = {cte.alias for cte in block.root().find_all(exp.CTE)}
        self._names = {
            table.alias or table.name: table.name
            for table in self._own(exp.Table)
            if table.name in tables and table.name not in hidden
        }

    def uses(self) -> Iterator[TableUse]:
        order = self._order()
        for alias, table in self._names.items():
            conditions = list(self._conditions())
            equalities: dict[str, Condition] = {}
            ranges: dict[str, None] = {}
            for condition in conditions:
                found = self._equality(condition, alias)
                if found is not None:
                    equalities.setdefault(found.column, found)
                elif isinstance(condition, _RANGES):
                    ranges.update(dict.fromkeys(self._sides_of(condition, alias)))
            yield TableUse(
                table,
                alias,
                tuple(equalities.values()),
                tuple(column for column in ranges if column not in equalities),
                order.get(alias, ()),
                self._block.args.get("limit") is not None,
            )

    def parameters(self) -> Iterator[Parameter]:
        """Placeholders whose column is known."""
        for limit in self._own(exp.Limit):
            if isinstance(value := _bare(limit.expression), exp.Placeholder):
                yield Parameter(str(value.this), is_limit=True)
        for comparison in self._own(exp.EQ, exp.NEQ, *_RANGES):
            sides = [_bare(side) for side in comparison.args.values() if isinstance(side, exp.Expression)]
            columns = [located for side in sides if (located := self._locate(side)) is not None]
            for side in sides:
                if isinstance(side, exp.Placeholder) and columns:
                    alias, column = columns[0]
                    yield Parameter(str(side.this), self._names[alias], column)

    def _own(self, *kinds: type[Any]) -> Iterator[Any]:
        """Nodes of these kinds that belong to this block and to no block inside it."""

        def is_inner(node: Any) -> bool:
            return node is not self._block and isinstance(node, _APART)

        for node in self._block.walk(prune=is_inner):
            if isinstance(node, kinds) and not is_inner(node):
                yield node

    def _conditions(self) -> Iterator[Any]:
        """What must hold for a row: the parts of WHERE and ON that are joined by AND."""
        clauses = [where.this for where in self._own(exp.Where)]
        clauses += [join.args["on"] for join in self._own(exp.Join) if join.args.get("on") is not None]
        for clause in clauses:
            bare = clause.unnest()
            yield from (part.unnest() for part in bare.flatten()) if isinstance(bare, exp.And) else (bare,)

    def _equality(self, condition: Any, alias: str) -> Condition | None:
        """The condition as one on a column of this table, if it is an equality."""
        located = self._locate(condition)
        if located is not None:  # a column that is true or false
            return Condition(located[1], quoted(located[1])) if located[0] == alias else None
        if isinstance(condition, exp.In):
            located = self._locate(condition.this)
            return Condition(located[1]) if located is not None and located[0] == alias else None
        if not isinstance(condition, exp.EQ | exp.Is):
            return None
        for side, other in ((condition.this, condition.expression), (condition.expression, condition.this)):
            located = self._locate(_bare(side))
            if located is None or located[0] != alias or self._mentions(other, alias):
                continue
            if not isinstance(_bare(other), _CONSTANTS):
                return Condition(located[1])
            sign = "IS" if isinstance(condition, exp.Is) else "="
            return Condition(located[1], f"{quoted(located[1])} {sign} {other.sql(self._dialect)}")
        return None

    def _sides_of(self, condition: Any, alias: str) -> Iterator[str]:
        """Columns of this table that are compared as they are, without a function around them."""
        for side in condition.args.values():
            located = self._locate(_bare(side)) if isinstance(side, exp.Expression) else None
            if located is not None and located[0] == alias:
                yield located[1]

    def _mentions(self, expression: Any, alias: str) -> bool:
        return any(
            located is not None and located[0] == alias
            for located in (self._locate(column) for column in expression.find_all(exp.Column))
        )

    def _locate(self, node: Any) -> tuple[str, str] | None:
        """Alias and column of a reference to a table of this block."""
        if not isinstance(node, exp.Column):
            return None
        name = str(node.name)
        if node.table:
            return (str(node.table), name) if node.table in self._names else None
        owners = [alias for alias, table in self._names.items() if name in self._tables[table].columns]
        return (owners[0], name) if owners else None

    def _order(self) -> dict[str, tuple[OrderTerm, ...]]:
        """The order that is wanted, where it is one of columns of a single table."""
        order = self._block.args.get("order")
        if order is None:
            return {}
        terms: list[OrderTerm] = []
        aliases: set[str] = set()
        for term in order.expressions:
            located = self._locate(term.this)
            if located is None:
                return {}
            aliases.add(located[0])
            terms.append(OrderTerm(located[1], bool(term.args.get("desc"))))
        return {aliases.pop(): tuple(terms)} if len(aliases) == 1 else {}


def _bare(node: Any) -> Any:
    """Without parentheses and casts of a value."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node
