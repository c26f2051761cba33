"""The types that a notebook parameter can have, and the conversion of text from the command line to each.

Nothing here evaluates a value: a text becomes the declared type, or is refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class ParameterType:
    """One type: how it reads text, which values it holds, and how a message names it ("takes …")."""

    read: Callable[[str], object]
    holds: Callable[[object], bool]
    wanted: str

    def convert(self, value: object) -> object:
        """The value in this type; text is read, anything else must already fit.

        Raises:
            ValueError: It does not fit. The message is `wanted`.
        """
        try:
            converted = self.read(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            raise ValueError(self.wanted) from None
        if not self.holds(converted):
            raise ValueError(self.wanted)
        return converted


def _read_bool(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.strip().lower() not in words:
        raise ValueError(text)
    return words[text.strip().lower()]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    try:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int beyond the largest float
        return False


def _is_text(value: object) -> bool:
    """Whether the value is text that a file in UTF-8 can hold: an argument of other bytes has lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(_is_text(key) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, bool) or _is_int(value) or _is_float(value) or _is_text(value)


PARAMETER_TYPES: Final[Mapping[str, ParameterType]] = {
    "int": ParameterType(int, _is_int, "a whole number such as 500"),
    "float": ParameterType(float, _is_float, "a finite number such as 0.01"),
    "str": ParameterType(str, _is_text, "text in UTF-8"),
    "bool": ParameterType(_read_bool, lambda value: isinstance(value, bool), "true or false"),
    "list": ParameterType(
        json.loads, lambda value: isinstance(value, list) and _is_json(value), "a list in JSON such as [1, 10, 100]"
    ),
    "dict": ParameterType(
        json.loads, lambda value: isinstance(value, dict) and _is_json(value), 'a dict in JSON such as {"rows": 3}'
    ),
    "Optional[str]": ParameterType(str, lambda value: value is None or _is_text(value), "text in UTF-8"),
}
