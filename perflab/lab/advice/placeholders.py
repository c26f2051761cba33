"""The placeholders of drivers, as one notation for the parser, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from perflab.lab.advice.statement import Parameters

_APART = r"(?P<apart>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/)"
_SQLITE = re.compile(rf"{_APART}|\?(?P<number>\d*)|(?<![\w:])[:@$](?P<name>[A-Za-z_]\w*)", re.DOTALL)
_PSYCOPG = re.compile(rf"{_APART}|%(?:\((?P<name>\w+)\))?(?P<format>[sbt])|(?P<percent>%%)", re.DOTALL)
_NAMED = re.compile(r"(?<!:):([A-Za-z_]\w*)")
_SERVER = re.compile(rf"{_APART}|\$(?P<number>\d+)|(?P<percent>%)", re.DOTALL)


def for_parser(sql: str, engine: str) -> str:
    """The statement with `:name` for named placeholders and `:p1` for numbered and nameless ones."""
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        found = match.groupdict()
        if found["apart"] is not None:
            return match[0].replace("%%", "%") if engine == "postgresql" else match[0]
        if found.get("percent"):
            return "%"
        if found.get("name"):
            return f":{found['name']}"
        count = int(found["number"]) if found.get("number") else count + 1
        return f":p{count}"

    return (_PSYCOPG if engine == "postgresql" else _SQLITE).sub(replaced, sql)


def numbered_for_psycopg(sql: str) -> str:
    """A statement with the server's `$1` as psycopg takes it: `%(p1)s`. One without any stays as it is."""
    if not any(match["number"] for match in _SERVER.finditer(sql)):
        return sql

    def replaced(match: re.Match[str]) -> str:
        return f"%(p{match['number']})s" if match["number"] else match[0].replace("%", "%%")

    return _SERVER.sub(replaced, sql)


def numbered_for_server(sql: str) -> str:
    """A statement for psycopg with the server's own `$1`, one number for each name."""
    numbers: dict[str, int] = {}

    def replaced(match: re.Match[str]) -> str:
        if match["apart"] is not None:
            return match[0].replace("%%", "%")
        if match["percent"]:
            return "%"
        name = match["name"] or f" {len(numbers)}"
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PSYCOPG.sub(replaced, sql)


def placeholder_names(sql: str, engine: str) -> list[str]:
    """The names that `for_parser` gives to the placeholders of a statement, each once."""
    return list(dict.fromkeys(_NAMED.findall(_without_text(for_parser(sql, engine)))))


def as_parameters(values: Mapping[str, Any], sql: str, engine: str) -> Parameters:
    """Values by the names of `for_parser` as the driver takes them: by name, or by position."""
    pattern = _PSYCOPG if engine == "postgresql" else _SQLITE
    if any(match["apart"] is None and match["name"] for match in pattern.finditer(sql)):
        return dict(values)
    last = max((int(name[1:]) for name in values), default=0)
    return tuple(values.get(f"p{number}") for number in range(1, last + 1))


def _without_text(sql: str) -> str:
    """The statement without its texts, quoted names and comments."""
    return re.sub(_APART, "", sql, flags=re.DOTALL)
