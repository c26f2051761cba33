"""Cutting a stream into reads, as a network may."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st


def cut_into_pieces(data: st.DataObject, stream: bytes) -> list[bytes]:
    """All of `stream`, in pieces of one byte or more."""
    if data.draw(st.booleans(), label="byte by byte"):
        return [stream[at : at + 1] for at in range(len(stream))]
    cuts = data.draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=12), label="cuts")
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[start:end] for start, end in pairwise(places)]
