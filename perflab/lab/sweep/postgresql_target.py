"""PostgreSQL as what a sweep measures: a fresh schema for each visit, on an embedded server or on the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.lab.measured_server import measured_server
from perflab.lab.network.address import UnixAddress
from perflab.lab.network.postgres_url import server_address
from perflab.lab.scratch.schema import ScratchSchema, open_scratch_schema
from perflab.lab.sweep.added_latency import through_proxy
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.fresh import FreshDatabase

STATEMENT_TIMEOUT_SECONDS = 60.0
"""No batch of a visit takes as long; on a server of others, one that hangs must not go on without us."""

_MAY_CHECKPOINT = (
    "SELECT current_setting('is_superuser') = 'on' OR EXISTS "
    "(SELECT FROM pg_roles WHERE rolname = 'pg_checkpoint' AND pg_has_role(oid, 'usage'))"
)
_SETTINGS = (
    *("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers"),
    *("wal_level", "wal_sync_method", "wal_buffers", "wal_compression", "max_wal_size", "checkpoint_timeout"),
    *("commit_delay", "autovacuum", "block_size", "jit"),
)


class PostgreSQLTarget:
    """Empties one scratch schema for each visit. Get it with `open_postgresql`."""

    def __init__(self, schema: ScratchSchema, durability: Durability, *, is_embedded: bool) -> None:
        self._schema = schema
        self._durability = durability
        self._is_embedded = is_embedded
        self._may_checkpoint = schema.execute(_MAY_CHECKPOINT) == [(True,)]

    @contextmanager
    def fresh(self, added_latency: float | None) -> Iterator[FreshDatabase]:
        url = self._schema.url
        with self._schema.empty(), ExitStack() as stack:
            direct = stack.enter_context(Database.open(url, durability=self._durability))
            if added_latency is None:
                yield FreshDatabase(direct, direct, None, self.settle, url)
                return
            proxied, added = stack.enter_context(through_proxy(url, added_latency))
            measured = stack.enter_context(Database.open(proxied, durability=self._durability))
            yield FreshDatabase(direct, measured, added, self.settle, proxied)

    def environment(self) -> Environment:
        rows = self._schema.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", list(_SETTINGS)
        )
        found = dict(rows)
        is_local = isinstance(server_address(self._schema.url), UnixAddress)
        return {
            "engine": f"PostgreSQL {found.pop('server_version')}",
            "server": "embedded" if self._is_embedded else "own",
            "connection": "Unix socket" if is_local else "TCP",
            "checkpoint_before_each_visit": "yes" if self._may_checkpoint else "not allowed to this user",
            **{name: found[name] for name in _SETTINGS if name in found},
            "psycopg": psycopg.__version__,
            # that of a server which may be elsewhere is not known here
            **({} if self._is_embedded else {"file_system": None}),
        }

    def settle(self) -> None:
        """A checkpoint now, if this user may, so that none falls into what is timed."""
        if self._may_checkpoint:
            self._schema.execute("CHECKPOINT")


@contextmanager
def open_postgresql(url: str | None, durability: Durability) -> Iterator[PostgreSQLTarget]:
    """A server to measure, for the length of the block.

    Args:
        url: as for `measured_server`.
        durability: "normal" or "full".

    Raises:
        MissingExtra: there is no wheel with a server.
        DatabaseUnusable: the server does not start, or cannot be reached.
        InvalidInput: the URL is wrong, or the user may not create a schema.
    """
    with ExitStack() as stack:
        server = stack.enter_context(measured_server(url))
        database = stack.enter_context(Database.open(server.url, durability=durability))
        schema = stack.enter_context(
            open_scratch_schema(server.url, database, statement_timeout=STATEMENT_TIMEOUT_SECONDS)
        )
        yield PostgreSQLTarget(schema, durability, is_embedded=server.is_embedded)
