"""When bytes leave a link: decisions only, with the time passed in."""

from __future__ import annotations

import math
from collections import deque
from random import Random

from perflab.lab.network.link import Link


class TokenBucket:
    """Bandwidth: tokens flow in at a rate up to a depth, and bytes take one each.

    The bucket may go into debt, which is how long the bytes that made it have to wait; the method is in Turner, "New
    directions in communications", IEEE Communications Magazine 24(10), 1986.
    """

    def __init__(self, bytes_per_second: float, depth_bytes: int) -> None:
        self._bytes_per_second = bytes_per_second
        self._depth = float(depth_bytes)
        self._tokens = float(depth_bytes)
        self._filled_at = -math.inf

    def take(self, size: int, now: float) -> float:
        """Take `size` tokens at the time `now` (seconds), and return the seconds until all of them have flowed in."""
        if self._filled_at > -math.inf:
            gained = max(0.0, now - self._filled_at) * self._bytes_per_second
            self._tokens = min(self._depth, self._tokens + gained)
        self._filled_at = max(now, self._filled_at)
        self._tokens -= size
        return max(0.0, -self._tokens / self._bytes_per_second)


class DelayLine:
    """One direction of a link. Bytes go in at any time and come out in order, each after its own delay.

    Many may be on their way at once, so that a delay costs time and no throughput. Bytes that go in together come out
    together.
    """

    def __init__(self, link: Link, random: Random) -> None:
        """`random` draws the jitter, one number for each `push`."""
        self._delay_seconds = link.round_trip_seconds / 2
        self._jitter_seconds = link.jitter_seconds / 2
        self._bucket = None if link.bytes_per_second is None else TokenBucket(link.bytes_per_second, link.burst_bytes)
        self._random = random
        self._last_due = -math.inf
        self._chunks: deque[tuple[float, bytes]] = deque()
        self.size_bytes = 0
        """Bytes on the line now."""

    def push(self, data: bytes, now: float) -> float:
        """Put `data` on the line at the time `now` (seconds on any clock), and return the time at which it is due."""
        delay = self._delay_seconds
        if self._jitter_seconds:
            delay += self._random.uniform(-self._jitter_seconds, self._jitter_seconds)
        if self._bucket is not None:
            delay += self._bucket.take(len(data), now)
        self._last_due = max(self._last_due, now + delay)
        self._chunks.append((self._last_due, data))
        self.size_bytes += len(data)
        return self._last_due

    @property
    def next_due(self) -> float | None:
        """The time at which the first bytes leave, or None when the line is empty."""
        return self._chunks[0][0] if self._chunks else None

    def pop(self, now: float) -> bytes:
        """Take off, as one piece, all bytes that are due at the time `now`; it may be empty."""
        leaving: list[bytes] = []
        while self._chunks and self._chunks[0][0] <= now:
            leaving.append(self._chunks.popleft()[1])
        data = leaving[0] if len(leaving) == 1 else b"".join(leaving)
        self.size_bytes -= len(data)
        return data
