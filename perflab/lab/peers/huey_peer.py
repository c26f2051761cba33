"""huey, on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from perflab.errors import InvalidInput
from perflab.lab.peers.durability import sqlite_durability
from perflab.lab.peers.peer import Card, Handle, Payload


class Huey:
    """Its consumer with one worker thread, and no results."""

    card = Card(
        name="huey",
        package="huey",
        engine="sqlite",
        role="peer",
        setting="SqliteHuey(results=False, journal_mode=wal), consumer with one worker thread",
        source="huey.readthedocs.io: consumer, API (SqliteHuey)",
        guarantee="at most once: a job is deleted before it runs",
        finished="deleted",
        slowness=10,
        bulk=False,
    )

    def _huey(self, url: str, handle: Handle | None = None) -> tuple[Any, Any]:
        import huey  # noqa: PLC0415

        app = huey.SqliteHuey(filename=url.removeprefix("sqlite:///"), results=False)

        @app.task(name="job")
        def job(payload: Payload) -> None:
            if handle is not None and handle(payload):
                ended.set()

        ended = threading.Event()
        return app, (job, ended)

    def create(self, url: str) -> None:
        app, _ = self._huey(url)
        app.storage.close()

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        app, (job, _) = self._huey(url)
        for payload in payloads:
            job(payload)
        app.storage.close()

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:  # noqa: ARG002
        raise InvalidInput("huey documents no bulk call")

    def work(self, url: str, handle: Handle) -> None:
        app, (_, ended) = self._huey(url, handle)
        consumer = app.create_consumer(workers=1, periodic=False)
        consumer.start()
        ended.wait()
        consumer.stop(graceful=True)

    def unfinished(self, url: str) -> int:
        app, _ = self._huey(url)
        return int(app.pending_count())

    def durability(self, url: str) -> str:
        app, _ = self._huey(url)
        return sqlite_durability(app.storage.conn)
