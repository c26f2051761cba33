"""What tests that run on both engines need to know of either."""

from __future__ import annotations

import pytest

from perflab.database.operation import DriverConnection
from perflab.database.sqlite import SQLiteConnection

# For tests about one engine's own nature, in modules that are about both.
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"])
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"])


def placeholder(connection: DriverConnection) -> str:
    """For a value in SQL that goes to this connection."""
    return "?" if isinstance(connection, SQLiteConnection) else "%s"
