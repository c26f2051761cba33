"""Nothing of a measurement stays: not after an error, not after Ctrl-C, and not for long after a kill."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from perflab import DatabaseAdvisor
from perflab.database.database import Database
from perflab.database.file_lock import FileLock
from perflab.lab.advice.advice import Proof, Verdict
from tests.lab.advice.conftest import QUICK, schemas_of

SEARCH = {"sqlite": "SELECT * FROM job WHERE lease_until = 7", "postgresql": "SELECT * FROM job WHERE priority = 77"}
PROGRAM = """
    import sys
    from perflab.cli import main
    sys.exit(main(sys.argv[1:]))
"""
Left = Callable[[], list[Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Database, Left]]:
    """A database with jobs, and what is left of scratch copies of it."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_jobs"), request.getfixturevalue("scratch_directories")
    else:
        database = request.getfixturevalue("postgresql_jobs")
        with database.writing_connection() as connection:
            connection.execute("ANALYZE job")
        yield database, lambda: schemas_of(database)


def search(database: Database, **options: Any) -> Proof:
    (advice,) = DatabaseAdvisor(database).advise(
        statements=[SEARCH[database.engine_name]], prove=True, settings=replace(QUICK, **options)
    ).advice  # fmt: skip
    proof = advice.options[0].proof
    assert proof is not None
    return proof


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_leaves_nothing(place: tuple[Database, Left], error: type[BaseException]) -> None:
    database, left = place
    seen: list[Any] = []

    def stop() -> None:
        seen.extend(left())
        raise error

    with pytest.raises(error):
        search(database, visited=stop)
    assert seen, "there was nothing to remove"
    assert left() == []
    assert search(database).verdict is not Verdict.NOT_MEASURED  # the connections are as good as before
    assert left() == []


def test_a_user_who_may_not_make_a_copy_gets_the_reason(postgresql_jobs: Database) -> None:
    with postgresql_jobs.writing_connection() as connection:
        connection.execute("ANALYZE job")
        connection.execute("CREATE ROLE perflab_reader LOGIN")
        connection.execute("GRANT SELECT ON job TO perflab_reader")
    try:
        with Database.open(postgresql_jobs.url.replace("postgres@", "perflab_reader@")) as database:
            proof = search(database)
        assert proof.verdict is Verdict.NOT_MEASURED
        assert "permission denied for database" in proof.why
        assert schemas_of(postgresql_jobs) == []
    finally:
        with postgresql_jobs.writing_connection() as connection:
            connection.execute("DROP OWNED BY perflab_reader")
            connection.execute("DROP ROLE perflab_reader")


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen within two minutes"
        time.sleep(0.05)


def start(place: tuple[Database, Left], start_python: Any, sqlite_url: str) -> subprocess.Popen[str]:
    database, left = place
    url = sqlite_url if database.engine_name == "sqlite" else database.url
    process: subprocess.Popen[str] = start_python(
        PROGRAM, "db", "advise", url, "--statement", SEARCH[database.engine_name], "--blocks", "1000"
    )
    wait_for(left, process)
    return process


@pytest.mark.parametrize(
    ("place", "sent"), [("sqlite", signal.SIGINT), ("postgresql", signal.SIGTERM)], indirect=["place"]
)
def test_a_signal_clears_up(place: tuple[Database, Left], start_python: Any, sqlite_url: str, sent: int) -> None:
    _, left = place
    process = start(place, start_python, sqlite_url)
    time.sleep(0.3)  # somewhere in the middle: of copying, or of measuring
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert left() == []


def test_what_a_kill_leaves_is_removed_by_the_next_run(
    place: tuple[Database, Left], start_python: Any, sqlite_url: str
) -> None:
    database, left = place
    process = start(place, start_python, sqlite_url)
    wait_for(lambda: len(left()) >= (1 if database.engine_name == "sqlite" else 2), process)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    assert left()
    if database.engine_name == "postgresql":  # the server ends a session when it next writes to its client
        for _ in range(600):
            others = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            if database.fetch(others) == [(0,)]:
                break
            time.sleep(0.05)
    assert search(database).verdict is not Verdict.NOT_MEASURED
    assert left() == []


def test_what_another_run_is_using_stays(place: tuple[Database, Left], tmp_path: Path) -> None:
    database, left = place
    if database.engine_name == "sqlite":
        theirs = tmp_path / "scratch" / "perflab-scratch-theirs"
        theirs.mkdir()
        lock = FileLock(theirs / "lock")
        assert lock.try_exclusive()
        search(database)
        assert left() == [theirs]
        lock.release()
    else:
        name = f"perflab_scratch_{uuid4().hex[:12]}_before"
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
            other.execute(f"CREATE SCHEMA {name}")
            search(database)
            assert left() == [name]
    search(database)
    assert left() == []


def test_a_large_table_is_sampled(postgresql_jobs: Database) -> None:
    with postgresql_jobs.writing_connection() as connection:
        connection.execute("ANALYZE job")
    proof = search(postgresql_jobs, limits=replace(QUICK.limits, rows=5_000))
    assert 4_000 < proof.rows < 6_000
    assert proof.gain is not None


def test_a_copy_has_what_the_original_has(postgresql_jobs: Database) -> None:
    """Identity, generated and dropped columns, defaults, checks, and names that have to be quoted."""
    with postgresql_jobs.writing_connection() as connection:
        connection.execute(
            'CREATE TABLE "odd table" (gone int, "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, '
            "twice bigint GENERATED ALWAYS AS (n * 2) STORED, n bigint CHECK (n > 0), \"100%\" text DEFAULT 'x')"
        )
        connection.execute('ALTER TABLE "odd table" DROP COLUMN gone')
        connection.execute('INSERT INTO "odd table" (n) SELECT * FROM generate_series(1, 20000)')
        connection.execute('ANALYZE "odd table"')
    (advice,) = DatabaseAdvisor(postgresql_jobs).advise(
        statements=['SELECT * FROM "odd table" WHERE n = 7'], tables=["odd table"], prove=True, settings=QUICK
    ).advice  # fmt: skip
    proof = advice.options[0].proof
    assert proof is not None
    assert proof.rows == 20_000, proof.why
    assert [cost.what for cost in proof.costs] == ["inserts", "updates of indexed columns"]
