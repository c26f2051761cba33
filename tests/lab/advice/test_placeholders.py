"""Placeholders of each driver, between text, quoted names and comments that only look like some."""

from __future__ import annotations

import pytest

from perflab.lab.advice.placeholders import (
    as_parameters,
    for_parser,
    numbered_for_psycopg,
    numbered_for_server,
    placeholder_names,
)

MISLEADING = "SELECT ':a ?', \":b\" -- ? :c\n/* ?1 %s */ WHERE x = "


@pytest.mark.parametrize(
    ("engine", "sql", "parsed", "names"),
    [
        ("sqlite", "a = ? AND b = ?", "a = :p1 AND b = :p2", ["p1", "p2"]),
        ("sqlite", "a = ?2 AND b = ?1 AND c = ?", "a = :p2 AND b = :p1 AND c = :p2", ["p2", "p1"]),
        ("sqlite", "a = :x AND b = @y AND c = $z", "a = :x AND b = :y AND c = :z", ["x", "y", "z"]),
        ("postgresql", "a = %s AND b = %b", "a = :p1 AND b = :p2", ["p1", "p2"]),
        ("postgresql", "a = %(x)s::text AND b %% 2 = 0", "a = :x::text AND b % 2 = 0", ["x"]),
        ("sqlite", f"{MISLEADING}?", f"{MISLEADING}:p1", ["p1"]),
    ],
)
def test_they_become_names(engine: str, sql: str, parsed: str, names: list[str]) -> None:
    assert for_parser(sql, engine) == parsed
    assert placeholder_names(sql, engine) == names


def test_what_stands_in_text_is_none_on_postgresql_either() -> None:
    assert placeholder_names("SELECT '%s', \"%s\" -- %s\n", "postgresql") == []
    assert for_parser("SELECT '100 %%' WHERE a = %s", "postgresql") == "SELECT '100 %' WHERE a = :p1"


def test_values_go_by_position_or_by_name() -> None:
    assert as_parameters({"p2": "b", "p1": "a"}, "x = ? AND y = ?", "sqlite") == ("a", "b")
    assert as_parameters({"p3": "c"}, "x = ?3", "sqlite") == (None, None, "c")
    assert as_parameters({"x": "a"}, "x = :x", "sqlite") == {"x": "a"}
    assert as_parameters({"x": "a"}, "x = %(x)s", "postgresql") == {"x": "a"}
    assert as_parameters({}, "SELECT 1", "sqlite") == ()


def test_statements_of_the_server_become_those_of_psycopg_and_back() -> None:
    seen = "SELECT '5 %' WHERE a = $2 AND b LIKE $1 AND c % 2 = $1"
    sent = numbered_for_psycopg(seen)
    assert sent == "SELECT '5 %%' WHERE a = %(p2)s AND b LIKE %(p1)s AND c %% 2 = %(p1)s"
    assert numbered_for_server(sent) == "SELECT '5 %' WHERE a = $1 AND b LIKE $2 AND c % 2 = $2"
    assert numbered_for_server("a = %s AND b = %s") == "a = $1 AND b = $2"


def test_a_statement_without_any_is_sent_as_it_is() -> None:
    assert numbered_for_psycopg("SELECT 7 % 2") == "SELECT 7 % 2"
