"""Reading the facts of all tables, on each engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.lab.advice.table_facts import ROWS_COUNTED_AT_MOST, IndexFacts, SQLiteSettings, TableFacts, Tables, quoted

_WHERE = re.compile(r"\)\s*WHERE\b(.*)\Z", re.IGNORECASE | re.DOTALL)


def read_tables(database: Database) -> Tables:
    """All ordinary tables of a database, those of perflab included."""
    reader = _sqlite_tables if database.engine_name == "sqlite" else _postgresql_tables
    tables: dict[str, TableFacts] = {}
    for facts in reader(database):
        tables.setdefault(facts.name, facts)
    return tables


def read_settings(database: Database) -> SQLiteSettings:
    """How the connection of a SQLite database that writes is set."""
    names = ("journal_mode", "wal_autocheckpoint", "cache_size", "page_size", "page_count")
    with database.writing_connection() as connection:
        mode, checkpoint, cache, page, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    # A negative number counts KiB, a positive one pages.
    return SQLiteSettings(mode, checkpoint, -cache * 1024 if cache < 0 else cache * page, page, page * pages)


def _sqlite_tables(database: Database) -> Iterator[TableFacts]:
    statements = load_statements("perflab.lab.advice", "sqlite")
    has_statistics = ("sqlite_stat1",) in database.fetch(statements["sqlite_stat_tables"])
    for (name,) in database.fetch(statements["tables"]):
        statistics = database.fetch(statements["statistics"], (name,)) if has_statistics else []
        columns = database.fetch(statements["columns"], (name,))
        indexes = [_sqlite_index(*row) for row in database.fetch(statements["indexes"], (name,))]
        key = tuple(column for column, position in sorted(columns, key=itemgetter(1)) if position)
        if key and key not in {index.columns for index in indexes}:
            indexes.append(IndexFacts("", key, unique=True))  # the table itself is the index of its rowid
        yield TableFacts(
            name=name,
            schema="",
            rows=_count(database, quoted(name)),
            columns=tuple(column for column, _ in columns),
            indexes=tuple(indexes),
            # The first number of each row is the number of rows of the table, or of those in a partial index.
            statistics_rows=max((int(str(text).split()[0]) for _, text in statistics), default=None),
            statistics=tuple((index, str(text)) for index, text in statistics),
        )


def _sqlite_index(name: str, unique: int, columns: str, sql: str) -> IndexFacts:
    where = _WHERE.search(sql)
    return IndexFacts(name, tuple(json.loads(columns)), where[1].strip() if where else "", unique=bool(unique))


def _postgresql_tables(database: Database) -> Iterator[TableFacts]:
    statements = load_statements("perflab.lab.advice", "postgresql")
    for row in database.fetch(statements["tables"]):
        name, schema, rows, columns, statistics_rows, changed, dead, updates, hot, options, indexes = row
        facts = TableFacts(
            name=name,
            schema=schema,
            rows=rows,
            columns=tuple(columns or ()),
            indexes=tuple(_postgresql_index(*index) for index in indexes),
            statistics_rows=statistics_rows,
            changed_rows=changed,
            dead_rows=dead,
            updates=updates,
            hot_updates=hot,
            options=options,
        )
        yield facts if rows else _counted(database, facts)


def _counted(database: Database, facts: TableFacts) -> TableFacts:
    """The same with its rows counted: the server's counters arrive late, and are lost in a crash."""
    return replace(facts, rows=_count(database, facts.sql_name))


def _postgresql_index(name: str, unique: bool, where: str, columns: list[str] | None) -> IndexFacts:
    return IndexFacts(name, tuple(columns or ()), where, unique)


def _count(database: Database, table: str) -> int:
    # The name is quoted, and placeholders cannot stand for one.
    ((rows,),) = database.fetch(
        f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {ROWS_COUNTED_AT_MOST}) AS counted",  # noqa: S608
        () if database.engine_name == "sqlite" else None,  # psycopg then takes a % in the name as it is
    )
    return int(rows)
