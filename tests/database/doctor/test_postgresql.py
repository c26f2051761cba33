"""The look at a PostgreSQL server: each illness is found on a real one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from perflab.database.database import Database
from perflab.database.doctor import postgresql as look
from perflab.database.doctor.diagnosis import Check, Diagnosis, Verdict
from perflab.database.doctor.examine import examine
from perflab.database.embedded import EmbeddedServer
from tests.database.server_places import leaving_no_process, place_for_a_server, processes_of

Act = Callable[[str], None]


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database with perflab's tables."""
    with Database.open(postgres_url) as database:
        database.create_schema()
    return postgres_url


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    with place_for_a_server() as place:
        yield place


@pytest.fixture
def directory(used_directory: Path) -> Iterator[Path]:
    with leaving_no_process(used_directory):
        yield used_directory


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def find(diagnosis: Diagnosis, name: str) -> Check:
    [found] = [check for check in diagnosis.checks if check.name == name]
    return found


def test_a_healthy_server(directory: Path) -> None:
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    with EmbeddedServer.start(directory, settings=settings) as server:
        execute(server.url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        with Database.open(server.url) as database:
            database.create_schema()
        diagnosis = examine(server.url)
    verdicts = {check.name: check.verdict for check in diagnosis.checks if check.name != "disk"}
    assert set(verdicts.values()) == {Verdict.OK}, diagnosis.describe()
    assert list(verdicts) == [
        "reachable", "engine", "writable", "schema", "durability", "round trip", "clock", "connections", "extensions",
        "tables", "transactions",
    ]  # fmt: skip
    assert find(diagnosis, "disk").values["free_bytes"] > 0


def test_an_embedded_server_is_started_for_the_look_and_nothing_is_made(directory: Path, tmp_path: Path) -> None:
    EmbeddedServer.start(directory).close()
    assert find(examine(f"postgresql+embedded:///{directory}"), "reachable").verdict is Verdict.OK
    missing = examine(f"postgresql+embedded:///{directory}?database=none")
    assert 'database "none" does not exist' in find(missing, "reachable").finding
    never = examine(f"postgresql+embedded:///{tmp_path}/none")
    assert find(never, "reachable").advice == f"run perflab db start {tmp_path}/none"
    assert list(tmp_path.iterdir()) == []
    assert processes_of(directory) == set()


def test_settings_that_lose_commits_are_found(directory: Path, postgres_url: str) -> None:
    found = find(examine(postgres_url), "durability")  # the server of the tests does not wait for the disk
    assert (found.verdict, found.values["fsync"]) == (Verdict.FAILURE, "off")
    assert found.advice.startswith("set fsync and full_page_writes on")
    with EmbeddedServer.start(directory, settings={"synchronous_commit": "off"}) as server:
        found = find(examine(server.url), "durability")
        assert (found.verdict, found.values["synchronous_commit"]) == (Verdict.WARNING, "off")


@pytest.mark.parametrize(("limit", "verdict"), [(6, Verdict.FAILURE), (10, Verdict.WARNING), (40, Verdict.OK)])
def test_a_pool_larger_than_what_is_free_is_found(directory: Path, limit: int, verdict: Verdict) -> None:
    settings = {"max_connections": str(limit), "superuser_reserved_connections": "2", "max_wal_senders": "0"}
    with EmbeddedServer.start(directory, settings=settings) as server, Database.open(server.url) as database:
        diagnosis = examine(server.url)
        found = find(diagnosis, "connections")
        assert found.values == {
            "pool": database.most_connections, "max_connections": limit, "reserved": 2, "others": 1, "free": limit - 3,
        }  # fmt: skip
        pool = database.most_connections
        expected = Verdict.FAILURE if limit - 3 < pool else Verdict.WARNING if limit - 3 < 2 * pool else Verdict.OK
        assert found.verdict is expected
        if pool == 5:  # two cores, as in CI
            assert expected is verdict


def test_a_user_without_rights_is_found(url: str) -> None:
    name = make_url(url).database
    execute(url, f"CREATE ROLE {name}_user LOGIN")
    try:
        theirs = str(make_url(url).set(username=f"{name}_user"))
        diagnosis = examine(theirs)
        found = find(diagnosis, "writable")
        assert found.verdict is Verdict.FAILURE
        assert "permission denied for table perflab_schema" in find(diagnosis, "schema").finding
        assert found.finding.startswith("this user may not read and change ")
        assert found.finding.endswith(
            "perflab_jobs, perflab_jobs_done, perflab_metrics, perflab_metrics_history, perflab_queues, "
            "perflab_schema, perflab_watches, perflab_workers"
        )
        grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO"
        execute(url, f"{grant} {name}_user")
        diagnosis = examine(theirs)
        assert find(diagnosis, "writable").verdict is Verdict.OK
        assert find(diagnosis, "disk").verdict is Verdict.NOTE, "the place of its data is not for everybody's eyes"
        execute(url, f"DROP OWNED BY {name}_user", f"ALTER ROLE {name}_user SET default_transaction_read_only = on")
        assert find(examine(theirs), "writable").finding == "default_transaction_read_only is on"
    finally:
        execute(url, f"DROP OWNED BY {name}_user", f"DROP ROLE {name}_user")


def test_a_user_who_may_not_create_the_tables_is_found(postgres_url: str) -> None:
    name = make_url(postgres_url).database
    execute(postgres_url, f"CREATE ROLE {name}_user LOGIN")
    try:
        found = find(examine(str(make_url(postgres_url).set(username=f"{name}_user"))), "writable")
        assert (found.verdict, found.finding) == (Verdict.FAILURE, "this user may not create perflab's tables")
    finally:
        execute(postgres_url, f"DROP ROLE {name}_user")


def test_a_standby_is_found() -> None:
    found = look._writable([], in_recovery=True, read_only=True, may_create=True)
    assert (found.verdict, found.finding) == (Verdict.FAILURE, "the server is a read-only standby")


def test_dead_rows_and_stale_statistics_are_found(url: str) -> None:
    insert = (
        "INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, enqueued_at) "
        "SELECT 'q', 0, 0, 'ready', 5, '1', 0 FROM generate_series(1, 12000)"
    )
    assert find(examine(url), "tables").verdict is Verdict.OK
    execute(url, insert, "SELECT pg_stat_force_next_flush()", "SELECT 1")
    found = find(examine(url), "tables")
    assert found.verdict is Verdict.WARNING
    assert "perflab_jobs changed in 12,000 rows since its last ANALYZE" in found.finding
    execute(url, "ANALYZE perflab_jobs", "SELECT pg_stat_force_next_flush()", "SELECT 1")
    assert find(examine(url), "tables").verdict is Verdict.OK
    execute(url, "DELETE FROM perflab_jobs", "SELECT pg_stat_force_next_flush()", "SELECT 1")
    found = find(examine(url), "tables")
    assert "perflab_jobs has 12,000 dead rows beside 0 live ones" in found.finding
    assert found.advice == "VACUUM (ANALYZE) perflab_jobs"
    execute(url, "VACUUM (ANALYZE) perflab_jobs", "SELECT pg_stat_force_next_flush()", "SELECT 1")
    assert find(examine(url), "tables").verdict is Verdict.OK


def test_autovacuum_that_is_off_is_found(url: str) -> None:
    execute(url, "ALTER TABLE perflab_jobs SET (autovacuum_enabled = off)")
    found = find(examine(url), "tables")
    assert (found.verdict, found.finding) == (Verdict.FAILURE, "autovacuum is off for perflab_jobs")
    assert "off: nothing cleans up" in look._tables([], {"autovacuum": "off", "track_counts": "on"}).finding


def test_a_transaction_left_open_is_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(url, application_name="forgotten") as open_one:
        open_one.execute("SELECT 1")
        found = find(examine(url), "transactions")
        assert found.verdict is Verdict.OK
        assert found.values["pid"] == open_one.info.backend_pid
        monkeypatch.setattr(look, "LONG_TRANSACTION_SECONDS", 0.0)
        found = find(examine(url), "transactions")
        assert found.verdict is Verdict.WARNING
        assert f"(process {open_one.info.backend_pid}, forgotten, idle in transaction)" in found.finding
        assert f"pg_terminate_backend({open_one.info.backend_pid})" in found.advice


@pytest.mark.case("F36")
@pytest.mark.parametrize(("offset", "word"), [(-60.0, "ahead"), (60.0, "behind")])
def test_clocks_that_disagree_are_found(postgres_url: str, offset: float, word: str) -> None:
    found = find(examine(postgres_url, now=lambda: time.time() + offset), "clock")
    assert found.verdict is Verdict.WARNING
    assert word in found.finding
    assert abs(found.values["skew_seconds"] + offset) < 30


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ((None, False, False), "install the package"),
        ((None, True, False), "add it to shared_preload_libraries"),
        (("1.12", True, False), "add it to shared_preload_libraries"),
        ((None, True, True), "CREATE EXTENSION pg_stat_statements"),
    ],
)
def test_what_is_missing_for_statement_statistics_is_told(state: tuple[Any, Any, Any], advice: str) -> None:
    found = look._statements_extension(*state)
    assert found.verdict is Verdict.NOTE
    assert advice in found.advice


def test_a_connection_lost_during_the_look_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(database: Database) -> Check:
        database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        raise AssertionError("the connection is not lost")

    monkeypatch.setattr(look, "_schema", lose)
    last = examine(url).checks[-1]
    assert (last.name, last.verdict) == ("look", Verdict.FAILURE)
    assert "\n" not in last.finding
