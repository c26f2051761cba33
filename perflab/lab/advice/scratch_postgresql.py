"""Scratch copies on PostgreSQL: two schemas with a copy of each table that the statement touches.

Every transaction sets the search path for itself, so that the names of a statement mean the copies, and the server's
own plan is asked which tables it would touch before anything is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import psycopg

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.database.statements import load_statements
from perflab.lab.advice.advice import Finding, FindingKind, Proposal
from perflab.lab.advice.plan import Plan, read_postgresql_plan
from perflab.lab.advice.scratch import CannotMeasure, Scratch, ScratchLimits, is_about_statistics
from perflab.lab.advice.statement import Parameters, Statement
from perflab.lab.advice.table_facts import quoted
from perflab.lab.scratch.names import ScratchNames

STATISTICS_CAN_BE_COPIED = 180_000
"""The first server version with pg_restore_attribute_stats."""


class PostgresCopy:
    """A copy in a schema of its own, on one connection."""

    row_key = "ctid"

    def __init__(self, connection: DriverConnection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._vacuums = True

    def table(self, name: str) -> str:
        return f"{quoted(self._schema)}.{quoted(name)}"

    def keep_dead_rows(self) -> None:
        self._vacuums = False

    def execute(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description is not None else []
        return rows

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            self.execute(
                "SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), true)",
                (quoted(self._schema),),
            )
            yield
        except BaseException:
            with suppress(psycopg.Error):  # the first error is the one that counts
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT" if commit else "ROLLBACK")

    def explain(self, statement: Statement) -> Plan:
        with self.transaction(commit=False):
            ((explained,),) = self.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {statement.sql}", statement.parameters)
        plan = read_postgresql_plan(explained[0]["Plan"])
        elsewhere = sorted(f"{schema}.{name}" for schema, name in plan.relations if schema != self._schema)
        if elsewhere:
            raise CannotMeasure(
                f"it names {', '.join(elsewhere)} with a schema, and would not run on the copy: give it without"
            )
        return plan

    def settle(self, tables: Sequence[str]) -> None:
        """Remove the rows that were rolled back."""
        if self._vacuums:
            for name in tables:
                self.execute(f"VACUUM {self.table(name)}")


@contextmanager
def postgresql_scratch(
    database: Database, finding: Finding, proposal: Proposal, limits: ScratchLimits
) -> Iterator[Scratch]:
    """See `open_scratch`."""
    relations = sorted(finding.plan.relations) if finding.plan else [(finding.table.schema, finding.table.name)]
    with ExitStack() as stack:
        stack.enter_context(TypedErrors("measuring in a scratch copy"))
        keeper = stack.enter_context(_connection(database))
        names = ScratchNames(keeper)
        stack.callback(names.release)
        names.remove_leftovers()
        schemas = names.claim("before", "after")
        stack.callback(_drop, database, schemas)
        before, after = (_Builder(stack.enter_context(_connection(database)), schema, finding) for schema in schemas)
        for builder in (before, after):
            builder.create(relations)
        for sql in proposal.change.sql_in_scratch(after.table) if proposal.change.before_rows else ():
            after.copy.execute(sql)
        before.fill(relations, limits.rows)
        after.fill([(before.schema, name) for _, name in relations], None)
        for builder in (before, after):
            builder.finish(relations)
        for sql in () if proposal.change.before_rows else proposal.change.sql_in_scratch(after.table):
            after.copy.execute(sql)
        yield Scratch(before.copy, after.copy)


@contextmanager
def _connection(database: Database) -> Iterator[DriverConnection]:
    """A connection of the pool, closed after an error or Ctrl-C: it may be in the middle of a transaction.

    The next user of it would not know, and what he does would be rolled back in the end.
    """
    with database.writing_connection() as connection:
        try:
            yield connection
        except CannotMeasure:
            raise  # in an orderly way
        except BaseException:
            cast("psycopg.Connection[Any]", connection).close()
            raise


class _Builder:
    """Makes one copy."""

    def __init__(self, connection: DriverConnection, schema: str, finding: Finding) -> None:
        self.schema = schema
        self.copy = PostgresCopy(connection, schema)
        self._finding = finding

    @property
    def table(self) -> str:
        """The copy of the table that the finding is about."""
        return self.copy.table(self._finding.table.name)

    def create(self, relations: Sequence[tuple[str, str]]) -> None:
        self.copy.execute(f"CREATE SCHEMA {quoted(self.schema)}")
        for schema, name in relations:
            like = f"{quoted(schema)}.{quoted(name)}"
            self.copy.execute(f"CREATE TABLE {self.copy.table(name)} (LIKE {like} INCLUDING ALL)")
            # Autovacuum would come in the middle, and to one of the two.
            self.copy.execute(f"ALTER TABLE {self.copy.table(name)} SET (autovacuum_enabled = false)")

    def fill(self, relations: Sequence[tuple[str, str]], rows_at_most: int | None) -> None:
        """Copy rows, in the order in which they lie there; of a table with too many, a sample."""
        for schema, name in relations:
            source = f"{quoted(schema)}.{quoted(name)}"
            if rows_at_most is not None:
                source += self._sample(source, rows_at_most)
            is_dead = FindingKind.DEAD_ROWS in self._finding.kinds and name == self._finding.table.name
            if is_dead:
                self._leave_dead_rows(name, source)
            self._insert(name, source)

    def _sample(self, source: str, rows_at_most: int) -> str:
        ((rows,),) = self.copy.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", (source,))
        # Where nobody has counted, the LIMIT below is what bounds it.
        if rows <= rows_at_most:
            return ""
        if is_about_statistics(self._finding):
            raise CannotMeasure(
                f"{source} has {rows:,.0f} rows, more than the {rows_at_most:,} of a copy, and the statistics of a "
                "sample would be other ones"
            )
        return f" TABLESAMPLE BERNOULLI ({100 * rows_at_most / rows:.6f}) REPEATABLE (1)"

    def _leave_dead_rows(self, name: str, source: str) -> None:
        """As many dead rows for each live one as the original has; nothing clears them away."""
        self.copy.keep_dead_rows()
        facts = self._finding.table
        share = facts.dead_rows / max(facts.rows, 1)
        for _ in range(int(share)):
            self._insert(name, source)
            self.copy.execute(f"DELETE FROM {self.copy.table(name)}")  # noqa: S608  # all names are quoted
        self._insert(name, source, f" WHERE random() < {share % 1}")
        self.copy.execute(f"DELETE FROM {self.copy.table(name)}")  # noqa: S608

    def _insert(self, name: str, source: str, condition: str = "") -> None:
        columns = self.copy.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            (self.copy.table(name),),
        )[0][0]
        with self.copy.transaction(commit=True):
            self.copy.execute("SET LOCAL synchronize_seqscans = off")
            self.copy.execute(
                f"INSERT INTO {self.copy.table(name)} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608
                f"SELECT {columns} FROM {source}{condition}"
            )

    def finish(self, relations: Sequence[tuple[str, str]]) -> None:
        """Statistics: fresh ones, unless they are what the finding is about; then those of the original."""
        for schema, name in relations:
            if not (is_about_statistics(self._finding) and name == self._finding.table.name):
                self.copy.execute(f"ANALYZE {self.copy.table(name)}")
            elif self._finding.table.statistics_rows is not None:
                self._copy_statistics(schema, name)

    def _copy_statistics(self, schema: str, name: str) -> None:
        ((version,),) = self.copy.execute("SELECT current_setting('server_version_num')::int4")
        if version < STATISTICS_CAN_BE_COPIED:
            raise CannotMeasure("statistics can be copied only on PostgreSQL 18 or newer")
        statements = load_statements("perflab.lab.advice", "postgresql")
        names = {"from_schema": schema, "to_schema": self.schema, "table": name}
        self.copy.execute(statements["copy_relation_statistics"], names)
        self.copy.execute(statements["copy_column_statistics"], names)


def _drop(database: Database, schemas: Sequence[str]) -> None:
    """On another connection: the ones that measured may have been cut off in the middle of something."""
    with database.writing_connection() as connection:
        for schema in schemas:
            connection.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
