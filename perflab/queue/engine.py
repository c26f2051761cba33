"""What the queue needs of a SQL engine. One file for each engine answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from perflab.database.compression import StoredPayload
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.queue.backoff import Spread
from perflab.queue.job import QueueCounts

OnConflict = Literal["skip", "raise", "replace"]
"""What becomes of a job whose key an unfinished one has."""
EnqueueRow: TypeAlias = tuple[StoredPayload, int, int, int | None, str | None]
"""payload (bytes: compressed), priority, max_attempts, run_at (None: at once), key"""
Lease: TypeAlias = tuple[int, int]
"""id, attempt"""
FinishedRow: TypeAlias = tuple[int, int, StoredPayload]
"""id, attempt, result"""
ErrorRow: TypeAlias = tuple[int, int, int, str]
"""id, attempt, delay before the next attempt or `DIES`, error"""
DIES = -1
"""Instead of a delay: there is to be no next attempt."""
ExtendRow: TypeAlias = tuple[int, int, int]
"""id, attempt, new end of the lease"""
KeptJobs: TypeAlias = tuple[int, list[bool]]
"""id of a worker's lease, and which jobs it has"""
ProgressRow: TypeAlias = tuple[int, int, float, str]
"""id, attempt, fraction that is done, note"""
ReportedRow: TypeAlias = tuple[int, int, float, str, int]
"""id, attempt, fraction, note, when it was reported"""
RetryRow: TypeAlias = tuple[int, int]
"""id, number of attempts more"""
ClaimedRow: TypeAlias = tuple[int, int, int, str, int, int, str | None, bytes | None]
"""priority, run_at, id, payload, attempt, max_attempts, key, payload_zstd"""
DeadRow: TypeAlias = tuple[int, int, str, bytes | None, int, int, str | None, str | None, int]
"""run_at (of its death), id, payload, payload_zstd, priority, attempt, key, last_error, enqueued_at"""
DoneRow: TypeAlias = tuple[int, int, str, bytes | None, str, bytes | None, int, int, str | None, int]
"""done_at, id, payload, payload_zstd, result, result_zstd, priority, attempt, key, enqueued_at"""


class Holder(NamedTuple):
    """Who gets claimed jobs: a lease of their own, or that of a worker."""

    lease_until: int | None
    worker: str | None
    worker_id: int | None


CHANNEL = "perflab_jobs"
"""What workers listen to; the payload is the name of the queue."""
PROMOTED_AT_ONCE = 10_000
"""Bounds how long one claim may hold its locks when very many jobs fall due together."""


class QueueEngine(Protocol):
    """The queue's statements. All that take a connection run inside a transaction that the caller begins and ends.

    Results may be read only after that transaction: a server sends them all at its end. Times are microseconds since
    1970, delays microseconds. Calls that take many rows take at least one, and return one result for each, in their
    order; of several rows for one job, the first one counts, unless stated otherwise.
    """

    def enqueue(
        self,
        connection: DriverConnection,
        queue: str,
        rows: Sequence[EnqueueRow],
        now: int,
        *,
        on_conflict: OnConflict,
        notify: bool,
    ) -> Sequence[int]:
        """The ids. With `notify`, listeners are told, as by the method of that name.

        Of a row whose key an unfinished job has, or another row:

        - skip: that one's id; the row is not written. Of several rows, the first one is.
        - raise: nothing is written.
        - replace: the id of a job that waits, which becomes what the row says. A running one loses its key and its
          further attempts, and the row is written. Of several rows, the last one counts, and they share its id.

        Raises:
            RejectedRow: a key is taken; a server may say so in an error of its own.
        """

    def notify(self, connection: DriverConnection, queue: str) -> None:
        """Tell listeners, once the transaction is committed, that there are jobs; nothing where none can listen."""

    def promote(self, connection: DriverConnection, queue: str, limit: int, now: int, *, notify: bool) -> None:
        """Make scheduled jobs ready whose time has come, before a claim of up to `limit`.

        With `notify`, tell listeners if that leaves some for them.
        """

    def claim(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, holder: Holder, ageing: int | None
    ) -> Sequence[ClaimedRow]:
        """Lease ready jobs in the order of `claim_order`. None, if the worker's lease is lost."""

    def mark_done(self, connection: DriverConnection, leases: Sequence[Lease]) -> Sequence[bool]:
        """Delete what is still held."""

    def keep_done(self, connection: DriverConnection, rows: Sequence[FinishedRow], now: int) -> Sequence[bool]:
        """Move what is still held to the finished jobs, with its result."""

    def mark_error(self, connection: DriverConnection, rows: Sequence[ErrorRow], now: int) -> Sequence[bool]:
        """Schedule what is still held again, or let it die if it has no attempts left."""

    def release(self, connection: DriverConnection, leases: Sequence[Lease], now: int) -> Sequence[bool]:
        """Make what is still held ready again."""

    def extend_lease(self, connection: DriverConnection, rows: Sequence[ExtendRow]) -> Sequence[bool]:
        """Move the end of leases that are still held; of several rows for one lease, the last one counts.

        Jobs of a worker's lease get one of their own.
        """

    def report_progress(self, connection: DriverConnection, rows: Sequence[ProgressRow], now: int) -> Sequence[bool]:
        """Note how far what is still held is; of several rows for one lease, the last one counts."""

    def progress(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[ReportedRow]:
        """The last reports of those of these jobs that have one, in any order, on a reading connection."""

    def open_lease(
        self, connection: DriverConnection, queue: str, worker: str, now: int, *, lease_until: int
    ) -> Sequence[int]:
        """A new lease for the jobs of a worker; its id alone."""

    def renew_lease(self, connection: DriverConnection, worker_id: int, now: int, *, lease_until: int) -> Sequence[int]:
        """Move the end of a worker's lease; its id if it still holds."""

    def replace_lease(
        self,
        connection: DriverConnection,
        queue: str,
        worker_id: int,
        leases: Sequence[Lease],
        now: int,
        *,
        worker: str,
        lease_until: int,
    ) -> Sequence[KeptJobs]:
        """Close a worker's lease, and open another one that has those of these jobs (any number) that are still held;
        the others of the old one are released. Which ones it has, as the only row.
        """

    def close_lease(self, connection: DriverConnection, queue: str, worker_id: int, now: int) -> Sequence[int]:
        """End a worker's lease, and release what it has; the ids of that."""

    def cancel(self, connection: DriverConnection, queue: str, ids: Sequence[int]) -> Sequence[bool]:
        """Delete scheduled and ready jobs."""

    def retry(self, connection: DriverConnection, queue: str, rows: Sequence[RetryRow], now: int) -> Sequence[bool]:
        """Make dead jobs ready for a number of attempts more."""

    def rescue_expired(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, spread: Spread
    ) -> Sequence[str]:
        """Take expired leases away, those of jobs and those of workers; the state of each of these jobs."""

    def purge(self, connection: DriverConnection, queue: str, limit: int, died_before: int) -> Sequence[int]:
        """Delete jobs that died before a time; their ids."""

    def redrive(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, attempts: int
    ) -> Sequence[int]:
        """Make the jobs that died first ready for a number of attempts more; the ids of those that could be."""

    def pause(self, connection: DriverConnection, queue: str, now: int) -> Sequence[str]:
        """Let claims find nothing; the name of the queue if that is new."""

    def resume(self, connection: DriverConnection, queue: str) -> Sequence[str]:
        """Let claims find jobs again; the name of the queue if that is new."""

    def paused_at(self, database: Database, queue: str) -> int | None:
        """Since when claims find nothing, on a reading connection."""

    def dead_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DeadRow]:
        """Dead jobs before a run_at and id, the last ones first, on a reading connection."""

    def done_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DoneRow]:
        """Finished jobs before a done_at and id, the last ones first, on a reading connection."""

    def find_done(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[DoneRow]:
        """Those of these jobs that are finished, in any order, on a reading connection."""

    def purge_done(self, connection: DriverConnection, queue: str, limit: int, done_before: int) -> Sequence[int]:
        """Delete jobs that were finished before a time; their ids."""

    def count_waiting(self, database: Database, queue: str, most: int) -> int:
        """Scheduled and ready jobs, up to `most`, on a reading connection."""

    def count_waiting_inside(self, connection: DriverConnection, queue: str, most: int) -> Sequence[int]:
        """The same as a transaction sees it; one number."""

    def counts(self, database: Database, queue: str) -> QueueCounts:
        """Jobs by state, on a reading connection."""
