"""Places where embedded servers of tests live, and what is left of these."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def processes_of(directory: Path) -> set[int]:
    """The processes of the server that lives in `directory`: PostgreSQL's work in its data."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            working_directory = (process / "cwd").readlink()
        except OSError:  # it has ended
            continue
        if str(working_directory).removesuffix(" (deleted)") == str(directory / "data"):
            found.add(int(process.name))
    return found


@contextmanager
def place_for_a_server() -> Iterator[Path]:
    """A new directory's path that whoever runs the server can reach; at the end no process of one is left."""
    parent = Path(tempfile.mkdtemp(prefix="perflab-test-"))
    parent.chmod(0o711)
    try:
        with leaving_no_process(parent / "server") as directory:
            yield directory
    finally:
        shutil.rmtree(parent)


@contextmanager
def leaving_no_process(directory: Path) -> Iterator[Path]:
    yield directory
    left_over = processes_of(directory)
    for process_id in left_over:
        with suppress(ProcessLookupError):  # it was on its way out
            os.kill(process_id, signal.SIGKILL)
    assert not left_over
