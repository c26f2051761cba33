"""litequeue, on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from perflab.lab.peers.durability import sqlite_durability
from perflab.lab.peers.peer import Card, Handle, Payload


class LiteQueuePeer:
    """The loop of its documentation: pop, work, done. Many are put inside one transaction."""

    card = Card(
        name="litequeue",
        package="litequeue",
        engine="sqlite",
        role="peer",
        setting="pop and done in a loop; many are put inside its transaction()",
        source="github.com/litements/litequeue: README",
        guarantee="at least once if one looks for locked messages and retries them",
        finished="kept, until prune()",
        durability="normal",
        slowness=2,  # each pop sorts all that is ready, so few jobs would flatter it
    )

    @contextmanager
    def _queue(self, url: str) -> Iterator[Any]:
        import litequeue  # noqa: PLC0415

        queue = litequeue.LiteQueue(url.removeprefix("sqlite:///"))
        try:
            yield queue
        finally:
            queue.conn.close()

    def create(self, url: str) -> None:
        with self._queue(url):
            pass

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        with self._queue(url) as queue:
            for payload in payloads:
                queue.put(json.dumps(payload))

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        with self._queue(url) as queue:
            for batch in batches:
                with queue.transaction(mode="IMMEDIATE"):
                    for payload in batch:
                        queue.put(json.dumps(payload))

    def work(self, url: str, handle: Handle) -> None:
        with self._queue(url) as queue:
            is_last = False
            while not is_last:
                message = queue.pop()
                if message is not None:
                    is_last = handle(json.loads(message.data))
                    queue.done(message.message_id)

    def unfinished(self, url: str) -> int:
        with self._queue(url) as queue:
            return int(queue.qsize())

    def durability(self, url: str) -> str:
        with self._queue(url) as queue:
            return sqlite_durability(queue.conn)
