"""Events as they are written down by hand."""

from __future__ import annotations

from perflab.events import Cause, FlushCompleted, FlushFailed, Outcome

FLUSH = FlushCompleted(
    items=80,
    delivered=80,
    capacity=100,
    bytes=0,
    seconds=0.004,
    waited=0.010,
    round_trips=3,
    round_trips_unbatched=240,
    cause=Cause.AGE,
    outcome=Outcome.COMMITTED,
    attempt=1,
)
FAILURE = FlushFailed(
    batch="00c0ffee-17",
    items=100,
    failed=2,
    undecided=0,
    errors=(("RejectedRow (SQLITE_CONSTRAINT_UNIQUE)", 2),),
    cause=Cause.COUNT,
    attempt=1,
    retry_in=None,
)
