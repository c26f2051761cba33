"""Ingests that have ended: their state, their watch, their job and the jobs that follow, written together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection, Operation
from perflab.database.values import shown
from perflab.errors import InvalidInput, RejectedRow
from perflab.events import JobsFinished
from perflab.queue.engine import ErrorRow, Lease
from perflab.queue.operations import QueueOperations, lease_of
from perflab.scheduler.engine import IngestRow, WatchRow
from perflab.scheduler.operations import SchedulerOperation, SchedulerOperations, SchedulerSettings
from perflab.scheduler.watch import FinishedIngest

if TYPE_CHECKING:
    from sqlalchemy import Connection


class FinishRow(NamedTuple):
    """One ingest, checked and encoded by the operations that have a part in it."""

    lease: Lease
    state: IngestRow
    watch: WatchRow | None
    done: Any
    """None: it failed."""
    error: ErrorRow | None
    jobs: list[Any]


class FinishIngest(SchedulerOperation[FinishedIngest, bool]):
    """What several operations do to an ingest, if the lease of its job is still held. False: it is not.

    Jobs are locked before watches, and deleted after them: a tick holds watches while it waits for somebody who deletes
    the job of one.
    """

    name = "finish_ingest"
    tables = frozenset({"perflab_jobs", "perflab_jobs_done", "perflab_watches", "perflab_ingest_states"})

    def __init__(self, settings: SchedulerSettings, own: SchedulerOperations, queue: str, of: QueueOperations) -> None:
        super().__init__(settings)
        self._own = own
        self._queue_name = queue
        self._of_queue = of

    def prepare(self, item: FinishedIngest) -> FinishRow:
        if type(item) is not FinishedIngest:
            raise InvalidInput(
                f"a finished ingest is {type(item).__name__} {shown(item, 80)}: write FinishedIngest(job, state)"
            )
        job, state = item.job, item.state
        lease, ingest = lease_of(job), self._own.update_ingest_state.prepare(state)
        if job.queue != self._queue_name:
            raise InvalidInput(
                f"the job of watch {state.watch!r} is of queue {job.queue!r}: finish it with that queue, "
                f"and not with {self._queue_name!r}"
            )
        if item.watch is not None and item.watch.name != state.watch:
            raise InvalidInput(f"the ingest of watch {state.watch!r} changes watch {item.watch.name!r}: change its own")
        if state.error is not None and item.result is not None:
            raise InvalidInput(f"the ingest of watch {state.watch!r} has both an error and a result: give one")
        queue = self._of_queue
        done = job if item.result is None else (job, item.result)
        return FinishRow(
            lease,
            ingest,
            None if item.watch is None else self._own.add_watch.prepare(item.watch),
            queue.mark_done.prepare(done) if state.error is None else None,
            None if state.error is None else queue.mark_error.prepare((job, state.error)),
            [queue.enqueue.prepare(new) for new in item.jobs],
        )

    def apply(self, connection: DriverConnection, rows: Sequence[FinishRow]) -> Sequence[bool]:
        first_of_lease = {row.lease: number for number, row in reversed([*enumerate(rows)])}
        # A server that answers only at the end refuses the whole instead: see `finish_ingests`.
        held = self._engine.hold_jobs(connection, list(first_of_lease))
        results = [row.lease in held and first_of_lease[row.lease] == number for number, row in enumerate(rows)]
        kept = [row for row, result in zip(rows, results, strict=True) if result]
        steps: list[tuple[Operation[Any, Any], list[Any]]] = [
            (self._own.add_watch, [row.watch for row in kept if row.watch is not None]),
            (self._own.update_ingest_state, [row.state for row in kept]),
            (self._of_queue.enqueue, [job for row in kept for job in row.jobs]),
            (self._of_queue.mark_done, [row.done for row in kept if row.error is None]),
            (self._of_queue.mark_error, [row.error for row in kept if row.error is not None]),
        ]
        for operation, parts in steps:
            if parts:
                operation.apply(connection, parts)
        return results

    def event(self, items: Sequence[FinishedIngest], results: Sequence[bool]) -> JobsFinished:
        failed = [(item.job, item.state.error) for item in items if item.state.error is not None]
        of_failed = [result for item, result in zip(items, results, strict=True) if item.state.error is not None]
        finished = self._of_queue.mark_error.event(failed, of_failed)
        return replace(
            finished, done=sum(results) - finished.retried - finished.dead, stale=len(results) - sum(results)
        )


def finish_ingests(
    db: Database, operation: FinishIngest, ingests: Iterable[FinishedIngest], connection: Connection | None
) -> list[bool]:
    """Write them, at first as if all leases were held, as they nearly always are: then it is one round trip.

    If the server refuses, whatever the reason is, it is asked which are held, and the others are left out.
    """
    items = list(ingests)
    try:
        return db.apply(operation, items, connection=connection)
    except RejectedRow:
        if connection is not None:  # there it was asked already
            raise
    rows = list(map(operation.prepare, items))
    with TypedErrors(f"{operation.name} of {len(rows)} items"), db.driver_conversation() as conversation:
        results = list(operation.apply(conversation, rows))
    db.announce(operation, items, results)
    return results
