"""Which statements a program sends, how often, and how long they take: off unless somebody asks for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

STATEMENTS_KEPT = 1_000
_OPERATION = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|MERGE)\b", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class RecordedStatement:
    """One statement, with all its calls.

    Attributes:
        sql: Its text, with the driver's placeholders.
        parameters: Of its slowest call, or of its last one where no time is known; of many rows, the first.
        calls: How often it was sent; a call for many rows counts once.
        seconds: In all calls together, until the last row was fetched. None where it was only ever sent in one round
            trip with others, for which the client cannot tell their times apart.
    """

    sql: str
    parameters: Any
    calls: int
    seconds: float | None


class StatementRecorder:
    """Adds up statements. Safe to share between threads. Parameters stay in memory, and nothing shows them.

    Args:
        clock: seconds that only grow.
        keep: different statements at the most; `overlooked` counts the calls of those that came after.
    """

    def __init__(self, *, clock: Callable[[], float] = perf_counter, keep: int = STATEMENTS_KEPT) -> None:
        self.clock = clock
        self.overlooked = 0
        self._keep = keep
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def record(self, sql: str, parameters: Any, seconds: float | None) -> None:
        """Note one call."""
        with self._lock:
            entry = self._entries.get(sql)
            if entry is None:
                if len(self._entries) >= self._keep:
                    self.overlooked += 1
                    return
                entry = self._entries[sql] = _Entry(parameters)
            entry.calls += 1
            if seconds is None:
                if not entry.timed_calls:
                    entry.parameters = parameters
                return
            entry.timed_calls += 1
            entry.seconds += seconds
            if seconds >= entry.slowest:
                entry.slowest = seconds
                entry.parameters = parameters

    def add_seconds(self, sql: str, seconds: float) -> None:
        """Note that fetching the rows of a call took longer."""
        with self._lock:
            entry = self._entries.get(sql)
            if entry is not None:
                entry.seconds += seconds

    def statements(self) -> list[RecordedStatement]:
        """The operations so far, the costliest first; BEGIN, COMMIT, PRAGMA and the like are not among them."""
        with self._lock:
            found = [
                RecordedStatement(sql, entry.parameters, entry.calls, entry.total_seconds)
                for sql, entry in self._entries.items()
                if _OPERATION.match(sql)
            ]
        return sorted(found, key=lambda each: each.seconds or 0.0, reverse=True)


class _Entry:
    __slots__ = ("calls", "parameters", "seconds", "slowest", "timed_calls")

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters
        self.calls = 0
        self.timed_calls = 0
        self.seconds = 0.0
        self.slowest = 0.0

    @property
    def total_seconds(self) -> float | None:
        """Of all calls: those without a time are taken to be like those with one."""
        return self.seconds * self.calls / self.timed_calls if self.timed_calls else None
