"""A schema of PostgreSQL that holds what a measurement writes, and nothing else; it is emptied for each visit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import make_url

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.errors import DatabaseError, InvalidInput
from perflab.lab.scratch.names import ScratchNames

_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE'), current_database()"


class ScratchSchema:
    """A schema with a name of its own, in the user's database. Get it with `open_scratch_schema`."""

    def __init__(
        self, connection: DriverConnection, names: ScratchNames, url: str, statement_timeout: float | None
    ) -> None:
        self._connection = connection
        self._names = names
        (self.name,) = names.claim("")
        parsed = make_url(url)
        options = [str(parsed.query.get("options", "")), f"-csearch_path={self.name}"]
        if statement_timeout is not None:
            options.append(f"-cstatement_timeout={max(1, round(statement_timeout * 1_000))}")
        joined = " ".join(filter(None, options))
        self.url = parsed.update_query_dict({"options": joined}).render_as_string(hide_password=False)
        """Of the database, with the schema as the only one on the path. It may hold a password."""

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """One statement, outside of any transaction, on the connection that holds the lock."""
        with TypedErrors("a statement of the measurement"):
            cursor = self._connection.execute(sql, parameters or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

    @contextmanager
    def empty(self) -> Iterator[None]:
        """Create the schema, and drop it after the block with all that is in it."""
        self.execute(f"CREATE SCHEMA {self.name}")
        try:
            yield
        except BaseException:
            with suppress(DatabaseError):  # the first error is the one that counts
                self._drop()
            raise
        self._drop()

    def release(self) -> None:
        """Give the name up; the schema is gone by then."""
        with TypedErrors("giving up a scratch schema"):
            self._names.release()

    def _drop(self) -> None:
        with TypedErrors("removing the scratch schema"):
            self._names.drop(self.name)


@contextmanager
def open_scratch_schema(
    url: str, database: Database, *, statement_timeout: float | None = None
) -> Iterator[ScratchSchema]:
    """A scratch schema in a database that is opened under `url`; whoever has it is the only one.

    Args:
        url: of the database.
        database: the same, open: one connection of it keeps the name.
        statement_timeout: seconds after which the server ends a statement of those who connect with the schema's URL.

    Raises:
        InvalidInput: the user may not create a schema.
    """
    with database.writing_connection() as connection:
        with TypedErrors("making a scratch schema"):
            schema = _claim(connection, url, statement_timeout)
        try:
            yield schema
        finally:
            schema.release()


def _claim(connection: DriverConnection, url: str, statement_timeout: float | None) -> ScratchSchema:
    ((may_create, name),) = connection.execute(_MAY_CREATE).fetchall()
    if not may_create:
        raise InvalidInput(
            f"measuring needs a scratch schema, and this user may not create one in the database {name!r}: "
            "GRANT CREATE ON DATABASE to it, or name a database of its own"
        )
    names = ScratchNames(connection)
    names.remove_leftovers()
    return ScratchSchema(connection, names, url, statement_timeout)
