"""perflab's own tables: which revision this code needs, and how to get there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from perflab.database.database import Database

SCHEMA_REVISION = "0001"
"""The newest revision in `migrations/versions`; a test holds the two together."""
VERSION_TABLE = "perflab_schema"
"""Not Alembic's default name, so that perflab can live in a database that has migrations of its own."""


def current_revision(connection: Connection) -> str | None:
    """The revision of the tables that are there; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return revision


def upgrade(database: Database) -> None:
    """Run the missing migrations in one transaction; two processes that start together do it once."""
    with database.transaction() as connection:
        if current_revision(connection) == SCHEMA_REVISION:
            return
        from alembic import command  # noqa: PLC0415  # slow to import, and needed only when something is missing
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
