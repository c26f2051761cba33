"""The entries in memory: bounded by bytes, the least recently used go first, and what is over goes by itself."""

from __future__ import annotations

from collections.abc import Callable

from perflab.cache.lifetimes import Entry
from perflab.cache.slots import ENTRY_BYTES, Slot, key_of, memory_bytes
from perflab.errors import MissingExtra

try:
    from cachetools import Cache, TLRUCache
except ModuleNotFoundError as missing:
    raise MissingExtra("the cache needs the package cachetools: pip install 'perflab[cache]'") from missing


class EntryStore(TLRUCache[Slot, Entry]):
    """`cachetools.TLRUCache` with the size and the end that each entry states. Whoever uses it holds the lock.

    Args:
        max_bytes: of all entries together, as `Entry.size_bytes` has them.
        clock: monotonic seconds, as in the entries.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        super().__init__(
            max_bytes,
            ttu=lambda _slot, entry, _now: entry.gone_at,
            timer=clock,
            getsizeof=lambda entry: entry.size_bytes,
        )
        self.evicted = 0
        """Entries that had to go before their time, for others."""

    def find(self, slot: Slot) -> Entry | None:
        """The entry, which then counts as used; None: it is not there, or it is gone by now."""
        try:
            return self[slot]
        except KeyError:
            return None

    def peek(self, slot: Slot) -> Entry | None:
        """The same without counting as use."""
        if slot not in self:
            return None
        found: Entry = Cache.__getitem__(self, slot)
        return found

    def put(self, slot: Slot, entry: Entry) -> bool:
        """Keep an entry in the place of the one before. False: it alone is larger than all may be."""
        entry.size_bytes = ENTRY_BYTES + memory_bytes(key_of(slot)) + memory_bytes(entry.value)
        if entry.size_bytes > self.maxsize:
            self.drop(slot)
            return False
        self[slot] = entry
        return True

    def drop(self, slot: Slot) -> bool:
        """Forget an entry. False: there was none that could still be served."""
        try:
            del self[slot]
        except KeyError:
            return False
        return True

    def popitem(self) -> tuple[Slot, Entry]:
        self.evicted += 1
        return super().popitem()
