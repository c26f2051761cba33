"""Triggers find their place however the stream is cut into reads."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.network.postgres_framing import MessageFramer
from perflab.lab.network.triggers import AfterBytes, AfterMessages, Sends, Trigger
from tests.lab.network.pieces import cut_into_pieces


def first_position(trigger: Trigger, pieces: list[bytes]) -> tuple[int, int] | None:
    """Where the trigger comes true: in bytes of the whole stream, and in which piece."""
    watch, framer, passed = trigger.watch(), MessageFramer(has_startup=False), 0
    for number, piece in enumerate(pieces):
        messages = framer.feed(piece) if isinstance(trigger, AfterMessages) else []
        if (position := watch.position(piece, messages)) is not None:
            return passed + position, number
        passed += len(piece)
    return None


@given(st.data(), st.binary(max_size=40).map(lambda b: b.replace(b"COMMIT", b"")))
def test_a_pattern_is_found_across_reads_and_nothing_of_the_last_piece_before_it_is_lost(
    data: st.DataObject, before: bytes
) -> None:
    stream = before + b"COMMIT" + b" and more"
    start = stream.index(b"COMMIT")
    pieces = cut_into_pieces(data, stream)
    found = first_position(Sends(b"COMMIT"), pieces)
    assert found is not None
    position, number = found
    # Right before the pattern, or, where a part of it was in earlier pieces, at the start of the piece that ended it.
    assert position == max(start, sum(map(len, pieces[:number])))
    assert position < start + len(b"COMMIT")


def test_a_pattern_that_never_comes_is_not_found() -> None:
    assert first_position(Sends(b"COMMIT"), [b"COMM", b"COMMI", b"ROLLBACK", b"T"]) is None


@given(st.data(), st.binary(min_size=1, max_size=60))
def test_bytes_are_counted_across_reads(data: st.DataObject, stream: bytes) -> None:
    count = data.draw(st.integers(0, len(stream)))
    found = first_position(AfterBytes(count), cut_into_pieces(data, stream))
    assert found is not None
    assert found[0] == count
    assert first_position(AfterBytes(len(stream) + 1), cut_into_pieces(data, stream)) is None


@given(st.data(), st.lists(st.tuples(st.sampled_from("dQS"), st.binary(max_size=9)), min_size=1, max_size=8))
def test_messages_are_counted_by_kind_and_end_where_they_end(
    data: st.DataObject, messages: list[tuple[str, bytes]]
) -> None:
    encoded = [kind.encode() + struct.pack("!I", 4 + len(body)) + body for kind, body in messages]
    pieces = cut_into_pieces(data, b"".join(encoded))
    kind = data.draw(st.sampled_from(["d", None]))
    counted = [number for number, message in enumerate(messages) if kind is None or message[0] == kind]
    for nth, number in enumerate(counted, start=1):
        found = first_position(AfterMessages(nth, kind), pieces)
        assert found is not None
        assert found[0] == sum(map(len, encoded[: number + 1]))
    assert first_position(AfterMessages(len(counted) + 1, kind), pieces) is None


def test_bad_triggers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="give the bytes to wait for"):
        Sends(b"")
    with pytest.raises(InvalidInput, match="give the bytes to wait for"):
        Sends("COMMIT")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidInput, match="count is -1"):
        AfterBytes(-1)
    with pytest.raises(InvalidInput, match="count is 0"):
        AfterMessages(0)
