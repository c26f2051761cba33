"""One order of locks: rows of a batch sorted by their key, and of several with one key the last.

Two batches that write the same rows in the same order wait for each other at most; in different orders they can
deadlock. The order is Python's, on all engines: it need not be the database's, only the same for all who write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from perflab.database.bulk.parts import Duplicates, Key

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Arranged:
    """Which rows to send, in which order, and which of them stands for each row of the batch."""

    order: Sequence[int]
    """Indices of the rows to send."""
    place: Sequence[int]
    """For each row of the batch, where in `order` it, or the later one that superseded it, stands."""

    @property
    def superseded(self) -> int:
        return len(self.place) - len(self.order)


def arrange(rows: Sequence[Row], key: Key) -> Arranged | None:
    """Rows with different keys in the order of these.

    Returns:
        None where the rows must be sent one after the other: keys that cannot be compared or are of several types (1
        and True are one key in Python, and two in a text column), or two rows with one key where the last does not
        overwrite all of the first.
    """
    for position in key.positions:
        kinds = {type(row[position]) for row in rows}
        if len(kinds) > 1 or type(None) in kinds:
            return None
    read = itemgetter(*key.positions)
    keys = list(map(read, rows))
    try:
        if key.duplicates is Duplicates.ALL:
            order: Sequence[int] = sorted(range(len(rows)), key=keys.__getitem__)
            return Arranged(order, _inverse(order))
        last = {value: index for index, value in enumerate(keys)}
        if len(last) < len(keys) and key.duplicates is Duplicates.APART:
            return None
        order = [last[value] for value in sorted(last)]
    except TypeError:
        return None
    places = {keys[index]: place for place, index in enumerate(order)}
    return Arranged(order, [places[value] for value in keys])


def in_key_order(rows: Sequence[Row], key: Key | None) -> Sequence[int]:
    """Indices of rows that are sent one after the other: by key where keys compare, those of one key as they came."""
    if key is None:
        return range(len(rows))
    keys = list(map(itemgetter(*key.positions), rows))
    try:
        return sorted(range(len(rows)), key=keys.__getitem__)
    except TypeError:
        return range(len(rows))


def _inverse(order: Sequence[int]) -> Sequence[int]:
    places = [0] * len(order)
    for place, index in enumerate(order):
        places[index] = place
    return places
