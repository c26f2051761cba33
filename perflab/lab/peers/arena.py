"""A fresh database for each visit, for queues that bring tables of their own."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from perflab.database.database import Database
from perflab.lab.measured_server import measured_server
from perflab.lab.sweep.environment import Environment, read_environment
from perflab.lab.sweep.plan import Engine


@dataclass(frozen=True, slots=True)
class Arena:
    """Where queues meet.

    Attributes:
        fresh: the URL of an empty database, which is gone after the block.
        environment: of the machine and the engine; names no host, user or path.
    """

    fresh: Callable[[], AbstractContextManager[str]]
    environment: Environment


@contextmanager
def open_arena(engine: Engine, url: str | None = None) -> Iterator[Arena]:
    """An engine to meet on, for the length of the block.

    Args:
        engine: "sqlite", with a file for each visit, or "postgresql", with a scratch schema.
        url: of the user's own PostgreSQL server; None: an embedded one.

    Raises:
        InvalidInput, DatabaseUnusable, MissingExtra: as `measured_server`.
    """
    machine = read_environment(Path(tempfile.gettempdir()))
    if engine == "sqlite":
        yield Arena(_fresh_file, {**machine, "engine": f"SQLite {sqlite3.sqlite_version}"})
        return
    with ExitStack() as stack:
        server = stack.enter_context(measured_server(url))
        # beside the check of the URL above, for these need the driver, which is an extra
        from perflab.lab.scratch.schema import open_scratch_schema  # noqa: PLC0415
        from perflab.lab.sweep.postgresql_target import PostgreSQLTarget  # noqa: PLC0415

        database = stack.enter_context(Database.open(server.url))
        schema = stack.enter_context(open_scratch_schema(server.url, database))
        target = PostgreSQLTarget(schema, "full", is_embedded=server.is_embedded)

        @contextmanager
        def fresh() -> Iterator[str]:
            with schema.empty():
                target.settle()
                yield schema.url

        yield Arena(fresh, {**machine, **target.environment()})


@contextmanager
def _fresh_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="perflab-peers-") as folder:
        yield f"sqlite:///{Path(folder) / 'peers.db'}"
