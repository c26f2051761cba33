"""From a batch to statements and back: which ids share a statement, and what came of each row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from perflab.errors import RejectedRow
from perflab.queue.engine import ClaimedRow, EnqueueRow, OnConflict

Parameter = TypeVar("Parameter")


def group_ids(rows: Iterable[tuple[int, Parameter]]) -> dict[Parameter, list[int]]:
    """The ids of each parameter. There is nearly always one: jobs of one batch are on their first attempt."""
    ids: defaultdict[Parameter, list[int]] = defaultdict(list)
    for job_id, parameter in rows:
        ids[parameter].append(job_id)
    return ids


def one_for_each_key(rows: Sequence[EnqueueRow], on_conflict: OnConflict) -> tuple[list[EnqueueRow], list[int]]:
    """The rows without those that another one stands for, and the position in them of each row's own or that one.

    Raises:
        RejectedRow: a key comes twice, and may not.
    """
    position_of_key: dict[str, int] = {}
    positions: list[int] = []
    distinct: list[EnqueueRow] = []
    for row in rows:
        key = row[4]
        position = len(distinct) if key is None else position_of_key.setdefault(key, len(distinct))
        if position == len(distinct):
            distinct.append(row)
        elif on_conflict == "raise":
            raise key_taken(key, "another job of the same call")
        elif on_conflict == "replace":
            distinct[position] = row
        positions.append(position)
    return distinct, positions


def key_taken(key: str | None, holder: str) -> RejectedRow:
    return RejectedRow(f"the key {key!r} belongs to {holder}: give another one, or say on_conflict='skip' or 'replace'")


def claim_order(ageing: int | None) -> Callable[[ClaimedRow], Any]:
    """What claimed rows are sorted by: priority, run_at and id; or their virtual deadline, then priority and id."""
    if ageing is None:
        return itemgetter(0, 1, 2)
    return lambda row: (row[1] + row[0] * ageing, row[0], row[2])


def first_only(rows: Sequence[Any], changed: set[Any]) -> list[bool]:
    """Whether each row changed something; a row that repeats an earlier one did not. Empties `changed`."""
    if len(changed) == len(rows):
        return [True] * len(rows)
    results = []
    for row in rows:
        results.append(row in changed)
        changed.discard(row)
    return results
