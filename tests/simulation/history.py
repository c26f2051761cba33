"""What was done to a queue, who was told what, and whether that can be the truth.

As Jepsen checks queues (https://jepsen.io, `total-queue`): each payload is unique, and an operation whose outcome
nobody knows is neither a success nor a failure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["ok", "fail", "unknown"]
"""`fail`: it certainly did not happen; `unknown`: it may have."""
Payload: TypeAlias = Hashable


@dataclass(frozen=True, slots=True)
class Enqueued:
    payload: Payload
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Delivered:
    """A claim gave it to somebody who heard of it."""

    payload: Payload
    job_id: int
    attempt: int
    at: int
    """When the claim had ended: a number that grows, as are those below."""


@dataclass(frozen=True, slots=True)
class Done:
    """An acknowledgement; `ok`: it was accepted, `fail`: it was refused, or not written."""

    payload: Payload
    job_id: int
    attempt: int
    begun: int
    ended: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Findings:
    """Payloads that something went wrong with; none of a sound history."""

    lost: set[Payload] = field(default_factory=set)
    """Enqueued, not done, and not there."""
    duplicated: set[Payload] = field(default_factory=set)
    """Two jobs, done twice, one lease given to two, or there again after it was done."""
    stale: set[Payload] = field(default_factory=set)
    """Done by somebody who had lost it to another."""
    unexpected: set[Payload] = field(default_factory=set)
    """There, though nobody put it in, or was told that it was not."""

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.stale or self.unexpected)


class History:
    """Recorded as it happens, and checked against what is there at the end. For one thread."""

    def __init__(self) -> None:
        self.enqueued: list[Enqueued] = []
        self.delivered: list[Delivered] = []
        self.done: list[Done] = []
        self._moment = 0

    def moment(self) -> int:
        self._moment += 1
        return self._moment

    def check(self, remaining: Iterable[Payload]) -> Findings:
        """What is wrong, given the payloads of all jobs that are there at the end, dead ones among them."""
        left, found = Counter(remaining), Findings()
        accepted: defaultdict[Payload, list[Done]] = defaultdict(list)
        may_be_done = set()
        for done in self.done:
            if done.outcome == "ok":
                accepted[done.payload].append(done)
            if done.outcome != "fail":
                may_be_done.add(done.payload)
        may_be_there = {each.payload for each in self.enqueued if each.outcome != "fail"}
        sure = {each.payload for each in self.enqueued if each.outcome == "ok"}
        found.lost.update(sure - set(left) - may_be_done)
        found.unexpected.update(({each.payload for each in self.delivered} | set(left)) - may_be_there)
        found.duplicated.update(payload for payload, count in left.items() if count > 1 or payload in accepted)
        found.duplicated.update(payload for payload, all_of_it in accepted.items() if len(all_of_it) > 1)
        self._check_deliveries(accepted, found)
        return found

    def _check_deliveries(self, accepted: defaultdict[Payload, list[Done]], found: Findings) -> None:
        job_of: dict[Payload, int] = {}
        leases: set[tuple[int, int]] = set()
        for delivered in self.delivered:
            payload, lease = delivered.payload, (delivered.job_id, delivered.attempt)
            if job_of.setdefault(payload, delivered.job_id) != delivered.job_id or lease in leases:
                found.duplicated.add(payload)
            leases.add(lease)
            for done in accepted[payload]:
                if done.ended < delivered.at:
                    found.duplicated.add(payload)
                elif done.attempt < delivered.attempt:
                    found.stale.add(payload)
