"""What a sweep measures: an engine that gives each visit a database of its own.

This is the seam between the sweep and the engines: a new engine is a `Target`, and a line in `open_target`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from perflab.database.pools import Durability
from perflab.errors import InvalidInput
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.plan import Engine, SweepPlan
from perflab.lab.sweep.server import server_label, sqlite_folder
from perflab.lab.sweep.sqlite_target import SQLiteTarget


class Target(Protocol):
    """An engine, ready to be measured."""

    def fresh(self, added_latency: float | None) -> AbstractContextManager[FreshDatabase]:
        """An empty database, which is gone after the block.

        Args:
            added_latency: seconds of round trip to add; None for no proxy.
        """

    def environment(self) -> Environment:
        """The version and the settings of the engine. Holds no host name, user name, path or password."""


def open_target(plan: SweepPlan, url: str | None = None) -> AbstractContextManager[Target]:
    """What a plan measures, for as long as the block lasts.

    Args:
        plan: its engine, its durability, and the name of its server.
        url: of the user's own PostgreSQL server: everything happens in a scratch schema there, which is removed again.
            Of a SQLite file: files are made beside it, and it is not opened. None: the temporary folder, or an embedded
            server.

    Raises:
        InvalidInput: the plan is for another server.
    """
    if plan.server != (found := server_label(plan.engine, url)):
        raise InvalidInput(f"the plan is for the server {plan.server!r}, and the URL leads to {found!r}")
    return open_engine(plan.engine, plan.durability, url)


def open_engine(engine: Engine, durability: Durability, url: str | None = None) -> AbstractContextManager[Target]:
    """The same for measurements that have no sweep's plan."""
    if engine == "sqlite":
        return nullcontext(SQLiteTarget(durability, None if url is None else sqlite_folder(url)))
    from perflab.lab.sweep.postgresql_target import open_postgresql  # noqa: PLC0415  # its driver is an extra

    return open_postgresql(url, durability)
