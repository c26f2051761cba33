"""The databases of the tests' PostgreSQL server: two that are used again and again, and new ones.

Making a database takes 170 ms, emptying one 10 (TRUNCATE of four tables that hold nothing: 60), and running the
migrations 190; so the tests share, and what a test left is removed before the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer

TEMPLATE, USED, BARE = "perflab_template", "perflab", "bare"

_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_REMOVE_ALL = """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
        CREATE SCHEMA public;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
        EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1', current_database());
        EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
    END $$
"""
_EMPTY = """
    DO $$
    DECLARE found record;
    BEGIN
        PERFORM set_config('session_replication_role', 'replica', true);  -- no foreign key tells in which order
        FOR found IN
            SELECT relname AS name, pg_relation_size(oid) AS size FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'perflab_schema'
        LOOP
            IF found.name !~ '^perflab_' THEN
                EXECUTE format('DROP TABLE %I CASCADE', found.name);
            ELSIF found.size > 1000000 THEN
                EXECUTE format('TRUNCATE %I CASCADE', found.name);
            ELSIF found.size > 0 THEN
                EXECUTE format('DELETE FROM %I', found.name);
            END IF;
        END LOOP;
        FOR found IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
            EXECUTE format('DROP FUNCTION %s CASCADE', found.name);  -- with its triggers
        END LOOP;
        FOR found IN
            SELECT sequencename AS name FROM pg_sequences WHERE last_value IS NOT NULL OR increment_by <> 1
        LOOP
            EXECUTE format('ALTER SEQUENCE %I INCREMENT BY 1 RESTART', found.name);
        END LOOP;
    END $$
"""

_SHAPE = """
    SELECT array_agg(concat(c.oid::regclass, c.relkind, c.relnatts, c.relchecks, c.relhasrules, c.reloptions,
                            c.relacl, n.nspacl)
                     ORDER BY c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
"""


class PostgresDatabases:
    """Of a server that a test may have stopped: then it is started again."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._numbers = count()
        for name in (TEMPLATE, BARE):
            self._administer(f"CREATE DATABASE {name} TEMPLATE template0")
        with Database.open(server.database_url(TEMPLATE)) as database:
            database.create_schema()
        self._administer(f"CREATE DATABASE {USED} TEMPLATE {TEMPLATE}")
        self._shape = self._shape_of_used()

    def bare(self) -> str:
        """The URL of a database without tables: always the same one."""
        return self._without_leftovers(BARE, _REMOVE_ALL)

    def perflab(self) -> str:
        """The URL of a database with perflab's tables and nothing in them: always the same one."""
        url = self._without_leftovers(USED, _EMPTY)
        if self._shape_of_used() != self._shape:  # a test has dropped or altered something
            self._administer(f"DROP DATABASE {USED} WITH (FORCE)")
            self._administer(f"CREATE DATABASE {USED} TEMPLATE {TEMPLATE}")
        return url

    @contextmanager
    def new(self) -> Iterator[str]:
        """The URL of a database with perflab's tables that nobody else uses, dropped at the end."""
        name = f"test_{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield self._server.database_url(name)
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _without_leftovers(self, name: str, remove: str) -> str:
        self._ensure_running()
        url = self._server.database_url(name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            connection.execute(remove.encode())
        return url

    def _shape_of_used(self) -> object:
        with psycopg.connect(self._server.database_url(USED)) as connection:
            tables = connection.execute(_SHAPE.encode()).fetchone()
            try:
                return tables, connection.execute("SELECT version_num FROM perflab_schema").fetchall()
            except psycopg.errors.UndefinedTable:
                return None

    def _administer(self, statement: str) -> None:
        self._ensure_running()
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _ensure_running(self) -> None:
        if not self._server.running:  # the test before this one stopped it
            self._server.restart()
