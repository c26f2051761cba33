"""The look itself."""

from __future__ import annotations

import platform
from pathlib import Path

from perflab.database.doctor.diagnosis import Check, Diagnosis, Verdict
from perflab.lab.fitness.engines import check_engines
from perflab.lab.fitness.extras import check_packages
from perflab.lab.fitness.machine import judge_machine
from perflab.lab.fitness.readings import Readings, read_machine

NEXT = {
    Verdict.OK: "it is fit to measure: perflab report 02",
    Verdict.NOTE: "it is fit to measure: perflab report 02",
    Verdict.WARNING: "it can measure, with care: perflab selftest says which differences it would find",
    Verdict.FAILURE: "correct first what says fail",
}


def examine_machine(scratch: Path, readings: Readings | None = None) -> Diagnosis:
    """Look at this machine, at the engines and the packages it has. Takes a tenth of a second and changes nothing.

    Args:
        scratch: The folder in which databases are made.
        readings: Those to judge; None for new ones.
    """
    python = Check("python", Verdict.OK, f"{platform.python_implementation()} {platform.python_version()}")
    machine = judge_machine(readings or read_machine(scratch))
    return Diagnosis(None, (python, *machine, *check_engines(), *check_packages()))


def next_step(diagnosis: Diagnosis) -> str:
    """What to do after this look."""
    return NEXT[diagnosis.verdict]
