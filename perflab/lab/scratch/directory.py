"""A folder for scratch files of SQLite, which is gone afterwards, and at the latest when the next one is made."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perflab.batching.interrupts import interrupts_deferred
from perflab.database.file_lock import FileLock
from perflab.errors import DatabaseUnusable

PREFIX = "perflab-scratch-"
LOCK = "lock"


@contextmanager
def scratch_directory(parent: Path | None = None) -> Iterator[Path]:
    """An empty folder for the length of the block.

    Those of processes that were killed are removed: one that is alive locks its own.

    Args:
        parent: where it is made; None for the temporary folder.

    Raises:
        DatabaseUnusable: no folder can be made there.
    """
    with interrupts_deferred():  # who asks first where temporary files go makes one, to see whether that is possible
        place = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_leftovers(place)
    made: Path | None = None
    lock: FileLock | None = None
    try:
        with interrupts_deferred():  # else one that nobody knows of could stay, and without its lock for ever
            made = _make(place)
            lock = FileLock(made / LOCK)
            lock.try_exclusive()
        yield made
    finally:
        if lock is not None:
            lock.release()
        if made is not None:
            shutil.rmtree(made)


def _make(place: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as error:
        raise DatabaseUnusable(
            f"no scratch folder can be made in {str(place)!r}: {error.strerror}; measuring needs one there"
        ) from error


def _remove_leftovers(place: Path) -> None:
    for leftover in place.glob(f"{PREFIX}*"):
        if not (leftover / LOCK).exists():
            continue  # somebody is about to lock it
        lock = FileLock(leftover / LOCK)
        if lock.try_exclusive():
            shutil.rmtree(leftover, ignore_errors=True)
        lock.release()
