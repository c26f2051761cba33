"""What a cache knows and decides, without threads, waiting, or a database: times are passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perflab.cache.flight import Answer, Asked, Flight
from perflab.cache.history import AccessHistory
from perflab.cache.lifetimes import CacheLifetimes, Entry
from perflab.cache.metrics import CacheTally
from perflab.cache.slots import Slot
from perflab.cache.store import EntryStore


class CacheCore:
    """Entries, reads on their way, and counts. Whoever uses it holds the lock.

    A flight may store what it has read of a key only while it is the one on record for it. `invalidate` strikes it from
    the record, so that a row of before a change is never kept after it, and who asks then begins a flight of his own.

    Args:
        patience: seconds after which a flight that has not landed is given up: whoever asks begins another.
        luck: evenly drawn from 0 … 1, for the jitter of lives.
    """

    def __init__(
        self,
        lifetimes: CacheLifetimes,
        store: EntryStore,
        history: AccessHistory,
        *,
        patience: float,
        luck: Callable[[], float],
    ) -> None:
        self.lifetimes = lifetimes
        self.store = store
        self.history = history
        self.tally = CacheTally()
        self._patience = patience
        self._luck = luck
        self._flights: dict[Slot, Flight] = {}

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self, slot: Slot, now: float) -> Asked:
        """Somebody asks for a key. What can be served is counted; what must be waited for is counted when it ends."""
        self.history.note(slot, now)
        entry = self.store.find(slot)
        if entry is None:
            return self._wait_for(slot, now, None)
        if now < entry.expires_at:
            self._hit(entry)
            return Asked(slot, Answer.HIT, entry, to_begin=self._renewal(slot, entry, now))
        if entry.failures:  # once the database has failed, nobody waits for it as long as there is something to serve
            self.tally.stale += 1
            return Asked(slot, Answer.STALE, entry, to_begin=self._renewal(slot, entry, now))
        return self._wait_for(slot, now, entry)

    def _renewal(self, slot: Slot, entry: Entry, now: float) -> Flight | None:
        """What reads the entry again while it is served; None: it is too early, or on its way."""
        is_due = now >= entry.refresh_at and self._on_its_way(slot, now) is None
        return self._open(slot, now) if is_due else None

    def _wait_for(self, slot: Slot, now: float, entry: Entry | None) -> Asked:
        flight = self._on_its_way(slot, now)
        if flight is not None:
            return Asked(slot, Answer.WAITED, entry, flight)
        flight = self._open(slot, now)
        return Asked(slot, Answer.MISS, entry, flight, to_begin=flight)

    def arrive(self, asked: Asked, now: float) -> Asked:
        """What was waited for has landed, or its time is over.

        Returns:
            How it ends: the same, decided; or another one, because a page has left this key out.
        """
        flight, asked.flight = asked.flight, None
        assert flight is not None
        found = flight.found.get(asked.slot)
        if found is not None:
            asked.entry = found
            self.tally.waited += asked.answer is Answer.WAITED
            self.tally.misses += asked.answer is Answer.MISS
            self._use(found)
        elif flight.is_page and flight.has_landed:
            return self._wait_for(asked.slot, now, asked.entry)
        else:
            self._fall_back(asked, flight, now)
        return asked

    def _fall_back(self, asked: Asked, flight: Flight, now: float) -> None:
        """Serve what is left, if anything is."""
        entry = asked.entry
        if entry is None or now >= entry.gone_at:
            self.tally.failed += 1
            asked.entry, asked.answer, asked.error = None, Answer.FAILED, flight.error
            return
        if now >= entry.refresh_at:
            entry.note_failure(now)
        self.tally.stale += 1
        asked.answer = Answer.STALE

    def _hit(self, entry: Entry) -> None:
        self.tally.hits += 1
        self.tally.negative_hits += entry.is_negative
        self._use(entry)

    def _use(self, entry: Entry) -> None:
        entry.hits += 1
        if entry.is_warmed:
            entry.is_warmed = False
            self.tally.warmed_used += 1

    # -- flights -------------------------------------------------------------------------------------------------------

    def _on_its_way(self, slot: Slot, now: float) -> Flight | None:
        flight = self._flights.get(slot)
        return flight if flight is not None and now < flight.sent_at + self._patience else None

    def _open(self, slot: Slot, now: float) -> Flight:
        flight = self._flights[slot] = Flight(now)
        return flight

    def open_page(self, slots: Iterable[Slot], now: float) -> Flight:
        """Begin to read keys together. One that is on its way already is read here too: the later flight stores it."""
        flight = Flight(now, is_page=True)
        self._flights.update(dict.fromkeys(slots, flight))
        return flight

    def needs(self, slot: Slot, now: float, fresh_for: float) -> bool:
        """Whether a key is neither in memory for so many seconds more, nor on its way.

        What has no row is read again when its short life is over, and not each time that somebody looks ahead.
        """
        entry = self.store.peek(slot)
        if entry is not None and now + (0.0 if entry.is_negative else fresh_for) < entry.expires_at:
            return False
        return self._on_its_way(slot, now) is None

    def land(self, flight: Flight, slot: Slot, value: Any) -> Entry:
        """A key was read."""
        entry = self.lifetimes.start(value, flight.sent_at, self._luck())
        entry.is_warmed = flight.is_page
        flight.found[slot] = entry
        if self._flights.get(slot) is not flight:
            return entry  # invalidated meanwhile: for those who wait only
        del self._flights[slot]
        before = self.store.peek(slot)
        if before is not None:
            self._compare(before, entry, is_refresh=not flight.is_page)
        if not self.store.put(slot, entry):
            self.tally.too_large += 1
        elif flight.is_page:
            self.tally.warmed += 1
        return entry

    def _compare(self, before: Entry, entry: Entry, *, is_refresh: bool) -> None:
        self.tally.refreshed += is_refresh
        if before.value != entry.value:
            self.tally.outdated_at_most += before.hits

    def fail(self, flights: Mapping[Slot, Flight], now: float) -> None:
        """What has not landed could not be read. What is left of it is served, and not read again at once."""
        for slot, flight in flights.items():
            if self._flights.get(slot) is not flight:
                continue
            del self._flights[slot]
            entry = self.store.peek(slot)
            if entry is not None:
                entry.note_failure(now)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def invalidate(self, slots: Iterable[Slot] | None) -> int:
        """Forget keys, or all; returns how many were in memory."""
        if slots is None:
            count = len(self.store)
            self.store.clear()
            self._flights.clear()
            return count
        count = 0
        for slot in slots:
            self._flights.pop(slot, None)
            count += self.store.drop(slot)
        return count
