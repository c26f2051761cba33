"""The table of faults is that of the tests, and no case is without one."""

from __future__ import annotations

import subprocess
import sys

from tests.faults.cases import CASES, SECTIONS
from tests.faults.table import ROOT


def test_every_case_belongs_to_one_section() -> None:
    numbers = [number for section in SECTIONS.values() for number in section]
    assert [f"F{number:02}" for number in numbers] == list(CASES)


def test_the_table_is_that_of_the_tests() -> None:
    """Collected in a process of its own: whoever runs a part of the tests has not collected all of them."""
    checked = subprocess.run(
        [sys.executable, "-m", "tests.faults.table", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout[-3_000:] + checked.stderr[-3_000:]
