"""procrastinate, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from perflab.lab.peers.durability import count_rows, postgresql_durability
from perflab.lab.peers.peer import Card, Handle, Payload

CONCURRENCY = 5
"""Its pool has 4 connections; 20 were no faster."""


class Procrastinate:
    """An async task, so that jobs run concurrently; finished ones are deleted, so that its table stays small."""

    card = Card(
        name="procrastinate",
        package="procrastinate",
        engine="postgresql",
        role="peer",
        setting=f"async task, concurrency={CONCURRENCY}, delete_jobs=successful, listen_notify; batch_defer",
        source="procrastinate.readthedocs.io: howto/production/concurrency, howto/production/delete_finished_jobs",
        guarantee="at least once if one schedules a task that retries the jobs of stalled workers",
        finished="deleted",
        slowness=20,
        wakes=True,
    )

    def _app(self, url: str, handle: Handle | None = None) -> tuple[Any, Any]:
        import procrastinate  # noqa: PLC0415  # of an extra, as are those of all peers

        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

        @app.task(name="job")
        async def job(**payload: Any) -> None:
            if handle is not None and handle(payload):
                asyncio.get_running_loop().call_soon(ended.set)

        ended = asyncio.Event()
        return app, (job, ended)

    def create(self, url: str) -> None:
        app, _ = self._app(url)
        with app.open():
            app.schema_manager.apply_schema()

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        app, (job, _) = self._app(url)
        with app.open():
            for payload in payloads:
                job.defer(**payload)

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        app, (job, _) = self._app(url)
        with app.open():
            for batch in batches:
                job.batch_defer(*batch)

    def work(self, url: str, handle: Handle) -> None:
        asyncio.run(self._work(url, handle))

    async def _work(self, url: str, handle: Handle) -> None:
        app, (_, ended) = self._app(url, handle)
        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(
                    concurrency=CONCURRENCY, delete_jobs="successful", install_signal_handlers=False, listen_notify=True
                )
            )
            await asyncio.wait([worker, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
            worker.cancel()  # it drains, as its documentation says
            await asyncio.wait([worker])

    def unfinished(self, url: str) -> int:
        return count_rows(url, "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'")

    def durability(self, url: str) -> str:
        return postgresql_durability(url, "procrastinate_jobs")
