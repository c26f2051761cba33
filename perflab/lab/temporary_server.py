"""An embedded PostgreSQL server for a measurement: fresh, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perflab.database.embedded import EmbeddedServer
from perflab.errors import PerflabError

PREFIX = "perflab-lab-"
OLD_SECONDS = 300.0
"""No server takes as long to start. A directory that is older and has no user was left behind."""


@contextmanager
def temporary_server(*, now: Callable[[], float] = time.time) -> Iterator[EmbeddedServer]:
    """A server with PostgreSQL's own settings in the temporary folder, for the length of the block.

    A process that is killed leaves its server behind, and the server runs on. So the next one stops and removes what
    nobody uses any more.

    Args:
        now: seconds since 1970, for the age of what was left behind.

    Raises:
        MissingExtra: the wheel is not installed.
        DatabaseUnusable: the server does not start.
    """
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(PerflabError, OSError):  # another one removes it too, or it has to wait
            _remove_if_left_behind(directory, now())
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made, EmbeddedServer.start(made) as server:
        yield server


def _remove_if_left_behind(directory: Path, now: float) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid() or now - status.st_mtime < OLD_SECONDS:
        return
    share = EmbeddedServer.attach(directory)
    if share is not None:
        share.close()  # stops the server if nobody else has a share in it
        if share.running:
            return
    shutil.rmtree(directory)
