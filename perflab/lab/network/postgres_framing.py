"""Splitting a stream of the PostgreSQL protocol, version 3, into messages, as the bytes come in.

A message is a letter, a length that counts itself but not the letter, and a body. What a client sends before its
connection is set up has no letter, and begins its body with a code.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from perflab.errors import LabError

STARTUP_MESSAGE = "StartupMessage"
SSL_REQUEST = "SSLRequest"
GSS_REQUEST = "GSSENCRequest"
CANCEL_REQUEST = "CancelRequest"

_CODES = {80_877_102: CANCEL_REQUEST, 80_877_103: SSL_REQUEST, 80_877_104: GSS_REQUEST}
_PROTOCOL_MAJOR = 3
_TYPED_HEADER = struct.Struct("!cI")
_UNTYPED_HEADER = struct.Struct("!II")
_MAX_STARTUP_BYTES = 10_000  # the server's own limit
_MAX_MESSAGE_BYTES = 0x7FFF_FFFF


class Message(NamedTuple):
    """A message that is complete."""

    kind: str
    """Its letter, or one of the names above."""
    end: int
    """Where it ends in the bytes that completed it."""


class MessageFramer:
    """One side of one connection. Keeps at most a header, never a body.

    Args:
        has_startup: Whether this side begins with messages without a letter, as a client does.
    """

    def __init__(self, *, has_startup: bool) -> None:
        self._is_typed = not has_startup
        self._header = b""
        self._kind = ""
        self._body_left = 0

    @property
    def unfinished(self) -> str | None:
        """The kind of the message that has begun and not ended; "" while it is not yet known, None between messages."""
        if self._body_left:
            return self._kind
        if self._header:
            return chr(self._header[0]) if self._is_typed else ""
        return None

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes, and return the messages that they complete.

        Raises:
            LabError: these are not messages of the protocol.
        """
        messages: list[Message] = []
        at = 0
        while at < len(data):
            if not self._body_left:
                at = self._read_header(data, at)
                if not self._kind:
                    break
            taken = min(self._body_left, len(data) - at)
            self._body_left -= taken
            at += taken
            if not self._body_left:
                messages.append(Message(self._kind, at))
                self._kind = ""
        return messages

    def _read_header(self, data: bytes, at: int) -> int:
        """Read a header, or the part of it that is there; `_kind` stays empty until it is complete."""
        layout = _TYPED_HEADER if self._is_typed else _UNTYPED_HEADER
        end = at + layout.size - len(self._header)
        header = self._header + data[at:end]
        if len(header) < layout.size:
            self._header = header
            return len(data)
        self._header = b""
        if self._is_typed:
            letter, length = layout.unpack(header)
            if not letter.isalnum() or not 4 <= length <= _MAX_MESSAGE_BYTES:
                raise LabError(f"not a message of the PostgreSQL protocol: it begins with {header!r}")
            self._kind = letter.decode("ascii")
            self._body_left = length - 4
        else:
            length, code = layout.unpack(header)
            self._kind = _startup_kind(code, header)
            if not 8 <= length <= _MAX_STARTUP_BYTES:
                raise LabError(f"not a start of the PostgreSQL protocol: a {self._kind} of {length} bytes")
            self._body_left = length - 8
            self._is_typed = self._kind == STARTUP_MESSAGE
        return end


def _startup_kind(code: int, header: bytes) -> str:
    if code >> 16 == _PROTOCOL_MAJOR:
        return STARTUP_MESSAGE
    try:
        return _CODES[code]
    except KeyError:
        raise LabError(f"not a start of the PostgreSQL protocol, version 3: it begins with {header!r}") from None
