"""What a key is kept under, and how much memory it takes with its rows."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any, TypeAlias

from perflab.database.values import shown
from perflab.errors import InvalidInput

Slot: TypeAlias = tuple[Any, ...]
"""A key, and the types of its values: 1 and True are equal to Python, and not always to a database."""

ENTRY_BYTES = 520
"""Of one entry without its key and value: the entry itself, its slot, and its places in the dictionaries and orders of
cachetools. Measured with tracemalloc on CPython 3.11: 450 to 550, depending on how full the dictionaries are."""


def slot_of(key: Any) -> Slot:
    """The slot of a key; a list is taken for a tuple.

    Raises:
        InvalidInput: the key cannot be looked up.
    """
    if isinstance(key, list):
        key = tuple(key)
    slot = (key, *map(type, key)) if isinstance(key, tuple) else (key, type(key))
    try:
        hash(slot)
    except TypeError:
        raise InvalidInput(f"a row cannot be looked up by {shown(key, 120)}: a value of it cannot be hashed") from None
    return slot


def key_of(slot: Slot) -> Hashable:
    key: Hashable = slot[0]
    return key


def memory_bytes(value: Any) -> int:
    """About how many bytes a value takes in memory, with what it holds."""
    size = sys.getsizeof(value)
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bytes or value is None:
        return size
    if isinstance(value, dict):
        return size + sum(memory_bytes(key) + memory_bytes(held) for key, held in value.items())
    if isinstance(value, tuple | list | set | frozenset):
        return size + sum(map(memory_bytes, value))
    return size
