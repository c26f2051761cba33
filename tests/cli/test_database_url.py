"""Where a URL comes from: the command line first, then the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.cli import main
from perflab.cli.database_url import server_url
from perflab.errors import InvalidInput
from perflab.lab.notebook import URL_VARIABLE

OURS, THEIRS = "postgresql://me@db/ours", "postgresql://me@db/theirs"


def test_a_server_is_named_by_the_option_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    assert server_url(None, "postgresql") is None
    monkeypatch.setenv(URL_VARIABLE, OURS)
    assert server_url(None, "postgresql") == OURS
    assert server_url(None, "both") == OURS
    assert server_url(THEIRS, "postgresql") == THEIRS
    monkeypatch.setenv(URL_VARIABLE, "")
    assert server_url(None, "postgresql") is None


def test_sqlite_has_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, OURS)
    assert server_url(None, "sqlite") is None
    with pytest.raises(InvalidInput, match="--url names a PostgreSQL server: add --engine postgresql"):
        server_url(THEIRS, "sqlite")


@pytest.mark.parametrize(("command", "place"), [("bench", "--output"), ("sweep", "--store")])
def test_commands_that_measure_read_it(
    command: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql://me:Xq7Canary@127.0.0.1:1/lab")
    assert main([command, "--engine", "postgresql", place, str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert "'postgresql://me:***@127.0.0.1:1/lab': Connection refused; nothing listens there: start the server" in said
    assert main([command, "--url", OURS]) == 2
    assert "add --engine postgresql" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["db", "advise"],
        ["fleet", "list"],
        ["fleet", "show", "ingest"],
        ["scheduler", "--once"],
        ["worker", "json:dumps"],
        ["metrics", "--print", "--url"],
    ],
)
def test_a_mistyped_file_is_refused_and_not_made(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, f"sqlite:///{tmp_path / 'lbo.db'}"]) == 2
    error = capsys.readouterr().err
    assert "there is no database file" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
