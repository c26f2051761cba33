"""cProfile: every call of the calling thread, counted and timed, which makes many small calls look dearer."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from perflab.lab.profiling.pages import render

_MOST = 60


@dataclass(frozen=True, slots=True)
class FunctionTime:
    """One function.

    Attributes:
        name: with its file and line.
        calls: how often it was called.
        own_seconds: in it alone.
        seconds: in it and in what it calls.
    """

    name: str
    calls: int
    own_seconds: float
    seconds: float


class CProfile:
    """A table of functions, those first that took the most by themselves."""

    suffix = ".html"

    def profile(self, call: Callable[[], object], file: Path) -> None:
        profiler = cProfile.Profile()
        profiler.runcall(call)
        functions = function_times(profiler)
        total = sum(each.own_seconds for each in functions)
        file.write_text(render("cprofile.html.j2", functions=functions[:_MOST], total=total), encoding="utf-8")


def function_times(profiler: cProfile.Profile) -> list[FunctionTime]:
    """All functions, the dearest first."""
    found = [
        FunctionTime(_name(entry.code), entry.callcount, entry.inlinetime, entry.totaltime)
        for entry in profiler.getstats()
    ]
    return sorted(found, key=lambda each: each.own_seconds, reverse=True)


def _name(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code  # a function of C
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{code.co_firstlineno})"
