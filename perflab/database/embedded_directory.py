"""The directory of an embedded server: what lies in it, whose it is, and what is refused."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from perflab.database.embedded_programs import USER_FOR_ROOT, Account
from perflab.database.urls import redact
from perflab.errors import DatabaseUnusable, InvalidInput

MARKER = "perflab-server.lock"
"""The first file that is made, and so the mark of a directory of ours."""

SOCKET_PATH_BYTES = 103
"""The longest path of a Unix socket: 107 bytes on Linux, 103 on macOS."""

LOG_LINES_SHOWN = 15
LOG_BYTES_READ = 8192

_PLAIN_PATH = re.compile(r"[\w/.-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ServerDirectory:
    """A directory that holds one embedded server. `claim_directory` checks and makes it.

    It belongs to whoever runs this process. To `account`, who runs the server, belong only the directories in it that
    the server works with: so nothing that root writes can be led astray by another user.
    """

    path: Path
    account: Account

    @property
    def server_lock(self) -> Path:
        """Locked by the server, from before its start until its last process has ended."""
        return self.path / MARKER

    @property
    def users_lock(self) -> Path:
        """Locked, together, by everyone who uses the server."""
        return self.path / "perflab-users.lock"

    @property
    def keep_running(self) -> Path:
        """Stands here while the server goes on without users."""
        return self.path / "keep-running"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def new_data(self) -> Path:
        """Where the data is made; it is renamed to `data` when it is complete."""
        return self.path / "data.new"

    @property
    def settings_file(self) -> Path:
        return self.path / "server.conf"

    @property
    def password_file(self) -> Path:
        """What a connection over 127.0.0.1 needs."""
        return self.path / "password"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def binaries_copy(self) -> Path:
        """For PostgreSQL's programs, where `account` cannot get at the wheel's."""
        return self._beside("binaries")

    @property
    def socket_directory(self) -> Path:
        return self._beside("socket")

    def _beside(self, name: str) -> Path:
        """A path in the directory, or elsewhere if that is too long for a socket, or awkward in URLs and for shells."""
        here = self.path / name
        if _fits(here) and _PLAIN_PATH.fullmatch(str(here)):
            return here
        identifier = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"perflab-{identifier}-{name}"

    def make_private(self, path: Path) -> None:
        """Make an empty directory that only `account` may enter, in place of one of ours that may be there."""
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)  # fails if that was not ours to remove
        self.account.give(path)

    def write_private(self, path: Path, text: str) -> None:
        """Write a file that only `account`, and who runs this process as root, may read."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # of a descriptor
            self.account.give(path)
            file.write(text)

    def new_log(self) -> IO[bytes]:
        """An empty log, open for writing; the one before is kept as `server.log.old`."""
        if self.log.exists():
            self.log.replace(self.log.with_name("server.log.old"))
        self.log.touch(mode=0o600)
        return self.log.open("wb")

    def remove_what_lies_elsewhere(self) -> None:
        for path in (self.socket_directory, self.binaries_copy):
            if path.parent != self.path:
                shutil.rmtree(path, ignore_errors=True)

    def sync(self) -> None:
        """Make the names in the directory durable: PostgreSQL sees to what lies in `data`, not to its name."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def log_tail(self) -> str:
        """The last lines of the server's log, without passwords."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - LOG_BYTES_READ))
                text = log.read(LOG_BYTES_READ).decode(errors="replace")
        except FileNotFoundError:
            return "(there is no log)"
        if self.password_file.exists() and (password := self.password_file.read_text(encoding="utf-8")):
            text = text.replace(password, "***")
        return redact("\n".join(text.splitlines()[-LOG_LINES_SHOWN:]))


def claim_directory(path: Path | str) -> ServerDirectory:
    """Check that an embedded server may live at `path`, and make what is missing.

    Raises:
        InvalidInput: the path cannot be one, its parent is missing, something else is there, it is somebody else's, or
            the user that the server runs as cannot get there. Nothing was made.
        DatabaseUnusable: the directory cannot be made or read.
    """
    directory = _absolute(path)
    account = Account.for_server()
    try:
        _check(directory, account)
        directory.mkdir(mode=0o700, exist_ok=True)
        if account.user_id is not None:
            directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
        (directory / MARKER).touch(mode=0o600)
    except OSError as error:
        raise DatabaseUnusable(f"the directory {str(directory)!r} cannot be used: {error.strerror}") from error
    return ServerDirectory(directory, account)


def is_server_directory(path: Path | str) -> bool:
    """Whether an embedded server was ever started at `path`."""
    return (_absolute(path) / MARKER).is_file()


def _absolute(path: Path | str) -> Path:
    shown = repr(os.fspath(path)) if isinstance(path, str | Path) else f"a {type(path).__name__}"
    if not isinstance(path, str | Path) or not str(path):
        raise InvalidInput(f"the directory of the embedded server is {shown}: give a path")
    if _CONTROL.search(str(path)):
        raise InvalidInput(f"the directory {shown} has a control character in its name: choose another")
    try:
        os.fsencode(path)
        return Path(path).resolve()
    except UnicodeEncodeError:
        raise InvalidInput(f"the directory {shown} is not valid Unicode text") from None
    except (OSError, RuntimeError) as error:
        raise InvalidInput(f"the directory {shown} cannot be reached: {error}") from error


def _check(directory: Path, account: Account) -> None:
    shown = repr(str(directory))
    parent = directory.parent
    if not parent.is_dir():
        raise InvalidInput(f"the parent of the directory {shown} does not exist: create {str(parent)!r}")
    if not account.may_enter(parent):
        raise InvalidInput(
            f"the user {USER_FOR_ROOT!r}, which runs PostgreSQL where you are root, may not enter {str(parent)!r}: "
            "choose a directory that all can reach, such as one in /var/tmp"
        )
    if not directory.exists():
        return
    if not directory.is_dir():
        raise InvalidInput(f"{shown} is a file: give a directory for the embedded server")
    if (owner := directory.stat().st_uid) != os.geteuid():
        raise InvalidInput(
            f"the directory {shown} belongs to user {owner}, and this is user {os.geteuid()}: choose a directory of "
            "your own, or start as that user"
        )
    names = {entry.name for entry in directory.iterdir()}
    if names and MARKER not in names:
        what = "a PostgreSQL data directory that was not made here" if "PG_VERSION" in names else "something else"
        raise InvalidInput(f"the directory {shown} holds {what}: choose an empty or a new one for the embedded server")


def _fits(socket_directory: Path) -> bool:
    return len(os.fsencode(socket_directory / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES
