"""Hearing on PostgreSQL that jobs have arrived, so that an idle worker starts them at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from perflab.queue.engine import CHANNEL
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 1.0
"""Then the worker looks, too, and a connection that was lost is opened again."""
LONGEST_END_SECONDS = 10.0


class Arrivals:
    """A thread with a connection of its own that listens for what enqueuers notify; none on SQLite.

    Whatever it misses the worker finds when it looks by itself, which it never ceases to do.

    Args:
        queue: whose jobs.
        heard: called when there may be new ones.
    """

    def __init__(self, queue: PriorityQueue[Any, Any], heard: Callable[[], None]) -> None:
        self._heard = heard
        self._ending = threading.Event()
        self._listener = queue.db.listen(CHANNEL, queue.name)
        self._thread = threading.Thread(target=self._listen, name="perflab-arrivals", daemon=True)
        if self._listener is None:
            return
        if self._listener.can_hear:
            self._thread.start()
        else:
            logger.warning(
                "queue %s: nothing can be heard through this pooler, so that workers find jobs by looking alone: give "
                "them a direct connection, or a shorter poll_interval",
                queue.name,
            )

    def close(self) -> None:
        self._ending.set()
        if self._listener is None:
            return
        self._listener.wake()
        if self._thread.ident is not None:
            self._thread.join(LONGEST_END_SECONDS)
        self._listener.close()

    def _listen(self) -> None:
        assert self._listener is not None
        while not self._ending.is_set():
            self._listener.wait(LONGEST_WAIT_SECONDS)
            self._heard()
