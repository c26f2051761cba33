"""Between the cache's decisions and its source: reads what is to be read, and lands it whatever happens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from perflab.cache.core import CacheCore
from perflab.cache.flight import Asked, Flight, wake
from perflab.cache.slots import Slot
from perflab.cache.source import Page, RowSource
from perflab.errors import LifecycleError


class Reader:
    """Every flight that it is given lands, with rows or with an error; otherwise somebody would wait for nothing.

    A thread that needs keys reads them itself: it would have to wait anyway, and two changes of threads cost several
    times what a read of a local file does. Keys that no thread waits for, those of event loops and those that are read
    again in the background, are read by one thread: what is asked for while a read is on its way is the next page.

    Args:
        lock: of the core.
        page_size: keys of one SELECT at the most.
        timeout: seconds for which a key is tried in the background.
    """

    def __init__(
        self,
        core: CacheCore,
        source: RowSource,
        lock: threading.Lock,
        *,
        page_size: int,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._source = source
        self._lock = lock
        self._page_size = page_size
        self._timeout = timeout
        self._clock = clock
        self._waiting: deque[tuple[Slot, Flight]] = deque()
        self._is_reading = False
        self._background = ThreadPoolExecutor(1, thread_name_prefix="perflab-cache")

    def read_here(self, asked: Sequence[Asked], until: float) -> None:
        """Read in this thread what it would have to wait for, and begin what it would not."""
        own: dict[Slot, Flight] = {}
        for one in asked:
            if one.to_begin is not None and one.to_begin is one.flight:
                own[one.slot], one.to_begin = one.to_begin, None
        self.begin(asked)
        slots = list(own)
        for start in range(0, len(slots), self._page_size):
            try:
                self.read_page({slot: own[slot] for slot in slots[start : start + self._page_size]}, until)
            except BaseException as error:
                self._fail({slot: own[slot] for slot in slots[start + self._page_size :]}, error)
                raise

    def read_page(self, flights: Mapping[Slot, Flight], until: float) -> Page:
        """Read keys, and land their flights whatever happens."""
        try:
            page = self._source.read(list(flights), until)
        except BaseException as error:
            self._fail(flights, error)
            raise
        errors = dict.fromkeys(flights, page.error) | dict(page.failed)
        for slot, flight in flights.items():
            flight.error = errors[slot]
        with self._lock:
            self._core.tally.round_trips += page.round_trips
            for slot, value in page.found:
                self._core.land(flights[slot], slot, value)
        self._end(flights)
        return page

    def _fail(self, flights: Mapping[Slot, Flight], error: BaseException) -> None:
        for flight in flights.values():
            flight.error = error
        self._end(flights)

    def _end(self, flights: Mapping[Slot, Flight]) -> None:
        landed = set(flights.values())
        with self._lock:
            self._core.fail(flights, self._clock())
            for flight in landed:
                flight.has_landed = True
        wake(landed)

    # -- in the background ---------------------------------------------------------------------------------------------

    def begin(self, asked: Sequence[Asked]) -> None:
        """Have read in the background what is to be begun."""
        begun = [(one.slot, one.to_begin) for one in asked if one.to_begin is not None]
        for one in asked:
            one.to_begin = None
        if not begun:
            return
        with self._lock:
            self._waiting.extend(begun)
            if self._is_reading:
                return
            self._is_reading = True
        try:
            self._background.submit(self._read_waiting)
        except RuntimeError as error:  # it is closed, or no thread can start
            with self._lock:
                self._is_reading = False
                waiting, self._waiting = dict(self._waiting), deque()
            failure = LifecycleError(f"the cache cannot read in the background: {error}")
            failure.__cause__ = error
            self._fail(waiting, failure)

    def _read_waiting(self) -> None:
        """In the background: one page after the other, each of what has come together by then."""
        while True:
            page: dict[Slot, Flight] = {}
            with self._lock:
                while self._waiting and len(page) < self._page_size and self._waiting[0][0] not in page:
                    slot, flight = self._waiting.popleft()
                    page[slot] = flight
                if not page:
                    self._is_reading = False
                    return
            with suppress(Exception):  # it stands in the flights
                self.read_page(page, self._clock() + self._timeout)

    def close(self) -> None:
        """Finish the reads that have begun, and begin no more."""
        self._background.shutdown()
        self._source.close()
