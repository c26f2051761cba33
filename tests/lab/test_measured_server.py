"""One place says which server a measurement loads, whatever the URL."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg
import pytest

from perflab.database.embedded import EmbeddedServer
from perflab.errors import InvalidInput
from perflab.lab.measured_server import measured_server


def test_a_server_of_the_users_is_taken_as_the_driver_takes_it(postgres_url: str) -> None:
    with measured_server(postgres_url.replace("postgresql://", "postgresql+psycopg://")) as server:
        assert not server.is_embedded
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["postgres", "measured"])
def test_the_server_of_a_directory_runs_for_the_block(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where this one is root
        directory = Path(folder) / "server"
        with measured_server(f"postgresql+embedded:///{directory}?database={name}") as server:
            assert server.is_embedded
            with psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT current_database()").fetchone() == (name,)
        assert EmbeddedServer.attach(directory) is None


def test_what_is_no_server_is_refused() -> None:
    with (
        pytest.raises(InvalidInput, match="'sqlite:///x': give a URL that begins with postgresql://"),
        measured_server("sqlite:///x"),
    ):
        pass
