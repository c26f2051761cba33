"""A server for a measurement is gone afterwards, and what a killed one left is removed by the next."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from perflab.lab.temporary_server import OLD_SECONDS, PREFIX, temporary_server
from tests.processes import runs

HOLD = """
    import sys, time
    from perflab.lab.temporary_server import temporary_server
    with temporary_server() as server:
        print(server.url, server.process_id, server.directory, flush=True)
        time.sleep(600)
"""
StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The temporary folder, here and in child processes; everybody may enter it, as everybody may enter /tmp."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def later() -> float:
    return time.time() + 2 * OLD_SECONDS


def test_a_server_is_there_for_the_block(folder: Path) -> None:
    with temporary_server() as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert len(list(folder.glob(f"{PREFIX}*"))) == 1
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_stopped_and_removed(folder: Path, start_python: StartPython) -> None:
    holder = start_python(HOLD)
    assert holder.stdout is not None
    _, process_id, directory = holder.stdout.readline().split()
    holder.kill()
    holder.wait()
    assert runs(int(process_id))  # the fault: nobody stopped it
    with temporary_server():
        assert Path(directory).exists()  # it may just be starting
    with temporary_server(now=later):
        assert not Path(directory).exists()
        assert not runs(int(process_id))


def test_a_server_that_is_used_is_left_alone(folder: Path, start_python: StartPython) -> None:
    holder = start_python(HOLD)
    assert holder.stdout is not None
    url, process_id, _ = holder.stdout.readline().split()
    with temporary_server(now=later):
        assert runs(int(process_id))
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    holder.terminate()
    holder.wait()
    with temporary_server(now=later):
        assert len(list(folder.glob(f"{PREFIX}*"))) == 1
