"""The table of complaints names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BATCHING = Path(__file__).parents[1] / "batching"
NAMED = re.findall(
    r"`([\w./]+\.py)::(test_\w+)` \|$", (BATCHING / "README.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_every_line_of_the_table_names_a_test() -> None:
    lines = [
        line for line in (BATCHING / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    assert len(NAMED) == len(lines) - 1, "one line is the heading"


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_of_the_table_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (BATCHING / file).read_text(encoding="utf-8"), re.MULTILINE)
