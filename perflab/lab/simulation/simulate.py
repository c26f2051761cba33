"""One run: arrivals, the real accumulator with a real policy, and a simulated server, on a virtual clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.limits import Limits
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.sizing.policy import Explanation, Target
from perflab.batching.waiting_lines import Entry
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.events import Cause, FlushCompleted, Outcome
from perflab.lab.simulation.server import SimulatedServer

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SimulatedFlush:
    """One flush of a run."""

    left: float
    """Virtual seconds."""
    items: int
    seconds: float
    cause: Cause
    target: Target
    """What the policy had asked for."""


@dataclass(slots=True)
class SimulatedRun:
    """What happened. Times are virtual seconds."""

    arrived: FloatArray
    """Of each item, in the order of arrival."""
    waited: FloatArray
    """Of each item, until it left for the first time."""
    latency: FloatArray
    """Of each item, until its result."""
    seconds: float
    """From the start to the last result."""
    busy_seconds: float
    """Time that the server worked."""
    flushes: list[SimulatedFlush] = field(default_factory=list)
    explanation: Explanation | None = None

    @property
    def items_per_second(self) -> float:
        return len(self.latency) / self.seconds if self.seconds > 0 else math.inf

    @property
    def busy_share(self) -> float:
        return self.busy_seconds / self.seconds if self.seconds > 0 else 0.0

    def latency_quantile(self, fraction: float) -> float:
        """Of the latencies of all items, in seconds."""
        return float(np.quantile(self.latency, fraction))


@dataclass(frozen=True, slots=True)
class Clients:
    """A closed loop: each client submits its next item after it got the result of the last one.

    Raises:
        InvalidInput: a value is out of its range.
    """

    count: int
    items: int
    """Of all clients together."""
    think_seconds: float = 0.0
    """From a result to the next item. Clients answered together come back one after the other, this far apart too."""

    def __post_init__(self) -> None:
        check_integer(self.count, "count", low=1)
        check_integer(self.items, "items", low=self.count)
        check_number(self.think_seconds, "think_seconds")


def simulate(
    load: Iterable[float] | Clients,
    server: SimulatedServer,
    limits: Limits,
    sizing: SizingChoice,
    *,
    seed: int = 1,
) -> SimulatedRun:
    """Run one load through one writer. The same arguments give the same run.

    Args:
        load: seconds at which items arrive, rising; or a closed loop.
        server: what flushes cost.
        limits: of the batcher. The buffer is not bounded here: what comes is accepted.
        sizing: as for a `RequestBatcher`.
        seed: of the chance that the policy uses.

    Raises:
        InvalidInput: nothing arrives.
    """
    return _Simulation(load, server, limits, sizing, seed).run()


class _Simulation:
    def __init__(
        self, load: Iterable[float] | Clients, server: SimulatedServer, limits: Limits, sizing: SizingChoice, seed: int
    ) -> None:
        self._clients = load if isinstance(load, Clients) else None
        if isinstance(load, Clients):
            self._arrivals = [position * load.think_seconds for position in range(load.count)]
            self._to_come = load.items - load.count
        else:
            self._arrivals = sorted(float(moment) for moment in load)  # which is a heap as well
            self._to_come = 0
        if not self._arrivals:
            raise InvalidInput("nothing arrives: give one arrival at least")
        self._server = server
        self._policy = start_sizing(sizing, limits, np.random.default_rng(seed).random)
        self._accumulator: Accumulator[Entry] = Accumulator(limits, self._policy)
        self._arrived: list[float] = []
        self._left: list[float] = []
        self._ended: list[float] = []
        self._flushes: list[SimulatedFlush] = []
        self._busy = 0.0
        self._now = 0.0

    def run(self) -> SimulatedRun:
        while self._arrivals or self._accumulator.pending:
            self._admit()
            target = self._accumulator.target
            batch = self._accumulator.take(self._now)
            if batch is not None:
                self._write(batch, target)
                continue
            due = self._accumulator.next_due()
            coming = self._arrivals[0] if self._arrivals else math.inf
            self._now = max(self._now, min(coming, math.inf if due is None else due))
        arrived, left, ended = (np.array(times) for times in (self._arrived, self._left, self._ended))
        return SimulatedRun(
            arrived=arrived,
            waited=left - arrived,
            latency=ended - arrived,
            seconds=float(ended.max()),
            busy_seconds=self._busy,
            flushes=self._flushes,
            explanation=self._policy.explain(),
        )

    def _admit(self) -> None:
        """Accept what has come until now."""
        while self._arrivals and self._arrivals[0] <= self._now:
            arrived = heapq.heappop(self._arrivals)
            self._accumulator.add(Entry(len(self._arrived)), arrived)
            self._arrived.append(arrived)
            self._left.append(math.nan)
            self._ended.append(math.nan)

    def _write(self, batch: Batch[Entry], target: Target) -> None:
        items = [entry.item for entry in batch.entries]
        if batch.attempt == 1:
            for item in items:
                self._left[item] = self._now
        seconds = self._server.seconds(len(items), self._now)
        written = self._server.takes(len(items))
        self._flushes.append(SimulatedFlush(self._now, len(items), seconds, batch.cause, target))
        self._busy += seconds
        self._now += seconds
        self._admit()  # while it was written
        self._accumulator.settle(batch, () if written else batch.entries)
        flush = FlushCompleted(
            items=len(items),
            delivered=len(items) if written else 0,
            capacity=batch.capacity,
            bytes=0,
            seconds=seconds,
            waited=batch.waited,
            round_trips=1,
            round_trips_unbatched=len(items),
            cause=batch.cause,
            outcome=Outcome.COMMITTED if written else Outcome.RETRIED,
            attempt=batch.attempt,
            too_much=not written,
        )
        self._accumulator.learn(batch, flush, self._now)
        if written:
            self._answer(items)

    def _answer(self, items: list[int]) -> None:
        for position, item in enumerate(items):
            self._ended[item] = self._now
            if self._clients is not None and self._to_come:
                self._to_come -= 1
                heapq.heappush(self._arrivals, self._now + (position + 1) * self._clients.think_seconds)
