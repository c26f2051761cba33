"""`perflab db advise`: what a user types, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perflab.cli import main
from perflab.database.database import Database

SEARCH = "SELECT id FROM item WHERE name = ?"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'items.db'}"
    with Database.open(url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO item (name) VALUES (?)", [(f"n{number}",) for number in range(12_000)])
    return url


def test_it_proposes_and_proves(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "advise", url, "--statement", SEARCH, "--blocks", "6"]) == 0
    output = capsys.readouterr().out
    assert "sequential scan on item, which has about 12,000 rows" in output
    assert 'CREATE INDEX "item_name" ON "item" ("name");' in output
    assert 'undo: DROP INDEX "item_name";' in output
    assert "inserts: " in output


def test_it_speaks_json_and_measures_nothing_if_asked_not_to(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "advise", url, "--statement", SEARCH, "--table", "item", "--no-prove", "--json"]) == 0
    (advice,) = json.loads(capsys.readouterr().out)["advice"]
    assert advice["finding"]["rows"] == 12_000
    assert [option["proof"] for option in advice["options"]] == [None]


def test_a_database_without_faults_is_told_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "advise", url, "--statement", SEARCH, "--deep-rows", "20000"]) == 0
    assert capsys.readouterr().out.startswith("Nothing to advise: looked at 1 table and 1 statement")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "items"], "there is no table items: there are item"),
        (["--statement", "SELECT nothing FROM item"], "cannot be explained"),
        (["--blocks", "2"], "blocks is 2"),
        (["--deep-rows", "0"], "deep_rows is 0"),
    ],
)
def test_bad_input_is_refused(url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["db", "advise", url, *arguments]) == 2
    assert message in capsys.readouterr().err
