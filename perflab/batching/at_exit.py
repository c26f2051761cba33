"""The last chance of items in a batcher that nobody closed."""

from __future__ import annotations

import atexit
import logging
import os
import warnings
from collections.abc import Callable
from typing import Protocol

from perflab.batching.metrics import BatchingMetrics

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0


class Drainable(Protocol):
    def metrics(self) -> BatchingMetrics: ...

    def drain_at_exit(self, timeout: float) -> int:
        """Write what waits, within `timeout` seconds; returns how many items could not be written."""


def register(batcher: Drainable) -> Callable[[], None]:
    """At the end of the interpreter, write what an unclosed batcher still holds, and say so.

    The batcher is kept until then, or until it is closed: one that nobody refers to any more may hold items.

    Returns:
        What to give to `atexit.unregister` when the batcher is closed.
    """
    process_id = os.getpid()

    def drain() -> None:
        if os.getpid() != process_id:  # after a fork; the items are the parent's
            return
        pending = batcher.metrics().pending
        if not pending:
            return
        name = type(batcher).__name__
        try:
            if lost := batcher.drain_at_exit(DRAIN_SECONDS):
                logger.error("%d items of a %s that was not closed could not be written", lost, name)
        finally:
            warnings.warn(
                f"a {name} was not closed: its {pending} pending items were written as the interpreter ended; "
                "use close() or a with block",
                ResourceWarning,
                stacklevel=1,
            )

    atexit.register(drain)
    return drain
