"""An embedded PostgreSQL server: `pip install 'perflab[postgres]'` is all that it needs.

A server lives in a directory and is found by it. Who starts it there first makes it; who comes later, from this process
or another, shares it; the last one to close it stops it. Two file locks keep that, and the kernel lets them go when
their holders end, so that no crash leaves a wrong count behind:

- the server holds one, for as long as any process of it lives: no process number is ever guessed from;
- its users hold the other one, together.

When something dies:

- Users killed with SIGKILL, or with SIGTERM, at which Python runs no exit handlers: the server goes on. The next
  `start` in the directory uses it and stops it at its end; `attach(directory)` finds it to stop it at once.
- The server killed: the next `start` waits for what is left of it, then starts it again, and PostgreSQL recovers all
  that was committed.
- The directory removed under a running server: PostgreSQL notices within a minute, and ends.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from perflab.database.embedded_directory import ServerDirectory, claim_directory, is_server_directory
from perflab.database.embedded_process import HOST, SIGNALS, Patience, ServerProcess, StopMode
from perflab.database.embedded_programs import find_binaries
from perflab.database.embedded_settings import check_settings
from perflab.database.file_lock import FileLock
from perflab.database.values import check_number
from perflab.errors import DatabaseUnusable, InvalidInput, LifecycleError

USER = "postgres"
TIMEOUT_SECONDS = 60.0


class EmbeddedServer:
    """One user's share in the PostgreSQL server of a directory. Get it with `EmbeddedServer.start`.

    Connections over the Unix socket need no password: only who runs the server, and root, can reach it. Those over
    127.0.0.1, which it takes only if asked to, need a random one that is kept in the directory.

    PostgreSQL refuses to run as root: where this process is root, the server runs as `nobody`.
    """

    def __init__(self, directory: ServerDirectory, patience: Patience) -> None:
        self._server = ServerProcess(directory, patience)
        self._patience = patience
        self._process_id = os.getpid()
        self._closed = False
        self._users = FileLock(directory.users_lock)
        atexit.register(self.close)

    @classmethod
    def start(
        cls,
        directory: Path | str,
        *,
        settings: Mapping[str, str] | None = None,
        tcp: bool = False,
        keep_running: bool = False,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Start the server of a directory, or share the one that runs there.

        Args:
            directory: where it lives; made if it is missing, inside a parent that exists.
            settings: of PostgreSQL, such as `{"synchronous_commit": "off"}`, until the server stops. A server that is
                shared must have them already; None takes it as it is.
            tcp: listen on 127.0.0.1 too, for instance for a proxy in between.
            keep_running: the server goes on without users until somebody calls `stop`.
            timeout: seconds that a start or a stop may take, recovery after a crash included.
            clock: seconds that only grow.
            sleep: waits for that many seconds.

        Raises:
            InvalidInput: the directory is something else or out of reach, a setting is refused, or the server that
                runs there has other settings.
            MissingExtra: the wheel is not installed.
            DatabaseUnusable: the server does not start; the message has the end of its log.
        """
        checked = check_settings(settings or {})
        check_number(timeout, "timeout")
        find_binaries()
        share = cls(claim_directory(directory), Patience(timeout, clock, sleep))
        try:
            share._join()
            share._server.ensure_running(checked, tcp=tcp)
            if keep_running:
                share._server.directory.keep_running.touch()
        except BaseException:
            share._abandon()
            raise
        return share

    @classmethod
    def attach(
        cls,
        directory: Path | str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Self | None:
        """Share the server that runs in a directory; None if none does. It is never started.

        Raises:
            InvalidInput: the directory is somebody else's or out of reach.
            DatabaseUnusable: it is on its way up or down, and did not arrive in time.
        """
        check_number(timeout, "timeout")
        if not is_server_directory(directory):
            return None
        share = cls(claim_directory(directory), Patience(timeout, clock, sleep))
        try:
            share._join()
            lock = share._server.settle()
        except BaseException:
            share._abandon()
            raise
        if lock is None:
            return share
        lock.release()
        share.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.directory)!r}, running={self.running})"

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        return self._server.directory.path

    @property
    def running(self) -> bool:
        """Whether the server takes statements now."""
        return self._server.running

    @property
    def process_id(self) -> int | None:
        """The server's first process; None while it does not run."""
        return self._server.address.process_id if self._server.running and self._server.address else None

    @property
    def url(self) -> str:
        """Of the database `postgres`, over the Unix socket: for psycopg, and for SQLAlchemy with psycopg."""
        return self.database_url(USER)

    def database_url(self, name: str, *, tcp: bool = False) -> str:
        """The URL of a database of this server, over its Unix socket or over 127.0.0.1: that one holds the password.

        A restart changes it only where it changes whether the server listens on 127.0.0.1.

        Raises:
            LifecycleError: 127.0.0.1 was asked for, and the server does not listen there.
        """
        address = self._server.address
        assert address is not None  # nobody gets this object before it was seen running
        database = quote(name, safe="")
        if not tcp:
            return f"postgresql://{USER}@/{database}?host={address.socket_directory}&port={address.port}"
        if not self._server.listens_on_tcp:
            raise LifecycleError(
                f"the server in {str(self.directory)!r} does not listen on {HOST}: start it with tcp=True"
            )
        password = self._server.directory.password_file.read_text(encoding="utf-8")
        return f"postgresql://{USER}:{password}@{HOST}:{address.port}/{database}"

    # -- stop and go ---------------------------------------------------------------------------------------------------

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server now, whoever else uses it; return when its last process has ended.

        Args:
            mode: "fast" rolls back what is open and writes the rest down. "immediate" is a crash: the next start
                recovers what was committed.

        Raises:
            DatabaseUnusable: it did not stop in time.
            LifecycleError: this object is closed.
        """
        self._check_usable(mode)
        self._server.directory.keep_running.unlink(missing_ok=True)
        self._server.stop(mode)

    def restart(
        self, mode: StopMode = "fast", *, settings: Mapping[str, str] | None = None, tcp: bool | None = None
    ) -> None:
        """Stop the server, whoever else uses it, and start it again; start it if it does not run.

        Args:
            mode: as for `stop`.
            settings: as for `start`; None keeps those that it had.
            tcp: as for `start`; None keeps it as it was.

        Raises:
            InvalidInput: a setting is refused; the server runs on.
            DatabaseUnusable: it did not stop, or does not start.
            LifecycleError: this object is closed.
        """
        self._check_usable(mode)
        checked = check_settings(self._server.settings() if settings is None else settings)
        tcp = self._server.listens_on_tcp if tcp is None else tcp
        self._server.stop(mode)
        self._server.ensure_running(checked, tcp=tcp)

    def close(self) -> None:
        """Be done with the server; the last user stops it. Calling it again is harmless, and so is it after a fork.

        It happens by itself when the interpreter exits.

        Raises:
            DatabaseUnusable: it did not stop in time.
        """
        if self._closed or os.getpid() != self._process_id:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            if self._users.try_exclusive() and not self._server.directory.keep_running.exists():
                self._server.stop("fast")
        finally:
            self._users.release()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_usable(self, mode: str) -> None:
        if mode not in SIGNALS:
            raise InvalidInput(f"mode is {mode!r}: use 'fast' or 'immediate'")
        if self._closed:
            raise LifecycleError(
                f"this share in the server in {str(self.directory)!r} is closed: get another with EmbeddedServer.start"
            )

    def _abandon(self) -> None:
        """Close after an error, which is the one that counts."""
        try:
            self.close()
        except DatabaseUnusable:
            return

    def _join(self) -> None:
        """Become one of the users. A last one that stops the server keeps others out until it is done."""
        for _ in self._patience.tries():
            if self._users.try_shared():
                return
        raise DatabaseUnusable(
            f"another process has been stopping the server in {str(self.directory)!r} for "
            f"{self._patience.seconds:g} s: wait for it, or end it"
        )
