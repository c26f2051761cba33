"""Profiles of several visits, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from perflab.lab.profiling.pages import Profile, file_name, write_index
from perflab.lab.profiling.profiler import Profiler


def profile_visits(
    visits: Iterable[tuple[str, Callable[[], object]]],
    profiler: Profiler,
    name: str,
    folder: Path,
    visited: Callable[[], object] = lambda: None,
) -> list[Profile]:
    """Make each visit once under a profiler, and write its page and a list of all.

    Args:
        visits: what is visited, and how.
        profiler: what watches.
        name: of the profiler.
        folder: made if it is missing; pages of the same name are replaced.
        visited: called after each visit.

    Raises:
        LabError: the profiler did not work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profiles = []
    for subject, visit in visits:
        file = folder / file_name(subject, name, profiler.suffix)
        profiler.profile(visit, file)
        profiles.append(Profile(subject, name, file))
        visited()
    write_index(profiles, folder)
    return profiles
