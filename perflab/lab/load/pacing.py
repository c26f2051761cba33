"""Sending items at their moments, whatever becomes of those before; or one after the other, as clients do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from perflab.lab.load.items import Item
from perflab.lab.load.writers import Writer
from perflab.lab.workloads.arrivals import Offsets


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that never go back, and how to let them pass."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


class Pace:
    """One run of items through a writer. Threads share what is left; an item is sent exactly once, or given up.

    Args:
        items: In the order of their moments.
        intended: The moment of each, on the clock; for a closed loop they are not looked at.
        writer: Takes them.
        threads: That send. With a writer that blocks, so many can be under way at once.
        give_up_at: The moment after which no item is sent any more.
        closed: Send the next item when the last one has ended, and not at its moment.
        clock: The time.
    """

    def __init__(
        self,
        items: Sequence[Item],
        intended: Offsets,
        writer: Writer,
        *,
        threads: int,
        give_up_at: float,
        closed: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.items = items
        self.intended = intended
        self.started = [0.0] * len(items)
        self.ended = [0.0] * len(items)
        self.errors: dict[int, BaseException] = {}
        self._writer = writer
        self._threads = threads
        self._give_up_at = give_up_at
        self._closed = closed
        self._clock = clock or Clock()
        self._left: Iterator[int] = iter(range(len(items)))  # `next` of it is atomic
        self._marks: list[int] = []
        self._sent: list[int] = []

    @property
    def sent(self) -> int:
        """Items that were started by now."""
        return len(self._sent)

    @property
    def done(self) -> int:
        """Items that have ended by now."""
        return len(self._marks)

    def run(self, wait: Callable[[], None] | None = None) -> None:
        """Send everything, and return when all that was sent has ended.

        Args:
            wait: Called again and again in this thread meanwhile; it should take some tenths of a second.
        """
        send = self._send_closed if self._closed else self._send_open
        threads = [threading.Thread(target=send, daemon=True, name=f"load-{n}") for n in range(self._threads)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or self.done < self.sent:
            if wait is None:
                threads[0].join(0.05)
                self._clock.sleep(0.001)
            else:
                wait()

    def _send_open(self) -> None:
        now, sleep = self._clock.now, self._clock.sleep
        moments = self.intended.tolist()
        for index in self._left:
            # Never skipped for being late: a late item is part of the answer.
            while (ahead := moments[index] - now()) > 0:
                sleep(ahead)
            if now() > self._give_up_at:
                return
            self._send(index, partial(self._note_end, index))

    def _send_closed(self) -> None:
        for index in self._left:
            if self._clock.now() > self._give_up_at:
                return
            answered = threading.Event()

            def note(error: BaseException | None, index: int = index, answered: threading.Event = answered) -> None:
                self._note_end(index, error)
                answered.set()

            self._send(index, note)
            answered.wait()

    def _send(self, index: int, ended: Callable[[BaseException | None], None]) -> None:
        self.started[index] = self._clock.now()
        self._sent.append(index)
        try:
            self._writer.send(self.items[index], ended)
        except Exception as error:  # noqa: BLE001  # refused instead of accepted: it ends here
            ended(error)

    def _note_end(self, index: int, error: BaseException | None) -> None:
        self.ended[index] = self._clock.now()
        if error is not None:
            self.errors[index] = error
        self._marks.append(index)

    def sent_positions(self) -> NDArray[np.int64]:
        """Positions of all items that were sent, in order."""
        return np.sort(np.array(self._sent, dtype=np.int64))

    def times(self) -> tuple[Offsets, Offsets, Offsets]:
        """Intended, started and ended moments of all that was sent, in their order."""
        sent = self.sent_positions()
        started = np.array(self.started)[sent]
        return (started if self._closed else self.intended[sent]), started, np.array(self.ended)[sent]
