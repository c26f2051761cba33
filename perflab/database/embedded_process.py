"""The server of a directory: whether it runs, how it starts, and how it stops."""

from __future__ import annotations

import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from perflab.database.embedded_directory import ServerDirectory
from perflab.database.embedded_postmaster import Postmaster
from perflab.database.embedded_programs import Programs, find_binaries, usable_binaries
from perflab.database.embedded_settings import DEFAULTS, is_own, parse_settings, render_settings
from perflab.database.file_lock import FileLock
from perflab.errors import DatabaseUnusable, InvalidInput

HOST = "127.0.0.1"
SOCKET_PORT = 5432
"""Names the socket of a server that does not listen on TCP; it has a directory of its own, so any number will do."""
PASSWORD_BYTES = 24
POLL_SECONDS = 0.005

StopMode = Literal["fast", "immediate"]
SIGNALS: Mapping[StopMode, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
"""PostgreSQL's manual, "Shutting Down the Server"."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for something that is asked for again and again."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def tries(self) -> Iterator[None]:
        """One turn for each time to ask, at least one, until the time is over."""
        deadline = self.clock() + self.seconds
        while True:
            yield
            if self.clock() >= deadline:
                return
            self.sleep(POLL_SECONDS)


class ServerProcess:
    """The PostgreSQL server of a directory, whoever uses it.

    It holds the directory's server lock from before its start until its last process has ended, and that is what says
    whether it lives: `postmaster.pid` may be a left-over, and its process number somebody else's by now.
    """

    def __init__(self, directory: ServerDirectory, patience: Patience) -> None:
        self.directory = directory
        self.address: Postmaster | None = None
        """As it was last seen running."""
        self._patience = patience

    @property
    def running(self) -> bool:
        """Whether it takes statements now."""
        postmaster = Postmaster.read(self.directory.data)
        if postmaster is None or not postmaster.is_ready or not postmaster.accepts():
            return False
        self.address = postmaster
        return True

    def ensure_running(self, settings: Mapping[str, str], *, tcp: bool) -> None:
        lock = self.settle()
        if lock is None:
            self._check_running(settings, tcp=tcp)
            return
        self._launch(lock, settings, tcp=tcp)
        lock = self.settle()
        if lock is not None:
            lock.release()
            raise DatabaseUnusable(self._report("does not start"))

    def settle(self) -> FileLock | None:
        """Wait until the server takes statements, or has no process left: then the result is its lock, held by us."""
        for _ in self._patience.tries():
            if lock := self._take_over():
                return lock
            if self.running:
                return None
        raise DatabaseUnusable(
            self._report(f"was not ready within {self._patience.seconds:g} s; if it recovers, allow more")
        )

    def stop(self, mode: StopMode) -> None:
        """Stop it and wait until its last process has ended."""
        told: int | None = None
        for _ in self._patience.tries():
            if lock := self._take_over():
                self.directory.remove_what_lies_elsewhere()
                lock.release()
                return
            postmaster = Postmaster.read(self.directory.data)
            if postmaster is None or postmaster.process_id == told or not postmaster.accepts():
                continue  # it is on its way up or down
            if told is not None:
                return  # and somebody has started it again
            if self.directory.account.signal(postmaster.process_id, SIGNALS[mode]):
                told = postmaster.process_id
        raise DatabaseUnusable(
            self._report(f"did not stop within {self._patience.seconds:g} s: try the mode 'immediate'")
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_running(self, settings: Mapping[str, str], *, tcp: bool) -> None:
        written = self._written()
        differing = [f"{name} = {value!r}" for name, value in settings.items() if written.get(name) != value]
        if tcp and not self.listens_on_tcp:
            differing.append("tcp=True")
        if differing:
            raise InvalidInput(
                f"the server in {str(self.directory.path)!r} already runs, without {', '.join(differing)}: "
                "leave that out, or stop the server first"
            )

    def _take_over(self) -> FileLock | None:
        """The server's lock, held by us, if no process of a server holds it.

        Raises:
            DatabaseUnusable: a server runs without the lock, or the directory is gone.
        """
        try:
            lock = FileLock(self.directory.server_lock)
        except FileNotFoundError as error:
            raise DatabaseUnusable(
                f"the directory {str(self.directory.path)!r} is gone; if a server ran in it, that ends within a minute"
            ) from error
        if not lock.try_exclusive():
            lock.hand_over()
            return None
        postmaster = Postmaster.read(self.directory.data)
        if postmaster is not None and postmaster.accepts():
            lock.release()
            raise DatabaseUnusable(
                f"the server in {str(self.directory.path)!r}, process {postmaster.process_id}, was started by other "
                "means, or this file system keeps no locks: stop that process, and use a local disk"
            )
        return lock

    def _launch(self, lock: FileLock, settings: Mapping[str, str], *, tcp: bool) -> None:
        """Start it: it takes over the lock. Its data is made first where there is none."""
        try:
            binaries = usable_binaries(find_binaries(), self.directory.account, self.directory.binaries_copy)
            with self.directory.new_log() as log:
                programs = Programs(binaries, self.directory.account, log, [lock.descriptor])
                self._prepare_and_launch(programs, settings, tcp=tcp)
        except OSError as error:
            raise DatabaseUnusable(f"the server in {str(self.directory.path)!r} cannot be set up: {error}") from error
        finally:
            lock.hand_over()

    def _prepare_and_launch(self, programs: Programs, settings: Mapping[str, str], *, tcp: bool) -> None:
        directory = self.directory
        if not directory.data.exists():
            self._make_data(programs)
        # The server before is dead, as the lock shows. PostgreSQL would read its number in what it left behind, and not
        # start while any process has that: another one, or the dead one itself until its parent takes note.
        (directory.data / "postmaster.pid").unlink(missing_ok=True)
        directory.make_private(directory.socket_directory)
        text = render_settings(self._complete(settings, tcp=tcp), base="data/postgresql.conf")
        directory.write_private(directory.settings_file, text)
        if programs.launch(directory.data, directory.settings_file) != 0:
            raise DatabaseUnusable(self._report("does not start"))

    def _make_data(self, programs: Programs) -> None:
        directory = self.directory
        directory.make_private(directory.new_data)
        directory.write_private(directory.password_file, secrets.token_urlsafe(PASSWORD_BYTES))
        if programs.initialise(directory.new_data, directory.password_file) != 0:
            raise DatabaseUnusable(self._report("cannot be made"))
        directory.new_data.rename(directory.data)
        directory.sync()

    def _report(self, what: str) -> str:
        return f"the server in {str(self.directory.path)!r} {what}. The end of its log:\n{self.directory.log_tail()}"

    # -- settings ------------------------------------------------------------------------------------------------------

    @property
    def listens_on_tcp(self) -> bool:
        """Whether it was last started so."""
        return self._written().get("listen_addresses") == HOST

    def settings(self) -> dict[str, str]:
        """What it was last started with, apart from what is decided here."""
        return {name: value for name, value in self._written().items() if not is_own(name)}

    def _written(self) -> dict[str, str]:
        try:
            return parse_settings(self.directory.settings_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _complete(self, settings: Mapping[str, str], *, tcp: bool) -> dict[str, str]:
        return {
            "listen_addresses": HOST if tcp else "",
            "port": str(self._free_port() if tcp else SOCKET_PORT),
            "unix_socket_directories": str(self.directory.socket_directory),
            "unix_socket_permissions": "0700",
            **DEFAULTS,
            **settings,
        }

    def _free_port(self) -> int:
        """The port of the last start if it can be had, so that clients find the server again; else any."""
        last = int(self._written().get("port", SOCKET_PORT))
        for port in (last, 0) if last != SOCKET_PORT else (0,):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise DatabaseUnusable(f"no port of {HOST} is free: close something that listens there")
