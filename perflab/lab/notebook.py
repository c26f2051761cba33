"""What a notebook makes of its parameters before it starts: how large it runs, and where it writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

from perflab.database.values import check_number
from perflab.errors import InvalidInput
from perflab.lab.sweep.profiles import Profile

PROFILE_VARIABLE = "PERFLAB_PROFILE"
OUTPUT_VARIABLE = "PERFLAB_OUTPUT"
URL_VARIABLE = "PERFLAB_LAB_URL"
NOTEBOOKS, REPORTS = "notebooks", "reports"


def resolve_profile(profile: str) -> Profile:
    """The profile to run in: the parameter, unless the environment variable PERFLAB_PROFILE names another.

    The variable is for runners that cannot set parameters, such as nbval. It wins, because a notebook cannot tell a
    default from a value that was given.

    Raises:
        InvalidInput: it is none of smoke, quick, full.
    """
    source, chosen = "profile", profile
    if os.environ.get(PROFILE_VARIABLE):
        source, chosen = PROFILE_VARIABLE, os.environ[PROFILE_VARIABLE]
    if chosen not in get_args(Profile):
        raise InvalidInput(f"{source} is {chosen!r}: use one of {', '.join(get_args(Profile))}")
    return cast("Profile", chosen)


def run_name(notebook: str, profile: str, engine: str = "sqlite") -> str:
    """What the files of a run are called: `<notebook>-<profile>`, with the engine in between where it is not SQLite."""
    return f"{notebook}-{profile}" if engine == "sqlite" else f"{notebook}-{engine}-{profile}"


def to_seconds(milliseconds: float, name: str) -> float:
    """Milliseconds that a parameter gives, checked and as seconds.

    Raises:
        InvalidInput: it is not a finite number above zero.
    """
    return check_number(milliseconds, name, above_low=True) / 1_000


def own_server_url(engine: str) -> str | None:
    """The URL of the user's own PostgreSQL server, from the environment variable PERFLAB_LAB_URL.

    It is no parameter, because those are stored in the report, with the password. None for SQLite, and where no server
    is named: then an embedded one is measured.
    """
    return (os.environ.get(URL_VARIABLE) or None) if engine != "sqlite" else None


def output_folder(output: str = "") -> Path:
    """The folder for results and data files, made if it is not there.

    It is the parameter; else what the environment variable PERFLAB_OUTPUT names; else `reports` of the project, which
    is the nearest folder above the current one with `notebooks` in it; else `reports` here.

    Raises:
        InvalidInput: there is a file of that name, or the folder cannot be made.
    """
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / NOTEBOOKS).is_dir()), here)
    folder = Path(output or os.environ.get(OUTPUT_VARIABLE) or project / REPORTS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the output folder {str(folder)!r} cannot be made: {error.strerror}") from error
    return folder
