"""The two kinds of arms that write: our bulk call, and a form of SQL by hand.

Each visit has a fresh database with perflab's schema, writes some batches to warm up, and times the next ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from perflab.database.database import Database
from perflab.lab.bench.bulk_calls import BATCH_SIZE, BATCHES, WARM_UP_BATCHES, BulkCall, Rows

if TYPE_CHECKING:
    from perflab.lab.bench.comparison import Comparison

RawWrite = Callable[[Any, Rows], object]
"""Sends one batch on the driver's own connection, and reads the whole answer."""


class BenchEngine(Protocol):
    """Where a bench writes."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For the reader, with version and durability."""

    @property
    def raw_forms(self) -> Mapping[str, Mapping[str, RawWrite]]:
        """By the name of our call, and then by their own."""

    @property
    def promising_forms(self) -> Mapping[str, Mapping[str, RawWrite]]:
        """The same of forms that promise what ours does; only where that costs something."""

    @property
    def limit(self) -> float:
        """The largest ratio of one of our calls to its fastest raw form that is acceptable."""

    def fresh_database(self) -> AbstractContextManager[str]:
        """The URL of a database with perflab's schema and no rows, gone after the block."""

    def settle(self, url: str) -> None:
        """Bring a filled database into the state that one of its size would be in."""

    def connect(self, url: str) -> AbstractContextManager[Any]:
        """The driver's own connection, set up as an engineer would for writing."""

    def transaction(self, connection: Any) -> AbstractContextManager[object]:
        """What a raw form needs around its statement to be durable and atomic."""


@dataclass(frozen=True, slots=True)
class OurCall:
    """A bulk call of the library."""

    engine: BenchEngine
    call: BulkCall

    @property
    def name(self) -> str:
        return self.call.name

    def visit(self, block: int) -> float:
        with self.engine.fresh_database() as url, Database.open(url) as database:
            batches = _make_batches(self.engine, database, url, self.call, block)
            return seconds_per_row(self.call.bind(database), [self.call.make_items(rows) for rows in batches])


@dataclass(frozen=True, slots=True)
class RawForm:
    """SQL by hand for the same work."""

    name: str
    engine: BenchEngine
    call: BulkCall
    write: RawWrite

    def visit(self, block: int) -> float:
        with self.engine.fresh_database() as url:
            with Database.open(url) as database:
                batches = _make_batches(self.engine, database, url, self.call, block)
            with self.engine.connect(url) as connection:

                def write(rows: Rows) -> None:
                    with self.engine.transaction(connection):
                        self.write(connection, rows)

                return seconds_per_row(write, batches)


def bulk_comparison(engine: BenchEngine, call: BulkCall) -> Comparison:
    """Our call against all raw forms of one engine."""
    from perflab.lab.bench.comparison import Comparison  # noqa: PLC0415  # SciPy takes long, and visits to peers need none

    def arms(forms: Mapping[str, RawWrite]) -> tuple[RawForm, ...]:
        return tuple(RawForm(name, engine, call, write) for name, write in forms.items())

    return Comparison(
        name=call.name,
        engine=engine.name,
        work=f"{BATCH_SIZE:,} {call.work}, in one transaction",
        ours=OurCall(engine, call),
        others=arms(engine.raw_forms[call.name]),
        limit=engine.limit,
        alike=arms(engine.promising_forms.get(call.name, {})),
    )


def _make_batches(engine: BenchEngine, database: Database, url: str, call: BulkCall, block: int) -> list[Rows]:
    call.prepare(database)
    batches = [call.make_rows(database, block * BATCHES + number) for number in range(BATCHES)]
    engine.settle(url)
    return batches


def seconds_per_row(write: Callable[[Rows], object], batches: Sequence[Rows]) -> float:
    """Seconds per row of all batches but the first ones."""
    for batch in batches[:WARM_UP_BATCHES]:
        write(batch)
    timed = batches[WARM_UP_BATCHES:]
    start = time.perf_counter()
    for batch in timed:
        write(batch)
    return (time.perf_counter() - start) / sum(map(len, timed))
