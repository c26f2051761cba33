"""Which Core statements are one operation, so that they batch together, and which must stay apart."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, Table, Text, insert, literal, select, text

from perflab.database.core_write import CACHED_OPERATIONS, CoreWrites
from perflab.database.database import Database
from perflab.errors import InvalidInput

METADATA = MetaData()
FLIGHT = Table("flight", METADATA, Column("id", Integer, primary_key=True), Column("delay", Integer))
PLANE = Table("plane", METADATA, Column("tail", Text, primary_key=True))
TAGGED = Table("tagged", METADATA, Column("id", Integer, primary_key=True), Column("tags", JSON))


@pytest.fixture(autouse=True)
def tables(plain: Database) -> None:
    with plain.transaction() as connection:
        METADATA.create_all(connection)


def test_equal_statements_share_an_operation(plain: Database) -> None:
    operations = CoreWrites(plain.dialect)
    same = insert(FLIGHT)
    assert operations.operation(same) is operations.operation(same)
    assert operations.operation(insert(FLIGHT)) is operations.operation(same)
    assert operations.operation(insert(FLIGHT).values(delay=1)) is operations.operation(insert(FLIGHT).values(delay=1))
    assert operations.operation(insert(FLIGHT)) is not operations.operation(insert(PLANE))
    assert operations.operation(insert(FLIGHT)) is not operations.operation(insert(FLIGHT).returning(FLIGHT.c.id))


class Sly:
    """Two of them look alike and are not equal."""

    def __repr__(self) -> str:
        return "Sly()"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("a", "b"),
        (None, 0),
        (Decimal("1.0"), Decimal("1.00")),
        (Sly(), Sly()),
    ],
)
def test_statements_with_other_fixed_values_share_nothing(plain: Database, one: Any, other: Any) -> None:
    operations = CoreWrites(plain.dialect)
    first = operations.operation(insert(FLIGHT).values(delay=literal(one, Text())))
    second = operations.operation(insert(FLIGHT).values(delay=literal(other, Text())))
    assert first is not second


def test_a_fixed_value_that_cannot_be_hashed_is_kept_apart(plain: Database) -> None:
    operations = CoreWrites(plain.dialect)
    for tags in ({"a": 1}, {"a": 2}, {"a": 1}):
        plain.apply(operations.operation(insert(TAGGED).values(tags=tags)), [{}])
    stored = [json.loads(text) for (text,) in plain.fetch("SELECT CAST(tags AS TEXT) FROM tagged ORDER BY id")]
    assert stored == [{"a": 1}, {"a": 2}, {"a": 1}]


def test_the_cache_is_bounded_and_forgets_nothing_that_is_in_use(plain: Database) -> None:
    operations = CoreWrites(plain.dialect)
    kept = operations.operation(insert(FLIGHT).values(delay=-1))
    for delay in range(CACHED_OPERATIONS + 10):
        operations.operation(insert(FLIGHT).values(delay=delay))
    assert len(operations._by_identity) == CACHED_OPERATIONS
    assert len(operations._by_structure) == CACHED_OPERATIONS
    plain.apply(kept, [{"id": 1}])
    assert plain.fetch("SELECT delay FROM flight") == [(-1,)]


@pytest.mark.parametrize(
    "statement", [select(FLIGHT), text("DELETE FROM flight"), "DELETE FROM flight", FLIGHT, None, 5]
)
def test_what_is_no_write_is_refused(plain: Database, statement: Any) -> None:
    with pytest.raises(InvalidInput, match=r"cannot batch .*: submit an insert\(\), update\(\) or delete\(\)"):
        CoreWrites(plain.dialect).operation(statement)
