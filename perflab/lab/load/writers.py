"""How a generator writes: each item in a transaction of its own, or through a batcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.lab.load.items import QUEUE, Item, insert_row
from perflab.lab.load.plan import LoadPlan
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler

Ended = Callable[[BaseException | None], None]
"""Called when an item has ended, with its error if it failed; in any thread."""


class Writer(Protocol):
    """Takes items."""

    def send(self, item: Item, ended: Ended) -> None:
        """Write an item, now or soon. May block."""


class SingleWriter:
    """Each item is a transaction of its own, which the sending thread waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._operations = _operations(database)

    def send(self, item: Item, ended: Ended) -> None:
        try:
            if item.operation == "insert":
                with self._database.transaction() as connection:
                    connection.execute(insert_row, item.value)
            else:
                self._database.apply(self._operations[item.operation], [item.value])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
            ended(error)
        else:
            ended(None)


class BatchedWriter:
    """Items are submitted to a `RequestBatcher`."""

    def __init__(self, database: Database, batcher: RequestBatcher) -> None:
        self._batcher = batcher
        self._operations = {**_operations(database), "insert": insert_row}

    def send(self, item: Item, ended: Ended) -> None:
        def note(future: Future[Any]) -> None:
            ended(future.exception())

        self._batcher.submit(self._operations[item.operation], item.value).add_done_callback(note)


class NoWriter:
    """Has written everything at once: what remains is the generator itself."""

    def send(self, item: Item, ended: Ended) -> None:  # noqa: ARG002  # nothing is done with it
        ended(None)


@contextmanager
def open_writer(plan: LoadPlan, url: str) -> Iterator[Writer]:
    """The writer of a plan, on a database that is there; drained at the end."""
    with Database.open(url, durability=plan.durability) as database:
        if plan.writes == "single":
            yield SingleWriter(database)
            return
        with RequestBatcher(database, plan.batch_size, plan.flush_interval) as batcher:
            yield BatchedWriter(database, batcher)


def _operations(database: Database) -> dict[str, Any]:
    queue = PriorityQueue(database, QUEUE)
    scheduler = Scheduler(database, queue)
    return {"enqueue": queue.operations.enqueue, "state": scheduler.operations.update_ingest_state}
