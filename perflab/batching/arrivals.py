"""What was submitted to the asyncio batcher and is not in its buffer yet: arrivals of this turn, and those in line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from perflab.batching.accumulator import Accumulator
from perflab.batching.part import Submission
from perflab.batching.unit_write import count_of
from perflab.database.operation import Operation

Arrival: TypeAlias = "tuple[Any, Any, asyncio.Future[Any], int | None, float]"
"""Operation, item, future, lane (None: the usual one) and deadline (infinite: none)."""


class Arrivals:
    """First come, first served, into an accumulator; urgent ones have a line, and room, of their own.

    Args:
        accumulator: into which they come.
        resolve: makes an operation of what a caller gave as one.
        refuse: called with the future and the error of what cannot come in.
    """

    def __init__(
        self,
        accumulator: Accumulator[Submission],
        resolve: Callable[[Any], Operation[Any, Any]],
        refuse: Callable[[asyncio.Future[Any], Exception], None],
    ) -> None:
        self._accumulator = accumulator
        self._resolve = resolve
        self._refuse = refuse
        self.usual: list[Arrival] = []
        self.urgent: list[Arrival] = []

    def __len__(self) -> int:
        return len(self.usual) + len(self.urgent)

    def __iter__(self) -> Iterator[Arrival]:
        yield from self.urgent
        yield from self.usual

    def clear(self) -> None:
        self.urgent.clear()
        self.usual.clear()

    def line(self, lane: int) -> list[Arrival]:
        """Where an item of a lane stands."""
        return self.urgent if self._accumulator.lanes.all[lane].urgent else self.usual

    def adopt(self, now: float) -> None:
        """Move arrivals into the buffer while it has room; the others stay in line."""
        for line in (self.urgent, self.usual):
            if line:
                self._adopt(line, now)

    def _adopt(self, line: list[Arrival], now: float) -> None:
        accumulator = self._accumulator
        measures_bytes = accumulator.limits.measures_bytes
        lane = line[0][3]  # all in one line have the same room
        room = accumulator.room if lane is None else accumulator.room_in(lane)
        adopted = 0
        plain: list[Submission] = []  # added together, which is cheaper
        for operation, item, future, lane, deadline in line:
            if room <= 0:
                break
            adopted += 1
            if future.cancelled():
                continue
            try:
                if not hasattr(operation, "apply"):
                    operation = self._resolve(operation)  # noqa: PLW2901  # the same thing, resolved
                size = operation.size_bytes(item) if measures_bytes else 0
            except Exception as error:  # noqa: BLE001  # it belongs to this item alone
                self._refuse(future, error)
                continue
            submission = Submission(operation, item, future)
            if lane is None and not measures_bytes:
                plain.append(submission)
                room -= 1
                continue
            accumulator.add_many(plain, now)
            plain.clear()
            count = 1 if lane is None else count_of(operation)  # a unit comes with its lane
            accumulator.add(submission, now, size, lane, deadline, count=count)
            if measures_bytes:
                room = accumulator.room if lane is None else accumulator.room_in(lane)
            else:
                room -= count
        accumulator.add_many(plain, now)
        del line[:adopted]


class RoomLine:
    """Coroutines that wait for room: first come, first served."""

    def __init__(self) -> None:
        self._producers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._producers)

    async def wait(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        """Return when it is this one's turn.

        Raises:
            TimeoutError: it was not within `timeout` seconds.
        """
        producer = loop.create_future()
        self._producers.append(producer)
        try:
            async with asyncio.timeout(timeout):
                await producer
        finally:
            if producer in self._producers:
                self._producers.remove(producer)

    def wake(self, room: int) -> None:
        """Wake as many as there is room for."""
        while room > 0 and self._producers:
            producer = self._producers.popleft()
            if not producer.done():
                producer.set_result(None)
                room -= 1
