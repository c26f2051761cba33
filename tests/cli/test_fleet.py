"""`perflab fleet`: what a user types, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.batching.fleet.fleet import Fleet
from perflab.batching.fleet.settings import FleetSettings
from perflab.cli import main
from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database

Command = Callable[..., tuple[int, str, str]]
TABLE = Table("sample", MetaData(), Column("n", Integer))


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        with opened.transaction() as connection:
            TABLE.create(connection)
        yield opened


@pytest.fixture
def run(db: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command of the fleet; the result is its exit code and what it said on both channels."""
    monkeypatch.setenv(VARIABLE, db.url)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["fleet", *arguments])
        return code, *capsys.readouterr()

    return run


def test_settings_are_set_one_by_one(db: Database, run: Command) -> None:
    assert run("list") == (0, "", "")
    assert run("set", "ingest", "--batch-size", "2000", "--jitter", "0.2") == (
        0,
        "fleet ingest: at most 2,000 items a batch, jitter 0.2\n",
        "",
    )
    run("set", "ingest", "--max-in-flight", "3", "--flush-interval", "0.05")
    assert Fleet(db, "ingest").settings() == FleetSettings(2_000, 0.05, 3, 0.2)
    _, output, _ = run("set", "ingest", "--batch-size", "none", "--jitter", "0")
    assert output == "fleet ingest: 0.05 s of waiting, 3 flushes in flight\n"
    assert Fleet(db, "ingest").settings() == FleetSettings(flush_interval=0.05, max_in_flight=3)
    run("set", "ingest", "--flush-interval", "none", "--max-in-flight", "none")
    assert run("show", "ingest")[1] == "fleet ingest: every batcher as it was made\nno members\n"
    assert run("list")[1] == "ingest\n"


def test_a_running_member_hears_of_it(db: Database, run: Command) -> None:
    with Fleet(db, "ingest").join(heartbeat=600.0, listen=False) as member:
        run("set", "ingest", "--batch-size", "7")
        member.beat()
        assert member.settings == FleetSettings(batch_size=7)


def test_the_members_are_shown(db: Database, run: Command) -> None:
    fleet = Fleet(db, "ingest")
    with fleet.join(heartbeat=600.0) as one, fleet.join(heartbeat=600.0) as two:
        with RequestBatcher(db, mode="inline", gate=one) as batcher:
            one.add(batcher)
            for n in range(1_234):
                batcher.submit(insert(TABLE), {"n": n})
        one.close()
        run("set", "ingest", "--max-in-flight", "3")
        code, output, _ = run("show", "ingest")
        assert code == 0
        first, second, head, *rows, total = output.splitlines()
        assert first == "fleet ingest: 3 flushes in flight"
        expected = {"1 live", "1 left"}
        said, _, in_flight = second.partition("; ")
        assert set(said.split(", ")) == expected
        on_server = db.engine_name == "postgresql"
        assert in_flight == ("0 flushes in flight, 0 waiting for a slot" if on_server else "")
        assert " ".join(head.split()) == "member state heard items batches trips saved retries failed pending"
        assert sorted(row.split()[:2] for row in rows) == sorted([[one.instance, "left"], [two.instance, "live"]])
        assert total.split()[:2] == ["together", "1,234"]
        as_json = json.loads(run("show", "ingest", "--json")[1])
    assert as_json["settings"]["max_in_flight"] == 3
    assert {member["instance"]: member["items"] for member in as_json["members"]} == {
        one.instance: 1_234,
        two.instance: 0,
    }
    assert as_json["items"] == 1_234


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["show", "ingst"], "this database has no fleet 'ingst': it has ingest;"),
        (["set", "ingest"], "nothing to set: give --batch-size"),
        (["set", "ingest", "--batch-size", "many"], "--batch-size is 'many': give a whole number, or none"),
        (
            ["set", "ingest", "--flush-interval", "soon"],
            "--flush-interval is 'soon': give a number of seconds, or none",
        ),
        (["set", "ingest", "--batch-size", "0"], "batch_size is 0"),
        (["set", "No Name", "--batch-size", "1"], "the name of the fleet"),
    ],
)
def test_what_is_refused_changes_nothing(db: Database, run: Command, arguments: list[str], because: str) -> None:
    Fleet(db, "ingest").configure(FleetSettings(batch_size=9))
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert because in errors
    assert Fleet(db, "ingest").settings() == FleetSettings(batch_size=9)
    assert run("list")[1] == "ingest\n"


def test_without_the_tables_it_says_so(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    Database.open(database_url).close()
    assert main(["fleet", "list", database_url]) == 2
    assert "create_schema()" in capsys.readouterr().err
