"""What differs between the environments of two runs, and which of it makes their figures incomparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perflab.lab.gate.measured_run import MeasuredRun

_MACHINE = ("machine", "cpu", "cores", "memory_bytes", "governor", "file_system")
_OF_THE_MOMENT = ("load_average", "commit")
"""Differs from run to run, or is what is compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        name: What.
        before: In the first run.
        after: In the second.
        incomparable: Whether figures must not be compared across it: it is of the machine or of the engine's settings.
    """

    name: str
    before: str
    after: str
    incomparable: bool

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')}: {self.before} → {self.after}"


def differences(before: MeasuredRun, after: MeasuredRun) -> list[Difference]:
    """What differs, that of the machine first."""
    old, new = dict(before.environment), dict(after.environment)
    found = [Difference("engine", ", ".join(before.engines), ", ".join(after.engines), incomparable=True)]
    names = [*_MACHINE, *(name for name in dict.fromkeys([*old, *new]) if name not in _MACHINE)]
    found += [
        Difference(name, _text(old.get(name)), _text(new.get(name)), incomparable=name in _MACHINE)
        for name in names
        if name not in _OF_THE_MOMENT
    ]
    return [each for each in found if each.before != each.after]


def incomparable(runs: Sequence[MeasuredRun]) -> list[Difference]:
    """What makes any of these runs incomparable with the first."""
    found = [each for run in runs[1:] for each in differences(runs[0], run) if each.incomparable]
    return list(dict.fromkeys(found))


def _text(value: str | float | None) -> str:
    return "unknown" if value is None else str(value)
