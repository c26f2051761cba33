"""Where a proxy listens and where it forwards to."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from perflab.database.values import check_integer
from perflab.errors import InvalidInput

LOOPBACK = "127.0.0.1"
MAX_SOCKET_PATH_BYTES = 103  # of macOS; Linux has 107


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port. Port 0 is for listening: the system chooses one."""

    host: str = LOOPBACK
    port: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host:
            raise InvalidInput(f"host is {self.host!r}: give a host name or an IP address")
        check_integer(self.port, "port", low=0, high=65_535)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix domain socket. The one of PostgreSQL is called `.s.PGSQL.5432`, with its port in the name."""

    path: Path

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):
            raise InvalidInput(f"the path of a Unix socket is {self.path!r}: give a pathlib.Path")
        size = len(os.fsencode(self.path))
        if size > MAX_SOCKET_PATH_BYTES:
            raise InvalidInput(
                f"the path of a Unix socket has {size} bytes, and systems allow {MAX_SOCKET_PATH_BYTES}: "
                "use a temporary directory with a shorter name"
            )

    def __str__(self) -> str:
        return str(self.path)


Address: TypeAlias = TcpAddress | UnixAddress


def check_upstream(address: Address) -> Address:
    """Refuse an address that nothing can be forwarded to."""
    if not isinstance(address, TcpAddress | UnixAddress):
        raise InvalidInput(f"the address to forward to is {address!r}: give a TcpAddress or a UnixAddress")
    if isinstance(address, TcpAddress) and address.port == 0:
        raise InvalidInput(f"the address to forward to is {address}: port 0 stands for no server; give its port")
    return address


def check_listen(address: Address) -> Address:
    """Refuse an address at which anybody but this user could connect.

    A proxy has no authentication of its own, and behind it is a database.
    """
    if not isinstance(address, TcpAddress | UnixAddress):
        raise InvalidInput(f"the address to listen at is {address!r}: give a TcpAddress or a UnixAddress")
    if isinstance(address, TcpAddress):
        if address.host != LOOPBACK:
            raise InvalidInput(f"the proxy would listen at {address}: it listens at {LOOPBACK} only")
        return address
    folder = address.path.parent
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a directory: make a temporary one for the socket")
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise InvalidInput(
            f"{folder} is open to other users: listen in a directory of your own, as tempfile.mkdtemp() makes it"
        )
    if address.path.exists() or address.path.is_symlink():
        raise InvalidInput(f"{address.path} exists: remove it, or choose another name for the socket")
    return address


def connect(address: Address, timeout_seconds: float) -> socket.socket:
    """Open a blocking stream socket to `address`, without Nagle's delay.

    Raises:
        OSError: nobody listens there, or not within `timeout_seconds`.
    """
    if isinstance(address, UnixAddress):
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(timeout_seconds)
            opened.connect(str(address.path))
        except BaseException:
            opened.close()
            raise
    else:
        opened = socket.create_connection((address.host, address.port), timeout=timeout_seconds)
    opened.settimeout(None)
    set_no_delay(opened)
    return opened


def set_no_delay(connected: socket.socket) -> None:
    """Switch Nagle's algorithm off: it holds small messages back, and would be measured as latency."""
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
