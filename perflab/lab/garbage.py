"""Keeping Python's garbage collector out of the figures."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def old_objects_set_aside() -> Iterator[None]:
    """Collect once, and then let collections skip everything that exists by now.

    A trace of a hundred thousand events would otherwise be walked by each full collection, at a moment of its own
    choosing, and `gc.collect()` before each visit would cost more than many a visit.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
