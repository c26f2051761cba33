"""What listeners hear of a batch that was not written whole: kinds and codes, never a message or an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import uuid4

from perflab.batching.attempts import LeftBatch
from perflab.database.failures import name_of_failure
from perflab.events import FlushFailed


def new_batcher_id() -> str:
    """Tells batches of several batchers apart, also across processes."""
    return uuid4().hex[:8]


def describe_failure(
    batch: LeftBatch,
    name: str,
    *,
    failed: Iterable[tuple[int, Exception]],
    undecided: int,
    error: Exception | None,
    retry_in: float,
) -> FlushFailed | None:
    """The event of a batch; None where each of its items is written.

    Args:
        batch: as it left.
        name: the same for each attempt at it.
        failed: for each error how many items ended with it.
        undecided: items that are tried again.
        error: why.
        retry_in: seconds until then.
    """
    errors: Counter[str] = Counter()
    for items, failure in failed:
        errors[name_of_failure(failure)] += items
    lost = errors.total()
    if not lost and not undecided:
        return None
    if undecided and error is not None:
        errors[name_of_failure(error)] += undecided
    return FlushFailed(
        batch=name,
        items=batch.items,
        failed=lost,
        undecided=undecided,
        errors=tuple(errors.most_common()),
        cause=batch.cause,
        attempt=batch.attempt,
        retry_in=max(0.0, retry_in) if undecided else None,
    )
