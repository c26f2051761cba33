"""Millions of jobs through one queue, and the proof that each was handled once.

python -m tests.faults.many_jobs ENGINE [JOBS]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

CHUNK = 1_000
MOST_WAITING = 100_000
"""Enqueueing waits here, so that the database stays of one size."""


@contextmanager
def fresh_url(engine: str) -> Iterator[str]:
    """A new database of an engine, removed at the end."""
    with ExitStack() as cleanup:
        directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="perflab-postgres-"))
        if engine == "sqlite":
            yield f"sqlite:///{Path(directory) / 'jobs.db'}"
        else:
            yield cleanup.enter_context(EmbeddedServer.start(directory)).url


class Passage:
    """Enqueues numbered jobs in one thread, and claims and acknowledges them in another.

    Args:
        database: with perflab's tables and an empty queue.
        jobs: how many, in thousands.
    """

    def __init__(self, database: Database, jobs: int) -> None:
        self._queue: PriorityQueue[Any, Any] = PriorityQueue(database, "passage")
        self._jobs = jobs
        self._seen = bytearray(jobs)
        """How often each number was acknowledged: a byte for each."""
        self._done = 0
        self._failed = threading.Event()

    def run(self) -> None:
        """Pass all jobs through.

        Raises:
            AssertionError: one was lost, handled twice or left behind.
        """
        enqueuer = threading.Thread(target=self._enqueue)
        enqueuer.start()
        try:
            while self._done < self._jobs and not self._failed.is_set():
                self._take()
        finally:
            self._failed.set()
            enqueuer.join()
        assert self._seen == b"\x01" * self._jobs, f"{self._jobs - self._seen.count(1):,} jobs were not handled once"
        counts = self._queue.counts()
        assert (counts.unfinished, counts.dead) == (0, 0), counts

    def _enqueue(self) -> None:
        try:
            for first in range(0, self._jobs, CHUNK):
                while first - self._done > MOST_WAITING and not self._failed.wait(0.01):
                    pass
                if self._failed.is_set():
                    return
                ids = self._queue.bulk_enqueue([NewJob(first + number) for number in range(CHUNK)])
                assert len(set(ids)) == CHUNK
        except BaseException:
            self._failed.set()
            raise

    def _take(self) -> None:
        jobs = self._queue.claim(limit=CHUNK)
        if not jobs:
            self._failed.wait(0.001)
            return
        for job, is_done in zip(jobs, self._queue.mark_done_bulk(jobs), strict=True):
            self._seen[job.payload] += is_done
        self._done += len(jobs)


def main(arguments: Sequence[str]) -> int:
    engine, jobs = arguments[0], int(arguments[1]) if len(arguments) > 1 else 10_000_000
    with fresh_url(engine) as url, Database.open(url) as database:
        database.create_schema()
        started = time.perf_counter()
        Passage(database, jobs).run()
        seconds = time.perf_counter() - started
    print(f"{engine}: {jobs:,} jobs in {seconds:,.1f} s ({jobs / seconds:,.0f} a second), each handled once, none left")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
