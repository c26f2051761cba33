"""The entries in memory: bounded by bytes, the least recently used go first, and what is over goes by itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from perflab.cache.lifetimes import Entry
from perflab.cache.slots import ENTRY_BYTES, Slot, key_of, memory_bytes
from perflab.errors import MissingExtra


class EntryStore:
    """A `cachetools.TLRUCache` with the size and the end that each entry states. Whoever uses it holds the lock.

    Args:
        max_bytes: of all entries together, as `Entry.size_bytes` has them.
        clock: monotonic seconds, as in the entries.

    Raises:
        MissingExtra: cachetools is not installed.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        try:
            cachetools = import_module("cachetools")  # an extra
        except ModuleNotFoundError as error:
            raise MissingExtra("a cache needs the package cachetools: pip install 'perflab[cache]'") from error
        self._entries = cachetools.TLRUCache(
            max_bytes,
            ttu=lambda _slot, entry, _now: entry.gone_at,
            timer=clock,
            getsizeof=lambda entry: entry.size_bytes,
        )
        self._look: Callable[[Any, Slot], Entry] = cachetools.Cache.__getitem__  # TLRUCache's own counts as use
        self._make_room = self._entries.popitem
        self._entries.popitem = self._evict
        self._max_bytes = max_bytes
        self.evicted = 0
        """Entries that had to go before their time, for others."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_bytes(self) -> int:
        used: int = self._entries.currsize
        return used

    def find(self, slot: Slot) -> Entry | None:
        """The entry, which then counts as used; None: it is not there, or it is gone by now."""
        try:
            found: Entry = self._entries[slot]
        except KeyError:
            return None
        return found

    def peek(self, slot: Slot) -> Entry | None:
        """The same without counting as use."""
        return self._look(self._entries, slot) if slot in self._entries else None

    def put(self, slot: Slot, entry: Entry) -> bool:
        """Keep an entry in the place of the one before. False: it alone is larger than all may be."""
        entry.size_bytes = ENTRY_BYTES + memory_bytes(key_of(slot)) + memory_bytes(entry.value)
        if entry.size_bytes > self._max_bytes:
            self.drop(slot)
            return False
        self._entries[slot] = entry
        return True

    def drop(self, slot: Slot) -> bool:
        """Forget an entry. False: there was none that could still be served."""
        try:
            del self._entries[slot]
        except KeyError:
            return False
        return True

    def clear(self) -> None:
        self._entries.clear()

    def _evict(self) -> Any:
        self.evicted += 1
        return self._make_room()
