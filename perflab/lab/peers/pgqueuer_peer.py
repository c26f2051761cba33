"""pgqueuer, on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from perflab.lab.peers.durability import count_rows, postgresql_durability
from perflab.lab.peers.peer import Card, Handle, Payload

BATCH_SIZE = 100
ENTRYPOINT = "job"


class PgQueuer:
    """On asyncpg and uvloop, as its command line runs it; its own benchmark finds asyncpg the faster driver."""

    card = Card(
        name="pgqueuer",
        package="pgqueuer",
        engine="postgresql",
        role="peer",
        setting=f"asyncpg, uvloop, batch_size={BATCH_SIZE}; durable tables; enqueue of lists",
        source="pgqueuer docs: comparisons/benchmarks.md, guides on drivers and durability",
        guarantee="at least once: what a worker without heartbeat had picked is picked again",
        finished="deleted, with a row in its log",
        wakes=True,
    )

    @asynccontextmanager
    async def _queries(self, url: str) -> AsyncIterator[Any]:
        import asyncpg  # noqa: PLC0415
        from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415
        from pgqueuer.queries import Queries  # noqa: PLC0415

        connection = await asyncpg.connect(url)
        try:
            yield Queries(AsyncpgDriver(connection))
        finally:
            await connection.close()

    def create(self, url: str) -> None:
        async def create() -> None:
            async with self._queries(url) as queries:
                await queries.install()

        _run(create())

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        async def enqueue() -> None:
            async with self._queries(url) as queries:
                for payload in payloads:
                    await queries.enqueue(ENTRYPOINT, json.dumps(payload).encode())

        _run(enqueue())

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        async def enqueue() -> None:
            async with self._queries(url) as queries:
                for batch in batches:
                    encoded = [json.dumps(payload).encode() for payload in batch]
                    await queries.enqueue([ENTRYPOINT] * len(batch), encoded, [0] * len(batch))

        _run(enqueue())

    def work(self, url: str, handle: Handle) -> None:
        _run(self._work(url, handle))

    async def _work(self, url: str, handle: Handle) -> None:
        from pgqueuer.models import Job  # noqa: PLC0415
        from pgqueuer.qm import QueueManager  # noqa: PLC0415

        async with self._queries(url) as queries:
            manager = QueueManager(queries)

            async def job(job: Any) -> None:
                if handle(json.loads(job.payload)):
                    manager.shutdown.set()

            job.__annotations__["job"] = Job
            manager.entrypoint(ENTRYPOINT)(job)
            await manager.run(batch_size=BATCH_SIZE)

    def unfinished(self, url: str) -> int:
        return count_rows(url, "SELECT count(*) FROM pgqueuer")

    def durability(self, url: str) -> str:
        return postgresql_durability(url, "pgqueuer")


def _run(main: Any) -> None:
    import uvloop  # noqa: PLC0415

    uvloop.run(main)
