"""What a fleet did, as one frozen value that one query fills."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perflab.batching.fleet.settings import FleetSettings


class MemberState(StrEnum):
    """What is known of a member."""

    LIVE = "live"
    LEFT = "left"
    """It was closed."""
    LOST = "lost"
    """It missed three heartbeats: killed, hung, or cut off."""


@dataclass(frozen=True, slots=True)
class MemberMetrics:
    """One member, as it last reported. Counts are those of `BatchingMetrics`, added up over its batchers."""

    instance: str
    """Host, process, and a part drawn at random."""
    state: MemberState
    reported_seconds_ago: float
    items: int
    batches: int
    round_trips: int
    round_trips_saved: int
    retries: int
    failed: int
    pending: int


@dataclass(frozen=True, slots=True)
class FleetMetrics:
    """A fleet. Counts are over all members that were heard of within an hour before the last one joined."""

    settings: FleetSettings
    members: tuple[MemberMetrics, ...]
    flushes_in_flight: int | None
    """Now, counted in the database: those that hold a slot. None without a cap, and on SQLite."""
    flushes_waiting: int | None
    """Now: those that wait for a slot inside the database. None as above."""

    def count(self, state: MemberState) -> int:
        """Members in this state."""
        return sum(member.state is state for member in self.members)

    @property
    def items(self) -> int:
        return sum(member.items for member in self.members)

    @property
    def batches(self) -> int:
        return sum(member.batches for member in self.members)

    @property
    def round_trips(self) -> int:
        return sum(member.round_trips for member in self.members)

    @property
    def round_trips_saved(self) -> int:
        return sum(member.round_trips_saved for member in self.members)

    @property
    def retries(self) -> int:
        return sum(member.retries for member in self.members)

    @property
    def failed(self) -> int:
        return sum(member.failed for member in self.members)

    @property
    def pending(self) -> int:
        """Of the live members: what a lost one held in memory is gone."""
        return sum(member.pending for member in self.members if member.state is MemberState.LIVE)
