"""Connections and who has them. One file for each engine makes its pools."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from sqlalchemy import Dialect, Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from perflab.database.failures import as_perflab_error, is_about_connection
from perflab.database.ledger import Ledger
from perflab.database.operation import DriverConnection
from perflab.errors import LifecycleError, PoolExhausted

if TYPE_CHECKING:
    from types import FrameType

    from sqlalchemy import Connection, PoolProxiedConnection

Durability = Literal["normal", "full"]
Pooled = TypeVar("Pooled", "Connection", "PoolProxiedConnection")

_INSIDE = frozenset({"perflab", "sqlalchemy", "psycopg", "contextlib", "threading", "queue", "concurrent"})
"""Packages whose lines do not tell a user where a connection is held."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a user may choose."""

    durability: Durability
    busy_timeout: float
    """Seconds to wait for a connection, or for another writer."""
    pool_size: int | None = None
    """Connections at the most; None leaves it to the engine."""


class Pool:
    """Lends connections to one block at a time each, waits a bounded time for a free one, and knows who holds them.

    Args:
        engine: over a pool of SQLAlchemy's.
        size: connections at the most.
        timeout: seconds after which the engine gives up waiting for a free one.
        advice: what to do about all of them being in use.
        one_writer: only one thread can be in a writing transaction: a second one in the same thread would wait for
            itself, and is refused.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        size: int,
        timeout: float,
        advice: str = "make transactions and reads shorter, or raise pool_size or busy_timeout",
        one_writer: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.size = size
        self.doubts = 0
        """How often something happened that may have cut other connections than the one that noticed it, too."""
        self._timeout = timeout
        self._advice = advice
        self._one_writer = one_writer
        self._clock = clock
        self._closed = False
        # Both are changed by single operations on a dictionary or a set, which need no lock.
        self._waiting: set[int] = set()
        self._held: dict[int, tuple[int, float]] = {}

    @contextmanager
    def lend(self, take: Callable[[Engine], Pooled]) -> Iterator[Pooled]:
        """A connection for the block, after which it goes back; one that was lost is closed.

        Args:
            take: `Engine.connect` or `Engine.raw_connection`.

        Raises:
            PoolExhausted: none was free in time.
            LifecycleError: this thread has the only connection already.
            TransientError: a new one was needed, and could not be opened.
        """
        thread = threading.get_ident()
        if self._one_writer and any(holder == thread for holder, _ in list(self._held.values())):
            raise LifecycleError(
                "a transaction was asked for inside a transaction of the same thread, for which it would wait for "
                "ever: use the outer one (most calls take connection=…)"
            )
        self._waiting.add(thread)
        try:
            pooled = take(self.engine)
        except PoolTimeoutError as error:
            raise self._exhausted(thread) from error
        except Exception as error:  # what SQLAlchemy asks of its first connection may fail, too
            known = as_perflab_error(error, "opening a connection")
            if known is None or known is error:
                raise
            raise known from error
        finally:
            self._waiting.discard(thread)
        driver = driver_of(pooled)
        self._held[id(pooled)] = thread, self._clock()
        try:
            yield pooled
        except BaseException as error:
            if not driver.is_broken and is_about_connection(error):
                self.doubts += 1
            raise
        finally:
            del self._held[id(pooled)]
            if driver.is_broken:
                self.doubts += 1
                pooled.invalidate()
            elif self._closed:
                pooled.invalidate()  # there is nothing to go back to
            pooled.close()

    def use(self) -> tuple[int, int]:
        """Connections in use, and threads that want one: a look at this moment."""
        return len(self._held), len(self._waiting)

    def close(self, *, is_ours: bool) -> None:
        """Close the connections: those in use when they come back, those of a parent process not at all."""
        self._closed = is_ours
        self.engine.dispose(close=is_ours)

    def _exhausted(self, thread: int) -> PoolExhausted:
        held = sorted(self._held.copy().values(), key=lambda holding: holding[1])
        waiting = len(self._waiting - {thread})
        text = f"no connection was free within {self._timeout:g} s: {len(held)} of {self.size} are in use"
        longest = 0.0
        if waiting:
            text += f", {waiting} other threads wait too"
        if held:
            holder, since = held[0]
            longest = self._clock() - since
            text += f", and the longest is held for {longest:.1f} s by {_whereabouts(holder, thread)}"
        return PoolExhausted(
            f"{text}; {self._advice}",
            size=self.size,
            in_use=len(held),
            waiting=waiting,
            longest_held_seconds=longest,
        )


class Listener(Protocol):
    """Waits for a notification, or as long as it is told; see `Database.listen`."""

    @property
    def can_hear(self) -> bool:
        """False behind a pooler that lends sessions: then it never will."""

    def wait(self, seconds: float) -> None:
        """Return when it is notified or woken, and otherwise after so many seconds. One thread waits at a time."""

    def wake(self) -> None:
        """End the wait of this moment, or the next one."""

    def close(self) -> None:
        """Nobody waits any more."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How the connections of a database are used at one moment."""

    size: int
    """Connections at the most."""
    in_use: int
    waiting: int
    """Threads that want one."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one database."""

    engine_name: str
    writer: Pool
    reader: Pool
    """The writer itself where reads need no connections of their own."""
    dialect: Dialect
    """To compile statements with that operations run on the driver's connection."""
    round_trips_of_one: int
    """What one write alone costs at the least; a test counts it."""
    ledger: Ledger
    listen: Callable[[str, str], Listener | None] = lambda _channel, _payload: None
    """See `Database.listen`."""
    release: Callable[[], None] = lambda: None
    """Called when the connections are closed: an embedded server may stop then."""

    @property
    def most_connections(self) -> int:
        """How many connections it opens at the most."""
        return sum(pool.size for pool in {self.writer, self.reader})

    def use(self) -> PoolUse:
        """How the pools are used at this moment."""
        uses = [pool.use() for pool in {self.writer, self.reader}]
        in_use, waiting = (sum(counts) for counts in zip(*uses, strict=True))
        return PoolUse(self.most_connections, in_use, waiting)

    def close(self, *, is_ours: bool) -> None:
        """Close all connections; those of a parent process are only forgotten."""
        self.reader.close(is_ours=is_ours)
        self.writer.close(is_ours=is_ours)
        self.release()


def driver_of(pooled: Connection | PoolProxiedConnection) -> DriverConnection:
    """The driver's connection under a pooled one, or under SQLAlchemy's."""
    proxied: Any = pooled.connection if hasattr(pooled, "exec_driver_sql") else pooled
    return cast("DriverConnection", proxied.dbapi_connection)


def _whereabouts(holder: int, asking: int) -> str:
    """The thread with this identifier, and what it is doing now: looked up only when somebody wants to know."""
    name = next((thread.name for thread in threading.enumerate() if thread.ident == holder), "that has ended")
    who = "this thread" if holder == asking else f"thread {name!r}"
    frame: FrameType | None = sys._current_frames().get(holder)  # noqa: SLF001  # documented under this name
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _INSIDE:
        frame = frame.f_back
    if frame is None:
        return who
    return f"{who}, now at {Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
