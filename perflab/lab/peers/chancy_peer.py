"""chancy, on PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any

from perflab.lab.peers.durability import count_rows, postgresql_durability
from perflab.lab.peers.peer import Card, Handle, Payload

CONCURRENCY = 1_000
QUEUE = "default"
"""Every worker declares a queue of this name, with a pool of processes where nobody has declared it before."""

_handle: ContextVar[Handle] = ContextVar("_handle")


async def job(**payload: Any) -> None:
    """A job by its import path, as chancy finds it; its executor's tasks inherit the context of the worker."""
    _handle.get()(payload)


class Chancy:
    """The executor that runs async jobs in the worker's own loop, with room for many, and no pause between polls."""

    card = Card(
        name="chancy",
        package="chancy",
        engine="postgresql",
        role="peer",
        setting=f"Executor.Async, concurrency={CONCURRENCY}, eager_polling, polling_interval=1; push_many",
        source="chancy docs: executors, Queue.eager_polling",
        guarantee="at least once: its Recovery plugin takes back the jobs of dead workers",
        finished="kept, until its Pruner plugin deletes them",
        slowness=4,
        wakes=True,
    )

    def _chancy(self, url: str) -> Any:
        import chancy  # noqa: PLC0415

        return chancy.Chancy(url, log=logging.getLogger("chancy"))  # its own one writes a line for each job

    def _job(self, payload: Payload) -> Any:
        import chancy  # noqa: PLC0415

        return chancy.Job.from_func(job, queue=QUEUE, kwargs=payload)

    def create(self, url: str) -> None:
        import chancy  # noqa: PLC0415

        async def create() -> None:
            async with self._chancy(url) as app:
                await app.migrate()
                queue = chancy.Queue(
                    QUEUE,
                    concurrency=CONCURRENCY,
                    executor=chancy.Chancy.Executor.Async,
                    eager_polling=True,
                    polling_interval=1,
                )
                await app.declare(queue)

        asyncio.run(create())

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        with self._chancy(url) as app:
            for payload in payloads:
                app.sync_push(self._job(payload))

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        with self._chancy(url) as app:
            for batch in batches:
                for _ in app.sync_push_many(list(map(self._job, batch)), batch_size=len(batch)):
                    pass

    def work(self, url: str, handle: Handle) -> None:
        asyncio.run(self._work(url, handle))

    async def _work(self, url: str, handle: Handle) -> None:
        import chancy  # noqa: PLC0415

        ended = asyncio.Event()

        def see(payload: Payload) -> bool:
            is_last = handle(payload)
            if is_last:
                ended.set()
            return is_last

        _handle.set(see)
        async with self._chancy(url) as app:
            worker = chancy.Worker(app, register_signal_handlers=False)
            await worker.start()
            await ended.wait()
            await worker.stop()

    def unfinished(self, url: str) -> int:
        return count_rows(url, "SELECT count(*) FROM chancy_jobs WHERE state <> 'succeeded'")

    def durability(self, url: str) -> str:
        return postgresql_durability(url, "chancy_jobs")
