"""perflab's tables: made once, in one revision, by whoever comes first."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from perflab.database.database import Database
from perflab.database.schema import SCHEMA_REVISION, VERSION_TABLE, current_revision, migration_config
from perflab.errors import DatabaseUnusable, StatementError
from tests.engines import on_sqlite

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
StartPython = Callable[..., "subprocess.Popen[str]"]

TABLES = {
    "perflab_jobs",
    "perflab_jobs_done",
    "perflab_watches",
    "perflab_ingest_states",
    "perflab_dead_letters",
    "perflab_queues",
    "perflab_workers",
    VERSION_TABLE,
    "perflab_fleets",
    "perflab_fleet_members",
    "perflab_metrics",
    "perflab_metrics_history",
}
OF_POSTGRESQL = {"perflab_batches"}
INVENTORY = {
    "sqlite": "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
    "postgresql": """
        SELECT c.relname, CASE c.relkind
            WHEN 'i' THEN pg_get_indexdef(c.oid)
            ELSE (SELECT string_agg(concat_ws(' ', attname, atttypid::regtype, attnotnull), ', ' ORDER BY attnum)
                  FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)
        END FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
        ORDER BY c.relname""",
}


def inventory(database: Database) -> dict[str, str]:
    """Everything that the database holds, by name: tables and indexes with their SQL or their columns."""
    return dict(database.fetch(INVENTORY[database.engine_name]))


def tables_of(database: Database) -> set[str]:
    return TABLES | OF_POSTGRESQL if database.engine_name == "postgresql" else TABLES


def revision(database: Database) -> str | None:
    with database.reading() as connection:
        return current_revision(connection)


def test_the_stated_revision_is_the_newest_migration(database: Database) -> None:
    with database.transaction() as connection:
        scripts = ScriptDirectory.from_config(migration_config(connection))
    assert scripts.get_heads() == [SCHEMA_REVISION]
    assert revision(database) == SCHEMA_REVISION


def test_a_database_without_the_tables_has_no_revision(database_url: str) -> None:
    with Database.open(database_url) as empty:
        assert revision(empty) is None


@pytest.mark.case("F24")
def test_the_tables_are_those_of_the_design(database: Database) -> None:
    with database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == tables_of(database)


@pytest.mark.parametrize(
    ("index", "columns", "condition"),
    [
        ("perflab_jobs_ready", "queue, priority, run_at, id", "state = 'ready'"),
        ("perflab_jobs_scheduled", "queue, run_at", "state = 'scheduled'"),
        ("perflab_jobs_running", "queue, worker_id, lease_until", "state = 'running'"),
        ("perflab_jobs_dead", "queue, run_at, id", "state = 'dead'"),
        ("perflab_jobs_key", "queue, key", "key IS NOT NULL AND state <> 'dead'"),
        ("perflab_watches_due", "next_due_at", "enabled"),
        ("perflab_ingest_states_failing", "watch_id", "consecutive_failures > 0"),
    ],
)
def test_each_index_serves_the_rows_of_one_state(database: Database, index: str, columns: str, condition: str) -> None:
    sql = re.sub(r'["()]|::text', "", inventory(database)[index])
    assert columns in sql
    assert sql.endswith(f"WHERE {condition}")
    assert sql.startswith("CREATE UNIQUE INDEX" if index == "perflab_jobs_key" else "CREATE INDEX")


def test_tables_that_are_rewritten_all_the_time_are_vacuumed_sooner(database: Database) -> None:
    if database.engine_name != "postgresql":
        assert "perflab_jobs" in inventory(database)
        return
    options = dict(database.fetch("SELECT relname, reloptions FROM pg_class WHERE relname LIKE 'perflab%%'"))
    for table in ("perflab_jobs", "perflab_watches", "perflab_ingest_states"):
        assert "autovacuum_vacuum_scale_factor=0.02" in options[table]
    assert "fillfactor=50" in options["perflab_ingest_states"]


def test_there_is_no_index_beyond_these(database: Database) -> None:
    indexes = {name for name, sql in inventory(database).items() if "INDEX" in sql.partition(" ON ")[0]}
    # PostgreSQL lists those of constraints among them.
    assert len({name for name in indexes if not name.endswith(("_pkey", "_pkc", "_name_key"))}) == 8


def test_creating_the_schema_again_sends_no_change(database: Database) -> None:
    before = inventory(database)
    with database.driver_transaction() as connection:
        connection.execute(
            "INSERT INTO perflab_watches (name, queue, priority, interval, timezone, next_due_at, enabled, payload)"
            " VALUES ('w', 'q', 0, 1, 'UTC', 0, '1', '{}')"
        )
    database.create_schema()
    assert inventory(database) == before
    assert database.fetch("SELECT count(*) FROM perflab_watches") == [(1,)]


def test_the_way_down_removes_everything_and_the_way_up_restores_it(database: Database) -> None:
    before = inventory(database)
    with database.transaction() as connection:
        command.downgrade(migration_config(connection), "base")
    assert {name.removesuffix("_pkc") for name in inventory(database)} == {VERSION_TABLE}
    assert revision(database) is None
    database.create_schema()
    assert inventory(database) == before


def test_the_way_down_refuses_to_lose_compressed_payloads(database: Database) -> None:
    with database.driver_transaction() as connection:
        frame = "x'00'" if database.engine_name == "sqlite" else "'\\x00'"
        connection.execute(
            "INSERT INTO perflab_watches"
            " (name, queue, priority, interval, timezone, next_due_at, enabled, payload, payload_zstd)"
            f" VALUES ('w', 'q', 0, 1, 'UTC', 0, '1', 'null', {frame})"
        )
    before = inventory(database)
    with pytest.raises(RuntimeError, match="perflab_watches has 1 compressed payloads"), database.transaction() as down:
        command.downgrade(migration_config(down), "0002")
    assert inventory(database) == before


def test_the_way_down_refuses_to_lose_dead_letters(database: Database) -> None:
    with database.driver_transaction() as connection:
        connection.execute("INSERT INTO perflab_dead_letters VALUES (1, 0, 'op', '1', 'RejectedRow', 'bad', 1)")
    with pytest.raises(RuntimeError, match="holds 1 items"), database.transaction() as down:
        command.downgrade(migration_config(down), "0003")
    assert database.fetch("SELECT item FROM perflab_dead_letters") == [("1",)]


def test_other_tables_and_other_migrations_are_left_alone(database_url: str) -> None:
    with Database.open(database_url) as database:
        with database.driver_transaction() as connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
        database.create_schema()
        assert database.fetch("SELECT version_num FROM alembic_version") == [("theirs",)]
        assert set(inventory(database)) >= tables_of(database)


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    with database.driver_transaction() as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = inventory(database)
    with pytest.raises(DatabaseUnusable, match="in revision '9999', which this version does not know: upgrade perflab"):
        database.create_schema()
    assert inventory(database) == before


def test_a_failed_migration_leaves_nothing(database_url: str) -> None:
    with Database.open(database_url) as database:
        with database.driver_transaction() as connection:
            connection.execute("CREATE TABLE perflab_ingest_states (theirs TEXT)")
        with pytest.raises(
            StatementError, match=r"(?s)creating perflab's tables failed: .*perflab_ingest_states.? already"
        ):
            database.create_schema()
        assert set(inventory(database)) == {"perflab_ingest_states"}


@on_sqlite
def test_a_database_in_memory_has_the_same_schema(database: Database) -> None:
    with Database.open("sqlite://") as in_memory:
        in_memory.create_schema()
        assert inventory(in_memory) == inventory(database)


CREATE = """
    import sys
    import alembic.command
    from perflab.database.database import Database
    print("ready", flush=True)
    sys.stdin.readline()
    with Database.open(sys.argv[1]) as database:
        database.create_schema()
"""


def test_processes_that_start_together_create_it_once(database_url: str, start_python: StartPython) -> None:
    processes = [start_python(CREATE, database_url) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with Database.open(database_url) as created:
        assert set(inventory(created)) >= tables_of(created)
        assert created.fetch(f"SELECT version_num FROM {VERSION_TABLE}") == [(SCHEMA_REVISION,)]


def test_current_tables_are_recognised_without_alembic(perflab_url: str, run_python: RunPython) -> None:
    program = """
        import sys
        from perflab.database.database import Database
        with Database.open(sys.argv[1]) as database:
            database.create_schema()
        print("alembic" in sys.modules)
    """
    assert run_python(program, perflab_url).stdout == "False\n"
