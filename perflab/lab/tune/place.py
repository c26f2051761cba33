"""Where a database is measured: in a place of its own on the same server, or on the same disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from perflab.database.database import Database
from perflab.database.presence import check_is_there
from perflab.database.urls import parse_url
from perflab.lab.measured_server import measured_server
from perflab.lab.scratch.directory import scratch_directory
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.server import sqlite_folder
from perflab.lab.temporary_server import temporary_server


@dataclass(frozen=True, slots=True)
class Place:
    """What sweeps take to measure there."""

    engine: Engine
    url: str = field(repr=False)
    """May hold a password."""


@contextmanager
def open_place(url: str) -> Iterator[Place]:
    """The place, for the length of the block.

    A SQLite file is not opened: files are made in a scratch folder beside it. On PostgreSQL each sweep makes a scratch
    schema, which holds what it writes and is removed after each visit.

    Raises:
        InvalidInput: the URL is wrong, or names a database in memory.
        DatabaseUnusable: there is no such database, no folder can be made beside it, or it cannot be reached.
        MissingExtra: the driver of the engine is not installed.
    """
    check_is_there(url)
    if parse_url(url).get_backend_name() == "sqlite":
        with scratch_directory(sqlite_folder(url)) as folder:
            yield Place("sqlite", f"sqlite:///{folder / 'scratch.db'}")
    else:
        with measured_server(url) as server:
            yield Place("postgresql", server.url)


@contextmanager
def own_database(engine: Engine, url: str | None = None) -> Iterator[str]:
    """The URL of the database of a user, or of an empty one for those who have none, for the length of the block.

    Args:
        engine: "sqlite" or "postgresql".
        url: of the user's own; None for a SQLite file in the temporary folder, or an embedded server.
    """
    if url is not None:
        yield url
    elif engine == "sqlite":
        with TemporaryDirectory(prefix="perflab-tune-") as folder:
            made = f"sqlite:///{Path(folder) / 'lab.db'}"
            Database.open(made).close()
            yield made
    else:
        with temporary_server() as server:
            yield server.url
