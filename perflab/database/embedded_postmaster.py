"""What a running PostgreSQL server says of itself in its data directory."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

CONNECT_SECONDS = 5.0
_LINES = 8


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The contents of `postmaster.pid`: they may be those of a server that is no more.

    The lines are those of `src/include/utils/pidfile.h`: process, data directory, start time, port, socket directory,
    address, shared memory, status.
    """

    process_id: int
    port: int
    socket_directory: Path
    is_ready: bool
    """Whether it takes statements; before, it starts up or recovers, and afterwards it shuts down."""

    @classmethod
    def read(cls, data: Path) -> Postmaster | None:
        """What the file in the data directory says; None while there is no file or no complete one."""
        try:
            lines = [line.strip() for line in os.fsdecode((data / "postmaster.pid").read_bytes()).split("\n")]
            process_id, port = int(lines[0]), int(lines[3])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        if len(lines) < _LINES:
            return None
        return cls(process_id, port, Path(lines[4]), lines[7] == "ready")

    def accepts(self) -> bool:
        """Whether a server listens on the socket: if not, the file is a left-over."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_SECONDS)
            try:
                connection.connect(str(self.socket_directory / f".s.PGSQL.{self.port}"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (TimeoutError, BlockingIOError):
                pass  # it has more to do than it can take: then it is there
        return True
