"""What the queue's writes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, TypeVar

from perflab.database.compression import Encoder
from perflab.database.operation import DriverConnection
from perflab.events import Event
from perflab.queue.backoff import Backoff
from perflab.queue.engine import QueueEngine

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_ATTEMPTS = 32_767
ROW_BYTES = 64
"""About what a job takes besides its payload, and what an acknowledgement takes."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the operations of one queue share."""

    name: str
    engine: QueueEngine
    now: Callable[[], int]
    """Microseconds since 1970."""
    backoff: Backoff
    rng: Random
    encode: Encoder
    """A payload or result, as it is stored."""
    keep_done: bool = False
    notify: bool = True
    """Workers of ready jobs, where the engine can."""
    ageing: int | None = None
    """Microseconds that a priority is worth; None: more than any wait."""


class QueueOperation(Generic[Item, Result]):
    """What all of them have in common. Two operations of one queue keep their order: they share its table."""

    name: str
    tables = frozenset({"perflab_jobs"})

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._engine = settings.engine

    def __repr__(self) -> str:
        return f"<{self.name} of queue {self._settings.name!r}>"

    def prepare(self, item: Item) -> Any:
        raise NotImplementedError

    def size_bytes(self, item: Item) -> int:  # noqa: ARG002  # some depend on it
        return ROW_BYTES

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[Result]:
        raise NotImplementedError

    def event(self, items: Sequence[Item], results: Sequence[Result]) -> Event | None:  # noqa: ARG002
        """What to tell listeners once the items are committed."""
        return None
