"""The items that wait, a line for each lane, and whose turn it is while more wait than a batch takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge
from math import inf
from operator import attrgetter
from typing import Any, Generic, TypeVar

from perflab.batching.lanes import Lanes
from perflab.events import Cause


class Entry:
    """One item on its way through an accumulator, which notes here what it knows of it.

    A second object for each item would cost more than what is done with it, so whoever writes items adds slots of its
    own in a subclass.
    """

    __slots__ = ("arrived", "attempts", "cause", "count", "deadline", "item", "lane", "number", "size")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.count = 1  # as how many items it counts; it is never cut
        self.size = 0  # in bytes, where they are measured
        self.lane = 0
        self.arrived = 0.0
        self.number = 0
        self.deadline = inf  # on the clock of the accumulator; it is not sent after that
        self.attempts = 0
        self.cause: Cause | None = None  # for which it first left

    def __repr__(self) -> str:
        return f"Entry(#{self.number}, {self.size} B, arrived {self.arrived}, {self.attempts} attempts)"


E = TypeVar("E", bound=Entry)

_by_number = attrgetter("number")


class WaitingLines(Generic[E]):
    """Deficit round robin with ageing.

    In each round a lane may send as many places as its weight, earlier lanes first; a batch goes on where the last one
    stopped. A lane that sends a large item or a unit goes into debt for it, and an empty lane saves nothing up. Items
    older than the patience of their lane get every second place, the one first that grew old first, and it costs their
    lane nothing. A unit takes a place for each of its items; the batch in which it finds too few ends before it, and
    one that is larger than a batch leaves alone.

    Source: M. Shreedhar and G. Varghese, "Efficient fair queuing using deficit round-robin", IEEE/ACM Transactions on
    Networking 4, 1996; debts instead of savings: H. Adiseshu, G. Parulkar and G. Varghese, "A reliable and scalable
    striping protocol", SIGCOMM 1996.

    Args:
        lanes: whose lines these are.
        most_places: that an item can take for its bytes.
        bytes_per_place: an item takes one place for each of these, and at least one; None: each takes one.
    """

    def __init__(self, lanes: Lanes, most_places: int, bytes_per_place: float | None = None) -> None:
        self._lanes = lanes.all
        self._lines: tuple[deque[E], ...] = tuple(deque() for _ in lanes.all)
        self._urgent = tuple(line for line, lane in zip(self._lines, lanes.all, strict=True) if lane.urgent)
        self._credit = [lane.weight for lane in lanes.all]
        self._ahead = 0  # places that old items have taken more than the others beside them
        self._most_places = most_places
        self._bytes_per_place = bytes_per_place
        self._surplus = [0] * len(lanes.all)  # of the items of units over the units, by lane
        self.items = 0
        self.bytes = 0

    def append(self, entry: E) -> None:
        """Add an entry that counts as one item."""
        self._lines[entry.lane].append(entry)
        self.items += 1
        self.bytes += entry.size

    def extend(self, entries: Sequence[E]) -> None:
        """Add entries of one lane that count as one item each and whose bytes are not measured."""
        if entries:
            self._lines[entries[0].lane].extend(entries)
            self.items += len(entries)

    def append_unit(self, entry: E) -> None:
        """Add an entry that counts as more."""
        self.append(entry)
        self._count_surplus(entry, 1)

    def _count_surplus(self, entry: E, sign: int) -> None:
        surplus = sign * (entry.count - 1)
        self._surplus[entry.lane] += surplus
        self.items += surplus

    def heads(self) -> list[E]:
        """The oldest of each lane in which something waits."""
        return [line[0] for line in self._lines if line]

    def oldest(self) -> E:
        """Of all lanes. Call it only when something waits."""
        return min(self.heads(), key=_by_number)

    @property
    def urgent(self) -> bool:
        """Whether an item waits that should leave at once."""
        return any(self._urgent)

    def __iter__(self) -> Iterator[E]:
        """All that wait, oldest first."""
        return merge(*self._lines, key=_by_number)

    def take(self, now: float, most_items: int, most_bytes: int | None) -> list[E]:
        """Take out the next batch: at least one entry, however large, then as many as fit; oldest first."""
        used = [index for index, line in enumerate(self._lines) if line]
        if most_bytes is None or self.bytes <= most_bytes:
            most_bytes = self.bytes
        if self.items <= most_items and self.bytes <= most_bytes:
            self._credit = [lane.weight for lane in self._lanes]
            return self.clear()
        if len(used) == 1:
            self._credit = [lane.weight for lane in self._lanes]
            self._credit[used[0]] = 0
            taken = self._take_from_one(self._lines[used[0]], most_items, most_bytes)
        else:
            taken = self._take_in_turns(now, most_items, most_bytes)
        self.items -= len(taken)
        if self.bytes:
            self.bytes -= sum(entry.size for entry in taken)
        if any(self._surplus):
            for entry in taken:
                self._count_surplus(entry, -1)
        return taken

    def _take_from_one(self, line: deque[E], most_items: int, most_bytes: int) -> list[E]:
        if self.bytes <= most_bytes and not any(self._surplus):
            return [line.popleft() for _ in range(most_items)]
        taken: list[E] = []
        while line:
            most_items -= line[0].count
            most_bytes -= line[0].size
            if taken and (most_items < 0 or most_bytes < 0):
                break
            taken.append(line.popleft())
        return taken

    def _take_in_turns(self, now: float, most_items: int, most_bytes: int) -> list[E]:
        taken: list[E] = []
        some_are_old = self._grown_old(now) is not None
        while most_items > 0 and any(self._lines):
            old = self._grown_old(now) if some_are_old else None
            is_free = old is not None and self._ahead <= 0
            index = old if old is not None and is_free else self._whose_turn()
            entry = self._lines[index][0]
            most_items -= entry.count
            most_bytes -= entry.size
            if taken and (most_items < 0 or most_bytes < 0):
                break
            taken.append(self._lines[index].popleft())
            if is_free:
                self._ahead += entry.count
            else:
                self._credit[index] -= self._places(entry)
                self._ahead = 0 if old is None else self._ahead - entry.count
        taken.sort(key=_by_number)
        return taken

    def _grown_old(self, now: float) -> int | None:
        """The lane whose first item has been older than the patience of its lane for longest."""
        since, index = min(
            (line[0].arrived + self._lanes[index].patience, index) for index, line in enumerate(self._lines) if line
        )
        return index if since <= now else None

    def _whose_turn(self) -> int:
        """The first lane with something to send and something left of its share; if there is none, a round begins."""
        used = [index for index, line in enumerate(self._lines) if line]
        for index in used:
            if self._credit[index] > 0:
                return index
        # As many rounds at once as it takes until one lane may send.
        rounds = min((self._lanes[index].weight - self._credit[index]) // self._lanes[index].weight for index in used)
        self._credit = [
            min(lane.weight, credit + rounds * lane.weight)
            for lane, credit in zip(self._lanes, self._credit, strict=True)
        ]
        return next(index for index in used if self._credit[index] > 0)

    def _places(self, entry: E) -> int:
        if self._bytes_per_place is None:
            return entry.count
        return max(entry.count, int(min(self._most_places, entry.size / self._bytes_per_place)))

    def put_back(self, returned: Sequence[E]) -> None:
        """Put items to the front of their lines, in their order."""
        self.items += len(returned)
        self.bytes += sum(entry.size for entry in returned)
        for entry in returned:
            self._count_surplus(entry, 1)
        for index, line in enumerate(self._lines):
            own = sorted((entry for entry in returned if entry.lane == index), key=_by_number)
            if not own:
                continue
            # With several batches in flight an older one may come back after a younger one.
            older: list[E] = []
            while line and line[0].number < own[-1].number:
                older.append(line.popleft())
            line.extendleft(reversed(list(merge(older, own, key=_by_number))))

    def ahead_of_next(self, lane: int) -> int:
        """Items that would leave before one that came to a lane now, if all lanes have their shares."""
        items = [len(line) + surplus for line, surplus in zip(self._lines, self._surplus, strict=True)]
        own, weight = items[lane] + 1, self._lanes[lane].weight
        others = sum(
            min(count, -(-own * self._lanes[index].weight // weight))
            for index, count in enumerate(items)
            if index != lane
        )
        return own - 1 + others

    def clear(self) -> list[E]:
        """Take out everything, oldest first."""
        used = [line for line in self._lines if line]
        everything = list(used[0] if len(used) == 1 else self)
        for line in self._lines:
            line.clear()
        self._surplus = [0] * len(self._lines)
        self.items = self.bytes = 0
        return everything
