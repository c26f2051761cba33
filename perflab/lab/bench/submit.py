"""What a submit costs, against the least that anybody could do: a future, and a list or a queue to put it in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.lab.bench.comparison import Comparison

ITEMS = 1_000
ROUNDS = 100


class _NoWrite:
    """An operation that sends nothing, so that only the batcher's own cost is left."""

    name = "nothing"
    tables = frozenset({"nothing"})

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:  # noqa: ARG002  # part of the protocol
        return 8

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[int]:  # noqa: ARG002
        return rows


@dataclass(slots=True)
class _Stopwatch:
    """Adds up the rounds but the first, which warms up.

    Attributes:
        whole_life: whether a round ends with its last result, or with the return of its last submit.
    """

    whole_life: bool
    seconds: float = 0.0
    rounds: int = 0

    def add(self, start: float, submitted: float) -> None:
        """A round has ended just now."""
        if self.rounds:
            self.seconds += (time.perf_counter() if self.whole_life else submitted) - start
        self.rounds += 1

    @property
    def seconds_per_item(self) -> float:
        return self.seconds / ((self.rounds - 1) * ITEMS)


@dataclass(frozen=True, slots=True)
class AsyncSubmits:
    """Ours for asyncio."""

    whole_life: bool
    name: str = "AsyncRequestBatcher.submit"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block does the same
        return asyncio.run(self._visit())

    async def _visit(self) -> float:
        operation, watch = _NoWrite(), _Stopwatch(self.whole_life)
        with Database.open("sqlite://") as database:
            async with AsyncRequestBatcher(database, batch_size=ITEMS, flush_interval=60.0) as batcher:
                for _ in range(ROUNDS + 1):
                    start = time.perf_counter()
                    futures = [batcher.submit(operation, item) for item in range(ITEMS)]
                    submitted = time.perf_counter()
                    await asyncio.gather(*futures)
                    watch.add(start, submitted)
        return watch.seconds_per_item


@dataclass(frozen=True, slots=True)
class BareAsyncFutures:
    """The floor: a future from the loop and an append, and, for the whole life, a result set on each."""

    whole_life: bool
    name: str = "bare future and append"

    def visit(self, block: int) -> float:  # noqa: ARG002
        return asyncio.run(self._visit())

    async def _visit(self) -> float:
        loop, watch = asyncio.get_running_loop(), _Stopwatch(self.whole_life)
        for _ in range(ROUNDS + 1):
            pending: list[tuple[int, asyncio.Future[Any]]] = []
            start = time.perf_counter()
            futures = []
            for item in range(ITEMS):
                future: asyncio.Future[Any] = loop.create_future()
                pending.append((item, future))
                futures.append(future)
            submitted = time.perf_counter()
            for item, future in pending:
                future.set_result(item)
            await asyncio.gather(*futures)
            watch.add(start, submitted)
        return watch.seconds_per_item


@dataclass(frozen=True, slots=True)
class ThreadSubmits:
    """Ours for threads, from one: the call does the same whoever else calls."""

    whole_life: bool
    name: str = "RequestBatcher.submit"

    def visit(self, block: int) -> float:  # noqa: ARG002
        operation, watch = _NoWrite(), _Stopwatch(self.whole_life)
        with (
            Database.open("sqlite://") as database,
            RequestBatcher(database, batch_size=ITEMS, flush_interval=60.0) as batcher,
        ):
            for _ in range(ROUNDS + 1):
                start = time.perf_counter()
                futures = [batcher.submit(operation, item) for item in range(ITEMS)]
                submitted = time.perf_counter()
                for future in futures:
                    future.result()
                watch.add(start, submitted)
        return watch.seconds_per_item


@dataclass(frozen=True, slots=True)
class BareThreadFutures:
    """The floor: a future and a put, and, for the whole life, a result set on each; without another thread."""

    whole_life: bool
    name: str = "bare Future and SimpleQueue.put"

    def visit(self, block: int) -> float:  # noqa: ARG002
        watch = _Stopwatch(self.whole_life)
        for _ in range(ROUNDS + 1):
            pending: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()
            start = time.perf_counter()
            futures = []
            for item in range(ITEMS):
                future: Future[Any] = Future()
                pending.put((item, future))
                futures.append(future)
            submitted = time.perf_counter()
            while not pending.empty():
                item, future = pending.get()
                future.set_result(item)
            for future in futures:
                future.result()
            watch.add(start, submitted)
        return watch.seconds_per_item


def submit_comparisons() -> list[Comparison]:
    """The call alone: what a producer pays before it goes on."""
    return [
        Comparison(
            name="AsyncRequestBatcher.submit",
            engine="",
            work=f"{ITEMS:,} submits in one turn of the loop; the clock stops when the last has returned",
            ours=AsyncSubmits(whole_life=False),
            others=(BareAsyncFutures(whole_life=False),),
            limit=1.5,
        ),
        Comparison(
            name="RequestBatcher.submit",
            engine="",
            work=f"{ITEMS:,} submits of one thread; the clock stops when the last has returned",
            ours=ThreadSubmits(whole_life=False),
            others=(BareThreadFutures(whole_life=False),),
            limit=2.0,
        ),
    ]


def whole_life_comparisons() -> list[Comparison]:
    """From submit to result, with an operation that writes nothing: the batcher's whole cost per item."""
    work = f"{ITEMS:,} submits, one batch through the thread with an operation that writes nothing, all results"
    return [
        Comparison(
            name="AsyncRequestBatcher, whole life",
            engine="",
            work=work,
            ours=AsyncSubmits(whole_life=True),
            others=(BareAsyncFutures(whole_life=True),),
            limit=None,
        ),
        Comparison(
            name="RequestBatcher, whole life",
            engine="",
            work=work,
            ours=ThreadSubmits(whole_life=True),
            others=(BareThreadFutures(whole_life=True),),
            limit=None,
        ),
    ]
