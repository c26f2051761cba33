"""`perflab dashboard`: what a user types, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perflab.cli import main
from perflab.cli.dashboard import TOKEN_VARIABLE
from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database
from perflab.monitoring.monitored import monitored
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from tests.processes import A_MINUTE, wait_for

Serve = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def serve(perflab_url: str) -> Iterator[Serve]:
    """Start the command at a free port; it and the last word of the line that it prints."""
    started = []

    def serve(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "perflab", "dashboard", *arguments],
            env={**os.environ, VARIABLE: perflab_url, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def read(url: str) -> str:
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url, timeout=A_MINUTE) as answer:
        page: str = answer.read().decode()
    return page


def test_it_shows_what_another_process_does_until_sigterm(database: Database, serve: Serve) -> None:
    process, url = serve("--listen", "127.0.0.1:0", "--interval", "0.1")
    wait_for(lambda: "Nothing to be seen yet" in read(url))
    with monitored(database, interval=0.1):
        PriorityQueue(database, "mail").bulk_enqueue(NewJob(number) for number in range(7))
        wait_for(lambda: '<th scope="row">mail</th>' in read(url) and str(os.getpid()) in read(url))
    with urllib.request.urlopen(f"{url}events", timeout=A_MINUTE) as stream:
        assert stream.readline().startswith(b"data: ")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert errors == ""


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("environment", [{}, {TOKEN_VARIABLE: "mine"}], ids=["drawn", "given"])
def test_others_need_the_token_that_is_printed(serve: Serve, environment: dict[str, str]) -> None:
    _, url = serve("--listen", "0.0.0.0:0", **environment)
    address, _, token = url.replace("0.0.0.0", "127.0.0.1").partition("?token=")
    assert token == environment.get(TOKEN_VARIABLE, token)
    assert len(token) >= (4 if environment else 32)
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        read(address)
    refused.value.close()
    assert "Nothing to be seen yet" in read(f"{address}?token={token}")


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--listen", "8765"], "a host and a port"),
        (["--listen", "192.0.2.1:0"], "cannot be served"),
        (["--interval", "0"], "interval"),
        (["--rules", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_cannot_be_served_is_refused(
    perflab_url: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboard", "--url", perflab_url, *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_database_without_tables_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--url", f"sqlite:///{tmp_path / 'new.db'}", "--listen", "127.0.0.1:0"]) == 2
    output, errors = capsys.readouterr()
    assert not output
    assert "create_schema" in errors
