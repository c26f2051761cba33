"""A read on its way, for all who want one of its keys, and what one who asks knows of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto

from perflab.cache.lifetimes import Entry
from perflab.cache.slots import Slot


def _uncancellable() -> Future[None]:
    """A future that an event loop cannot cancel for all because one of its tasks is."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(eq=False, slots=True)
class Flight:
    """A read of one key, or of a page of keys."""

    sent_at: float
    is_page: bool = False
    landed: Future[None] = field(default_factory=_uncancellable)
    """Done when all that will be in `found` is in it. It has no error, for nobody may be there to take it."""
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
