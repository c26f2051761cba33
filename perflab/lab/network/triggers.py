"""Where in a stream a fault begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from perflab.database.values import check_integer
from perflab.errors import InvalidInput
from perflab.lab.network.postgres_framing import Message
from perflab.lab.network.side import Side


class Watch(Protocol):
    """A trigger on its way through one stream."""

    def position(self, data: bytes, messages: Sequence[Message]) -> int | None:
        """Where in the next bytes the fault begins, if it does. `messages` are those that end in `data`."""


@dataclass(frozen=True, slots=True)
class Sends:
    """The fault begins right before `pattern`. What of it came in an earlier read has been passed on already.

    Attributes:
        pattern: Bytes, wherever they stand.
        by: The side that sends them.
    """

    pattern: bytes
    by: Side = Side.CLIENT

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, bytes) or not self.pattern:
            raise InvalidInput(f"pattern is {self.pattern!r}: give the bytes to wait for")

    def watch(self) -> Watch:
        return _PatternWatch(self.pattern)


@dataclass(frozen=True, slots=True)
class AfterBytes:
    """The fault begins when one side has sent so many bytes on one connection since the trigger was armed."""

    count: int
    by: Side = Side.CLIENT

    def __post_init__(self) -> None:
        check_integer(self.count, "count", low=0)

    def watch(self) -> Watch:
        return _ByteWatch(self.count)


@dataclass(frozen=True, slots=True)
class AfterMessages:
    """The fault begins right behind the n-th message of PostgreSQL on one connection since the trigger was armed.

    Attributes:
        count: The n.
        kind: Count only messages of this letter, such as "d" (CopyData) or "Z" (ReadyForQuery); None counts all.
        by: The side that sends them.
    """

    count: int
    kind: str | None = None
    by: Side = Side.CLIENT

    def __post_init__(self) -> None:
        check_integer(self.count, "count", low=1)

    def watch(self) -> Watch:
        return _MessageWatch(self.count, self.kind)


Trigger: TypeAlias = Sends | AfterBytes | AfterMessages


class _PatternWatch:
    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self._tail = b""

    def position(self, data: bytes, messages: Sequence[Message]) -> int | None:  # noqa: ARG002  # of the protocol
        searched = self._tail + data
        found = searched.find(self._pattern)
        if found >= 0:
            return max(0, found - len(self._tail))
        self._tail = searched[max(0, len(searched) - len(self._pattern) + 1) :]
        return None


class _ByteWatch:
    def __init__(self, count: int) -> None:
        self._left = count

    def position(self, data: bytes, messages: Sequence[Message]) -> int | None:  # noqa: ARG002  # of the protocol
        if len(data) >= self._left:
            return self._left
        self._left -= len(data)
        return None


class _MessageWatch:
    def __init__(self, count: int, kind: str | None) -> None:
        self._left = count
        self._kind = kind

    def position(self, data: bytes, messages: Sequence[Message]) -> int | None:  # noqa: ARG002  # of the protocol
        for message in messages:
            if self._kind is None or message.kind == self._kind:
                self._left -= 1
                if self._left <= 0:
                    return message.end
        return None
