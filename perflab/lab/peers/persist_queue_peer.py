"""persist-queue, on SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perflab.errors import InvalidInput
from perflab.lab.peers.durability import sqlite_durability
from perflab.lab.peers.peer import Card, Handle, Payload


class PersistQueue:
    """Its queue with acknowledgements, in the loop of its documentation."""

    card = Card(
        name="persist-queue",
        package="persist-queue",
        engine="sqlite",
        role="peer",
        setting="SQLiteAckQueue, get and ack in a loop",
        source="github.com/peter-wangxu/persist-queue: README",
        guarantee="at least once: what was not acknowledged comes again when the queue is opened",
        finished="kept, until clear_acked_data()",
        slowness=10,
        bulk=False,
    )

    @contextmanager
    def _queue(self, url: str) -> Iterator[Any]:
        import persistqueue  # noqa: PLC0415

        path = Path(url.removeprefix("sqlite:///"))
        queue = persistqueue.SQLiteAckQueue(str(path.parent), db_file_name=path.name, multithreading=True)
        try:
            yield queue
        finally:
            queue.close()

    def create(self, url: str) -> None:
        with self._queue(url):
            pass

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        with self._queue(url) as queue:
            for payload in payloads:
                queue.put(payload)

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:  # noqa: ARG002
        raise InvalidInput("persist-queue documents no bulk call")

    def work(self, url: str, handle: Handle) -> None:
        with self._queue(url) as queue:
            is_last = False
            while not is_last:
                item = queue.get(raw=True)
                is_last = handle(item["data"])
                queue.ack(id=item["pqid"])

    def unfinished(self, url: str) -> int:
        with self._queue(url) as queue:
            return int(queue.active_size())

    def durability(self, url: str) -> str:
        with self._queue(url) as queue:
            return sqlite_durability(queue._putter)  # noqa: SLF001  # no public way leads to its connection
