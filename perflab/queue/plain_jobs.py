"""Many jobs at once, checked by columns: a few calls for each field instead of some for each job.

Nearly all jobs are plain: numbers are Python's own, and there is neither a key nor a time. Where one of a batch is not,
the answer is None, and the operation prepares each by itself: only that knows the rules for the rest, and the words for
what is wrong. For 1,000 jobs with eight values in their payloads the plain way takes 0.3 µs less each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from perflab.database.compression import StoredPayload
from perflab.database.plain_payloads import encode_all
from perflab.queue.engine import EnqueueRow, Lease
from perflab.queue.job import Job, NewJob

_LEASE = attrgetter("id", "attempt")
_FIELDS = tuple(map(attrgetter, ("payload", "priority", "max_attempts", "run_at", "key")))


def plain_jobs(
    items: Sequence[NewJob],
    encode: Callable[[Any], StoredPayload],
    *,
    priorities: tuple[int, int],
    attempts: tuple[int, int],
) -> list[EnqueueRow] | None:
    """The rows of jobs without keys that are ready at once; None: look at each.

    Args:
        items: at least one.
        encode: of one payload.
        priorities: the lowest and the highest that there may be.
        attempts: the same of `max_attempts`.

    Raises:
        InvalidInput: a payload was refused.
    """
    if set(map(type, items)) != {NewJob}:
        return None
    payloads, *numbers, moments, keys = (list(map(field, items)) for field in _FIELDS)
    if moments.count(None) != len(items) or keys.count(None) != len(items):
        return None
    for column, (low, high) in zip(numbers, (priorities, attempts), strict=True):
        if set(map(type, column)) != {int} or min(column) < low or max(column) > high:
            return None
    return list(zip(encode_all(encode, payloads), *numbers, moments, keys, strict=True))


def plain_leases(items: Sequence[Any]) -> list[Lease] | None:
    """Id and attempt of claimed jobs; None where one of them is something else."""
    return list(map(_LEASE, items)) if set(map(type, items)) == {Job} else None
