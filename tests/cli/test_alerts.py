"""`perflab alerts`: what a user types, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perflab.cli import main
from perflab.database.database import Database
from perflab.queue.queue import PriorityQueue
from tests.processes import ends_at_sigterm

RULES = """
[queue_old]
signal = "queue_age_seconds"
above = 60
for = 600
summary = "Start a worker."
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


@pytest.fixture
def late_url(perflab_url: str) -> str:
    """A database with a job that is due for long."""
    with Database.open(perflab_url) as database:
        PriorityQueue(database, "mail").enqueue(1)
        with database.transaction() as connection:
            connection.exec_driver_sql("UPDATE perflab_jobs SET run_at = run_at - 900000000")
    return perflab_url


def test_a_rule_that_is_broken_fails_ci(late_url: str, rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["alerts", "--url", late_url, "--rules", rules, "--seconds", "0.2"]
    assert main([*watch, "--at-once"]) == 1
    output = capsys.readouterr().out
    assert "warning: queue_old firing: queue_age_seconds is 9" in output
    assert "Start a worker." in output
    assert output.endswith("fired: queue_old\n")
    assert main(watch) == 0, "not for as long as the rule says"
    assert capsys.readouterr().out == "none of 1 rules fired\n"


def test_for_machines_each_alert_is_a_line(late_url: str, rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--url", late_url, "--rules", rules, "--seconds", "0.2", "--at-once", "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["labels"] == {"alertname": "queue_old", "severity": "warning", "queue": "mail"}


def test_it_watches_until_sigterm(late_url: str, rules: str) -> None:
    with ends_at_sigterm("alerts", "--rules", rules, "--at-once", url=late_url) as line:
        assert "queue_old firing" in line


def test_the_default_rules_can_be_printed_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--print", "toml"]) == 0
    path = tmp_path / "rules.toml"
    path.write_text(capsys.readouterr().out)
    assert main(["alerts", "--rules", str(path), "--print", "prometheus"]) == 0
    copied = capsys.readouterr().out
    assert main(["alerts", "--print", "prometheus"]) == 0
    assert capsys.readouterr().out == copied
    assert "- alert: PerflabQueueOld" in copied


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no database is named"),
        (["--url", "sqlite://", "--rules", "none.toml"], "'none.toml' cannot be read"),
        (["--url", "sqlite://", "--seconds", "0"], "--seconds is 0.0"),
        (["--url", "sqlite://", "--interval", "0"], "interval is 0.0"),
        (["--url", "sqlite://", "--webhook", "ftp://s3cret"], "no http or https"),
        (["--rules", "none.toml", "--print", "toml"], "leave --rules out"),
    ],
)
def test_what_cannot_be_watched_is_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", *arguments]) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert "s3cret" not in errors


def test_a_database_without_tables_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Database.open(f"sqlite:///{tmp_path / 'new.db'}") as database, database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
    assert main(["alerts", "--url", f"sqlite:///{tmp_path / 'new.db'}"]) == 2
    assert "create_schema" in capsys.readouterr().err
