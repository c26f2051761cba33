"""The accumulator with lanes, units, bytes, deadlines and cancelled items, against a model in plain lists.

What leaves in one batch is checked by what is promised of it, not by a second round robin: the front of each lane, in
the order of arrival, as much as fits, and nothing overtaken for longer than is stated.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.lanes import Lane, Lanes, longest_wait
from perflab.batching.limits import Limits
from perflab.batching.waiting_lines import Entry
from perflab.events import Cause

LARGEST_UNIT = 5
TIMES = st.integers(0, 8).map(float) | st.floats(0.0, 8.0, allow_subnormal=False)
LANES = st.lists(
    st.builds(
        Lane,
        name=st.uuids().map(str),
        weight=st.integers(1, 3),
        urgent=st.booleans(),
        patience=st.sampled_from([0.0, 1.0, 6.0]),
    ),
    min_size=1,
    max_size=3,
)


class LanesMachine(RuleBasedStateMachine):
    """Items are numbers in the order of arrival. Shells add where there is room, and so does this."""

    batches = Bundle("batches")
    tickets = Bundle("tickets")

    @initialize(
        lanes=LANES,
        batch_size=st.integers(1, 6),
        flush_interval=st.sampled_from([0.0, 1.0, 5.0]),
        batch_bytes=st.sampled_from([None, None, 10]),
        spare=st.integers(0, 8),
        max_pending_bytes=st.sampled_from([None, None, 40]),
    )
    def start(
        self,
        *,
        lanes: list[Lane],
        batch_size: int,
        flush_interval: float,
        batch_bytes: int | None,
        spare: int,
        max_pending_bytes: int | None,
    ) -> None:
        self.limits = Limits(batch_size, flush_interval, batch_bytes, batch_size + spare, max_pending_bytes)
        self.lanes = lanes
        self.accumulator: Accumulator[Entry] = Accumulator(self.limits, lanes=Lanes(lanes))
        self.now = 0.0
        self.resume_at = -math.inf
        self.barrier = 0
        self.arrived_before: dict[int, int] = {}
        self.closed = False
        self.arrived: list[float] = []
        self.leave_by: list[float] = []
        self.sizes: list[int] = []
        self.counts: list[int] = []
        self.lane_of: list[int] = []
        self.first_causes: dict[int, Cause] = {}
        self.overtaken: dict[int, int] = {}
        self.lines: list[list[int]] = [[] for _ in lanes]
        self.in_flight: list[list[int]] = []
        self.cancelled: set[int] = set()
        self.decided: list[int] = []

    # what the model says

    @property
    def waiting(self) -> list[int]:
        return sorted(item for line in self.lines for item in line)

    @property
    def flying(self) -> list[int]:
        return [item for batch in self.in_flight for item in batch]

    def bytes_of(self, items: list[int]) -> int:
        return sum(self.sizes[item] for item in items)

    def count_of(self, items: list[int]) -> int:
        return sum(self.counts[item] for item in items)

    def room_in(self, lane: int) -> int:
        limits, pending = self.limits, self.waiting + self.flying
        extra = limits.batch_size if self.lanes[lane].urgent else 0
        bound = limits.max_pending_bytes
        if bound is not None and self.bytes_of(pending) >= bound + bound * extra // limits.max_pending:
            return 0
        return limits.max_pending + extra - self.count_of(pending)

    def cause(self, now: float) -> Cause | None:
        limits, waiting = self.limits, self.waiting
        if not waiting or now < self.resume_at:
            return None
        returned = [line[0] for line in self.lines if line and line[0] in self.first_causes]
        if returned:
            return self.first_causes[min(returned)]
        bound = limits.max_pending_bytes
        pending = waiting + self.flying
        is_full = self.count_of(pending) >= limits.max_pending or (
            bound is not None and self.bytes_of(pending) >= bound
        )
        is_urgent = any(self.lanes[self.lane_of[item]].urgent for item in waiting)
        causes = {
            Cause.COUNT: self.count_of(waiting) >= limits.batch_size,
            Cause.BYTES: limits.batch_bytes is not None and self.bytes_of(waiting) >= limits.batch_bytes,
            Cause.CLOSE: self.closed,
            Cause.BARRIER: waiting[0] < self.barrier,
            Cause.URGENCY: is_urgent
            or any(now >= self.leave_by[item] for item in waiting if item not in self.first_causes),
            Cause.AGE: now >= self.arrived[waiting[0]] + limits.flush_interval,
            Cause.MEMORY: is_full,
        }
        return next((cause for cause, holds in causes.items() if holds), None)

    def fits(self, items: list[int]) -> bool:
        limits = self.limits
        return self.count_of(items) <= limits.batch_size and (
            limits.batch_bytes is None or self.bytes_of(items) <= limits.batch_bytes
        )

    def most_overtaking(self, lane: int) -> int:
        """Batches that may leave before an item that has grown old, by `longest_wait` with flushes of a second."""
        places = None if self.limits.batch_bytes is None else 1
        wait = longest_wait(self.lanes[lane], self.limits, 1.0, places, largest_unit=LARGEST_UNIT)
        return round(wait - max(self.lanes[lane].patience, self.limits.flush_interval))

    # what happens

    @precondition(lambda self: not self.closed)
    @rule(
        lane=st.integers(0, 2),
        sizes=st.lists(st.sampled_from([0, 1, 5, 5, 10, 25]), min_size=1, max_size=5),
        count=st.sampled_from([1, 1, 1, 2, 3, LARGEST_UNIT]),
        seconds=st.none() | st.floats(0.0, 20.0, allow_subnormal=False),
    )
    def add(self, lane: int, sizes: list[int], count: int, seconds: float | None) -> None:
        lane %= len(self.lanes)
        for size in sizes:
            assert self.accumulator.room_in(lane) == self.room_in(lane)
            if self.room_in(lane) <= 0:
                return
            item = len(self.arrived)
            deadline = math.inf if seconds is None else self.now + seconds
            self.accumulator.add(Entry(item), self.now, size, lane, deadline, count=count)
            self.arrived.append(self.now)
            # No flush is learned from, so that each is expected to take no time: half of the time may be waited.
            self.leave_by.append(min(self.now + (deadline - self.now) / 2, deadline))
            self.sizes.append(size)
            self.counts.append(count)
            self.lane_of.append(lane)
            self.lines[lane].append(item)

    @rule(seconds=TIMES)
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waiting + self.flying)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A cancelled item keeps its place, and is decided by the batch that it leaves with."""
        self.cancelled.add(data.draw(st.sampled_from(self.waiting + self.flying)))

    @rule(target=tickets)
    def flush(self) -> int:
        return self._ticket(self.accumulator.flush())

    @precondition(lambda self: len(self.arrived) > 20)  # so that most of a run is open
    @rule(target=tickets)
    def close(self) -> int:
        self.closed = True
        return self._ticket(self.accumulator.close())

    def _ticket(self, ticket: int) -> int:
        self.barrier = self.arrived_before[ticket] = len(self.arrived)
        return ticket

    @rule(target=batches)
    def take(self) -> Any:
        expected = self.cause(self.now)
        batch = self.accumulator.take(self.now)
        if expected is None:
            assert batch is None
            return multiple()
        assert batch is not None
        items = [entry.item for entry in batch.entries]
        assert batch.cause is expected
        assert (batch.items, batch.bytes) == (self.count_of(items), self.bytes_of(items))
        assert batch.capacity == max(batch.items, self.limits.batch_size)
        assert batch.waited == self.now - self.arrived[items[0]]
        self.check_contents(items)
        self.check_overtaking(items)
        for item in items:
            self.first_causes.setdefault(item, batch.cause)
        self.lines = [[item for item in line if item not in items] for line in self.lines]
        self.in_flight.append(items)
        return batch

    def check_contents(self, items: list[int]) -> None:
        assert items == sorted(items)
        assert self.fits(items) or len(items) == 1
        left = []
        for lane, line in enumerate(self.lines):
            own = [item for item in items if self.lane_of[item] == lane]
            assert own == line[: len(own)], "the front of each lane"
            left += line[len(own) : len(own) + 1]
        assert not left or any(not self.fits([*items, item]) for item in left), "as much as fits"

    def check_overtaking(self, items: list[int]) -> None:
        for item in self.waiting:
            lane = self.lane_of[item]
            if self.now < self.arrived[item] + self.lanes[lane].patience:
                continue
            self.overtaken[item] = self.overtaken.get(item, 0) + 1
            assert self.overtaken[item] <= self.most_overtaking(lane) + (item in items)

    @precondition(lambda self: self.waiting)
    @rule(target=batches)
    def take_when_due(self) -> Any:
        """A shell that sleeps until `next_due` always finds a batch, and no item later than it was promised."""
        due = self.accumulator.next_due()
        assert due is not None
        is_in_time = due >= self.now
        self.now = max(self.now, due)
        waiting = self.waiting
        fresh = [item for item in waiting if item not in self.first_causes]
        batch = self.take()
        assert isinstance(batch, Batch)
        if is_in_time and self.resume_at <= self.arrived[waiting[0]]:
            assert self.now <= self.arrived[waiting[0]] + self.limits.flush_interval
            assert all(self.now <= self.leave_by[item] or self.resume_at > self.arrived[item] for item in fresh)
        return batch

    @rule(batch=consumes(batches), data=st.data(), back_off=st.none() | TIMES)
    def settle(self, batch: Batch[Entry], data: st.DataObject, back_off: float | None) -> None:
        wanted = [entry for entry in batch.entries if entry.item not in self.cancelled]
        undecided = data.draw(st.lists(st.sampled_from(wanted), unique_by=id)) if wanted else []
        resume_at = -math.inf if back_off is None else self.now + back_off
        self.accumulator.settle(batch, undecided, resume_at)
        items = [entry.item for entry in batch.entries]
        returned = [entry.item for entry in undecided]
        self.in_flight.remove(items)
        for item in returned:
            self.lines[self.lane_of[item]].append(item)
        self.lines = [sorted(line) for line in self.lines]
        self.decided += [item for item in items if item not in returned]
        if returned:  # what is tried again comes on top of the stated wait
            self.resume_at = max(self.resume_at, resume_at)
            self.overtaken.clear()

    @precondition(lambda self: self.closed)
    @rule()
    def abandon(self) -> None:
        assert [entry.item for entry in self.accumulator.abandon()] == self.waiting
        self.decided += self.waiting
        self.lines = [[] for _ in self.lanes]

    @rule(ticket=tickets)
    def ask_the_ticket(self, ticket: int) -> None:
        before = self.arrived_before[ticket]
        assert self.accumulator.reached(ticket) == all(item >= before for item in self.waiting + self.flying)

    # what always holds

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert sorted(self.waiting + self.flying + self.decided) == list(range(len(self.arrived)))
        assert self.accumulator.waiting == self.count_of(self.waiting)
        assert self.accumulator.in_flight == self.count_of(self.flying)
        assert self.accumulator.pending == self.count_of(self.waiting + self.flying)
        assert self.accumulator.pending_bytes == self.bytes_of(self.waiting + self.flying)

    @invariant()
    def it_is_due_from_when_it_says_and_not_before(self) -> None:
        assert self.accumulator.due(self.now) is self.cause(self.now)
        due = self.accumulator.next_due()
        assert (due is None) == (not self.waiting)
        if due is not None:
            assert (due <= self.now) == (self.cause(self.now) is not None)
            assert self.cause(max(due, self.now)) is not None
            assert due <= self.now or self.cause(math.nextafter(due, -math.inf)) is None


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(
    max_examples=150, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
