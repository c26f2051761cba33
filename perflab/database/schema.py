"""perflab's own tables: which revision this code needs, and how to get there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from perflab.database.failures import TypedErrors
from perflab.errors import DatabaseUnusable

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from perflab.database.database import Database

SCHEMA_REVISION = "0013"
"""The newest revision in `migrations/versions`; a test holds the two together."""
MIGRATION_LOCK = int.from_bytes(b"perflab")
"""The key of an advisory lock of PostgreSQL; programs choose theirs freely and should not meet."""
MIGRATIONS = str(Path(__file__).parent / "migrations")
VERSION_TABLE = "perflab_schema"
"""Not Alembic's default name, so that perflab can live in a database that has migrations of its own."""


def current_revision(connection: Connection) -> str | None:
    """The revision of the tables that are there; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return revision


def check_schema(database: Database) -> None:
    """Refuse to begin long work on tables of another version.

    Raises:
        DatabaseUnusable: perflab's tables are not there, or are older or newer than this version needs.
    """
    with database.reading() as connection:
        revision = current_revision(connection)
    if revision == SCHEMA_REVISION:
        return
    if revision is None:
        raise DatabaseUnusable(
            f"{database.url!r} has no tables of perflab: run perflab db upgrade, or call create_schema(); "
            "or correct the URL"
        )
    advice = (
        "run perflab db upgrade, or call create_schema()" if revision in known_revisions() else "upgrade perflab here"
    )
    raise DatabaseUnusable(
        f"{database.url!r} has perflab's tables in revision {revision}, and this version needs {SCHEMA_REVISION}: "
        f"{advice}"
    )


def known_revisions() -> frozenset[str]:
    """All revisions that this version knows, old ones included."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # slow to import, and seldom needed

    return frozenset(script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions())


def upgrade(database: Database) -> str | None:
    """Run the missing migrations in one transaction; two processes that start together do it once.

    Returns:
        The revision that was there before; None where there were no tables. Now it is `SCHEMA_REVISION`.

    Raises:
        DatabaseUnusable: the tables belong to a newer perflab.
        StatementError: a table of perflab's names is there and is not perflab's.
    """
    with database.transaction() as connection, TypedErrors("creating perflab's tables"):
        revision = current_revision(connection)
        if revision != SCHEMA_REVISION and connection.dialect.name == "postgresql":
            # SQLite has one writer; here others may be about to create them too. The lock goes with the transaction.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            revision = current_revision(connection)
        if revision == SCHEMA_REVISION:
            return revision
        from alembic import command  # noqa: PLC0415  # slow to import, and needed only when something is missing

        if revision is not None and revision not in known_revisions():
            raise DatabaseUnusable(
                f"{database.url!r} has perflab's tables in revision {revision!r}, which this version does not know: "
                "upgrade perflab, or open another database"
            )
        command.upgrade(migration_config(connection), "head")
    return revision


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for perflab's migrations on a connection that is in a transaction."""
    from alembic.config import Config  # noqa: PLC0415  # slow to import, see above

    config = Config()
    config.set_main_option("script_location", MIGRATIONS.replace("%", "%%"))  # else it would be interpolated
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
