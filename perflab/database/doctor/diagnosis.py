"""What a look at a database found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Nothing is wrong; worth knowing, or it could not be looked at."""
    WARNING = "warn"
    """It works, and will be slow, full or less durable than expected."""
    FAILURE = "fail"
    """perflab cannot work here, or what it commits can be lost."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    finding: str
    """What is so, in words."""
    advice: str = ""
    """What to do about it."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The figures behind the finding, for machines; the unit comes last in each name."""

    def describe(self) -> str:
        """The check as one line."""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.verdict:<4}  {self.name:<13}  {self.finding}{advice}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks of one database, or of this machine, in the order of the look."""

    url: str | None
    """Without a password; None for the machine."""
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        order = list(Verdict)
        return max((check.verdict for check in self.checks), key=order.index)

    def describe(self) -> str:
        """A line for each check."""
        return "\n".join(check.describe() for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            **({} if self.url is None else {"url": self.url}),
            "verdict": self.verdict.value,
            "checks": [
                {
                    "name": check.name,
                    "verdict": check.verdict.value,
                    "finding": check.finding,
                    "advice": check.advice,
                    "values": dict(check.values),
                }
                for check in self.checks
            ],
        }
