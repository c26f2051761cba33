"""What tests with real processes share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perflab.cli.database_url import VARIABLE

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


@contextmanager
def ends_at_sigterm(*arguments: str, url: str) -> Iterator[str]:
    """The first line that a command says on this database; at the end of the block it must heed a SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "perflab", *arguments],
        env={**os.environ, VARIABLE: url},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(A_MINUTE) == 0
    finally:
        process.kill()
        process.communicate()
