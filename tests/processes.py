"""What tests with real processes share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


def runs(process_id: int) -> bool:
    """Whether it is there and does something: in a container nobody may collect what has ended."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition: Callable[[], object]) -> None:
    """Fail if it does not come true in a minute."""
    deadline = time.monotonic() + A_MINUTE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in a minute"
        time.sleep(0.005)
