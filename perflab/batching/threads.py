"""Threads that one can do without."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


def start_thread(target: Callable[[], None], name: str, *, without: str) -> threading.Thread | None:
    """Start a daemon thread; None where none can start, after a warning that says what happens `without` it."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        logger.warning("no thread %s (%s): %s", name, error, without)
        return None
    return thread
