"""From a batch to statements and back: which ids share a statement, and what came of each row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Parameter = TypeVar("Parameter")


def group_ids(rows: Iterable[tuple[int, Parameter]]) -> dict[Parameter, list[int]]:
    """The ids of each parameter. There is nearly always one: jobs of one batch are on their first attempt."""
    ids: defaultdict[Parameter, list[int]] = defaultdict(list)
    for job_id, parameter in rows:
        ids[parameter].append(job_id)
    return ids


def first_only(rows: Sequence[Any], changed: set[Any]) -> list[bool]:
    """Whether each row changed something; a row that repeats an earlier one did not. Empties `changed`."""
    if len(changed) == len(rows):
        return [True] * len(rows)
    results = []
    for row in rows:
        results.append(row in changed)
        changed.discard(row)
    return results
