"""What a submit to the asyncio batcher costs, against the least that anybody could do: a future and a list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perflab.batching.async_batcher import AsyncRequestBatcher
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


@dataclass(frozen=True, slots=True)
class BatcherSubmits:
    """Ours. With `whole_life` the clock runs until the last future has its result."""

    whole_life: bool
    name: str = "AsyncRequestBatcher.submit"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block does the same
        return asyncio.run(self._visit())

    async def _visit(self) -> float:
        operation = _NoWrite()
        total = 0.0
        with Database.open("sqlite://") as database:
            async with AsyncRequestBatcher(database, batch_size=ITEMS, flush_interval=60.0) as batcher:
                for round_number in range(ROUNDS + 1):
                    start = time.perf_counter()
                    futures = [batcher.submit(operation, item) for item in range(ITEMS)]
                    submitted = time.perf_counter()
                    await asyncio.gather(*futures)
                    if round_number:  # the first warms up
                        total += (time.perf_counter() if self.whole_life else submitted) - start
        return total / (ROUNDS * ITEMS)


@dataclass(frozen=True, slots=True)
class BareFutures:
    """The floor: a future from the loop and an append, and, for the whole life, a result set on each."""

    whole_life: bool
    name: str = "bare future and append"

    def visit(self, block: int) -> float:  # noqa: ARG002
        return asyncio.run(self._visit())

    async def _visit(self) -> float:
        loop = asyncio.get_running_loop()
        total = 0.0
        for round_number in range(ROUNDS + 1):
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
            if round_number:
                total += (time.perf_counter() if self.whole_life else submitted) - start
        return total / (ROUNDS * ITEMS)


def submit_comparison() -> Comparison:
    """The call alone: what a coroutine pays before it goes on."""
    return Comparison(
        name="AsyncRequestBatcher.submit",
        engine="",
        work=f"{ITEMS:,} submits in one turn of the loop; the clock stops when the last has returned",
        ours=BatcherSubmits(whole_life=False),
        others=(BareFutures(whole_life=False),),
        limit=2.0,
    )


def whole_life_comparison() -> Comparison:
    """From submit to result, with an operation that writes nothing: the batcher's whole cost per item."""
    return Comparison(
        name="AsyncRequestBatcher, whole life",
        engine="",
        work=f"{ITEMS:,} submits, one batch through the thread with an operation that writes nothing, all results",
        ours=BatcherSubmits(whole_life=True),
        others=(BareFutures(whole_life=True),),
        limit=None,
    )
