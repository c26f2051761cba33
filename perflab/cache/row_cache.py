"""The cache: rows by key, in memory, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Self

from perflab.cache.core import CacheCore
from perflab.cache.flight import Answer, Asked, Flight
from perflab.cache.history import AccessHistory
from perflab.cache.lifetimes import CacheLifetimes, Entry
from perflab.cache.metrics import CacheMetrics
from perflab.cache.reader import Reader
from perflab.cache.slots import key_of, slot_of
from perflab.cache.source import Page, RowSource
from perflab.cache.store import EntryStore
from perflab.cache.warm_report import WarmReport
from perflab.database.database import Database
from perflab.database.load import Load
from perflab.database.values import check_integer, check_number, shown
from perflab.errors import DeliveryTimeout, InvalidInput, RejectedRow
from perflab.events import CacheAsked, CacheWarmed

LARGEST_PAGE = 100_000
LONGEST_TIMEOUT_SECONDS = 3_600.0


class RowCache:
    """Rows that a `load()` reads, kept for a while. Many threads and event loops may share it.

    However many ask for a key that is not there, it is read once (single flight), and keys that are asked for at the
    same time are one SELECT. A row in the last part of its life is served at once and read again in the background.
    What is not in the database is remembered too. `invalidate` what you change: a read that is on its way then is
    delivered to those who wait for it, but not kept. What others change is seen when the life of the row is over.

        cache = RowCache(db, load(fares), CacheLifetimes(ttl=30.0))
        fare = cache.get(17)                # a row, or None
        fare = await cache.get_async(17)    # the loop goes on meanwhile

    Args:
        db: where to read.
        stated: what to read, by which key: `load(table)`, or `load_all(table, "column")` for tuples of rows.
        lifetimes: how long it may be served.
        max_bytes: memory for all entries, about; the least recently used go first.
        page_size: keys of one SELECT at the most.
        timeout: seconds to wait for a key; then a stale row is served where `lifetimes` allows it.
        history: which keys are asked for often and lately; None: one with its own defaults. Not to be shared.
        clock: monotonic seconds, for lives.
        stopwatch: monotonic seconds, for the durations in reports.
        sleep: between tries of a read.
        random: for the jitter of lives and of these pauses.

    Raises:
        InvalidInput: an argument is refused.
        MissingExtra: cachetools is not installed.
    """

    def __init__(
        self,
        db: Database,
        stated: Load,
        lifetimes: CacheLifetimes | None = None,
        *,
        max_bytes: int = 64 << 20,
        page_size: int = 500,
        timeout: float = 5.0,
        history: AccessHistory | None = None,
        clock: Callable[[], float] = time.monotonic,
        stopwatch: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        if not isinstance(stated, Load):
            raise InvalidInput(f"a cache reads what load() or load_all() says, not {shown(stated, 80)}")
        check_integer(max_bytes, "max_bytes", low=1)
        self.page_size = check_integer(page_size, "page_size", low=1, high=LARGEST_PAGE)
        self._timeout = check_number(timeout, "timeout", above_low=True, high=LONGEST_TIMEOUT_SECONDS)
        self.db = db
        self.max_bytes = max_bytes
        random = random or Random()
        self._source = RowSource(db, stated, clock=clock, sleep=sleep, random=random)
        self.name = self._source.name.removeprefix("load ")
        self._clock = clock
        self._stopwatch = stopwatch
        self.lifetimes = lifetimes or CacheLifetimes()
        self._core = CacheCore(
            self.lifetimes,
            EntryStore(max_bytes, clock),
            history or AccessHistory(),
            patience=2 * timeout,
            luck=random.random,
        )
        self._lock = threading.Lock()
        self._reader = Reader(self._core, self._source, self._lock, page_size=page_size, timeout=timeout, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RowCache({self.db!r}, {self.name!r})"

    # -- asking --------------------------------------------------------------------------------------------------------

    def get(self, key: Any) -> Any:
        """What is found for a key, as `load` describes it: a row or None; with `load_all`, a tuple of rows.

        Raises:
            InvalidInput: the table cannot have the key.
            DeliveryTimeout: it was not read within `timeout`, and no stale row may be served.
            DatabaseError: the database refused or failed, and likewise.
            LifecycleError: it would have to be read, and the cache is closed.
        """
        return self.get_many((key,))[0]

    def get_many(self, keys: Iterable[Any]) -> list[Any]:
        """The same for many keys, in their order; those that are not in memory are read together."""
        asked, deadline = self._ask(keys)
        self._reader.read_here(asked, deadline)
        for place in range(len(asked)):
            while (flight := asked[place].flight) is not None:
                self._wait(flight, deadline - self._clock())
                asked[place] = self._arrive(asked[place])
                self._reader.read_here(asked[place : place + 1], deadline)
        return self._values(asked)

    async def get_async(self, key: Any) -> Any:
        """`get` for event loops: what is in memory comes without a pause, and a task that is cancelled while it waits
        takes nothing from the others.
        """
        return (await self.get_many_async((key,)))[0]

    async def get_many_async(self, keys: Iterable[Any]) -> list[Any]:
        """`get_many` for event loops."""
        asked, deadline = self._ask(keys)
        self._reader.begin(asked)
        for place in range(len(asked)):
            while (flight := asked[place].flight) is not None:
                await self._wait_async(flight, deadline - self._clock())
                asked[place] = self._arrive(asked[place])
                self._reader.begin(asked[place : place + 1])
        return self._values(asked)

    def _wait(self, flight: Flight, seconds: float) -> None:
        """Return when a flight has landed, or the time is over."""
        landed = threading.Event()
        with self._lock:
            if flight.has_landed:
                return
            flight.threads.append(landed)
        landed.wait(max(0.0, seconds))

    async def _wait_async(self, flight: Flight, seconds: float) -> None:
        landed = asyncio.get_running_loop().create_future()
        with self._lock:
            if flight.has_landed:
                return
            flight.tasks.append(landed)
        await asyncio.wait([landed], timeout=max(0.0, seconds))  # who is cancelled here takes nothing from the others

    def _ask(self, keys: Iterable[Any]) -> tuple[list[Asked], float]:
        """How each key is answered, and until when a flight may be waited for."""
        slots = list(map(slot_of, keys))
        now = self._clock()
        with self._lock:
            return [self._core.ask(slot, now) for slot in slots], now + self._timeout

    def _arrive(self, asked: Asked) -> Asked:
        with self._lock:
            return self._core.arrive(asked, self._clock())

    def _values(self, asked: Sequence[Asked]) -> list[Any]:
        if self.db.events:
            self.db.events.emit(_event(self.name, Counter(one.answer for one in asked)))
        values = []
        for one in asked:
            if one.entry is None:
                raise one.error or DeliveryTimeout(
                    f"{self.name} {shown(key_of(one.slot), 120)} was not read within {self._timeout:g} s: the database "
                    "is slower than that, or hangs"
                )
            values.append(one.entry.own_value())
        return values

    # -- warming -------------------------------------------------------------------------------------------------------

    def warm(self, keys: Iterable[Any], *, fresh_for: float = 0.0) -> WarmReport:
        """Read keys before anybody asks for them, in pages of `page_size`, each one SELECT, in this thread.

        It stops when what it has read fills the cache, so give those first that matter most. Who asks for a key while
        it is read waits for its page.

        Args:
            keys: what will be asked for.
            fresh_for: seconds; what stays in memory for longer is not read again.

        Raises:
            InvalidInput: an argument is refused.
            DatabaseError: the database failed; the pages before are kept.
        """
        check_number(fresh_for, "fresh_for")
        started, now = self._stopwatch(), self._clock()
        slots = list(dict.fromkeys(map(slot_of, keys)))
        with self._lock:
            wanted = [slot for slot in slots if self._core.needs(slot, now, fresh_for)]
        entries: list[Entry] = []
        read = round_trips = size = largest = 0
        while read < len(wanted) and size + largest <= self.max_bytes:
            part = wanted[read : read + self.page_size]
            with self._lock:
                flight = self._core.open_page(part, self._clock())
            page = self._reader.read_page(dict.fromkeys(part, flight), now)  # one try: the next round is the next
            entries += flight.found.values()
            round_trips += page.round_trips
            _raise_what_is_no_keys_fault(page)
            found = sum(entry.size_bytes for entry in flight.found.values())
            size, largest = size + found, max(largest, found)
            read += len(part)
        absent = sum(entry.is_negative for entry in entries)
        report = WarmReport(
            keys=len(slots),
            fresh=len(slots) - len(wanted),
            loaded=len(entries) - absent,
            absent=absent,
            refused=read - len(entries),
            left_out=len(wanted) - read,
            round_trips=round_trips,
            seconds=self._stopwatch() - started,
        )
        if self.db.events:
            self.db.events.emit(CacheWarmed(self.name, report.keys, len(entries), round_trips, report.seconds))
        return report

    # -- the rest ------------------------------------------------------------------------------------------------------

    def invalidate(self, keys: Iterable[Any] | None = None) -> int:
        """Forget what is kept of these keys, or all; to be called after a change is committed.

        Returns:
            How many were in memory.
        """
        slots = None if keys is None else list(map(slot_of, keys))
        with self._lock:
            return self._core.invalidate(slots)

    def hottest(self, count: int) -> list[tuple[Any, float]]:
        """The keys that were asked for most, often and lately, each with its decayed count of asks (`AccessHistory`).

        To keep them over a restart, store them, and give them to `remember`.
        """
        check_integer(count, "count", low=1)
        with self._lock:
            found = self._core.history.hottest(self._clock(), count)
        return [(key_of(slot), asks) for slot, asks in found]

    def remember(self, asks: Iterable[tuple[Any, float]]) -> None:
        """Count keys as asked for so often, as `hottest` returned them.

        Raises:
            InvalidInput: one is not a key, or not a count; nothing is counted.
        """
        checked = [(slot_of(key), check_number(count, f"the asks for {shown(key, 80)}")) for key, count in asks]
        with self._lock:
            for slot, count in checked:
                self._core.history.note(slot, self._clock(), count)

    def metrics(self) -> CacheMetrics:
        """What the cache did so far."""
        with self._lock:
            store = self._core.store
            return self._core.tally.metrics(evicted=store.evicted, entries=len(store), used_bytes=store.used_bytes)

    def close(self) -> None:
        """Finish the reads that have begun, and begin no more; what is in memory is served for the rest of its life."""
        self._reader.close()


def _raise_what_is_no_keys_fault(page: Page) -> None:
    if page.error is not None:
        raise page.error
    for _, error in page.failed:
        if not isinstance(error, InvalidInput | RejectedRow):
            raise error


def _event(cache: str, answers: Mapping[Answer, int]) -> CacheAsked:
    return CacheAsked(
        cache,
        hits=answers.get(Answer.HIT, 0),
        stale=answers.get(Answer.STALE, 0),
        waited=answers.get(Answer.WAITED, 0),
        misses=answers.get(Answer.MISS, 0),
        failed=answers.get(Answer.FAILED, 0),
    )
