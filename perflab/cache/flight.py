"""A read on its way, for all who want one of its keys, and what one who asks knows of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from perflab.cache.lifetimes import Entry
from perflab.cache.slots import Slot


@dataclass(eq=False, slots=True)
class Flight:
    """A read of one key, or of a page of keys."""

    sent_at: float
    is_page: bool = False
    has_landed: bool = False
    """All that will be in `found` is in it."""
    threads: list[threading.Event] = field(default_factory=list)
    tasks: list[asyncio.Future[None]] = field(default_factory=list)
    """Who is to be told when it has landed. Made by those who wait: most flights have nobody beside who began them."""
    found: dict[Slot, Entry] = field(default_factory=dict)
    error: BaseException | None = None
    """Why a key is not in `found`."""


class Answer(Enum):
    """How one key that was asked for was answered; `CacheMetrics` says what each means."""

    HIT = auto()
    STALE = auto()
    WAITED = auto()
    MISS = auto()
    FAILED = auto()


@dataclass(slots=True)
class Asked:
    """One key that somebody asks for: answered by an entry, unless there is a flight to wait for."""

    slot: Slot
    answer: Answer
    entry: Entry | None = None
    """To be served; while there is a flight, what is left if that fails."""
    flight: Flight | None = None
    """To be waited for."""
    to_begin: Flight | None = None
    """To be begun by whoever asks: the same, or one that reads the entry again while it is served."""
    error: BaseException | None = None
    """Why there is nothing to be served."""


def wake(flights: Iterable[Flight]) -> None:
    """Tell all who wait that flights have landed; each event loop once, because a call for each of its tasks would hand
    the interpreter's lock to and fro each time.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for flight in flights:
        for thread in flight.threads:
            thread.set()
        for task in flight.tasks:
            by_loop.setdefault(task.get_loop(), []).append(task)
    for loop, tasks in by_loop.items():
        with suppress(RuntimeError):  # it is closed, and nobody waits there any more
            loop.call_soon_threadsafe(_decide, tasks)


def _decide(tasks: Iterable[asyncio.Future[None]]) -> None:
    for task in tasks:
        if not task.done():
            task.set_result(None)
