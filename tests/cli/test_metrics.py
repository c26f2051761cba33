"""`perflab metrics`: what a user types, and what it says."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from perflab.cli import main
from perflab.database.database import Database
from perflab.queue.queue import PriorityQueue
from tests.processes import ends_at_sigterm


def test_metrics_are_printed_once(perflab_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Database.open(perflab_url) as database:
        PriorityQueue(database, name="mail").enqueue(1)
    assert main(["metrics", "--url", perflab_url, "--print"]) == 0
    assert 'perflab_queue_jobs{queue="mail",state="ready"} 1.0\n' in capsys.readouterr().out


def test_metrics_are_served_until_sigterm(perflab_url: str) -> None:
    with (
        ends_at_sigterm("metrics", "--listen", "127.0.0.1:0", url=perflab_url) as line,
        urllib.request.urlopen(line.split()[-1], timeout=60) as answer,
    ):
        assert b"perflab_up 1.0" in answer.read()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--listen HOST:PORT, or --print"),
        (["--print", "--listen", "127.0.0.1:0"], "--listen HOST:PORT, or --print"),
        (["--listen", "9464"], "a host and a port"),
        (["--listen", "127.0.0.1:x"], "a host and a port"),
        (["--listen", "127.0.0.1:99999"], "a host and a port"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--url", "sqlite://", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_database_without_tables_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    Database.open(url).close()
    for what in (["--print"], ["--listen", "127.0.0.1:0"]):
        assert main(["metrics", "--url", url, *what]) == 2
        output, errors = capsys.readouterr()
        assert not output
        assert "create_schema" in errors


def test_files_for_grafana_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[many]\nsignal = 'flushes'\nabove = 1")
    assert main(["metrics", "grafana", str(tmp_path / "new"), "--rules", str(rules)]) == 0
    paths = capsys.readouterr().out.split()
    assert all(Path(path).is_file() for path in paths)
    assert "PerflabMany" in (tmp_path / "new" / "perflab.rules.yml").read_text()
    assert main(["metrics", "grafana", str(tmp_path / "new")]) == 2
    assert "is there already" in capsys.readouterr().err
