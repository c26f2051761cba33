"""How payloads are stored: as JSON text that SQL can query, or, where that saves enough, as Zstandard frames.

Large JSON shrinks to a fraction, and so does the work of all that carries it, from the wire to the write-ahead log. It
is then opaque to SQL. What is read back does not depend on the setting: a frame is known by its column.

Two columns hold a payload. `payload` is its JSON, and `payload_zstd` is NULL; or `payload_zstd` is the frame, and
`payload` has a null where its content belongs: all of it, or, in the job of a watch, the value of "payload".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from perflab.database.values import (
    MAX_PAYLOAD_BYTES,
    check_integer,
    check_number,
    decode_payload,
    encode_payload,
    shown,
)
from perflab.errors import CorruptPayload, InvalidInput, MissingExtra

if TYPE_CHECKING:
    import zstandard

StoredPayload: TypeAlias = str | bytes
"""JSON text, or its frame."""


class Encoder(Protocol):
    """Checks and encodes one payload."""

    def __call__(self, payload: Any, what: str = ..., /) -> StoredPayload:
        """As it is stored; `what` is its name in errors.

        Raises:
            InvalidInput: as `encode_payload`.
        """


PLACE_OF_FRAME = "null"
"""JSON that stands in `payload` for a whole payload that is a frame."""

WEIGHT_OF_LATEST = 0.25
"""Of the ratio of a payload in the running estimate: about the last eight payloads decide."""
FIRST_ESTIMATE = 0.5
"""Before anything was seen. Hopeful, so that one odd payload at the start does not turn compression off."""
PROBE_EVERY = 64
"""Where compression does not pay, every so many large payloads one is tried, in case that they have changed."""


@dataclass(frozen=True, slots=True)
class Compression:
    """When payloads are compressed, and how hard.

    A payload is compressed if it is large enough, if recent ones of the same queue (or of the watches of the same
    scheduler) shrank enough to expect it, and if it does shrink that much.

    Raises:
        InvalidInput: a number is out of bounds.
    """

    threshold: int = 4_096
    """Characters of JSON: shorter payloads stay as they are. The figures behind it are in docs/design/database.md."""
    level: int = 3
    """Of Zstandard: 1 … 22, fast to small. A megabyte of flights takes 2 ms and becomes 80 kB at 3, 45 ms and 69 kB at
    15, 308 ms and 57 kB at 19."""
    least_saving: float = 0.2
    """The share of its bytes, 0 … 1, that a payload must lose; a lesser gain is not worth being opaque to SQL."""

    def __post_init__(self) -> None:
        check_integer(self.threshold, "threshold of compression", low=0)
        check_integer(self.level, "level of compression", low=1, high=22)
        check_number(self.least_saving, "least_saving of compression", high=1.0)


def check_compression(compression: Compression | None) -> None:
    """Refuse what cannot compress.

    Raises:
        InvalidInput: not a `Compression`.
        MissingExtra: zstandard is not installed.
    """
    if compression is None:
        return
    if not isinstance(compression, Compression):
        raise InvalidInput(f"compression is {shown(compression, 80)}: give Compression(), or None")
    load_zstandard()


def make_encoder(compression: Compression | None) -> Encoder:
    """What encodes the payloads of one queue: without compression `encode_payload` itself."""
    return encode_payload if compression is None else PayloadEncoder(compression).encode


class PayloadEncoder:
    """Encodes payloads, compresses what gains by it, and learns from each how much the next one will gain.

    Safe to share between threads: an estimate that two of them write at once loses one payload, which is nothing.
    """

    def __init__(self, compression: Compression) -> None:
        self._threshold = compression.threshold
        self._level = compression.level
        self._worth = 1.0 - compression.least_saving
        self._estimate = FIRST_ESTIMATE
        """Compressed over plain bytes that recent payloads came to."""
        self._skipped = 0
        """Large payloads in a row that were not tried."""
        self._of_thread = threading.local()

    def encode(self, payload: Any, what: str = "payload", /) -> StoredPayload:
        """The checked payload as it is stored.

        Raises:
            InvalidInput: as `encode_payload`.
        """
        text = encode_payload(payload, what)
        return text if len(text) < self._threshold else self._compressed(text)

    def _compressed(self, text: str) -> StoredPayload:
        if self._estimate > self._worth and self._skipped < PROBE_EVERY - 1:
            self._skipped += 1
            return text
        self._skipped = 0
        plain = text.encode()
        frame = self._compressor().compress(plain)
        ratio = len(frame) / len(plain)
        self._estimate += WEIGHT_OF_LATEST * (ratio - self._estimate)
        return frame if ratio <= self._worth else text

    def _compressor(self) -> zstandard.ZstdCompressor:
        """One for each thread: it has a state, and lets other Python threads run while it works."""
        compressor: zstandard.ZstdCompressor | None = getattr(self._of_thread, "compressor", None)
        if compressor is None:
            # The checksum tells damage for certain; without it, a flipped bit may become another payload.
            compressor = load_zstandard().ZstdCompressor(level=self._level, write_checksum=True)
            self._of_thread.compressor = compressor
        return compressor


def split_column(payloads: Sequence[StoredPayload]) -> tuple[Sequence[str], Sequence[bytes | None]]:
    """The values of both columns for many payloads; the second is empty where nothing is compressed."""
    if bytes not in set(map(type, payloads)):
        return payloads, ()  # type: ignore[return-value]  # all of them are text
    return (
        [PLACE_OF_FRAME if isinstance(payload, bytes) else payload for payload in payloads],
        [payload if isinstance(payload, bytes) else None for payload in payloads],
    )


def decode_stored(text: str, frame: bytes | None) -> Any:
    """The payload that the two columns hold.

    Raises:
        CorruptPayload: they hold none: what is there is damaged, too large, or was not written by perflab.
        MissingExtra: it is compressed, and zstandard is not installed.
    """
    try:
        value = decode_payload(text)
        if frame is None:
            return value
        content = decode_payload(decompress(frame).decode())
    except (ValueError, RecursionError) as error:
        raise CorruptPayload(f"the payload cannot be decoded: {error}") from error
    if value is None:
        return content
    if not isinstance(value, dict) or value.get("payload", content) is not None:
        raise CorruptPayload("the payload cannot be decoded: beside its compressed content stands another one")
    value["payload"] = content
    return value


def decompress(frame: bytes, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """The content of a frame.

    Its header says how large the content is, and more than that is never allocated: a small frame of a huge content is
    refused before it is opened.

    Raises:
        CorruptPayload: damaged, or its content has more than `max_bytes` or an unstated size.
        MissingExtra: zstandard is not installed.
    """
    zstandard = load_zstandard()
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= max_bytes:
            stated = f"{size:,} bytes" if size >= 0 else "an unstated number of bytes"
            raise CorruptPayload(
                f"the payload cannot be decoded: its {len(frame):,} compressed bytes would become {stated}, and the "
                f"limit is {max_bytes:,}"
            )
        content: bytes = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptPayload(f"the payload cannot be decoded: its compressed bytes are damaged ({error})") from error
    return content


def load_zstandard() -> Any:
    """The package, which is imported only where something is compressed.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import zstandard  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "compressed payloads need the package zstandard: pip install 'perflab[compression]'"
        ) from error
    return zstandard
