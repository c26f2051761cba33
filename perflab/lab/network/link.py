"""What a simulated network link does to bytes: how long they take, and how many pass in a second."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput

MAX_ROUND_TRIP_SECONDS = 60.0
LARGEST_READ_BYTES = 65_536
SMALLEST_READ_BYTES = 1_500  # a packet on Ethernet
READ_SECONDS = 0.005  # a slow link moves pieces of this length, so that a large message does not arrive in one leap
QUEUE_SECONDS = 0.1  # what a slow link holds beyond the bytes in flight, as the buffer of a router does
MAX_BYTES_ON_THE_LINE = 16 * 1_048_576


@dataclass(frozen=True, slots=True)
class Link:
    """A network link to be added between a client and a server.

    Attributes:
        round_trip_seconds: Added to a request and its reply together, half of it in each direction. It delays bytes
            and does not hold up those behind them.
        jitter_seconds: How far a round trip may lie from `round_trip_seconds`, uniformly in both directions. Bytes
            never overtake each other.
        bytes_per_second: Bandwidth of each direction, or None for as much as the machine moves.
        burst_bytes: What passes at full speed after a pause: the depth of the token bucket. With 0 every byte takes its
            time on the wire.
        seed: Of the jitter. Connections and directions draw independently.

    Raises:
        InvalidInput: a value is out of its range, or the jitter could make a delay negative.
    """

    round_trip_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_per_second: float | None = None
    burst_bytes: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_number(self.round_trip_seconds, "round_trip_seconds", high=MAX_ROUND_TRIP_SECONDS)
        check_number(self.jitter_seconds, "jitter_seconds", high=MAX_ROUND_TRIP_SECONDS)
        if self.jitter_seconds > self.round_trip_seconds:
            raise InvalidInput(
                f"jitter_seconds is {self.jitter_seconds} and round_trip_seconds {self.round_trip_seconds}: "
                "the jitter must not exceed the round trip, or bytes would arrive before they were sent"
            )
        if self.bytes_per_second is not None:
            check_number(self.bytes_per_second, "bytes_per_second", low=1.0)
        check_integer(self.burst_bytes, "burst_bytes", low=0)
        check_integer(self.seed, "seed", low=0)

    @property
    def is_transparent(self) -> bool:
        """Whether the link adds nothing by intention."""
        return not self.round_trip_seconds and self.bytes_per_second is None

    @property
    def read_bytes(self) -> int:
        """How many bytes to take from the sender at once."""
        if self.bytes_per_second is None:
            return LARGEST_READ_BYTES
        return max(SMALLEST_READ_BYTES, min(LARGEST_READ_BYTES, int(self.bytes_per_second * READ_SECONDS)))

    @property
    def capacity_bytes(self) -> int:
        """How many bytes may be on the line in one direction; a sender waits when it is full."""
        if self.bytes_per_second is None:
            return MAX_BYTES_ON_THE_LINE
        held = self.burst_bytes + int(self.bytes_per_second * (self.round_trip_seconds / 2 + QUEUE_SECONDS))
        return max(LARGEST_READ_BYTES, min(MAX_BYTES_ON_THE_LINE, held))

    def expected_round_trip_seconds(self, message_bytes: int) -> float:
        """What a lone request and a reply of `message_bytes` each should take longer than without the link."""
        if self.bytes_per_second is None:
            return self.round_trip_seconds
        on_the_wire = max(0, message_bytes - self.burst_bytes)
        return self.round_trip_seconds + 2 * on_the_wire / self.bytes_per_second
