"""Putting jobs in, as an operation."""

from __future__ import annotations

from collections.abc import Sequence

from perflab.database.operation import DriverConnection
from perflab.database.values import approximate_bytes, check_integer, check_text, shown, to_microseconds
from perflab.errors import InvalidInput
from perflab.events import Event, JobsEnqueued
from perflab.queue.engine import EnqueueRow, OnConflict
from perflab.queue.job import NewJob
from perflab.queue.operation import MOST_ATTEMPTS, ROW_BYTES, QueueOperation, QueueSettings
from perflab.queue.plain_jobs import plain_jobs

LOWEST_PRIORITY, HIGHEST_PRIORITY = -32_768, 32_767
LONGEST_KEY = 200


class Enqueue(QueueOperation[NewJob, int]):
    """The result is the id of the job, or, as `on_conflict` says, of the unfinished one that has its key."""

    name = "enqueue"

    def __init__(self, settings: QueueSettings, on_conflict: OnConflict) -> None:
        super().__init__(settings)
        self._on_conflict = on_conflict

    def prepare(self, item: NewJob) -> EnqueueRow:
        if not isinstance(item, NewJob):
            raise InvalidInput(f"a job to enqueue is {type(item).__name__} {shown(item, 80)}: write NewJob(payload, …)")
        priority, max_attempts, run_at, key = item.priority, item.max_attempts, item.run_at, item.key
        # Almost every row passes these two tests; the functions that say what is wrong cost more.
        if type(priority) is not int or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
            check_integer(priority, "priority", low=LOWEST_PRIORITY, high=HIGHEST_PRIORITY)
        if type(max_attempts) is not int or not 1 <= max_attempts <= MOST_ATTEMPTS:
            check_integer(max_attempts, "max_attempts", low=1, high=MOST_ATTEMPTS)
        return (
            self._settings.encode(item.payload),
            priority,
            max_attempts,
            None if run_at is None else to_microseconds(run_at, "run_at"),
            None if key is None else _check_key(key),
        )

    def prepare_plain(self, items: Sequence[NewJob]) -> Sequence[EnqueueRow] | None:
        return plain_jobs(
            items,
            self._settings.encode,
            priorities=(LOWEST_PRIORITY, HIGHEST_PRIORITY),
            attempts=(1, MOST_ATTEMPTS),
        )

    def size_bytes(self, item: NewJob) -> int:
        return ROW_BYTES + approximate_bytes(item.payload)

    def apply(self, connection: DriverConnection, rows: Sequence[EnqueueRow]) -> Sequence[int]:
        now = self._settings.now()
        notify = self._settings.notify and any(run_at is None or run_at <= now for _, _, _, run_at, _ in rows)
        return self._engine.enqueue(
            connection, self._settings.name, rows, now, on_conflict=self._on_conflict, notify=notify
        )

    def event(self, items: Sequence[NewJob], results: Sequence[int]) -> Event:  # noqa: ARG002
        return JobsEnqueued(self._settings.name, len(items))


def _check_key(key: str) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
        raise InvalidInput(f"key is {shown(key, 220)}: give 1 to {LONGEST_KEY} characters, or None")
    return check_text(key, "key")
