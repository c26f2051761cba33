"""perflab's own queue and worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from perflab.database.database import Database
from perflab.lab.peers.durability import count_rows, postgresql_durability, sqlite_durability
from perflab.lab.peers.peer import Card, Handle, Payload
from perflab.lab.sweep.plan import Engine
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

BATCH_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class OurQueue:
    """A `Worker` with one thread, which claims up to 1,000 jobs at a time."""

    engine: Engine
    sync: Literal["normal", "full"] = "full"
    keep_done: bool = False

    @property
    def card(self) -> Card:
        name = "perflab, kept" if self.keep_done else "perflab"
        return Card(
            name=name if self.engine == "postgresql" else f"{name}, {self.sync}",
            package="",
            engine=self.engine,
            role="ours",
            setting=f"Worker(concurrency=1, prefetch={2 * BATCH_SIZE}, batch_size={BATCH_SIZE})",
            source="README",
            guarantee="at least once: leases end with a dead worker, acknowledgements are fenced by attempt",
            finished="moved to a table of their own" if self.keep_done else "deleted",
            durability=self.sync,
            wakes=self.engine == "postgresql" and not self.keep_done,
        )

    def _open(self, url: str) -> Database:
        return Database.open(url, durability=self.sync)

    def _queue(self, database: Database) -> PriorityQueue[int, bool]:
        return PriorityQueue(database, "peers", keep_done=self.keep_done)

    def create(self, url: str) -> None:
        with self._open(url) as database:
            database.create_schema()

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        with self._open(url) as database:
            queue = self._queue(database)
            for payload in payloads:
                queue.enqueue(payload)

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        with self._open(url) as database:
            queue = self._queue(database)
            for batch in batches:
                queue.bulk_enqueue(map(NewJob, batch))

    def work(self, url: str, handle: Handle) -> None:
        def handler(job: Job) -> None:
            if handle(job.payload):
                worker.stop()

        with self._open(url) as database:
            worker = Worker(
                self._queue(database), handler, concurrency=1, prefetch=2 * BATCH_SIZE, batch_size=BATCH_SIZE
            )
            worker.run()

    def unfinished(self, url: str) -> int:
        query = "SELECT count(*) FROM perflab_jobs"
        if self.engine == "postgresql":
            return count_rows(url, query)
        with self._open(url) as database:
            return int(database.fetch(query)[0][0])

    def durability(self, url: str) -> str:
        if self.engine == "postgresql":
            return postgresql_durability(url, "perflab_jobs")
        with self._open(url) as database, database.writing_connection() as connection:
            return sqlite_durability(connection)  # type: ignore[arg-type]  # it is sqlite3's own
