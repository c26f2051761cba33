"""What compressing payloads costs and saves, by their size: the default threshold of `Compression` comes from here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from perflab.database.compression import Compression
from perflab.database.database import Database
from perflab.database.values import encode_payload
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.comparison import Comparison
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

QUEUE = "bench"
LEASE_SECONDS = 3_600.0
JOBS_OF_KIBIBYTES = {1: 512, 4: 256, 16: 128, 256: 16}
"""How many jobs a batch has at each size of payload."""
TIMED_BATCHES = 3
WHATEVER_ITS_SIZE = Compression(threshold=0)

Payloads = list[list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class JobCycle:
    """Enqueue a batch, claim it with its payloads decoded, and mark it done."""

    name: str
    engine: BenchEngine
    payloads: Payloads
    compression: Compression | None

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block does the same
        with (
            self.engine.fresh_database() as url,
            Database.open(url, compression=self.compression) as database,
        ):
            queue = PriorityQueue(database, QUEUE)
            seconds = [self._cycle(queue) for _ in range(1 + TIMED_BATCHES)]
        return sum(seconds[1:]) / (TIMED_BATCHES * len(self.payloads))

    def _cycle(self, queue: PriorityQueue[int, bool]) -> float:
        jobs = [NewJob(payload) for payload in self.payloads]
        start = time.perf_counter()
        queue.bulk_enqueue(jobs)
        queue.mark_done_bulk(queue.claim(len(jobs), LEASE_SECONDS))
        return time.perf_counter() - start

    def bytes_on_disk(self) -> int:
        """Of one batch in the table, with its indexes."""
        with (
            self.engine.fresh_database() as url,
            Database.open(url, compression=self.compression) as database,
        ):
            size: Callable[[], int] = lambda: database.fetch(_SIZE[database.engine_name])[0][0]  # noqa: E731
            empty = size()
            PriorityQueue(database, QUEUE).bulk_enqueue([NewJob(payload) for payload in self.payloads])
            return size() - empty


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "postgresql": "SELECT pg_total_relation_size('perflab_jobs')",
}


def compression_comparisons(engine: BenchEngine) -> list[Comparison]:
    """The same cycle with and without, at each size."""
    return [_comparison(engine, kibibytes) for kibibytes in JOBS_OF_KIBIBYTES]


def _comparison(engine: BenchEngine, kibibytes: int) -> Comparison:
    payloads = payloads_of(kibibytes * 1_024, JOBS_OF_KIBIBYTES[kibibytes])
    compressed = JobCycle("compressed", engine, payloads, WHATEVER_ITS_SIZE)
    plain = JobCycle("as JSON", engine, payloads, None)
    small, large = compressed.bytes_on_disk(), plain.bytes_on_disk()
    return Comparison(
        name=f"{engine.name}: jobs of {kibibytes} KiB",
        engine=engine.name,
        work=(
            f"{len(payloads)} jobs with lists of real flights as payloads: enqueue, claim, mark done; on disk "
            f"{small:,} bytes compressed and {large:,} as JSON"
        ),
        ours=compressed,
        others=(plain,),
        limit=None,
    )


def payloads_of(size_bytes: int, count: int) -> Payloads:
    """Lists of flights, each about so many bytes of JSON, no two the same."""
    flights = [job_payload(flight) for flight in load_flights("week").flights]
    bytes_of_all = sum(len(encode_payload(flight)) + 1 for flight in flights)
    per_payload = max(1, round(size_bytes * len(flights) / bytes_of_all))
    rows = cycle(flights)
    return [list(islice(rows, per_payload)) for _ in range(count)]
