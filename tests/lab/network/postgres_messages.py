"""Messages of the PostgreSQL protocol, encoded, for streams in tests."""

from __future__ import annotations

import struct

STARTUP = struct.pack("!II", 8 + 12, 196_608) + b"user\0me\0\0\0\0\0"
STARTUP_3_2 = struct.pack("!II", 8 + 9, 196_610) + b"user\0me\0\0"
SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
GSS_REQUEST = struct.pack("!II", 8, 80_877_104)
CANCEL_REQUEST = struct.pack("!IIII", 16, 80_877_102, 1, 2)


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", 4 + len(body)) + body


AUTHENTICATION_OK = message("R", bytes(4))
READY = message("Z", b"I")
SYNC = message("S")
WELCOME = AUTHENTICATION_OK + message("S", b"TimeZone\0UTC\0") + message("K", bytes(8)) + READY
"""What a server sends once a client is accepted."""


def query(sql: bytes) -> bytes:
    return message("Q", sql + b"\0")


def extended(sql: bytes) -> bytes:
    """One statement in the extended protocol, without its Sync."""
    return (
        message("P", b"\0" + sql + b"\0\0\0") + message("B", bytes(8)) + message("D", b"P\0") + message("E", bytes(5))
    )
