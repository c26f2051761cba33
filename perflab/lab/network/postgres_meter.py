"""Counting PostgreSQL's messages as they pass a proxy: the truth about round trips.

A server ends its answer to each request with one ReadyForQuery ("Z"), so their number is how often the client had to
wait for the server. COPY from the client adds a wait that has no ReadyForQuery: its CopyInResponse ("G").
"""

from __future__ import annotations

import threading
from collections import Counter

from perflab.errors import LabError
from perflab.lab.network.postgres_framing import (
    GSS_REQUEST,
    SSL_REQUEST,
    STARTUP_MESSAGE,
    Message,
    MessageFramer,
)
from perflab.lab.network.side import Side

READY_FOR_QUERY = "Z"
COPY_IN_RESPONSE = "G"

_SYNC = "S"
_ANSWERED_ALONE = frozenset({STARTUP_MESSAGE, "Q", "F"})  # Query, FunctionCall
_NEED_A_SYNC = frozenset({"P", "B", "D", "E", "C"})  # Parse, Bind, Describe, Execute, Close
_ENCRYPTION_REQUESTS = frozenset({SSL_REQUEST, GSS_REQUEST})
_ERROR_RESPONSE = b"E"
_REFUSED = b"N"
_TLS_HANDSHAKE = b"\x16"


class PostgresConversation:
    """Both sides of one connection, observed and never changed. Each side may be observed in a thread of its own.

    Attributes:
        unreadable: Why messages cannot be told apart any more, or None.
    """

    def __init__(self) -> None:
        self.unreadable: str | None = None
        self._lock = threading.Lock()
        self._framers = {Side.CLIENT: MessageFramer(has_startup=True), Side.SERVER: MessageFramer(has_startup=False)}
        self._counts: dict[Side, Counter[str]] = {Side.CLIENT: Counter(), Side.SERVER: Counter()}
        self._awaits_encryption_answer = False
        self._has_begun = False
        self._requests = 0  # each of which ends in one ReadyForQuery
        self._last_request = ""
        self._has_open_request = False  # messages without their Sync

    def observe(self, by: Side, data: bytes) -> list[Message]:
        """Take the next bytes of one side, in any pieces, and return the messages that they complete."""
        with self._lock:
            if self.unreadable is not None:
                return []
            try:
                return self._read(by, data)
            except LabError as error:
                self.unreadable = str(error)
                return []

    def count(self, by: Side, kind: str) -> int:
        """How many messages of one kind (its letter, or a name of `postgres_framing`) one side has sent."""
        with self._lock:
            return self._counts[by][kind]

    def counts(self, by: Side) -> Counter[str]:
        """All messages of one side by kind."""
        with self._lock:
            return Counter(self._counts[by])

    @property
    def is_answered(self) -> bool:
        """Whether the server has ended its answers to all that the client has sent."""
        with self._lock:
            begun = self._framers[Side.CLIENT].unfinished
            is_open = self._has_open_request or (
                begun is not None and (not begun or begun == _SYNC or begun in _ANSWERED_ALONE | _NEED_A_SYNC)
            )
            return not is_open and self._counts[Side.SERVER][READY_FOR_QUERY] >= self._requests

    def _read(self, by: Side, data: bytes) -> list[Message]:
        skipped = 0
        if by is Side.SERVER and self._awaits_encryption_answer and data:
            self._awaits_encryption_answer = False
            answer = data[:1]
            if answer == _REFUSED:
                skipped = 1  # a bare byte, not a message
            elif answer != _ERROR_RESPONSE:
                raise LabError("it is encrypted: add sslmode=disable and gssencmode=disable to its URL")
        if by is Side.CLIENT and not self._has_begun and data:
            self._has_begun = True
            if data[:1] == _TLS_HANDSHAKE:
                raise LabError("it is encrypted from its first byte: add sslmode=disable to its URL")
        messages = self._framers[by].feed(data[skipped:] if skipped else data)
        self._counts[by].update(message.kind for message in messages)
        for message in messages:
            if by is Side.CLIENT:
                self._note_request(message.kind)
            elif message.kind == COPY_IN_RESPONSE:
                self._note_copy()
        return [Message(kind, end + skipped) for kind, end in messages] if skipped else messages

    def _note_request(self, kind: str) -> None:
        if kind in _ENCRYPTION_REQUESTS:
            self._awaits_encryption_answer = True
        elif kind in _ANSWERED_ALONE or kind == _SYNC:
            self._requests += 1
            self._last_request = kind
            self._has_open_request = False
        elif kind in _NEED_A_SYNC:
            self._has_open_request = True

    def _note_copy(self) -> None:
        """A server that begins to copy ignores the Sync behind the Execute; the client sends another after CopyDone."""
        if self._last_request == _SYNC and not self._has_open_request:
            self._requests -= 1
            self._last_request = ""


class PostgresMeter:
    """Counts the messages of all connections of a proxy. They are what was sent, also where a fault swallowed it.

    A proxy counts bytes before it passes them on: a client that has its answer finds it counted.

    All counts raise LabError when a connection could not be read: it is encrypted, or not PostgreSQL's.
    """

    def __init__(self) -> None:
        self._conversations: list[PostgresConversation] = []

    def open_conversation(self) -> PostgresConversation:
        """Begin with another connection."""
        conversation = PostgresConversation()
        self._conversations.append(conversation)
        return conversation

    @property
    def ready_for_query(self) -> int:
        """Round trips: ReadyForQuery messages of the server. Setting a connection up is one."""
        return self.count(Side.SERVER, READY_FOR_QUERY)

    @property
    def copy_in_responses(self) -> int:
        """How often a client had to wait for leave to send its COPY data."""
        return self.count(Side.SERVER, COPY_IN_RESPONSE)

    @property
    def ready_for_query_per_connection(self) -> tuple[int, ...]:
        """Round trips of each connection, in the order in which they were accepted."""
        return tuple(conversation.count(Side.SERVER, READY_FOR_QUERY) for conversation in self._readable())

    def count(self, by: Side, kind: str) -> int:
        """How many messages of one kind one side has sent: a letter, or a name of `postgres_framing`."""
        return sum(conversation.count(by, kind) for conversation in self._readable())

    def counts(self, by: Side) -> Counter[str]:
        """All messages of one side by kind."""
        return sum((conversation.counts(by) for conversation in self._readable()), Counter())

    def _readable(self) -> list[PostgresConversation]:
        conversations = list(self._conversations)
        for number, conversation in enumerate(conversations, start=1):
            if conversation.unreadable is not None:
                raise LabError(f"the messages of connection {number} cannot be counted: {conversation.unreadable}")
        return conversations
