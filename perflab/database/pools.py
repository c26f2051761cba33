"""What `Database` needs of a SQL engine: its pools of connections. One file for each engine makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Dialect, Engine
from sqlalchemy.pool import QueuePool

from perflab.database.ledger import Ledger

Durability = Literal["normal", "full"]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a user may choose."""

    durability: Durability
    busy_timeout: float
    """Seconds to wait for a connection, or for another writer."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one database."""

    engine_name: str
    writer: Engine
    reader: Engine
    """The writer itself where reads need no connections of their own."""
    dialect: Dialect
    """To compile statements with that operations run on the driver's connection."""
    round_trips_of_one: int
    """What one write alone costs at the least; a test counts it."""
    ledger: Ledger
    one_writer: bool
    """Only one thread can be in a writing transaction: a second one in the same thread would wait for itself."""
    release: Callable[[], None] = lambda: None
    """Called when the connections are closed: an embedded server may stop then."""

    @property
    def most_connections(self) -> int:
        """How many connections it opens at the most."""
        return sum(engine.pool.size() for engine in {self.writer, self.reader} if isinstance(engine.pool, QueuePool))

    def close(self, *, is_ours: bool) -> None:
        """Close all connections; those of a parent process are only forgotten."""
        self.reader.dispose(close=is_ours)
        self.writer.dispose(close=is_ours)
        self.release()
