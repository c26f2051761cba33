"""A PgBouncer in transaction mode in front of the tests' server. It comes from the system's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from perflab.database.embedded_programs import Account

PROGRAM = "pgbouncer"
PORT = 6432
PATIENCE_SECONDS = 60.0
SETTINGS = """
[databases]
* = host={server} port={server_port} user=postgres

[pgbouncer]
pool_mode = transaction
default_pool_size = {sessions}
listen_port = {port}
unix_socket_dir = {directory}
auth_type = any
logfile = {directory}/pgbouncer.log
pidfile = {directory}/pgbouncer.pid
server_login_retry = 0.1
"""


def find_program() -> str | None:
    return shutil.which(PROGRAM, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


class PgBouncer:
    """One that runs, with at most `sessions` sessions of the server for each database."""

    def __init__(self, program: str, directory: Path, server_url: str, sessions: int) -> None:
        self._program = program
        self._directory = directory
        self._account = Account.for_server()  # which may enter the server's socket, and is not root
        self._account.give(directory)
        server = make_url(server_url).query
        self._settings = directory / "pgbouncer.ini"
        self._settings.write_text(
            SETTINGS.format(
                server=server["host"], server_port=server["port"], sessions=sessions, port=PORT, directory=directory
            )
        )
        self._account.give(self._settings)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "--quiet", str(self._settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._account.user_id,
            group=self._account.group_id,
            extra_groups=None if self._account.user_id is None else [],
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    log = self._directory / "pgbouncer.log"
                    raise AssertionError(log.read_text() if log.exists() else "pgbouncer does not start") from None
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def url(self, server_url: str) -> str:
        """Of a database of the server by this way; `server_url` is its own URL, or its name."""
        name = make_url(server_url).database if "://" in server_url else server_url
        return f"postgresql://postgres@/{name}?host={self._directory}&port={PORT}"


@contextmanager
def pgbouncer(program: str, server_url: str, *, sessions: int) -> Iterator[PgBouncer]:
    # Not in tmp_path: another user may not enter it, and its name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="perflab-pgbouncer-") as directory:
        started = PgBouncer(program, Path(directory), server_url, sessions)
        try:
            yield started
        finally:
            started.kill()
