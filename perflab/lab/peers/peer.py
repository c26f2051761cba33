"""What a queue must do to be measured, and what is printed next to its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from perflab.lab.sweep.plan import Engine

Payload: TypeAlias = dict[str, Any]
Handle: TypeAlias = Callable[[Payload], bool]
"""What a handler does with the payload of a job. True: it was the last one, so the worker shall end."""
Role: TypeAlias = Literal["ours", "peer", "limit"]


@dataclass(frozen=True, slots=True)
class Card:
    """What is printed next to the figures of a queue.

    Attributes:
        name: Unique; with the setting where one library is measured in several.
        package: Its distribution; "" for what Python or perflab bring.
        engine: Where it keeps its jobs.
        role: "limit" is SQL by hand on the raw driver.
        setting: In words.
        source: Where this setting is documented.
        guarantee: How often a job runs, and what becomes of the jobs of a worker that dies.
        finished: What becomes of finished jobs.
        durability: "full": a commit survives a power loss; "normal": it survives a crash of the process. It is
            checked on a connection as the queue makes it.
        slowness: It gets one job for each so many of the others, so that a visit does not take minutes.
        bulk: Whether it documents a call that enqueues many.
        wakes: Whether it is measured how soon an idle worker hears of a new job.
    """

    name: str
    package: str
    engine: Engine
    role: Role
    setting: str
    source: str
    guarantee: str
    finished: str
    durability: Literal["normal", "full"] = "full"
    slowness: int = 1
    bulk: bool = True
    wakes: bool = False


class QueuePeer(Protocol):
    """A queue in one setting. Its adapter measures nothing: what it is given does.

    `url` is that of a fresh database in all methods: `postgresql://…` with a schema of its own as the only one on the
    path, or `sqlite:///path`.
    """

    @property
    def card(self) -> Card: ...

    def create(self, url: str) -> None:
        """Make the tables."""

    def enqueue_each(self, url: str, payloads: Iterable[Payload]) -> None:
        """Enqueue a job for each payload as it comes, with a durable commit for each."""

    def enqueue_bulk(self, url: str, batches: Iterable[Sequence[Payload]]) -> None:
        """Enqueue one batch after the other with the call that is meant for many; only with `Card.bulk`."""

    def work(self, url: str, handle: Handle) -> None:
        """Run one worker process' worth of its worker in this process until `handle` has returned True.

        It returns when all that was handled is acknowledged.
        """

    def unfinished(self, url: str) -> int:
        """Jobs that are not known to be done."""

    def durability(self, url: str) -> str:
        """How durable a commit is, "normal" or "full", as the database says on a connection that the queue made."""
