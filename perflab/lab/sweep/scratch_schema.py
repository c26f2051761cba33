"""A schema of PostgreSQL that holds what a sweep writes, and nothing else; it is emptied for each visit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import make_url

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.errors import DatabaseError, InvalidInput

PREFIX = "perflab_sweep_"

_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE'), current_database()"
_LEFT_BEHIND = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^perflab_sweep_[0-9a-f]{8}$' "
    "AND pg_get_userbyid(nspowner) = current_user"
)
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


class ScratchSchema:
    """A schema with a name of its own, in the user's database. Get it with `open_scratch_schema`.

    Its owner holds an advisory lock on the name for as long as its connection lives. So a schema whose lock is free was
    left by a sweep that was killed, and the next one removes it.
    """

    def __init__(self, connection: DriverConnection, url: str) -> None:
        self._connection = connection
        self.name = f"{PREFIX}{secrets.token_hex(4)}"
        parsed = make_url(url)
        options = " ".join(filter(None, (str(parsed.query.get("options", "")), f"-csearch_path={self.name}")))
        self.url = parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)
        """Of the database, with the schema as the only one on the path. It may hold a password."""

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """One statement, outside of any transaction, on the connection that holds the lock."""
        with TypedErrors("a statement of the sweep"):
            cursor = self._connection.execute(sql, parameters or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

    def claim(self) -> None:
        """Check that a schema may be made, remove what killed sweeps left, and lock the name."""
        ((may_create, database),) = self.execute(_MAY_CREATE)
        if not may_create:
            raise InvalidInput(
                f"a sweep needs a scratch schema, and this user may not create one in the database {database!r}: "
                "GRANT CREATE ON DATABASE to it, or name a database of its own"
            )
        for (left_behind,) in self.execute(_LEFT_BEHIND):
            if self.execute(_LOCK, left_behind) == [(True,)]:
                self._drop(left_behind)
                self.execute(_UNLOCK, left_behind)
        self.execute(_LOCK, self.name)

    @contextmanager
    def empty(self) -> Iterator[None]:
        """Create the schema, and drop it after the block with all that is in it."""
        self.execute(f"CREATE SCHEMA {self.name}")
        try:
            yield
        except BaseException:
            with suppress(DatabaseError):  # the first error is the one that counts
                self._drop(self.name)
            raise
        self._drop(self.name)

    def _drop(self, name: str) -> None:
        self.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@contextmanager
def open_scratch_schema(url: str, database: Database) -> Iterator[ScratchSchema]:
    """A scratch schema in a database that is opened under `url`; whoever has it is the only one.

    Raises:
        InvalidInput: the user may not create a schema.
    """
    with database.writing_connection() as connection:
        schema = ScratchSchema(connection, url)
        schema.claim()
        yield schema
