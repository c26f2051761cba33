"""A statement as the advisor sees it: its text, an example of its parameters, and what is known of its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


class Source(StrEnum):
    """Where a statement comes from."""

    RECORDED = "recorded"
    """By `Database.recording`, with times of this process."""
    SERVER = "pg_stat_statements"
    PERFLAB = "perflab"
    """One of perflab's own, whose tables are there."""
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement to look at.

    Attributes:
        sql: In the placeholders of the engine's driver.
        source: Where it comes from.
        name: A short name, such as "queue.claim"; "" where it has none.
        parameters: An example of what it is run with; None where that is not known.
        calls: How often it ran; 0 where nobody counted.
        seconds: In all these calls together; None where nobody looked at the clock.
    """

    sql: str
    source: Source
    name: str = ""
    parameters: Parameters | None = None
    calls: int = 0
    seconds: float | None = None

    @property
    def mean_seconds(self) -> float | None:
        return None if self.seconds is None or not self.calls else self.seconds / self.calls

    @property
    def label(self) -> str:
        """Its name, or its text on one line."""
        return self.name or " ".join(self.sql.split())
