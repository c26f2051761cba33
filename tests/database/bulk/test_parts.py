"""Statements taken apart: the plain ones, and those that are left as they are."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    BindParameter,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from perflab.database.bulk.parts import ChangeParts, Duplicates, InsertParts, Key, Parts, split_outside, take_apart

NASTY = 'x) VALUES (%s, " WHERE '
METADATA = MetaData()
ITEM = Table(
    "item",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("n", Integer),
    Column("name", Text),
    Column(NASTY, Integer),
    Column("changed", Text, onupdate=func.now()),
    schema="lab",
)
PAIR = Table("pair", METADATA, *(Column(name, Integer, primary_key=True) for name in "ab"), Column("n", Integer))


def parts_of(statement: Any, *columns: str, dialect: Any = None) -> Parts | None:
    dialect = dialect or PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=dialect, column_keys=list(columns), for_executemany=True)
    placeholder = "%s" if dialect.name == "postgresql" else "?"
    keys = [dialect.identifier_preparer.format_column(column) for column in statement.table.primary_key]
    return take_apart(str(compiled), placeholder, keys)


def upsert(table: Table, keys: list[str], *updated: str, **more: Any) -> Any:
    statement = postgresql.insert(table)
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in updated} | more.pop("set", {}), **more
    )


WHICH: BindParameter[int] = bindparam("which", type_=Integer())


@pytest.mark.parametrize("dialect", [None, sqlite.dialect()], ids=["postgresql", "sqlite"])
def test_a_plain_insert(dialect: Any) -> None:
    parts = parts_of(
        insert(ITEM).values(name=func.lower(bindparam("text", type_=Text()))), "id", NASTY, "text", dialect=dialect
    )
    assert isinstance(parts, InsertParts)
    doubled = NASTY.replace('"', '""')
    written = doubled.replace("%", "%%") if dialect is None else doubled
    assert (parts.table, parts.columns) == ("lab.item", ("id", "name", f'"{written}"'))
    casts = ("::INTEGER", "::VARCHAR", "::INTEGER") if dialect is None else ("", "", "")
    assert parts.values == (f"\x000\x00{casts[0]}", f"lower(\x001\x00{casts[1]})", f"\x002\x00{casts[2]}")
    assert (parts.conflict, parts.returning, parts.key) == ("", "", None)
    assert parts.head == f'INSERT INTO lab.item (id, name, "{written}")'
    assert parts.answers_each_row


@pytest.mark.parametrize(
    ("statement", "columns", "key", "answers_each_row"),
    [
        (upsert(ITEM, ["id"], "n", "name"), "id n name", Key(("id",), (0,), Duplicates.LAST), True),
        (upsert(ITEM, ["id"], "n"), "id n name", Key(("id",), (0,), Duplicates.APART), True),
        (upsert(ITEM, ["id"], "n", set={"name": "x"}), "id n", Key(("id",), (0,), Duplicates.APART), True),
        (upsert(ITEM, ["id"], set={"n": ITEM.c.n + 1}), "id n", Key(("id",), (0,), Duplicates.APART), True),
        (upsert(ITEM, ["id"], "n", where=ITEM.c.n > 1), "id n", Key(("id",), (0,), Duplicates.APART), False),
        (upsert(ITEM, ["id"], "n", index_where=ITEM.c.n > 1), "id n", None, False),
        (upsert(ITEM, ["name"], "n"), "id n", None, True),
        (upsert(PAIR, ["b", "a"], "n"), "a b n", Key(("b", "a"), (1, 0), Duplicates.LAST), True),
        (postgresql.insert(ITEM).on_conflict_do_nothing(), "n id", Key(("id",), (0,), Duplicates.ALL), False),
        (postgresql.insert(ITEM).on_conflict_do_nothing(), "n", None, False),
        (
            postgresql.insert(ITEM).on_conflict_do_nothing(index_elements=["name"]),
            "id name",
            Key(("name",), (1,), Duplicates.ALL),
            False,
        ),
        (postgresql.insert(ITEM).on_conflict_do_nothing(constraint="c"), "id name", None, False),
    ],
)
def test_the_key_of_an_upsert(statement: Any, columns: str, key: Key | None, answers_each_row: bool) -> None:
    parts = parts_of(statement, *columns.split())
    assert isinstance(parts, InsertParts)
    assert parts.key == key
    assert parts.answers_each_row == answers_each_row


@pytest.mark.parametrize(
    ("statement", "columns", "key", "is_only_keyed"),
    [
        (update(ITEM).where(ITEM.c.id == WHICH), "which n", Key(("id",), (1,), Duplicates.LAST), True),
        (
            update(ITEM).where(ITEM.c.id == WHICH, ITEM.c.name == "x"),
            "which n",
            Key(("id", "name"), (1, 2), Duplicates.LAST),
            True,
        ),
        (update(ITEM).where(ITEM.c.id == WHICH, ITEM.c.n > 1), "which n", Key(("id",), (1,), Duplicates.APART), False),
        (
            update(ITEM).where(ITEM.c.id == WHICH).values(n=ITEM.c.n + 1),
            "which",
            Key(("id",), (1,), Duplicates.APART),
            True,
        ),
        (update(ITEM).where(ITEM.c.n == WHICH), "which n", None, False),
        (update(ITEM).where(ITEM.c.n > WHICH), "which name", None, False),
        (delete(ITEM).where(ITEM.c.id == WHICH), "which", Key(("id",), (0,), Duplicates.LAST), True),
        (
            delete(ITEM).where(ITEM.c.id == WHICH).returning(ITEM.c.n),
            "which",
            Key(("id",), (0,), Duplicates.APART),
            True,
        ),
    ],
)
def test_the_key_of_a_change(statement: Any, columns: str, key: Key | None, is_only_keyed: bool) -> None:
    parts = parts_of(statement, *columns.split())
    assert isinstance(parts, ChangeParts)
    assert parts.key == key
    assert parts.is_only_keyed == is_only_keyed


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        (insert(ITEM), ""),  # VALUES (DEFAULT)
        (insert(ITEM).from_select(["n"], select(PAIR.c.n)), ""),
        (insert(ITEM).values(n=select(PAIR.c.n).scalar_subquery()), "id"),
        (insert(ITEM).values([{"id": 1}, {"id": 2}]), ""),
        (insert(ITEM).values(n=select(select(PAIR.c.n).cte("c").c.n).scalar_subquery()), "id"),
        (update(ITEM), "n"),
        (update(ITEM).where(or_(ITEM.c.id == WHICH, ITEM.c.n == 1)), "which name"),
        (update(ITEM).where(ITEM.c.id == WHICH, ITEM.c.n == PAIR.c.n), "which name"),
        (update(ITEM).where(ITEM.c.id == WHICH).values(n=case((ITEM.c.n > 1, 2), else_=3)), "which"),
        (update(ITEM).where(ITEM.c.id == WHICH, exists().where(PAIR.c.a == 1)), "which n"),
        (delete(ITEM).where(ITEM.c.id == PAIR.c.a, ITEM.c.n == WHICH), "which"),
    ],
)
def test_what_is_not_plain_is_left_as_it_is(statement: Any, columns: str) -> None:
    assert parts_of(statement, *columns.split()) is None


def test_words_in_quotes_and_brackets_split_nothing() -> None:
    parts = parts_of(
        update(ITEM).where(ITEM.c.id == WHICH, literal_column("' WHERE '") == ITEM.c[NASTY]), "which", NASTY
    )
    assert isinstance(parts, ChangeParts)
    assert len(parts.assignments) == 2
    assert split_outside("a, f(b, c), 'd, e', \"f, g\"", ", ") == ["a", "f(b, c)", "'d, e'", '"f, g"']
