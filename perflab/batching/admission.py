"""Who is let into the buffer, what the others are told, and the line of threads that wait for room."""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from typing import TypedDict

from perflab.batching.accumulator import Accumulator
from perflab.batching.part import Submission
from perflab.batching.unit_write import count_of
from perflab.database.values import check_number
from perflab.errors import BufferFull, DeadlineOutOfReach


class SubmitOptions(TypedDict, total=False):
    """How an item is to be handled; see `submit`."""

    lane: str | None
    deadline: float | None


class BlockingSubmitOptions(SubmitOptions, total=False):
    """The same, where a thread may wait for room."""

    timeout: float | None


def buffer_full(pending: int) -> BufferFull:
    """For `overflow="raise"`."""
    return BufferFull(
        f"the buffer is full: {pending:,} items are pending; submit more slowly, raise max_pending, or use "
        "overflow='block'"
    )


def stayed_full(pending: int) -> BufferFull:
    """For whoever waited."""
    return BufferFull(
        f"the buffer is full: {pending:,} items are pending, and it stayed so until the timeout; submit more "
        "slowly or raise max_pending"
    )


def admit_by(
    deadline: float | None, accumulator: Accumulator[Submission], lane: int, now: float, in_line: int = 0
) -> float:
    """The deadline of an item on the clock of the accumulator.

    Args:
        deadline: seconds from now; None: it has none.
        accumulator: says how long the item would take.
        lane: into which it comes.
        now: on that clock.
        in_line: items that wait for room and come before it.

    Raises:
        InvalidInput: it is negative or no number.
        DeadlineOutOfReach: the item would take longer than that.
    """
    if deadline is None:
        return inf
    check_number(deadline, "deadline")
    estimated = accumulator.seconds_to_decide(lane, now, in_line)
    if estimated > deadline:
        pending = accumulator.pending + in_line
        raise DeadlineOutOfReach(
            f"the item would be decided in about {estimated:.3g} s, with {pending:,} items pending, and its deadline "
            f"is in {deadline:.3g} s: it was not accepted; allow more time, use an urgent lane, or submit less",
            deadline_seconds=deadline,
            estimated_seconds=estimated,
            pending=pending,
        )
    return now + deadline


class BlockedSubmit:
    """A thread that waits for room, with what it wants to submit."""

    __slots__ = ("admitted", "changed", "deadline", "lane", "size", "submission")

    def __init__(self, submission: Submission, size: int, lane: int, deadline: float, lock: threading.Lock) -> None:
        self.submission = submission
        self.size = size
        self.lane = lane
        self.deadline = deadline
        self.admitted = False
        self.changed = threading.Condition(lock)


class BlockedLine:
    """Threads that wait for room: first come, first served. All calls are made under the lock.

    Whoever makes room adds their items for them, under the lock, and wakes only those. So there is never room while
    somebody waits for it, and no newcomer can be quicker.

    Args:
        accumulator: into which they come.
        lock: of the batcher.
    """

    def __init__(self, accumulator: Accumulator[Submission], lock: threading.Lock) -> None:
        self._accumulator = accumulator
        self._lock = lock
        # Urgent ones have room that others have not, so they have a line of their own.
        self._lines: tuple[deque[BlockedSubmit], deque[BlockedSubmit]] = deque(), deque()
        self.waiting = 0
        """Threads in line."""

    def enter(
        self, submission: Submission, size: int, lane: int, deadline: float | None, now: float, *, may_wait: bool
    ) -> BlockedSubmit | None:
        """Add an item, or stand in line for it.

        Args:
            submission: what comes in.
            size: its bytes, where they are measured.
            lane: its number.
            deadline: seconds from now, or None.
            now: on the clock of the accumulator.
            may_wait: False refuses what finds no room.

        Returns:
            None if it is in the buffer; otherwise what to wait with and then to `leave`.

        Raises:
            BufferFull, DeadlineOutOfReach, LifecycleError: it is not accepted.
        """
        accumulator, line = self._accumulator, self._line(lane)
        must_be_decided = admit_by(deadline, accumulator, lane, now, self.waiting)
        if accumulator.closing or accumulator.room_in(lane) > 0:
            accumulator.add(submission, now, size, lane, must_be_decided, count=count_of(submission.operation))
            return None
        if not may_wait:
            raise buffer_full(accumulator.pending)
        blocked = BlockedSubmit(submission, size, lane, must_be_decided, self._lock)
        line.append(blocked)
        self.waiting += 1
        return blocked

    def leave(self, blocked: BlockedSubmit) -> Exception | None:
        """Wait no longer; the error of an item that is not in the buffer."""
        if blocked.admitted:
            return None
        self._line(blocked.lane).remove(blocked)
        self.waiting -= 1
        return self._accumulator.closed() if self._accumulator.closing else stayed_full(self._accumulator.pending)

    def admit(self, now: float) -> None:
        """Let in as many as there is room for."""
        if self._accumulator.closing:
            return
        for line in self._lines:
            while line and self._accumulator.room_in(line[0].lane) > 0:
                first = line.popleft()
                self.waiting -= 1
                count = count_of(first.submission.operation)
                self._accumulator.add(first.submission, now, first.size, first.lane, first.deadline, count=count)
                first.admitted = True
                first.changed.notify()

    def wake(self) -> None:
        """Have all look whether the batcher is closing."""
        for line in self._lines:
            for blocked in line:
                blocked.changed.notify()

    def _line(self, lane: int) -> deque[BlockedSubmit]:
        return self._lines[0 if self._accumulator.lanes.all[lane].urgent else 1]
