"""What a sweep measures: fresh each time, gone afterwards, on both engines."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from perflab.database.database import Database
from perflab.errors import DatabaseUnusable, InvalidInput, LabError
from perflab.lab.network.probe import Probe
from perflab.lab.scratch.names import PREFIX
from perflab.lab.sweep import added_latency
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.postgresql_target import open_postgresql
from perflab.lab.sweep.server import EMBEDDED, server_label
from perflab.lab.sweep.sqlite_target import SQLiteTarget
from perflab.lab.sweep.target import Target, open_target

PLAN = SweepPlan(closed_loop_batch_sizes=(1,))


def schemas(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX]
        ).fetchall()
    return [name for (name,) in rows]


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param == "sqlite":
        yield SQLiteTarget("normal")
        return
    with open_postgresql(request.getfixturevalue("postgres_url"), "normal") as opened:
        yield opened


def test_each_database_is_fresh(target: Target) -> None:
    for _ in range(2):
        with target.fresh(None) as fresh:
            assert fresh.measured is fresh.direct
            assert fresh.added_round_trip is None
            fresh.direct.create_schema()
            fresh.settle()
            assert fresh.direct.fetch("SELECT count(*) FROM perflab_jobs") == [(0,)]
            with fresh.direct.transaction() as connection:
                connection.exec_driver_sql("CREATE TABLE mine (id INT)")  # fails if the one before is still there


def test_the_environment_names_what_decides_figures(target: Target, postgres_url: str) -> None:
    environment = dict(target.environment())
    if isinstance(target, SQLiteTarget):
        assert (environment["journal_mode"], environment["synchronous"]) == ("wal", 1)
    else:
        assert {"fsync", "synchronous_commit", "shared_buffers", "wal_sync_method"} <= environment.keys()
        assert str(environment["engine"]).startswith("PostgreSQL ")
        assert environment["server"] == "own"
        assert environment["checkpoint_before_each_visit"] == "yes"
    text = json.dumps(environment)
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text
    assert "/" not in text.replace("N/A", "")
    assert postgres_url not in text


def test_the_schema_is_gone_after_each_visit_and_after_an_error(postgres_url: str) -> None:
    with open_postgresql(postgres_url, "normal") as target:
        with target.fresh(None):
            assert len(schemas(postgres_url)) == 1
        assert schemas(postgres_url) == []
        with pytest.raises(ZeroDivisionError), target.fresh(None) as fresh:
            fresh.direct.create_schema()
            raise ZeroDivisionError
        assert schemas(postgres_url) == []


def test_nothing_of_the_users_is_read_or_written(postgres_url: str) -> None:
    """Also where the database has perflab's own tables, full of somebody's jobs."""
    with Database.open(postgres_url) as users:
        users.create_schema()
        with users.transaction() as connection:
            connection.exec_driver_sql("DROP TABLE perflab_ingest_states")  # any use of it would fail
        with open_postgresql(postgres_url, "normal") as target, target.fresh(None) as fresh:
            fresh.direct.create_schema()
            assert fresh.direct.fetch("SELECT count(*) FROM perflab_ingest_states") == [(0,)]
        with pytest.raises(Exception, match="perflab_ingest_states"):
            users.fetch("SELECT 1 FROM perflab_ingest_states")


def test_what_a_killed_sweep_left_is_removed_and_what_a_running_one_has_is_not(postgres_url: str) -> None:
    left_behind = f"{PREFIX}{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {left_behind} CREATE TABLE rows (id int)")
        connection.execute(f"CREATE SCHEMA {PREFIX}of_somebody_else")
    with open_postgresql(postgres_url, "normal") as running, running.fresh(None):
        (own,) = set(schemas(postgres_url)) - {f"{PREFIX}of_somebody_else"}
        assert own != left_behind
        with open_postgresql(postgres_url, "normal"):
            assert own in schemas(postgres_url)
    assert schemas(postgres_url) == [f"{PREFIX}of_somebody_else"]


def test_a_user_who_may_not_create_a_schema_is_told_so(postgres_url: str) -> None:
    role = f"reader_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        url = postgres_url.replace("postgres@", f"{role}@")
        with (
            pytest.raises(InvalidInput, match="this user may not create one in the database"),
            open_postgresql(url, "normal"),
        ):
            pass
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}")


def test_a_user_who_may_not_checkpoint_measures_without(postgres_url: str) -> None:
    role = f"writer_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(
            f"DO $$ BEGIN EXECUTE 'GRANT CREATE ON DATABASE ' || current_database() || ' TO {role}'; END $$"
        )
    try:
        url = postgres_url.replace("postgres@", f"{role}@")
        with open_postgresql(url, "normal") as target, target.fresh(None) as fresh:
            fresh.settle()
            assert target.environment()["checkpoint_before_each_visit"] == "not allowed to this user"
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
def whatever_it_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's proxy is off by more than what a measurement allows."""
    monkeypatch.setattr(added_latency, "PROBE", Probe(pings=10, tolerance_seconds=60.0))


@pytest.mark.usefixtures("whatever_it_adds")
def test_a_proxy_is_between_and_nothing_else_is_measured_through_it(postgres_url: str) -> None:
    with open_postgresql(postgres_url, "normal") as target, target.fresh(0.020) as fresh:
        fresh.direct.create_schema()
        assert fresh.added_round_trip is not None
        start = time.perf_counter()
        assert fresh.measured.fetch("SELECT count(*) FROM perflab_jobs") == [(0,)]
        assert time.perf_counter() - start >= 0.020, "no byte is early"
        assert fresh.measured.url != fresh.direct.url


@pytest.mark.usefixtures("whatever_it_adds")
def test_the_baseline_goes_through_the_same_proxy(postgres_url: str) -> None:
    with open_postgresql(postgres_url, "normal") as target, target.fresh(0.0) as fresh:
        assert fresh.added_round_trip is not None
        assert fresh.measured is not fresh.direct


def test_a_proxy_that_is_off_is_tried_again_and_then_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(added_latency, "PROBE", Probe(pings=10, tolerance_share=0.0, tolerance_seconds=0.0))
    pauses: list[float] = []
    with (
        pytest.raises(LabError, match="the proxy adds"),
        added_latency.through_proxy(postgres_url, 0.001, sleep=pauses.append),
    ):
        pass
    assert len(pauses) == added_latency.ATTEMPTS - 1


def test_a_proxy_that_is_off_once_is_started_again(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added_latency, "PROBE", Probe(pings=10, tolerance_share=0.0, tolerance_seconds=0.0))

    def come_to_rest(_seconds: float) -> None:
        monkeypatch.setattr(added_latency, "PROBE", Probe(pings=10, tolerance_seconds=60.0))

    with added_latency.through_proxy(postgres_url, 0.001, sleep=come_to_rest) as (url, added):
        assert added != 0.0
        with Database.open(url) as database:
            assert database.fetch("SELECT 1") == [(1,)]


def test_an_embedded_server_is_there_for_the_block_and_gone_after_it() -> None:
    with open_target(SweepPlan(engine="postgresql", server=EMBEDDED, closed_loop_batch_sizes=(1,))) as target:
        environment = target.environment()
        with target.fresh(None) as fresh:
            url = fresh.direct.url
            assert Path(url.partition("host=")[2].partition("&")[0].replace("%2F", "/")).is_dir()
    assert (environment["server"], environment["fsync"]) == ("embedded", "on")
    assert not Path(url.partition("host=")[2].partition("&")[0].replace("%2F", "/")).exists()


def test_a_plan_for_one_server_is_not_measured_on_another(postgres_url: str) -> None:
    plan = SweepPlan(engine="postgresql", server=EMBEDDED, closed_loop_batch_sizes=(1,))
    with pytest.raises(InvalidInput, match="the plan is for the server 'embedded', and the URL leads to 'own "):
        open_target(plan, postgres_url)


def test_a_label_tells_servers_apart_and_says_nothing_of_them() -> None:
    urls = ("postgresql://me:secret@db.example.org/shop", "postgresql://db.example.org/shop?user=me&password=secret")
    assert server_label("postgresql", urls[0]) == server_label("postgresql", urls[1])
    others = {
        "postgresql://db.example.org/other",
        "postgresql://db.example.org:5433/shop",
        "postgresql://localhost/shop",
    }
    labels = {server_label("postgresql", url) for url in (urls[0], *others)}
    assert len(labels) == 4
    assert not any(word in label for label in labels for word in ("example", "shop", "secret", "localhost"))
    assert server_label("postgresql", None) == EMBEDDED


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("postgresql:///shop", InvalidInput, "names no host"),
        ("sqlite:///x.db", InvalidInput, "does not name a server"),
        ("postgresql://me:secret@127.0.0.1:1/shop", DatabaseUnusable, "cannot connect to"),
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        plan = SweepPlan(engine="postgresql", server=server_label("postgresql", url), closed_loop_batch_sizes=(1,))
        with open_target(plan, url):
            pass
    assert "secret" not in str(caught.value)
