"""The last chance of items in a batcher that nobody closed."""

from __future__ import annotations

import atexit
import warnings
import weakref
from collections.abc import Callable
from typing import Protocol

from perflab.batching.metrics import BatchingMetrics

DRAIN_SECONDS = 10.0


class Drainable(Protocol):
    def metrics(self) -> BatchingMetrics: ...

    def drain_at_exit(self, timeout: float) -> None:
        """Write what waits, within `timeout` seconds."""


def register(batcher: Drainable) -> Callable[[], None]:
    """At the end of the interpreter, write what an unclosed batcher still holds, and say so.

    Returns:
        What to give to `atexit.unregister` when the batcher is closed.
    """
    reference = weakref.ref(batcher)

    def drain() -> None:
        unclosed = reference()
        if unclosed is not None and (pending := unclosed.metrics().pending):
            warnings.warn(
                f"a {type(unclosed).__name__} was not closed: writing its {pending} pending items; "
                "use close() or a with block",
                ResourceWarning,
                stacklevel=1,
            )
            unclosed.drain_at_exit(DRAIN_SECONDS)

    atexit.register(drain)
    return drain
