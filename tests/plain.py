"""What the quick preparation of many items owes to the thorough one of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perflab.errors import InvalidInput


def outcome(prepare: Callable[[], Sequence[Any]]) -> list[Any] | str:
    """The rows, or what is said about the first item that is refused. Types count: 1 is not True here."""
    try:
        return [repr(row) for row in prepare()]
    except InvalidInput as error:
        return str(error)
