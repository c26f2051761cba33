"""Listeners that tests need."""

from __future__ import annotations

from collections.abc import Callable

from perflab.events import Event, FlushCompleted, Listener


def to_flushes(hear: Callable[[FlushCompleted], object]) -> Listener:
    """A listener that hears of flushes only."""

    def listen(event: Event) -> None:
        if isinstance(event, FlushCompleted):
            hear(event)

    return listen
