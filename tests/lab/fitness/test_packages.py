"""Extras and engines that are there, missing, or too old."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.lab.fitness.engines import check_engines
from perflab.lab.fitness.extras import PURPOSES, check_packages
from perflab.lab.notebook import URL_VARIABLE

PROJECT = Path(__file__).parents[3]
REQUIRES = [
    "sqlalchemy>=2.0.43",
    "tzdata; sys_platform == 'nowhere'",
    "psycopg>=3.2; extra == 'postgres'",
    "zstandard>=0.22; extra == 'compression'",
    "perflab[compression]; extra == 'lab'",
    "typer>=0.20; extra == 'lab'",
]


def found(versions: dict[str, str]) -> dict[str, Check]:
    return {check.name: check for check in check_packages(REQUIRES, installed=versions.get)}


def test_an_extra_has_what_it_contains() -> None:
    all_there = {"sqlalchemy": "2.0.44", "typer": "0.20.0", "zstandard": "0.23"}
    checks = found(all_there)
    assert checks["perflab"].verdict is checks["[lab]"].verdict is Verdict.OK
    del all_there["zstandard"]
    lab = found(all_there)["[lab]"]
    assert (lab.verdict, lab.values["missing"]) == (Verdict.NOTE, ["zstandard is not installed"])
    assert "pip install 'perflab[lab]'" in lab.advice


def test_a_version_that_is_too_old_is_named() -> None:
    check = found({"sqlalchemy": "2.0.30"})["perflab"]
    assert check.verdict is Verdict.FAILURE
    assert check.finding == "sqlalchemy is 2.0.30, and >=2.0.43 is needed"
    assert check.advice


def test_every_extra_for_users_has_a_purpose() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(PURPOSES) == set(extras) - {"dev", "docs"}


def test_engines_say_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite, postgresql = check_engines(sqlite_version=(3, 31, 1), has_driver=lambda: False, environment={})
    assert (sqlite.verdict, postgresql.verdict) == (Verdict.FAILURE, Verdict.NOTE)
    assert "perflab[postgres]" in postgresql.advice
    _sqlite, embedded = check_engines(has_driver=lambda: True, environment={})
    assert embedded.verdict is Verdict.OK
    monkeypatch.setattr("perflab.database.embedded_programs.PACKAGE", "no_such_package")
    assert find_spec("no_such_package") is None
    _sqlite, lonely = check_engines(has_driver=lambda: True, environment={})
    assert lonely.verdict is Verdict.NOTE
    assert URL_VARIABLE in lonely.advice
    _sqlite, own = check_engines(has_driver=lambda: True, environment={URL_VARIABLE: "postgresql://me:secret@db/lab"})
    assert own.verdict is Verdict.OK
    assert "secret" not in own.describe()
