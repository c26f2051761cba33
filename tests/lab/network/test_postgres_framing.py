"""Messages are told apart however the bytes come in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import LabError
from perflab.lab.network.postgres_framing import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    STARTUP_MESSAGE,
    Message,
    MessageFramer,
)
from tests.lab.network import postgres_messages as encoded
from tests.lab.network.pieces import cut_into_pieces

typed = st.tuples(st.sampled_from("QPBDESXdcfZTC123ns"), st.binary(max_size=40))
untyped = st.lists(
    st.sampled_from([(SSL_REQUEST, encoded.SSL_REQUEST), (GSS_REQUEST, encoded.GSS_REQUEST)]), max_size=2
)


@given(st.data(), untyped, st.sampled_from([encoded.STARTUP, encoded.STARTUP_3_2]), st.lists(typed, max_size=12))
def test_every_message_is_found_once_where_it_ends(
    data: st.DataObject, requests: list[tuple[str, bytes]], startup: bytes, messages: list[tuple[str, bytes]]
) -> None:
    parts = [*requests, (STARTUP_MESSAGE, startup), *((kind, encoded.message(kind, body)) for kind, body in messages)]
    stream = b"".join(part for _, part in parts)
    framer, found, passed = MessageFramer(has_startup=True), [], 0
    for piece in cut_into_pieces(data, stream):
        for message in framer.feed(piece):
            assert 0 < message.end <= len(piece)
            found.append((message.kind, passed + message.end))
        passed += len(piece)
    ends = [sum(len(part) for _, part in parts[: number + 1]) for number in range(len(parts))]
    assert found == list(zip((kind for kind, _ in parts), ends, strict=True))
    assert framer.unfinished is None


def test_a_cancel_request_is_a_message() -> None:
    framer = MessageFramer(has_startup=True)
    assert framer.feed(encoded.CANCEL_REQUEST) == [Message(CANCEL_REQUEST, 16)]


def test_what_has_begun_is_known_by_its_letter() -> None:
    framer = MessageFramer(has_startup=False)
    assert framer.unfinished is None
    for piece in (b"Q", b"\0\0", b"\0\x06", b"a"):
        assert framer.feed(piece) == []
        assert framer.unfinished == "Q"
    assert framer.feed(b"b") == [Message("Q", 1)]
    assert framer.unfinished is None


def test_a_start_that_has_begun_is_not_known_yet() -> None:
    framer = MessageFramer(has_startup=True)
    framer.feed(encoded.STARTUP[:5])
    assert framer.unfinished == ""
    framer.feed(encoded.STARTUP[5:10])
    assert framer.unfinished == STARTUP_MESSAGE


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n",
        struct.pack("!II", 8, 131_072),  # protocol 2
        struct.pack("!II", 4, 196_608),  # shorter than its own header
        struct.pack("!II", 50_000, 196_608),
        encoded.STARTUP + b"\0\0\0\0\x04",
        encoded.STARTUP + b"Q\0\0\0\x03",
        encoded.STARTUP + b"Q\xff\xff\xff\xff",
    ],
)
def test_another_protocol_is_refused(stream: bytes) -> None:
    with pytest.raises(LabError, match="of the PostgreSQL protocol"):
        MessageFramer(has_startup=True).feed(stream)
