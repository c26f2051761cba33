"""A lock on a file that ends with its last holder, however that ends."""

from __future__ import annotations

import os
from pathlib import Path

from perflab.errors import MissingExtra

try:
    import fcntl
except ImportError as error:
    raise MissingExtra(
        "an embedded server needs Linux or macOS: on Windows, start PostgreSQL yourself and give its URL"
    ) from error


class FileLock:
    """An advisory lock on a whole file (`flock`).

    It belongs to the open file and not to a process: a program that inherits `descriptor` holds the lock too, and the
    kernel lets it go when the last of them has ended. Two locks on one file exclude each other within one process as
    they do between processes.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_exclusive(self) -> bool:
        """Hold the lock alone, if nobody else holds it in any way. A shared hold of our own ends first."""
        # Converting a lock in place keeps or loses it on failure, depending on the system: so two holders that both
        # want to be the last could both fail.
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Hold the lock together with others, if nobody holds it alone."""
        return self._try(fcntl.LOCK_SH)

    def release(self) -> None:
        """Let the lock go, for those too who inherited it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.hand_over()

    def hand_over(self) -> None:
        """Close our end only: who inherited the descriptor keeps the lock."""
        os.close(self.descriptor)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
