"""Between the cache's decisions and its source: reads what is to be read, and lands it whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from perflab.cache.core import CacheCore
from perflab.cache.flight import Asked, Flight
from perflab.cache.slots import Slot
from perflab.cache.source import Page, RowSource
from perflab.errors import PerflabError


class Reader:
    """Every flight that it is given lands, with rows or with an error; otherwise somebody would wait for nothing.

    Args:
        lock: of the core.
        page_size: keys of one SELECT at the most.
    """

    def __init__(
        self, core: CacheCore, source: RowSource, lock: threading.Lock, *, page_size: int, clock: Callable[[], float]
    ) -> None:
        self._core = core
        self._source = source
        self._lock = lock
        self._page_size = page_size
        self._clock = clock

    def read_here(self, asked: Sequence[Asked], until: float) -> None:
        """Read in this thread what it would have to wait for, and begin what it would not."""
        own: dict[Slot, Flight] = {}
        for one in asked:
            if one.to_begin is not None and one.to_begin is one.flight:
                own[one.slot], one.to_begin = one.to_begin, None
        self.begin(asked)
        slots = list(own)
        for start in range(0, len(slots), self._page_size):
            self.read_page({slot: own[slot] for slot in slots[start : start + self._page_size]}, until)

    def read_page(self, flights: Mapping[Slot, Flight], until: float) -> Page:
        """Read keys, and land their flights whatever happens."""
        try:
            page = self._source.read(list(flights), until)
            errors = dict.fromkeys(flights, page.error) | dict(page.failed)
            for slot, flight in flights.items():
                flight.error = errors[slot]
            with self._lock:
                self._core.tally.round_trips += page.round_trips
                for slot, value in page.found:
                    self._core.land(flights[slot], slot, value)
        except BaseException as error:
            for flight in flights.values():
                flight.error = error
            raise
        else:
            return page
        finally:
            with self._lock:
                self._core.fail(flights, self._clock())
            for flight in set(flights.values()):
                flight.landed.set_result(None)

    def begin(self, asked: Sequence[Asked]) -> None:
        """Have read in the background what is to be begun."""
        for one in asked:
            flight, one.to_begin = one.to_begin, None
            if flight is None:
                continue
            try:
                reading = self._source.begin(one.slot)
            except PerflabError as error:
                self._fail(flight, one.slot, error)
            else:
                reading.add_done_callback(partial(self._land, flight, one.slot))

    def _land(self, flight: Flight, slot: Slot, reading: Future[Any]) -> None:
        """In the thread of the batcher."""
        error = reading.exception()
        if error is not None:
            self._fail(flight, slot, error)
            return
        with self._lock:
            self._core.land(flight, slot, reading.result())
        flight.landed.set_result(None)

    def _fail(self, flight: Flight, slot: Slot, error: BaseException) -> None:
        flight.error = error
        with self._lock:
            self._core.fail({slot: flight}, self._clock())
        flight.landed.set_result(None)
