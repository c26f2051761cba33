"""Rules as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.rule import AlertRule, Severity

_FIELDS = {
    "signal": "signal",
    "above": "above",
    "below": "below",
    "clear": "clear",
    "for": "for_seconds",
    "keep": "keep_seconds",
    "window": "window_seconds",
    "at_least": "at_least",
    "severity": "severity",
    "summary": "summary",
}
DEFAULT_FILE = "default_rules.toml"


def default_rules_text() -> str:
    """The file of the default rules: a start for one's own."""
    return files("perflab.monitoring.alerts").joinpath(DEFAULT_FILE).read_text(encoding="utf-8")


def default_rules() -> tuple[AlertRule, ...]:
    return parse_rules(default_rules_text(), DEFAULT_FILE)


def read_rules(path: Path) -> tuple[AlertRule, ...]:
    """The rules of a file.

    Raises:
        InvalidInput: it cannot be read, or `parse_rules` refuses it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise InvalidInput(f"the rules {str(path)!r} cannot be read ({reason}): name a TOML file of rules") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, where: str) -> tuple[AlertRule, ...]:
    """The rules of a text: a table for each rule, whose name is that of the table.

    Raises:
        InvalidInput: it is no TOML, holds no rule, or one that is refused.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, a number of thousands of digits, brackets as deep
        raise InvalidInput(f"{where} is no TOML: {error}") from error
    if not tables:
        raise InvalidInput(f"{where} holds no rule: `perflab alerts --print toml` shows some")
    return tuple(_rule(name, table, where) for name, table in tables.items())


def _rule(name: str, table: object, where: str) -> AlertRule:
    if not isinstance(table, Mapping):
        raise InvalidInput(f"{name!r} in {where} is no rule: write a table such as [queue_old] with a `signal`")
    if unknown := sorted(table.keys() - _FIELDS.keys()):
        raise InvalidInput(f"the rule {name!r} in {where} has {unknown[0]!r}: it may have {', '.join(_FIELDS)}")
    if "signal" not in table:
        raise InvalidInput(f"the rule {name!r} in {where} has no `signal`: say what it watches")
    values: dict[str, Any] = {_FIELDS[key]: value for key, value in table.items()}
    for text in ("signal", "summary"):
        if not isinstance(values.get(text, ""), str):
            raise InvalidInput(f"{text} of the rule {name!r} in {where} is {values[text]!r}: give a text")
    if values.get("severity") in list(Severity):
        values["severity"] = Severity(values["severity"])
    try:
        return AlertRule(name, **values)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
